//! Doing things to the system, and undoing them.
//!
//! Invariant: whatever is changed outside the maps goes through
//! [`Host::perform`], which writes it to the journal first.

use std::path::Path;

use router_common::wire::IfIndex;
use tracing::{debug, info};

use super::fail;
use crate::{
    codes,
    dataplane::PinDir,
    error::{Error, Kind},
    journal::{Announced, Effect, Entry, Journal},
    netlink::{
        self, Netlink, PROTOCOL,
        types::{Link, RouteChange, RouteSpec, TABLE_MAIN},
    },
    sys,
    sysctl::Sysctls,
};

/// The system, with the journal of what was done to it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) netlink: Netlink,
    pub(super) sysctls: Sysctls,
    pub(super) journal: Journal,
    pub(super) instance: String,
}

impl Host {
    /// Does something, journalled.
    pub(super) async fn perform(&mut self, effect: Effect) -> Result<(), Error> {
        info!(?effect, "doing");
        let announced = self.announce(effect.clone())?;
        match self.act(&effect).await {
            Ok(None) => Ok(()),
            Ok(Some(device)) => self
                .journal
                .made(announced.id, device)
                .map_err(|error| fail::journal(&error)),
            Err(error) => {
                if announced.first {
                    self.retract(announced.id)?;
                }
                Err(error)
            }
        }
    }

    /// Changes a route of the main table, journalled. The inner result is the
    /// kernel's word.
    pub(super) async fn change_route(
        &mut self,
        change: RouteChange,
        spec: &RouteSpec,
    ) -> Result<Result<(), netlink::Error>, Error> {
        if change == RouteChange::Delete {
            let deleted = self.netlink.change_route(change, spec).await;
            if deleted.is_ok() {
                self.forget_route(spec)?;
            }
            return Ok(deleted);
        }
        let announced = self.announce(Effect::Route {
            dst: spec.dst.trunc(),
            metric: spec.metric,
        })?;
        let changed = self.netlink.change_route(change, spec).await;
        if changed.is_err() && announced.first {
            self.retract(announced.id)?;
        }
        Ok(changed)
    }

    /// Notes that a route of ours is gone.
    fn forget_route(&mut self, spec: &RouteSpec) -> Result<(), Error> {
        let gone: Vec<_> = self
            .journal
            .entries()
            .iter()
            .filter(|entry| is_route(&entry.effect, spec))
            .map(|entry| entry.id)
            .collect();
        gone.into_iter().try_for_each(|id| self.retract(id))
    }

    /// Notes something that another effect will do along with its own.
    pub(super) fn note(&mut self, effect: Effect) -> Result<(), Error> {
        self.announce(effect).map(|_| ())
    }

    /// Undoes what the journal holds from entry `from` on, the last first, and
    /// goes on after failures, which are returned.
    pub(super) async fn undo_from(&mut self, from: u64) -> Vec<Error> {
        self.undo_where(|entry| entry.id >= from).await
    }

    /// Undoes the entries that are chosen, the last first.
    pub(super) async fn undo_where(&mut self, chosen: impl Fn(&Entry) -> bool) -> Vec<Error> {
        let mut failures = Vec::new();
        let entries: Vec<Entry> = self.journal.entries().to_vec();
        for entry in entries.iter().rev().filter(|entry| chosen(entry)) {
            debug!(effect = ?entry.effect, "undoing");
            let undone = match self.undo(entry).await {
                Ok(()) => self.retract(entry.id),
                Err(error) => Err(error),
            };
            failures.extend(undone.err());
        }
        failures
    }

