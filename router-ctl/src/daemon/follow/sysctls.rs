//! The forwarding sysctls of the networks' devices: announced where the kernel
//! does so, read where it does not.

use std::collections::BTreeMap;

use router_common::wire::IfIndex;
use tracing::warn;

use crate::{
    config::Config,
    netlink::{Index, Mirror, Netconf},
    sysctl::{Forwarding, Sysctls},
};

/// Networks whose sysctls are read in one second.
const SLICE: usize = 64;
/// Sysctls that follow a change of their device are read when it is announced,
/// and once more when it is over.
const READS: u8 = 2;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Known {
    forwarding: Forwarding,
    /// Devices whose sysctls are to be read again, and how often.
    unsure: BTreeMap<IfIndex, u8>,
    /// The network whose sysctls are read next.
    cursor: usize,
}

impl Known {
    /// All of them, as they were just read.
    pub(super) fn install(&mut self, forwarding: Forwarding) {
        self.forwarding = forwarding;
        self.unsure.clear();
    }

    /// Takes over what was announced. Whether it is news.
    pub(super) fn announced(&mut self, conf: &Netconf) -> bool {
        self.forwarding.announced(conf)
    }

    /// Those of a device may have changed, or change now. Whether it is one of
    /// ours.
    pub(super) fn doubt(&mut self, device: IfIndex) -> bool {
        let ours = self.forwarding.interfaces.contains_key(&device);
        if ours {
            self.unsure.insert(device, READS);
        }
        ours
    }

    /// A device has gone: its number may be given to another.
    pub(super) fn forget(&mut self, device: IfIndex) {
        self.forwarding.interfaces.remove(&device);
        self.unsure.remove(&device);
    }

    /// Whether some are to be read once more when a change is over.
    pub(super) fn is_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// Those of the devices that bear the networks' names now. What is not known
    /// is read.
    pub(super) fn of(
        &mut self,
        config: &Config,
        index: &Index<'_>,
        sysctls: &Sysctls,
    ) -> Forwarding {
        let mut known = BTreeMap::new();
        for network in &config.networks {
            let Some(link) = index.link(&network.interface) else {
                continue;
            };
            let ifindex = link.ifindex;
            let doubts = self.unsure.get(&ifindex).copied();
            if doubts.is_some() || !self.forwarding.interfaces.contains_key(&ifindex) {
                self.read(sysctls, ifindex, &link.name);
                // A new device may not be finished.
                match doubts.unwrap_or(READS) {
                    0 | 1 => self.unsure.remove(&ifindex),
                    doubts => self.unsure.insert(ifindex, doubts - 1),
                };
            }
            if let Some(interface) = self.forwarding.interfaces.get(&ifindex) {
                known.insert(ifindex, *interface);
            }
        }
        self.unsure.retain(|device, _| known.contains_key(device));
        self.forwarding.interfaces = known;
        self.forwarding.clone()
    }

    /// Each second: reads the namespace's, and those of some devices. Whether
    /// there is news.
    pub(super) fn tick(&mut self, config: &Config, mirror: &Mirror, sysctls: &Sysctls) -> bool {
        let before = self.forwarding.clone();
        match sysctls.namespace() {
            Ok(namespace) => {
                let interfaces = std::mem::take(&mut self.forwarding.interfaces);
                self.forwarding = Forwarding {
                    interfaces,
                    ..namespace
                };
            }
            Err(error) => warn!(%error, "cannot read the forwarding sysctls"),
        }
        let networks = &config.networks;
        let turn = networks.iter().cycle().skip(self.cursor);
        let turn = turn.take(SLICE.min(networks.len()));
        for network in turn {
            if let Some(link) = mirror.link_named(&network.interface) {
                self.read(sysctls, link.ifindex, &link.name);
            }
        }
        self.cursor = (self.cursor + SLICE) % networks.len().max(1);
        self.forwarding != before
    }

    fn read(&mut self, sysctls: &Sysctls, ifindex: IfIndex, name: &str) {
        match sysctls.interface(name) {
            Ok(interface) => {
                self.forwarding.interfaces.insert(ifindex, interface);
            }
            Err(error) => warn!(%error, name, "cannot read the forwarding sysctls"),
        }
    }
}
