//! What the maps should hold: a pure function of the configuration and of the
//! kernel's state.
//!
//! Principle (design.md 2): the maps repeat what the kernel would do. Where
//! this cannot be said in the maps' terms, the entry says less and the packets
//! pass up.
//!
//! The meaning of every field is in `router_common::abi`; the sections here say
//! how it follows from the kernel's state: [`place`] which device is which
//! network, [`ingress`], [`egress`], [`locals`], and [`diff`] how to get there.

mod diff;
mod egress;
mod ingress;
mod locals;
mod numbering;
mod place;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use router_common::{
    abi::{Egress, Ingress, LocalAddress, NetworkName, egress_flags, ingress_index},
    wire::{IfIndex, NetworkId, TrunkSlot},
};

use self::ways::Ways;
pub use self::{
    diff::{Operation, diff},
    numbering::Numbering,
    place::{Absence, IEEE_8021Q, Place, place},
};
use crate::{
    config::{Config, Network},
    netlink::{Index, Transforms, types::Tables},
    sysctl::Forwarding,
};

/// The kernel's state, as far as it decides what the maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Devices, addresses, routes and rules.
    pub tables: Tables,
    /// Sysctls, by the devices of the networks.
    pub forwarding: Forwarding,
    /// IPsec policies that what is forwarded has to pass.
    pub transforms: Transforms,
}

/// What is asked for, apart from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Any device may stand in for a sub-interface (tests on kernels without
    /// 802.1Q).
    pub stand_in: bool,
    /// Trunks to which XDP can redirect frames.
    pub transmitters: BTreeSet<TrunkSlot>,
    /// Those of them that send frames in several buffers, too.
    pub buffer_senders: BTreeSet<TrunkSlot>,
    /// Networks that XDP is not to forward for, although they are configured:
    /// they are being changed.
    pub without: BTreeSet<String>,
}

/// What the maps hold, or should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// `INGRESS`, by its index; what is missing is empty.
    pub ingress: BTreeMap<u32, Ingress>,
    /// `EGRESS`, by sub-interface.
    pub egress: BTreeMap<IfIndex, Egress>,
    /// `LOCALS`.
    pub locals: BTreeSet<LocalAddress>,
    /// `TX_PORTS`: the trunks that can be redirected to.
    pub ports: BTreeMap<TrunkSlot, IfIndex>,
    /// `NETWORKS`: names that were given numbers. Those that went stay, with
    /// their counters, until the number is given to another.
    pub names: BTreeMap<NetworkId, NetworkName>,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the maps should hold.
    pub contents: Contents,
    /// By network, in the order of the configuration: its device, or why XDP
    /// does not forward for it.
    pub networks: Vec<Result<IfIndex, Absence>>,
}

/// What the maps should hold. `numbering` is [adapted](Numbering::adapted) to
/// the configuration.
#[must_use]
pub fn reconcile(config: &Config, numbering: &Numbering, kernel: &Kernel, wanted: &Wanted) -> Plan {
    let tables = &kernel.tables;
    let index = Index::of(tables);
    let ways = Ways::of(&tables.routes);
    let mut plan = Plan::default();
    let mut placed = Vec::new();
    for (id, slot, network) in numbering.numbered(config) {
        plan.contents.names.extend(name(id, network));
        let found = if wanted.without.contains(&network.name) {
            Err(Absence::Changing)
        } else {
            place::place_among(network, &index, wanted.stand_in)
        };
        plan.networks.push(
            found
                .as_ref()
                .map(|place| place.link.ifindex)
                .map_err(Clone::clone),
        );
        if let Ok(place) = found {
            placed.push((id, slot, network, place));
        }
    }

    let mut locals = locals::collect(tables);
    let contents = &mut plan.contents;
    for (id, slot, network, place) in &placed {
        let mut entry = egress::entry(*id, *slot, place, network.vlan, &ways, kernel);
        if wanted.buffer_senders.contains(slot) {
            entry.flags |= egress_flags::SENDS_BUFFERS;
        }
        contents.egress.insert(place.link.ifindex, entry);
    }
    let held: Vec<_> = placed
        .iter()
        .map(|(_, _, _, place)| ingress::prefixes(place.link.ifindex, &index, &locals))
        .collect();
    locals.limit(held.iter().flat_map(ingress::Prefixes::iter));
    for ((id, slot, network, place), prefixes) in placed.iter().zip(held) {
        let entry = ingress::entry(*id, network, place, prefixes, &locals, &ways, kernel);
        let index = ingress_index(u32::from(slot.get()), network.vlan.get());
        contents.ingress.insert(index, entry);
    }
    contents.locals = locals.addresses;
    for (slot, trunk) in numbering.slots(config) {
        if let Some(link) = index.link(&trunk.interface)
            && wanted.transmitters.contains(&slot)
        {
            contents.ports.insert(slot, link.ifindex);
        }
    }
    plan
}

/// A network's row of `NETWORKS`. The configuration allows no name that would
/// not fit.
fn name(id: NetworkId, network: &Network) -> Option<(NetworkId, NetworkName)> {
    Some((id, NetworkName::new(&network.name)?))
}
