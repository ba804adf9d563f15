//! Attaching XDP to the trunks: natively or as asked for, and if not, why not
//! in the kernel's own words.
//!
//! ```text
//! recover (numbers) -> open (maps) -> maps filled -> attach_all -> settle
//! ```
//!
//! Where a daemon before this one has left pins, its maps are taken over and its
//! links are given the new program; then the numbers are its numbers, too.

use std::os::fd::AsFd as _;

use router_common::wire::TrunkSlot;
use tracing::{info, warn};

use super::{bpffs::Bpffs, bringup, engine, engine::Shared, fail, foreign, host::Host};
use crate::{
    codes,
    config::{Config, Trunk, XdpMode},
    dataplane::{self, Attach, Dataplane, Layout, MemoryDataplane, OBJECT, XdpDataplane},
    error::{Error, Kind},
    journal::Effect,
    netlink::types::{Link, XdpAttachment},
    reconcile::Numbering,
    sys::Offload,
};

/// The numbers for `config`, those that pinned state has given first.
pub(super) fn numbering(config: &Config, bpffs: &Bpffs, host: &Host) -> Result<Numbering, Error> {
    let recovered =
        dataplane::recover(&host.pins(&bpffs.path)).map_err(|error| fail::dataplane(&error))?;
    Ok(recovered.adapted(config))
}

/// Takes the maps over, or makes them.
pub(super) async fn open(
    config: &Config,
    numbering: &Numbering,
    bpffs: &Bpffs,
    host: &mut Host,
) -> Result<Box<dyn Dataplane>, Error> {
    if config.trunks.iter().all(|trunk| trunk.xdp == XdpMode::Off) {
        // It may have been otherwise before.
        let pins = |entry: &crate::journal::Entry| matches!(entry.effect, Effect::Pins { .. });
        let undone = host.undo_where(pins).await;
        engine::failures(&host.instance, &undone)?;
        return Ok(Box::new(MemoryDataplane::default()));
    }
    bpffs.provide(host).await?;
    host.perform(Effect::Pins {
        bpffs: bpffs.path.clone(),
    })
    .await?;
    let dataplane = XdpDataplane::open(layout(config, numbering, bpffs, host));
    Ok(Box::new(
        dataplane.map_err(|error| fail::dataplane(&error))?,
    ))
}

fn layout(config: &Config, numbering: &Numbering, bpffs: &Bpffs, host: &Host) -> Layout {
    let attached = numbering.slots(config);
    let attached = attached.filter(|(_, trunk)| trunk.xdp != XdpMode::Off);
    Layout {
        trunks: numbering.slots_needed(),
        networks: numbering.ids_needed(),
        links: attached
            .map(|(slot, trunk)| (slot, trunk.interface.clone()))
            .collect(),
        pins: host.pins(&bpffs.path),
        object: OBJECT,
    }
}

/// Attaches the program to every trunk that is to have it, and detaches it from
/// the others. What is attached as it should be is left alone.
pub(super) async fn attach_all(
    shared: &Shared,
    host: &mut Host,
    takeover: bool,
) -> Result<(), Error> {
    let config = shared.config();
    let numbering = shared.known().numbering.adapted(&config);
    let mut trunks = Vec::new();
    for (slot, trunk) in numbering.slots(&config) {
        trunks.push((slot, trunk, existing(trunk, host).await?));
    }
    // All of them checked first: where one is refused, none is replaced.
    for (slot, trunk, link) in &trunks {
        if let Some(dataplane) = shared.dataplane().as_mut() {
            match trunk.xdp {
                XdpMode::Off => dataplane.detach(*slot),
                _ => dataplane.load(*slot, link.mtu),
            }
            .map_err(|error| fail::dataplane(&error))?;
        }
    }
    for (slot, trunk, link) in &trunks {
        attach_trunk(*slot, trunk, link, shared, host, takeover).await?;
    }
    Ok(())
}

