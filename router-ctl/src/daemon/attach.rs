//! Attaching XDP to the trunks: natively or as asked for, and if not, why not
//! in the kernel's own words.

use std::{os::fd::AsFd as _, path::Path};

use router_common::wire::TrunkSlot;
use tracing::{info, warn};

use super::{bringup, engine::Shared, fail, host::Host, keeper::is_in_place};
use crate::{
    codes,
    config::{Config, Trunk, XdpMode},
    dataplane::{self, Attach, Dataplane, Layout, MemoryDataplane, XdpDataplane, program_name},
    error::{Error, Kind},
    journal::Effect,
    netlink::types::Link,
    reconcile::Numbering,
    sys::{self, Offload},
};

/// Makes the maps.
pub(super) async fn open(
    config: &Config,
    numbering: &Numbering,
    bpffs: &Path,
    host: &mut Host,
) -> Result<Box<dyn Dataplane>, Error> {
    if config.trunks.iter().all(|trunk| trunk.xdp == XdpMode::Off) {
        return Ok(Box::new(MemoryDataplane::default()));
    }
    provide_bpffs(bpffs, host).await?;
    host.perform(Effect::Pins {
        bpffs: bpffs.to_owned(),
    })
    .await?;
    let layout = Layout {
        trunks: numbering.slots_needed(),
        networks: numbering.ids_needed(),
        pins: dataplane::PinDir::new(bpffs, &host.instance).maps(),
    };
    let dataplane = XdpDataplane::open(layout).map_err(|error| fail::dataplane(&error))?;
    Ok(Box::new(dataplane))
}

/// Another program on a trunk is somebody's: never detached, and said early.
pub(super) async fn refuse_foreign_programs(config: &Config, host: &Host) -> Result<(), Error> {
    for trunk in config
        .trunks
        .iter()
        .filter(|trunk| trunk.xdp != XdpMode::Off)
    {
        if let Some(link) = host.link(&trunk.interface).await? {
            refuse_foreign_program(&link)?;
        }
    }
    Ok(())
}

fn refuse_foreign_program(link: &Link) -> Result<(), Error> {
    let Some(xdp) = link.xdp else { return Ok(()) };
    let name = program_name(xdp.prog_id).unwrap_or_else(|| "unnamed".into());
    Err(Error::new(
        Kind::Failed,
        codes::FOREIGN_PROGRAM,
        format!(
            "another XDP program is attached to {}: {name}, id {}",
            link.name, xdp.prog_id
        ),
    )
    .help(format!(
        "see whose it is with `bpftool prog show id {}`; detach it there, or with `ip link set {} xdp off`",
        xdp.prog_id, link.name
    )))
}

/// Finds a bpffs at `path`, or mounts one.
///
/// Under `ip netns exec` the mount is seen by this mount namespace only and ends
/// with it. In this version nothing is lost by that: the pins end with the
/// daemon.
async fn provide_bpffs(path: &Path, host: &mut Host) -> Result<(), Error> {
    let found = sys::is_bpffs(path).map_err(|error| {
        fail::io(
            codes::BPFFS,
            format!("there is no folder {} to find a bpffs in", path.display()),
            &error,
        )
        .help("name another with --bpffs DIR")
    })?;
    if found {
        return host.claim(
            |theirs| matches!(&theirs.effect, Effect::Mount { path: other } if other == path),
        );
    }
    host.perform(Effect::Mount {
        path: path.to_owned(),
    })
    .await
}

/// Attaches the program to every trunk that is to have it.
pub(super) async fn attach_all(shared: &Shared, host: &mut Host) -> Result<(), Error> {
    let config = shared.config();
    let numbering = shared.known().numbering.clone();
    for (slot, trunk) in numbering.slots(&config) {
        let link = host
            .link(&trunk.interface)
            .await?
            .ok_or_else(|| bringup::no_trunk(&trunk.interface))?;
        attach_trunk(slot, trunk, &link, shared, host).await?;
    }
    Ok(())
}

/// Attaches the program to a trunk that does not have it as it is to have it.
pub(super) async fn attach_missing(
    slot: TrunkSlot,
    trunk: &Trunk,
    shared: &Shared,
    host: &mut Host,
) -> Result<(), Error> {
    let link = host
        .link(&trunk.interface)
        .await?
        .ok_or_else(|| bringup::no_trunk(&trunk.interface))?;
    let attached = match shared.dataplane().as_ref() {
        Some(dataplane) => dataplane.attachment(slot).cloned(),
        None => None,
    };
    let fits = attached.is_some_and(|attachment| {
        let mode = match trunk.xdp {
            XdpMode::Off => false,
            XdpMode::Native => !attachment.generic,
            XdpMode::Generic => attachment.generic,
            XdpMode::Auto => true,
        };
        mode && is_in_place(Some(&attachment), Some(&link))
    });
    if fits {
        return Ok(());
    }
    attach_trunk(slot, trunk, &link, shared, host).await
}

async fn attach_trunk(
    slot: TrunkSlot,
    trunk: &Trunk,
    link: &Link,
    shared: &Shared,
    host: &mut Host,
) -> Result<(), Error> {
    match trunk.xdp {
        XdpMode::Off => {}
        XdpMode::Native => attach(slot, link, false, shared, host).await?,
        XdpMode::Generic => attach(slot, link, true, shared, host).await?,
        XdpMode::Auto => {
            if let Err(native) = attach(slot, link, false, shared, host).await {
                warn!(%native, "falling back to generic XDP on {}", link.name);
                attach(slot, link, true, shared, host).await?;
            }
        }
    }
    Ok(())
}

async fn attach(
    slot: TrunkSlot,
    link: &Link,
    generic: bool,
    shared: &Shared,
    host: &mut Host,
) -> Result<(), Error> {
    refuse_foreign_program(link)?;
    if generic {
        // Generic XDP sees what GRO has put together.
        bringup::switch_off(link, Offload::Gro, host).await?;
    }
    let request = Attach {
        slot,
        ifindex: link.ifindex,
        mtu: link.mtu,
        generic,
    };
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
                generic,
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
