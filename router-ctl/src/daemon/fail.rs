//! Failures below, in the words of the user.

use std::io;

use crate::{
    codes, dataplane,
    error::{Error, Kind},
    journal, netlink,
};

/// What the kernel refused over netlink.
pub(super) fn refused(
    code: &'static str,
    message: impl Into<String>,
    error: &netlink::Error,
) -> Error {
    // Who may not gets EPERM. EACCES is the kernel's word for a device without
    // IPv6 (and for a broadcast address as a next hop): root gets it, too.
    let kind = match error.errno() {
        Some(libc::EPERM) => Kind::NotPermitted,
        _ => Kind::Failed,
    };
    with_root(Error::new(kind, code, message).cause(error))
}

/// What a file operation failed with.
pub(super) fn io(code: &'static str, message: impl Into<String>, error: &std::io::Error) -> Error {
    with_root(Error::new(kind_of(error.raw_os_error()), code, message).cause(error))
}

/// The journal of an instance, which is opened.
pub(super) fn journal_of(instance: &str, error: &journal::Error) -> Error {
    let (path, at) = match error {
        journal::Error::Elsewhere { path, at } => (path, at),
        journal::Error::Locked { .. } => return already_running(instance, error),
        _ => return journal(error),
    };
    let failed = Error::new(
        Kind::Failed,
        codes::JOURNAL_ELSEWHERE,
        format!(
            "instance {instance} has changed another network namespace, and that is not put back"
        ),
    )
    .cause(error);
    failed.help(match at {
        Some(at) => {
            format!("put it back first: nsenter --net={at} router-ctl --instance {instance} down")
        }
        None => format!(
            "if that namespace is gone, so are the changes: rm {}; else run \
             `router-ctl --instance {instance} down` in it",
            path.display()
        ),
    })
}

/// Its lock in `/run` was removed, or the other one does not look there.
fn already_running(instance: &str, error: &journal::Error) -> Error {
    Error::new(
        Kind::Failed,
        codes::ALREADY_RUNNING,
        format!("instance {instance} is already running"),
    )
    .cause(error)
    .help(format!(
        "stop it with `router-ctl --instance {instance} down`, or give this one a name of its own with --instance"
    ))
}

/// The journal.
pub(super) fn journal(error: &journal::Error) -> Error {
    let damaged = |path: &std::path::Path| {
        format!(
            "see what it says, put back by hand what is still changed, and remove it: rm {}",
            path.display()
        )
    };
    let (kind, help) = match error {
        journal::Error::Io { source, path } => match kind_of(source.raw_os_error()) {
            Kind::NotPermitted => (Kind::NotPermitted, None),
            kind if source.kind() == io::ErrorKind::InvalidData => (kind, Some(damaged(path))),
            kind => (kind, Some("make room there, or make it writable".into())),
        },
        // Said where it is opened.
        journal::Error::Elsewhere { .. } | journal::Error::Locked { .. } => (Kind::Failed, None),
        journal::Error::Corrupt { path, .. } => (Kind::Failed, Some(damaged(path))),
    };
    let mut failed = Error::new(kind, codes::JOURNAL, "cannot use the journal").cause(error);
    failed.help = help;
    with_root(failed)
}

/// The packet path, apart from attaching.
pub(super) fn dataplane(error: &dataplane::Error) -> Error {
    use dataplane::Error as E;
    let (code, message) = match error {
        E::Object(_) | E::Program { .. } => (codes::PROGRAM_REFUSED, "cannot load the XDP program"),
        E::Attach { .. } | E::Replace(_) | E::NotALink => {
            (codes::ATTACH_REFUSED, "cannot attach the XDP program")
        }
        E::Map { .. } => (codes::MAP, "cannot use a map of the XDP program"),
        E::Pins { .. } => (codes::BPFFS, "cannot pin the maps of the XDP program"),
        E::ForeignPin { .. } => (
            codes::FOREIGN_PIN,
            "there is something in the place of our pins that is not ours",
        ),
    };
    Error::new(Kind::Failed, code, message).cause(error)
}

const fn kind_of(errno: Option<i32>) -> Kind {
    match errno {
        Some(libc::EPERM | libc::EACCES) => Kind::NotPermitted,
        _ => Kind::Failed,
    }
}

fn with_root(error: Error) -> Error {
    match error.kind {
        Kind::NotPermitted => error.help("the daemon needs root: run it with sudo"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel says EACCES of a device without IPv6: "run it with sudo" was the
    /// advice, to root.
    #[test]
    fn only_a_missing_privilege_is_mended_by_root() {
        let refusal = |errno| {
            let errno = io::Error::from_raw_os_error(errno);
            let error = netlink::Error::Refused { errno, words: None };
            refused(codes::INTERFACE_REFUSED, "no", &error)
        };
        let denied = refusal(libc::EPERM);
        assert_eq!(denied.kind, Kind::NotPermitted);
        assert!(denied.help.unwrap().contains("sudo"));
        let without_v6 = refusal(libc::EACCES);
        assert_eq!(without_v6.kind, Kind::Failed);
        assert_eq!(without_v6.help, None);
    }

    #[test]
    fn a_journal_that_cannot_be_used_says_what_mends_it() {
        let helps = |source| {
            let path = "/x/a.journal".into();
            journal(&journal::Error::Io { path, source }).help.unwrap()
        };
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert!(helps(full).contains("make room"));
        let garbage = io::Error::new(io::ErrorKind::InvalidData, "not UTF-8");
        assert!(helps(garbage).contains("rm /x/a.journal"));
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        assert!(helps(denied).contains("sudo"));
    }
}