    /// The device of this name.
    pub(super) async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        self.netlink
            .link(name)
            .await
            .map_err(|error| fail::refused(codes::NETLINK, "cannot read the devices", &error))
    }

    fn announce(&mut self, effect: Effect) -> Result<Announced, Error> {
        self.journal
            .announce(effect)
            .map_err(|error| fail::journal(&error))
    }

    /// Notes that an effect is undone, or did not come about.
    pub(super) fn retract(&mut self, id: u64) -> Result<(), Error> {
        self.journal
            .undone(id)
            .map_err(|error| fail::journal(&error))
    }

    async fn existing(&self, name: &str) -> Result<Link, Error> {
        self.link(name).await?.ok_or_else(|| {
            Error::new(
                Kind::Failed,
                codes::INTERFACE_REFUSED,
                format!("there is no device {name}"),
            )
        })
    }

    /// Does it; the device that was made, if one was.
    async fn act(&self, effect: &Effect) -> Result<Option<IfIndex>, Error> {
        match effect {
            Effect::Mount { path } => {
                sys::mount_bpffs(path).map_err(|error| {
                    let what = format!("cannot mount a bpffs on {}", path.display());
                    fail::io(codes::BPFFS, what, &error)
                })?;
            }
            Effect::Pins { bpffs } => {
                self.pins(bpffs)
                    .renew()
                    .map_err(|error| fail::dataplane(&error))?;
            }
            Effect::Up { interface } => {
                let link = self.existing(interface).await?;
                self.netlink
                    .set_up(link.ifindex, true)
                    .await
                    .map_err(|error| refused(format!("cannot switch {interface} up"), &error))?;
            }
            Effect::Promiscuous { interface } => {
                let link = self.existing(interface).await?;
                self.netlink
                    .set_promiscuous(link.ifindex, true)
                    .await
                    .map_err(|error| {
                        refused(format!("cannot make {interface} promiscuous"), &error)
                    })?;
            }
            Effect::Offload {
                interface,
                offload,
                before,
            } => set_offload(interface, *offload, !before)?,
            Effect::SubInterface {
                interface,
                parent,
                vlan,
            } => return self.make_sub_interface(interface, parent, *vlan).await,
            Effect::Address { interface, address } => {
                let link = self.existing(interface).await?;
                self.netlink
                    .add_address(link.ifindex, *address)
                    .await
                    .map_err(|error| {
                        refused(format!("cannot give {address} to {interface}"), &error)
                    })?;
            }
            Effect::Sysctl { name, after, .. } => {
                self.sysctls.write(name, after).map_err(|error| {
                    fail::io(
                        codes::SYSCTL,
                        format!("cannot set {name} to {after}"),
                        &error,
                    )
                })?;
            }
            // Another effect does these.
            Effect::Dragged { .. } | Effect::Route { .. } => {}
        }
        Ok(None)
    }

    async fn make_sub_interface(
        &self,
        interface: &str,
        parent: &str,
        vlan: u16,
    ) -> Result<Option<IfIndex>, Error> {
        let trunk = self.existing(parent).await?;
        self.netlink
            .add_vlan(interface, trunk.ifindex, vlan)
            .await
            .map_err(|error| {
                let failed = refused(format!("cannot make the sub-interface {interface}"), &error);
                match error.errno() {
                    // "Unknown device type"
                    Some(libc::EOPNOTSUPP) => failed.help("load 802.1Q: modprobe 8021q"),
                    _ => failed,
                }
            })?;
        Ok(Some(self.existing(interface).await?.ifindex))
    }

    /// Undoes one effect. What is gone already is fine.
    async fn undo(&self, entry: &Entry) -> Result<(), Error> {
        match &entry.effect {
            Effect::Mount { path } => unmount(path),
            Effect::Pins { bpffs } => self
                .pins(bpffs)
                .remove()
                .map_err(|error| fail::dataplane(&error)),
            Effect::Up { interface } => {
                let Some(link) = self.link(interface).await? else {
                    return Ok(());
                };
                tolerate(self.netlink.set_up(link.ifindex, false).await)
                    .map_err(|error| refused(format!("cannot switch {interface} down"), &error))
            }
            Effect::Promiscuous { interface } => {
                let Some(link) = self.link(interface).await? else {
                    return Ok(());
                };
                tolerate(self.netlink.set_promiscuous(link.ifindex, false).await).map_err(|error| {
                    refused(
                        format!("cannot end promiscuous mode of {interface}"),
                        &error,
                    )
                })
            }
            Effect::Offload {
                interface,
                offload,
                before,
            } => {
                if self.link(interface).await?.is_none() {
                    return Ok(());
                }
                set_offload(interface, *offload, *before)
            }
            Effect::SubInterface { .. } => self.remove_sub_interface(entry).await,
            Effect::Address { interface, address } => {
                let Some(link) = self.link(interface).await? else {
                    return Ok(());
                };
                tolerate(self.netlink.delete_address(link.ifindex, *address).await).map_err(
                    |error| refused(format!("cannot take {address} from {interface}"), &error),
                )
            }
            Effect::Sysctl {
                name,
                before,
                after,
            } => self.restore_sysctl(name, before, Some(after)),
            Effect::Dragged { name, before } => self.restore_sysctl(name, before, None),
            Effect::Route { dst, metric } => self.remove_route(*dst, *metric).await,
        }
    }

    /// Only the device that was made: not one of the same name that somebody
    /// made after it had gone.
    async fn remove_sub_interface(&self, entry: &Entry) -> Result<(), Error> {
        let Effect::SubInterface {
            interface,
            parent,
            vlan,
        } = &entry.effect
        else {
            return Ok(());
        };
        let Some(link) = self.link(interface).await? else {
            return Ok(());
        };
        let ours = match entry.device {
            Some(device) => device == link.ifindex,
            // The daemon died right after it had made the device.
            None => {
                let parent = self.link(parent).await?.map(|parent| parent.ifindex);
                parent.is_some()
                    && link.parent == parent
                    && link.vlan.as_ref().is_some_and(|v| v.vid == *vlan)
            }
        };
        if !ours {
            info!("{interface} is not the one that was made: left alone");
            return Ok(());
        }
        tolerate(self.netlink.delete_link(link.ifindex).await)
            .map_err(|error| refused(format!("cannot remove {interface}"), &error))
    }

    /// Writes back a sysctl, unless somebody else has changed it since (`ours`:
    /// the value that was written).
    fn restore_sysctl(&self, name: &str, before: &str, ours: Option<&String>) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            fail::io(
                codes::SYSCTL,
                format!("cannot set {name} to {before}"),
                &error,
            )
        };
        let Some(now) = self.sysctls.read(name).map_err(failed)? else {
            return Ok(());
        };
        if now == before {
            return Ok(());
        }
        if ours.is_some_and(|ours| now != *ours) {
            info!("{name} is {now}, which somebody else wrote: left alone");
            return Ok(());
        }
        self.sysctls.write(name, before).map_err(failed)
    }

    async fn remove_route(&self, dst: ipnet::IpNet, metric: u32) -> Result<(), Error> {
        let failed = |error| {
            fail::refused(
                codes::ROUTE_REFUSED,
                format!("cannot remove the route to {dst}"),
                &error,
            )
        };
        let spec = RouteSpec {
            dst,
            via: None,
            device: None,
            metric,
            source: None,
        };
        let routes = self.netlink.routes().await.map_err(failed)?;
        let exists = routes.iter().any(|route| {
            route.table == TABLE_MAIN
                && route.protocol == PROTOCOL
                && route.dst == dst
                && route.metric == metric
        });
        if !exists {
            return Ok(());
        }
        tolerate(self.netlink.change_route(RouteChange::Delete, &spec).await).map_err(failed)
    }

    fn pins(&self, bpffs: &Path) -> PinDir {
        PinDir::new(bpffs, &self.instance)
    }
}

