//! Programs on trunks that are somebody else's: never detached, unless the
//! operator says so.

use std::{collections::BTreeSet, os::fd::AsFd as _};

use tracing::warn;

use super::{bpffs::Bpffs, fail, host::Host};
use crate::{
    codes,
    config::{Config, XdpMode},
    dataplane::{self, Holder, Occupant, PinDir, occupant},
    error::{Error, Kind},
    netlink::types::{Link, XdpAttachment},
    sys,
};

/// Says early, before anything is done, that a trunk is taken.
pub(super) async fn refuse_all(config: &Config, bpffs: &Bpffs, host: &Host) -> Result<(), Error> {
    let pins = host.pins(&bpffs.path);
    let ours = dataplane::pinned_programs(&pins).map_err(|error| fail::dataplane(&error))?;
    for trunk in &config.trunks {
        if trunk.xdp == XdpMode::Off {
            continue;
        }
        if let Some(link) = host.link(&trunk.interface).await? {
            refuse(&link, &ours).map_err(|error| {
                let sibling = link.xdp.and_then(|xdp| sibling(&pins, xdp.prog_id));
                match sibling {
                    Some(instance) => of_sibling(error, &instance),
                    None => error,
                }
            })?;
        }
    }
    Ok(())
}

/// The other instance of ours that has pinned this program.
fn sibling(pins: &PinDir, program: u32) -> Option<String> {
    let has = |pins: &PinDir| {
        let programs = dataplane::pinned_programs(pins);
        programs.is_ok_and(|programs| programs.contains(&program))
    };
    let mut instances = pins.instances().ok()?.into_iter();
    Some(instances.find(|(_, pins)| has(pins))?.0)
}

/// Detached by hand, it would be attached again.
fn of_sibling(error: Error, instance: &str) -> Error {
    error
        .cause(format!("it is router-ctl's, instance {instance}"))
        .help(format!(
            "`router-ctl --instance {instance} down`, or take the trunk out of its configuration"
        ))
}

fn refuse(link: &Link, ours: &BTreeSet<u32>) -> Result<(), Error> {
    match link.xdp {
        Some(xdp) if !ours.contains(&xdp.prog_id) => Err(refusal(
            link,
            xdp.mode,
            &occupant(xdp.prog_id, link.ifindex),
        )),
        _ => Ok(()),
    }
}

/// Detaches the program that is on a trunk, where the operator has asked for it.
pub(super) async fn evict_or_refuse(link: &Link, takeover: bool, host: &Host) -> Result<(), Error> {
    let Some(xdp) = link.xdp else { return Ok(()) };
    let occupant = occupant(xdp.prog_id, link.ifindex);
    if !takeover {
        return Err(refusal(link, xdp.mode, &occupant));
    }
    let failed = |cause: String| {
        Error::new(
            Kind::Failed,
            codes::FOREIGN_PROGRAM,
            format!("cannot detach {} from {}", words(&occupant), link.name),
        )
        .cause(cause)
        .help(format!(
            "{}, and start again",
            mending(link, xdp.mode, &occupant)
        ))
    };
    warn!(
        "--takeover: detaching {} from {}",
        words(&occupant),
        link.name
    );
    match occupant.holder {
        Holder::Link(id) => {
            let detached = sys::open_link(id).and_then(|held| sys::detach_link(held.as_fd()));
            detached.map_err(|error| failed(error.to_string()))
        }
        // If it is a link after all, the kernel says so.
        Holder::Netlink | Holder::Unknown => {
            let generic = xdp.mode == XdpAttachment::Generic;
            let detached = host.netlink.detach_xdp(link.ifindex, generic).await;
            detached.map_err(|error| failed(error.to_string()))
        }
    }
}

fn refusal(link: &Link, mode: XdpAttachment, occupant: &Occupant) -> Error {
    Error::new(
        Kind::Failed,
        codes::FOREIGN_PROGRAM,
        format!(
            "another XDP program is attached to {}: {}",
            link.name,
            words(occupant)
        ),
    )
    .help(format!(
        "see whose it is with `bpftool prog show id {}`; end it there, or detach it with {}, or \
         start with --takeover",
        occupant.program,
        mending(link, mode, occupant)
    ))
}

fn words(occupant: &Occupant) -> String {
    let name = occupant.name.as_deref().unwrap_or("unnamed");
    format!("{name}, id {}", occupant.program)
}

/// The command that really detaches it. `ip link set ... xdp off` does nothing
/// to a bpf_link, nor to a program in another mode than the driver's best.
fn mending(link: &Link, mode: XdpAttachment, occupant: &Occupant) -> String {
    let word = match mode {
        XdpAttachment::Native => "xdpdrv",
        XdpAttachment::Generic => "xdpgeneric",
        XdpAttachment::Other => "xdpoffload",
    };
    let over_netlink = format!("`ip link set {} {word} off`", link.name);
    match occupant.holder {
        Holder::Link(id) => format!("`bpftool link detach id {id}`"),
        Holder::Netlink => over_netlink,
        Holder::Unknown => format!(
            "`bpftool link detach id ID`, where `bpftool link show` has a link of it, or else \
             {over_netlink}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::types::Xdp;

    fn trunk(mode: XdpAttachment) -> Link {
        Link {
            name: "eth0".into(),
            xdp: Some(Xdp { prog_id: 7, mode }),
            ..Link::default()
        }
    }

    #[test]
    fn our_own_program_is_no_foreign_one() {
        let link = trunk(XdpAttachment::Native);
        assert!(refuse(&link, &BTreeSet::from([7])).is_ok());
        assert!(refuse(&Link::default(), &BTreeSet::new()).is_ok());
        let refused = refuse(&link, &BTreeSet::from([8])).unwrap_err();
        assert_eq!(refused.code, codes::FOREIGN_PROGRAM);
    }

    #[test]
    fn another_router_of_ours_is_named() {
        let refused = refuse(&trunk(XdpAttachment::Native), &BTreeSet::new()).unwrap_err();
        let refused = of_sibling(refused, "a4");
        assert_eq!(refused.code, codes::FOREIGN_PROGRAM);
        let help = refused.help.unwrap();
        assert!(
            help.starts_with("`router-ctl --instance a4 down`"),
            "{help}"
        );
    }

    #[test]
    fn the_mending_command_is_one_that_works() {
        let theirs = |holder| Occupant {
            program: 7,
            name: Some("lb".into()),
            holder,
        };
        for (mode, held, command) in [
            (
                XdpAttachment::Native,
                Holder::Link(9),
                "bpftool link detach id 9",
            ),
            (
                XdpAttachment::Generic,
                Holder::Link(9),
                "bpftool link detach id 9",
            ),
            (
                XdpAttachment::Native,
                Holder::Netlink,
                "ip link set eth0 xdpdrv off",
            ),
            (
                XdpAttachment::Generic,
                Holder::Netlink,
                "ip link set eth0 xdpgeneric off",
            ),
            (XdpAttachment::Native, Holder::Unknown, "bpftool link show"),
            (
                XdpAttachment::Native,
                Holder::Unknown,
                "ip link set eth0 xdpdrv off",
            ),
        ] {
            let error = refusal(&trunk(mode), mode, &theirs(held));
            let help = error.help.unwrap();
            assert!(help.contains(command), "{help}");
            assert!(error.message.contains("lb, id 7"), "{}", error.message);
        }
    }
}
