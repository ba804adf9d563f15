//! Undoing what was done to the system.
//!
//! Devices are found by the number that the journal holds: one that was renamed
//! is still the same, and one that was made anew under the old name never was
//! ours to put back.

use std::path::Path;

use tracing::info;

use super::{Host, fail, refused, set_offload};
use crate::{
    codes,
    error::Error,
    journal::{Effect, Entry},
    netlink::{
        self, PROTOCOL,
        types::{Link, RouteChange, RouteSpec, TABLE_MAIN},
    },
    sys,
};

impl Host {
    /// Undoes one effect. What is gone already is fine.
    pub(super) async fn undo(&self, entry: &Entry) -> Result<(), Error> {
        match &entry.effect {
            Effect::Mount { path } => unmount(path),
            Effect::Pins { bpffs } => self
                .pins(bpffs)
                .remove()
                .map_err(|error| fail::dataplane(&error)),
            Effect::SubInterface { .. } => self.remove_sub_interface(entry).await,
            Effect::Route { dst, metric, .. } => self.remove_route(*dst, *metric).await,
            Effect::Sysctl {
                name,
                before,
                after,
            } => {
                let after = Some(after.as_str());
                self.restore_device_sysctl(entry, name, before, after).await
            }
            Effect::Dragged { name, before } => {
                self.restore_device_sysctl(entry, name, before, None).await
            }
            Effect::Up { .. }
            | Effect::Promiscuous { .. }
            | Effect::Offload { .. }
            | Effect::Address { .. } => match self.device_of(entry).await? {
                Some(link) => self.undo_on(&entry.effect, &link).await,
                None => Ok(()),
            },
        }
    }

    /// The device that an entry is about, whatever its name is now.
    async fn device_of(&self, entry: &Entry) -> Result<Option<Link>, Error> {
        match (entry.device, entry.effect.device()) {
            (Some(device), _) => self.link_of(device).await,
            // A journal of before devices were noted.
            (None, Some(name)) => self.link(name).await,
            (None, None) => Ok(None),
        }
    }

    async fn undo_on(&self, effect: &Effect, link: &Link) -> Result<(), Error> {
        let (device, name) = (link.ifindex, &link.name);
        match effect {
            Effect::Up { .. } => tolerate(self.netlink.set_up(device, false).await)
                .map_err(|error| refused(format!("cannot switch {name} down"), &error)),
            Effect::Promiscuous { .. } => {
                tolerate(self.netlink.set_promiscuous(device, false).await).map_err(|error| {
                    refused(format!("cannot end promiscuous mode of {name}"), &error)
                })
            }
            Effect::Offload {
                offload, before, ..
            } => set_offload(name, *offload, *before),
            Effect::Address { address, .. } => {
                tolerate(self.netlink.delete_address(device, *address).await)
                    .map_err(|error| refused(format!("cannot take {address} from {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Only the device that was made: not one of the same name that somebody
    /// made after it had gone.
    async fn remove_sub_interface(&self, entry: &Entry) -> Result<(), Error> {
        let Some(link) = self.sub_interface_of(entry).await? else {
            info!(effect = ?entry.effect, "not there any more, or not the one that was made");
            return Ok(());
        };
        tolerate(self.netlink.delete_link(link.ifindex).await)
            .map_err(|error| refused(format!("cannot remove {}", link.name), &error))
    }

    /// The sub-interface that an entry has made, if it is still there.
    pub(in crate::daemon) async fn sub_interface_of(
        &self,
        entry: &Entry,
    ) -> Result<Option<Link>, Error> {
        let Effect::SubInterface {
            interface,
            parent,
            vlan,
        } = &entry.effect
        else {
            return Ok(None);
        };
        let fits = |link: &Link| link.vlan.as_ref().is_some_and(|v| v.vid == *vlan);
        if let Some(device) = entry.device {
            return Ok(self.link_of(device).await?.filter(fits));
        }
        // The daemon died right after it had made the device.
        let parent = self.number_of(parent).await?;
        let link = self.link(interface).await?;
        Ok(link.filter(|link| parent.is_some() && link.parent == parent && fits(link)))
    }

    async fn restore_device_sysctl(
        &self,
        entry: &Entry,
        name: &str,
        before: &str,
        ours: Option<&str>,
    ) -> Result<(), Error> {
        let Some(device) = entry.effect.device() else {
            return self.restore_sysctl(name, before, ours);
        };
        match self.device_of(entry).await? {
            // Its sysctls have gone with it.
            None => Ok(()),
            Some(link) => {
                let (old, new) = (format!("/{device}/"), format!("/{}/", link.name));
                self.restore_sysctl(&name.replacen(&old, &new, 1), before, ours)
            }
        }
    }

    /// Writes back a sysctl, unless somebody else has changed it since (`ours`:
    /// the value that was written).
    fn restore_sysctl(&self, name: &str, before: &str, ours: Option<&str>) -> Result<(), Error> {
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

    /// The smallest metric among our routes to `dst` in the main table; with
    /// `only`, that one or none.
    pub(in crate::daemon) async fn our_metric(
        &self,
        dst: ipnet::IpNet,
        only: Option<u32>,
    ) -> Result<Option<u32>, netlink::Error> {
        let routes = self.netlink.routes_of(dst.addr().is_ipv6()).await?;
        let ours = routes.iter().filter(|route| {
            route.table == TABLE_MAIN
                && route.protocol == PROTOCOL
                && route.dst == dst.trunc()
                && only.is_none_or(|metric| metric == route.metric)
        });
        Ok(ours.map(|route| route.metric).min())
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
        // The kernel takes 0 for any metric. Otherwise it finds the one: routes
        // may be many, and are not read for every one that goes.
        if metric == 0
            && self
                .our_metric(dst, Some(0))
                .await
                .map_err(failed)?
                .is_none()
        {
            return Ok(());
        }
        tolerate(self.netlink.change_route(RouteChange::Delete, &spec).await).map_err(failed)
    }
}

/// What is gone need not be removed.
fn tolerate(result: Result<(), netlink::Error>) -> Result<(), netlink::Error> {
    match result {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
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
