//! `EGRESS`: what frames must be like to go out on a network.

use ipnet::IpNet;
use router_common::{
    abi::{Egress, egress_flags as flags},
    wire::{IfIndex, NetworkId, TrunkSlot, Vid},
};

use super::{Kernel, place::Place};
use crate::netlink::types::Route;

/// The entry of a network.
pub(super) fn entry(
    network: NetworkId,
    trunk: TrunkSlot,
    place: &Place<'_>,
    vid: Vid,
    kernel: &Kernel,
) -> Egress {
    let ifindex = place.link.ifindex;
    let interface = kernel
        .forwarding
        .interfaces
        .get(&ifindex)
        .copied()
        .unwrap_or_default();
    // A VLAN device's MTU is no larger than its parent's; a stand-in's may be.
    let device = place.link.mtu.min(place.trunk.mtu);
    let mut entry = Egress {
        network,
        vid,
        trunk,
        mtu4: device,
        mtu6: device.min(interface.v6_mtu.unwrap_or(device)),
        pcp: pcps(place),
        ..Egress::default()
    };
    if place.is_up() {
        entry.flags |= flags::UP;
    }
    for route in &kernel.tables.routes {
        if !may_leave_by(route, ifindex) {
            continue;
        }
        let (mtu, policy, unrepeatable) = match route.dst {
            IpNet::V4(_) => (
                &mut entry.mtu4,
                kernel.forwarding.v4_hash_policy,
                flags::MULTIPATH_V4_UNREPEATABLE,
            ),
            IpNet::V6(_) => (
                &mut entry.mtu6,
                kernel.forwarding.v6_hash_policy,
                flags::MULTIPATH_V6_UNREPEATABLE,
            ),
        };
        *mtu = (*mtu).min(route.mtu.unwrap_or(*mtu));
        // A next-hop object that does not show its legs may be a group.
        if route.legs.len() > 1 || (route.legs.is_empty() && route.nexthop_object.is_some()) {
            entry.flags |= flags::MULTIPATH_LEG;
            if policy != 0 {
                entry.flags |= unrepeatable;
            }
        }
    }
    if interface.v6_disabled {
        // The kernel drops IPv6 that goes out here: nothing fits.
        entry.mtu6 = 0;
    }
    entry
}

/// Whether a packet that follows `route` may leave by `ifindex`.
fn may_leave_by(route: &Route, ifindex: IfIndex) -> bool {
    if route.legs.is_empty() {
        // Only the next-hop object knows.
        return route.nexthop_object.is_some();
    }
    route
        .legs
        .iter()
        .any(|leg| leg.device.is_none_or(|device| device == ifindex))
}

/// The device's egress-qos-map, by `skb->priority`. Larger priorities than the
/// entry holds never reach it.
fn pcps(place: &Place<'_>) -> [u8; 16] {
    let mut pcps = [0; 16];
    let map = place.link.vlan.iter().flat_map(|vlan| &vlan.egress_qos);
    for &(priority, pcp) in map {
        let slot = usize::try_from(priority).ok().and_then(|p| pcps.get_mut(p));
        if let (Some(slot), Ok(pcp)) = (slot, u8::try_from(pcp & 7)) {
            *slot = pcp;
        }
    }
    pcps
}
