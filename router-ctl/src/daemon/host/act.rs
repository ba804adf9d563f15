//! Doing things to the system.

use router_common::wire::IfIndex;

use super::{super::bringup::no_ipv6, Host, fail, refused, set_offload};
use crate::{
    codes,
    error::{Error, Kind},
    journal::Effect,
    sys,
};

impl Host {
    /// Does it to `device`, where it is done to one; the device that was made,
    /// if one was.
    pub(super) async fn act(
        &self,
        effect: &Effect,
        device: Option<IfIndex>,
    ) -> Result<Option<IfIndex>, Error> {
        match effect {
            Effect::Mount { path } => {
                sys::mount_bpffs(path).map_err(|error| {
                    let what = format!("cannot mount a bpffs on {}", path.display());
                    fail::io(codes::BPFFS, what, &error)
                })?;
            }
            Effect::Pins { bpffs } => {
                self.pins(bpffs)
                    .provide()
                    .map_err(|error| fail::dataplane(&error))?;
            }
            Effect::Up { interface } => {
                let device = existing(interface, device)?;
                self.netlink
                    .set_up(device, true)
                    .await
                    .map_err(|error| refused(format!("cannot switch {interface} up"), &error))?;
            }
            Effect::Promiscuous { interface } => {
                let device = existing(interface, device)?;
                self.netlink
                    .set_promiscuous(device, true)
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
                let device = existing(interface, device)?;
                self.netlink
                    .add_address(device, *address)
                    .await
                    .map_err(|error| {
                        if error.errno() == Some(libc::EACCES) && self.has_no_ipv6(interface) {
                            return no_ipv6(interface).cause(error);
                        }
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
        let number = async |name: &str| existing(name, self.number_of(name).await?);
        let trunk = number(parent).await?;
        self.netlink
            .add_vlan(interface, trunk, vlan)
            .await
            .map_err(|error| {
                let failed = refused(format!("cannot make the sub-interface {interface}"), &error);
                match error.errno() {
                    // "Unknown device type"
                    Some(libc::EOPNOTSUPP) => failed.help("load 802.1Q: modprobe 8021q"),
                    _ => failed,
                }
            })?;
        number(interface).await.map(Some)
    }
}

fn existing(name: &str, device: Option<IfIndex>) -> Result<IfIndex, Error> {
    device.ok_or_else(|| {
        Error::new(
            Kind::Failed,
            codes::INTERFACE_REFUSED,
            format!("there is no device {name}"),
        )
    })
}