/// Attaches the program to one trunk, as the configuration says.
pub(super) async fn attach_trunk(
    slot: TrunkSlot,
    trunk: &Trunk,
    link: &Link,
    shared: &Shared,
    host: &mut Host,
    takeover: bool,
) -> Result<(), Error> {
    if trunk.xdp == XdpMode::Off {
        return Ok(());
    }
    let owned = |program| {
        let dataplane = shared.dataplane();
        let owned = dataplane
            .as_ref()
            .map(|dataplane| dataplane.is_ours(program));
        owned.unwrap_or(Ok(false))
    };
    let present = match link.xdp {
        None => None,
        Some(xdp) => {
            if owned(xdp.prog_id).map_err(|error| fail::dataplane(&error))? {
                Some((xdp.prog_id, xdp.mode == XdpAttachment::Generic))
            } else {
                foreign::evict_or_refuse(link, takeover, host).await?;
                None
            }
        }
    };
    let attempt = |generic| Attach {
        slot,
        trunk: trunk.interface.clone(),
        ifindex: link.ifindex,
        mtu: link.mtu,
        generic,
        present,
    };
    match trunk.xdp {
        XdpMode::Off => Ok(()),
        XdpMode::Native => attach(attempt(false), link, shared, host).await,
        XdpMode::Generic => attach(attempt(true), link, shared, host).await,
        // What a daemon before this one had to fall back to stays, so that there
        // is no gap.
        XdpMode::Auto if present.is_some_and(|(_, generic)| generic) => {
            attach(attempt(true), link, shared, host).await
        }
        XdpMode::Auto => match attach(attempt(false), link, shared, host).await {
            Ok(()) => Ok(()),
            Err(native) => {
                warn!(%native, "falling back to generic XDP on {}", link.name);
                attach(attempt(true), link, shared, host).await
            }
        },
    }
}

async fn existing(trunk: &Trunk, host: &Host) -> Result<Link, Error> {
    let link = host.link(&trunk.interface).await?;
    link.ok_or_else(|| bringup::no_trunk(&trunk.interface))
}

/// Attaches the program to a trunk that does not have it as it is to have it.
pub(super) async fn attach_missing(
    slot: TrunkSlot,
    trunk: &Trunk,
    shared: &Shared,
    host: &mut Host,
) -> Result<(), Error> {
    let link = existing(trunk, host).await?;
    attach_trunk(slot, trunk, &link, shared, host, false).await
}

async fn attach(
    request: Attach,
    link: &Link,
    shared: &Shared,
    host: &mut Host,
) -> Result<(), Error> {
    if request.generic {
        // Generic XDP sees what GRO has put together.
        bringup::switch_off(link, Offload::Gro, host).await?;
    }
    let attached = match shared.dataplane().as_mut() {
        Some(dataplane) => dataplane.attach(&request),
        None => return Ok(()),
    };
    match attached {
        Ok(attachment) => {
            info!(
                trunk = link.name,
                program = attachment.program,
                id = attachment.prog_id,
                link = attachment.link_id,
                generic = request.generic,
                "attached"
            );
            Ok(())
        }
        Err(error) => Err(refusal(&request, link, &error, shared, host).await),
    }
}

/// Why the program could not be attached. The system call gives a number only;
/// netlink, asked the same, gives the kernel's own words.
async fn refusal(
    request: &Attach,
    link: &Link,
    error: &dataplane::Error,
    shared: &Shared,
    host: &Host,
) -> Error {
    let words = match error {
        dataplane::Error::Attach { .. } => {
            let program = shared
                .dataplane()
                .as_ref()
                .and_then(|dataplane| dataplane.program(request.slot)?.try_clone_to_owned().ok());
            match program {
                Some(fd) => host
                    .netlink
                    .xdp_refusal(request.ifindex, fd.as_fd(), request.generic)
                    .await
                    .map(|words| words.to_string()),
                None => None,
            }
        }
        dataplane::Error::NotALink => {
            let detached = host.netlink.detach_xdp(request.ifindex, request.generic);
            if let Err(error) = detached.await {
                warn!(%error, "cannot detach what was attached without a link");
            }
            None
        }
        _ => return fail::dataplane(error),
    };
    let how = if request.generic { "generic" } else { "native" };
    let failed = Error::new(
        Kind::Failed,
        codes::ATTACH_REFUSED,
        format!("cannot attach {how} XDP to {}", link.name),
    )
    .cause(words.unwrap_or_else(|| error.to_string()));
    if request.generic {
        failed
    } else {
        failed.help(format!(
            "mend what the kernel names; or, slower, `xdp = \"generic\"` for {} in the configuration",
            link.name
        ))
    }
}
