//! `down` without a daemon: from the journal that it kept, and, where that is
//! lost, as far as what is pinned tells.

use crate::{
    api::Place,
    codes,
    dataplane::{Orphans, PinDir},
    error::{Error, Kind},
    journal::Journal,
    netlink::PROTOCOL,
    sys,
};

use super::{Options, engine, fail, host::Host, log, saved::Saved};

/// Puts back what the journal of a dead daemon holds. How many things that
/// were.
///
/// # Errors
/// If the daemon is alive, something could not be put back, or there is no
/// journal and yet a daemon has been here: then XDP is detached, at least.
pub async fn down_from_journal(options: &Options) -> Result<usize, Error> {
    let _log = log::start(options.verbose)?;
    let place = Place::take(&options.runtime_dir, &options.instance).await?;
    if !Journal::path(&options.state_dir, &options.instance).exists() {
        let _socket = place.listen()?;
        Saved::open(&options.state_dir, &options.instance).remove();
        return without_journal(options);
    }
    let mut host = Host::open(&options.state_dir, &options.instance)?;
    // A dead daemon's socket goes, too.
    let _socket = place.listen()?;
    let count = host.journal.entries().len();
    let undone = host.undo_from(0).await;
    let outcome = engine::failures(&options.instance, &undone);
    if outcome.is_ok() {
        host.saved.remove();
    }
    host.finish()?;
    outcome?;
    if count == 0 {
        // It may have been begun after another one was lost.
        return without_journal(options);
    }
    Ok(count)
}

/// Detaches what is pinned under the instance's name, and says what it cannot
/// know.
fn without_journal(options: &Options) -> Result<usize, Error> {
    if !sys::is_bpffs(&options.bpffs).unwrap_or(false) {
        return Ok(0);
    }
    let pins = PinDir::new(&options.bpffs, &options.instance);
    let found = pins.orphans().map_err(|error| fail::dataplane(&error))?;
    if found.is_empty() {
        return Ok(0);
    }
    pins.remove().map_err(|error| fail::dataplane(&error))?;
    Err(lost(options, &found))
}

fn lost(options: &Options, found: &Orphans) -> Error {
    let path = Journal::path(&options.state_dir, &options.instance);
    let mut look = vec![
        format!("`ip route show proto {PROTOCOL}` (and -6)"),
        "`ip -d link show type vlan` and `ip address` for sub-interfaces and gateways".to_owned(),
        "`sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding`".to_owned(),
    ];
    for trunk in &found.trunks {
        look.push(format!(
            "`ip link set {trunk} promisc off` and `ethtool -K {trunk} rxvlan on`, if they were so before"
        ));
    }
    Error::new(
        Kind::Failed,
        codes::JOURNAL_LOST,
        format!(
            "XDP is detached and {} pins are removed; what else instance {} has changed is not \
             known: its journal is lost",
            found.pins, options.instance
        ),
    )
    .cause(format!("there is no {}, or it is new", path.display()))
    .help(format!("look yourself: {}", look.join("; ")))
}
