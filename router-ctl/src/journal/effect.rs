//! What the daemon does to the system.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::sys::Offload;

/// Something done to the system, with what is needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case")]
pub enum Effect {
    /// Mounted a bpffs here.
    Mount {
        /// Mount point.
        path: PathBuf,
    },
    /// Pinned maps and links below this folder. Undone, XDP is detached.
    Pins {
        /// Mount point of the bpffs.
        bpffs: PathBuf,
    },
    /// Switched a device up that was down.
    Up {
        /// The device.
        interface: String,
    },
    /// Made a device promiscuous that was not.
    Promiscuous {
        /// The device.
        interface: String,
    },
    /// Switched an offload.
    Offload {
        /// The device.
        interface: String,
        /// Which.
        offload: Offload,
        /// Whether it was on.
        before: bool,
    },
    /// Made an 802.1Q sub-interface.
    SubInterface {
        /// Its name.
        interface: String,
        /// The trunk.
        parent: String,
        /// Its tag.
        vlan: u16,
    },
    /// Gave an address to a device.
    Address {
        /// The device.
        interface: String,
        /// The address.
        address: IpNet,
    },
    /// Wrote a sysctl.
    Sysctl {
        /// Its path under `/proc/sys/net`.
        name: String,
        /// Its value before.
        before: String,
        /// Its value after.
        after: String,
    },
    /// Wrote a sysctl that drags this one along, now and when it is undone.
    Dragged {
        /// Its path under `/proc/sys/net`.
        name: String,
        /// Its value before.
        before: String,
    },
    /// Put a route of our protocol number into the main table.
    Route {
        /// Destination prefix.
        dst: IpNet,
        /// Route metric.
        metric: u32,
        /// It is in the configuration: with its entry there, it goes. `false`:
        /// `routes add` made it.
        #[serde(default)]
        configured: bool,
    },
}

impl Effect {
    /// What is done, as a step.
    #[must_use]
    pub fn doing(&self) -> String {
        match self {
            Self::Mount { path } => format!("mount a bpffs on {}", path.display()),
            Self::Pins { bpffs } => format!("pin maps below {}", bpffs.display()),
            Self::Up { interface } => format!("switch {interface} up"),
            Self::Promiscuous { interface } => format!("make {interface} promiscuous"),
            Self::Offload {
                interface,
                offload,
                before,
            } => switch(*offload, interface, !before),
            Self::SubInterface {
                interface,
                parent,
                vlan,
            } => format!("make the sub-interface {interface} (VLAN {vlan} of {parent})"),
            Self::Address { interface, address } => format!("give {address} to {interface}"),
            Self::Sysctl { name, after, .. } => format!("set {name} to {after}"),
            Self::Dragged { name, .. } => format!("note {name}"),
            Self::Route { dst, metric, .. } => {
                format!("install the route to {dst} metric {metric}")
            }
        }
    }

    /// What undoes it, as a step.
    #[must_use]
    pub fn undoing(&self) -> String {
        match self {
            Self::Mount { path } => format!("unmount {}", path.display()),
            Self::Pins { bpffs } => format!("remove the pins below {}", bpffs.display()),
            Self::Up { interface } => format!("switch {interface} down"),
            Self::Promiscuous { interface } => format!("end promiscuous mode of {interface}"),
            Self::Offload {
                interface,
                offload,
                before,
            } => switch(*offload, interface, *before),
            Self::SubInterface { interface, .. } => format!("remove the sub-interface {interface}"),
            Self::Address { interface, address } => format!("take {address} from {interface}"),
            Self::Sysctl { name, before, .. } | Self::Dragged { name, before } => {
                format!("set {name} back to {before}")
            }
            Self::Route { dst, metric, .. } => format!("remove the route to {dst} metric {metric}"),
        }
    }

    /// The name of the device that it is about, where it is about one that is
    /// there already. Names are given anew: the journal notes the number, too.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Up { interface }
            | Self::Promiscuous { interface }
            | Self::Offload { interface, .. }
            | Self::Address { interface, .. } => Some(interface),
            Self::Sysctl { name, .. } | Self::Dragged { name, .. } => sysctl_device(name),
            Self::Mount { .. }
            | Self::Pins { .. }
            | Self::SubInterface { .. }
            | Self::Route { .. } => None,
        }
    }

    /// Whether several instances in one network namespace may have done it, so
    /// that it has to stay until the last of them has no use for it.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Mount { .. }
            | Self::Up { .. }
            | Self::Promiscuous { .. }
            | Self::Offload { .. }
            | Self::Sysctl { .. }
            | Self::Dragged { .. } => true,
            Self::Pins { .. }
            | Self::SubInterface { .. }
            | Self::Address { .. }
            | Self::Route { .. } => false,
        }
    }

    /// Whether a route that `routes add` made is one of the configuration now.
    pub(super) fn becomes_configured(&self, other: &Self) -> bool {
        let configured = |effect: &Self| {
            matches!(
                effect,
                Self::Route {
                    configured: true,
                    ..
                }
            )
        };
        self.same_target(other) && !configured(self) && configured(other)
    }

    /// Whether both are about the same thing. The first effect on a thing knows
    /// what was there before anybody of ours touched it.
    #[must_use]
    pub fn same_target(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mount { path: a }, Self::Mount { path: b }) => a == b,
            (Self::Pins { bpffs: a }, Self::Pins { bpffs: b }) => a == b,
            (Self::Up { interface: a }, Self::Up { interface: b })
            | (Self::Promiscuous { interface: a }, Self::Promiscuous { interface: b })
            | (Self::SubInterface { interface: a, .. }, Self::SubInterface { interface: b, .. }) => {
                a == b
            }
            (
                Self::Offload {
                    interface: a,
                    offload: x,
                    ..
                },
                Self::Offload {
                    interface: b,
                    offload: y,
                    ..
                },
            ) => a == b && x == y,
            (Self::Address { .. }, Self::Address { .. }) => self == other,
            (
                Self::Route {
                    dst: a, metric: m, ..
                },
                Self::Route {
                    dst: b, metric: n, ..
                },
            ) => a == b && m == n,
            (Self::Sysctl { name: a, .. }, Self::Sysctl { name: b, .. })
            | (Self::Dragged { name: a, .. }, Self::Dragged { name: b, .. }) => a == b,
            _ => false,
        }
    }
}

fn switch(offload: Offload, interface: &str, on: bool) -> String {
    let word = if on { "on" } else { "off" };
    format!("switch {} of {interface} {word}", offload.name())
}

/// The interface of `ipv4/conf/eth0.100/forwarding`; none where it is about
/// all of them, or those to come.
fn sysctl_device(name: &str) -> Option<&str> {
    let mut parts = name.split('/');
    let ("ipv4" | "ipv6", "conf" | "neigh", device) = (parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    (!matches!(device, "all" | "default")).then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_of_a_device_name_it() {
        for (name, device) in [
            ("ipv4/conf/eth0.100/forwarding", Some("eth0.100")),
            ("ipv6/conf/eth0/accept_ra", Some("eth0")),
            ("ipv6/conf/all/forwarding", None),
            ("ipv4/conf/default/forwarding", None),
            ("ipv4/ip_forward", None),
        ] {
            assert_eq!(sysctl_device(name), device, "{name}");
        }
    }
}
