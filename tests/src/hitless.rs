//! What the `net_hitless*` tests share: a router under traffic while something
//! happens to it.

use std::time::Duration;

use anyhow::Result;

use crate::{
    flow::{Flow, Report},
    kernel_objects::{self, carrier_changes, xdp_on},
    lab::Lab,
    router_daemon::{Attachment, RouterDaemon},
    wait,
};

/// Traffic before something is done, and after it.
pub const WHILE: Duration = Duration::from_millis(300);

/// For a thing that the daemon mends by itself, under emulation, too.
const MENDED: Duration = Duration::from_secs(60);

/// A lab with a daemon that forwards; `head` are keys of its configuration.
///
/// # Panics
/// When it does not come to forward.
#[must_use]
pub fn forwarding(test: &str, head: &str) -> Option<(Lab, RouterDaemon)> {
    let lab = Lab::or_skip(test, 2)?;
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], head)).unwrap();
    daemon.start().unwrap();
    Some((lab, daemon))
}

/// The outcome of [`hitless`].
#[derive(Debug)]
pub struct Outcome {
    /// What became of the traffic.
    pub report: Report,
    /// XDP before it was done.
    pub before: Vec<Attachment>,
    /// XDP now.
    pub after: Vec<Attachment>,
}

/// Does something under traffic: nothing is lost and no carrier goes.
///
/// # Panics
/// When something else comes of it.
pub fn under_traffic(lab: &Lab, action: impl FnOnce()) -> Report {
    let flaps = || {
        let trunks = lab.trunks();
        let changes = trunks
            .iter()
            .map(|trunk| carrier_changes(lab.router(), trunk));
        changes.collect::<Result<Vec<_>>>().unwrap()
    };
    let flaps_before = flaps();
    let flow = Flow::start(lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    action();
    flow.run_for(WHILE);
    let report = flow.finish(lab).unwrap();
    report.assert_hitless();
    assert_eq!(flaps(), flaps_before, "a trunk lost its carrier");
    report
}

/// Does something to the daemon under traffic: nothing is lost, the links are
/// the same and no carrier goes.
///
/// # Panics
/// When something else comes of it.
pub fn hitless(
    lab: &Lab,
    daemon: &mut RouterDaemon,
    action: impl FnOnce(&mut RouterDaemon),
) -> Outcome {
    let before = daemon.attachments().unwrap();
    for attachment in &before {
        assert!(
            attachment.prog_id.is_some() && attachment.link_id.is_some() && attachment.pinned,
            "{attachment:?}"
        );
    }
    let report = under_traffic(lab, || action(daemon));
    let after = daemon.attachments().unwrap();
    assert_eq!(links(&before), links(&after));
    assert_attached(lab, &after);
    Outcome {
        report,
        before,
        after,
    }
}

/// Links by trunk.
fn links(attachments: &[Attachment]) -> Vec<(&str, Option<u64>)> {
    let of = |attachment: &'_ Attachment| attachment.link_id;
    attachments
        .iter()
        .map(|attachment| (attachment.interface.as_str(), of(attachment)))
        .collect()
}

/// The kernel has on every trunk what the daemon says.
///
/// # Panics
/// Otherwise.
pub fn assert_attached(lab: &Lab, attachments: &[Attachment]) {
    for attachment in attachments {
        let attached = xdp_on(lab.router(), &attachment.interface).unwrap();
        assert_eq!(attached, attachment.prog_id, "{attachment:?}");
        assert!(attached.is_some(), "{attachment:?}");
    }
}

/// Every trunk has another program than before.
///
/// # Panics
/// Otherwise.
pub fn assert_new_programs(outcome: &Outcome) {
    for (before, after) in outcome.before.iter().zip(&outcome.after) {
        assert_ne!(
            before.prog_id, after.prog_id,
            "the program was not replaced"
        );
    }
}

/// Programs on all trunks, as the kernel tells them.
///
/// # Panics
/// Where a trunk is missing.
#[must_use]
pub fn programs(lab: &Lab) -> Vec<Option<u64>> {
    let trunks = lab.trunks();
    let programs = trunks.iter().map(|trunk| xdp_on(lab.router(), trunk));
    programs.collect::<Result<_>>().unwrap()
}

/// Waits for something that the daemon does by itself.
///
/// # Panics
/// When it does not.
pub fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) {
    wait::until(what, MENDED, || Ok(holds()?.then_some(()))).unwrap();
}

/// Everything that is sent now goes through XDP.
///
/// # Panics
/// When it does not, or is lost.
pub fn assert_by_xdp(lab: &Lab, daemon: &RouterDaemon) {
    let before = daemon.forwarded_by_xdp().unwrap();
    let flow = Flow::start(lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    let report = flow.finish(lab).unwrap();
    report.assert_hitless();
    let by_xdp = daemon.forwarded_by_xdp().unwrap() - before;
    assert_eq!(report.by_kernel, 0, "{report}");
    // With those that the flow sends first and does not count.
    let sent = report.sent();
    assert!(
        (sent..=sent + 8).contains(&by_xdp),
        "{by_xdp} by XDP\n{report}"
    );
}

/// Everything that is sent now goes through the kernel, that of other flows,
/// too.
///
/// # Panics
/// When it does not, or is lost.
pub fn assert_by_kernel(lab: &Lab) {
    let before = forwarded_by_xdp(lab);
    let flow = Flow::start(lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    let report = flow.finish(lab).unwrap();
    report.assert_hitless();
    assert!(report.by_kernel >= report.sent(), "{report}");
    assert_eq!(forwarded_by_xdp(lab), before, "{report}");
}

/// What XDP forwarded, as the drivers count it: no daemon is asked.
///
/// # Panics
/// Where a trunk is missing.
#[must_use]
pub fn forwarded_by_xdp(lab: &Lab) -> u64 {
    let trunks = lab.trunks();
    let counts = trunks
        .iter()
        .map(|trunk| kernel_objects::forwarded_by_xdp(lab.router(), trunk));
    counts.sum::<Result<_>>().unwrap()
}
