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
    /// Pinned maps below this folder.
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
    },
}

impl Effect {
    /// Whether both are about the same thing. The first effect on a thing knows
    /// what was there before anybody of ours touched it.
    pub(super) fn same_target(&self, other: &Self) -> bool {
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
            (Self::Address { .. }, Self::Address { .. })
            | (Self::Route { .. }, Self::Route { .. }) => self == other,
            (Self::Sysctl { name: a, .. }, Self::Sysctl { name: b, .. })
            | (Self::Dragged { name: a, .. }, Self::Dragged { name: b, .. }) => a == b,
            _ => false,
        }
    }
}