fn is_route(effect: &Effect, spec: &RouteSpec) -> bool {
    matches!(effect, Effect::Route { dst, metric }
        if *dst == spec.dst.trunc() && (spec.metric == 0 || *metric == spec.metric))
}

fn refused(message: String, error: &netlink::Error) -> Error {
    fail::refused(codes::INTERFACE_REFUSED, message, error)
}

/// What is gone need not be removed.
fn tolerate(result: Result<(), netlink::Error>) -> Result<(), netlink::Error> {
    match result {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}

/// Switches an offload, and looks whether it obeys: drivers may answer yes and
/// do nothing.
fn set_offload(interface: &str, offload: sys::Offload, on: bool) -> Result<(), Error> {
    let word = if on { "on" } else { "off" };
    let what = || format!("cannot switch {} of {interface} {word}", offload.name());
    let failed = |error: std::io::Error| fail::io(codes::OFFLOAD, what(), &error);
    sys::set_offload(interface, offload, on).map_err(failed)?;
    if sys::offload(interface, offload).map_err(failed)? != on {
        return Err(Error::new(Kind::Failed, codes::OFFLOAD, what())
            .cause("the driver leaves it as it is")
            .help(format!("ethtool -k {interface} shows what is fixed")));
    }
    Ok(())
}

/// Unmounts a bpffs in which nobody has pinned anything.
fn unmount(path: &Path) -> Result<(), Error> {
    // What every bpffs is born with (kernel/bpf/preload).
    const INBORN: [&str; 2] = ["maps.debug", "progs.debug"];
    let pinned = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| !INBORN.iter().any(|name| entry.file_name() == *name))
    };
    let in_use = std::fs::read_dir(path).is_ok_and(|mut entries| entries.any(pinned));
    if in_use || !sys::is_bpffs(path).unwrap_or(false) {
        return Ok(());
    }
    sys::unmount(path).map_err(|error| {
        fail::io(
            codes::BPFFS,
            format!("cannot unmount {}", path.display()),
            &error,
        )
    })
}
