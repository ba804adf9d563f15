//! `EGRESS`: what frames must be like to go out on a network.

use router_common::{
    abi::{Egress, egress_flags as flags},
    wire::{NetworkId, TrunkSlot, Vid},
};

use super::{Kernel, place::Place, ways::Ways};

/// The entry of a network.
pub(super) fn entry(
    network: NetworkId,
    trunk: TrunkSlot,
    place: &Place<'_>,
    vid: Vid,
    ways: &Ways<'_>,
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
    let limits = ways.limits(ifindex);
    entry.mtu4 = entry.mtu4.min(limits.mtu4.unwrap_or(entry.mtu4));
    entry.mtu6 = entry.mtu6.min(limits.mtu6.unwrap_or(entry.mtu6));
    if kernel.forwarding.v4_uses_pmtu && limits.mtu4.is_some() {
        // Behind a route's own MTU the helper does not look for a learnt one, which
        // may be smaller (`ip_mtu_from_fib_result`): nothing fits.
        entry.mtu4 = 0;
    }
    if kernel.forwarding.believes_redirects(&interface) {
        // Nor does it look for another gateway that the kernel was told of.
        entry.mtu4 = 0;
    }
    if limits.leg4 || limits.leg6 {
        entry.flags |= flags::MULTIPATH_LEG;
    }
    if limits.leg4 && kernel.forwarding.v4_hash_policy != 0 {
        entry.flags |= flags::MULTIPATH_V4_UNREPEATABLE;
    }
    // With a rule that looks into packets the kernel hashes echoes by what it took
    // apart for the rule, whose flow label is in host order (`ip6_route_input`).
    if limits.leg6 && (kernel.forwarding.v6_hash_policy != 0 || kernel.tables.rules_v6.dissecting) {
        entry.flags |= flags::MULTIPATH_V6_UNREPEATABLE;
    }
    if interface.v6_disabled {
        // The kernel drops IPv6 that goes out here: nothing fits.
        entry.mtu6 = 0;
    }
    entry
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
