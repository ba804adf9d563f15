//! The lease of design.md 4: XDP goes on for a while without a daemon, then the
//! kernel forwards everything, and XDP does again when there is a daemon. No
//! packet is lost on any of these ways.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use router_tests::{
    flow::Flow,
    hitless::{WHILE, assert_attached, assert_by_kernel, assert_by_xdp, forwarding, until},
    lab::{self, Lab},
    router_daemon::RouterDaemon,
};

/// The shortest there is; under emulation one that a start does not outlast.
fn lease() -> Duration {
    Duration::from_secs(if lab::slow() { 15 } else { 5 })
}

fn config() -> String {
    format!("direct_lease = {}", lease().as_secs())
}

/// Waits until no packet goes through XDP any more: not before the lease is
/// over, and all of them from then on.
fn until_the_kernel_forwards(lab: &Lab, before: u64) {
    // The daemon renews the lease each second.
    thread::sleep(lease() - Duration::from_secs(2));
    assert_eq!(lab.forwarded_by_kernel().unwrap(), before, "too early");
    until("the lease to end", || {
        Ok(lab.forwarded_by_kernel()? > before)
    });
    assert_by_kernel(lab);
}

/// Under traffic all the while: XDP, the kernel, XDP.
fn there_and_back(
    lab: &Lab,
    daemon: &mut RouterDaemon,
    end: impl FnOnce(&mut RouterDaemon),
    revive: impl FnOnce(&mut RouterDaemon),
) {
    let before = daemon.attachments().unwrap();
    assert_by_xdp(lab, daemon);
    let flow = Flow::start(lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    let before_end = lab.forwarded_by_kernel().unwrap();
    end(daemon);
    until_the_kernel_forwards(lab, before_end);
    revive(daemon);
    until("XDP to forward again", || {
        let then = lab.forwarded_by_kernel()?;
        thread::sleep(Duration::from_millis(50));
        Ok(lab.forwarded_by_kernel()? == then)
    });
    flow.run_for(WHILE);
    let report = flow.finish(lab).unwrap();
    report.assert_hitless();
    assert_by_xdp(lab, daemon);
    let after = daemon.attachments().unwrap();
    assert_attached(lab, &after);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.link_id, after.link_id);
    }
}

#[test]
fn a_daemon_that_is_dead_for_longer_than_the_lease() {
    let test = "a_daemon_that_is_dead_for_longer_than_the_lease";
    let Some((lab, mut daemon)) = forwarding(test, &config()) else {
        return;
    };
    there_and_back(
        &lab,
        &mut daemon,
        |daemon| daemon.kill().unwrap(),
        |daemon| {
            daemon.start().unwrap();
        },
    );
    // The program said why it had passed them up.
    let stats = daemon.json(&["stats"]).unwrap();
    let verdicts = stats["verdicts"].as_array().unwrap();
    let expired = verdicts
        .iter()
        .find(|verdict| verdict["reason"] == "lease-expired");
    let expired = expired.and_then(|verdict| verdict["packets"].as_u64());
    assert!(expired > Some(0), "{stats}");
}

#[test]
fn a_daemon_that_stands_still_for_longer_than_the_lease() {
    let test = "a_daemon_that_stands_still_for_longer_than_the_lease";
    let Some((lab, mut daemon)) = forwarding(test, &config()) else {
        return;
    };
    there_and_back(
        &lab,
        &mut daemon,
        |daemon| daemon.signal(Signal::SIGSTOP).unwrap(),
        |daemon| daemon.signal(Signal::SIGCONT).unwrap(),
    );
}

#[test]
fn a_lease_is_no_longer_than_the_daemon_says() {
    let test = "a_lease_is_no_longer_than_the_daemon_says";
    let Some((lab, daemon)) = forwarding(test, &config()) else {
        return;
    };
    // A living daemon renews it.
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(lease() + Duration::from_secs(1));
    let report = flow.finish(&lab).unwrap();
    report.assert_hitless();
    assert_eq!(report.by_kernel, 0, "{report}");
    drop(daemon);
}
