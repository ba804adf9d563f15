//! `INGRESS`: what the program may believe of frames that come in on a network.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use router_common::{
    abi::{Ingress, Prefix4, Prefix6, ingress_flags as flags},
    wire::{IfIndex, NetworkId},
};

use super::{Kernel, locals::Locals, place::Place, ways::Ways};
use crate::{
    config::{Network, PcpPolicy},
    netlink::Index,
};

/// The prefixes that an entry holds, each by the gateway's address in it; the
/// most specific first, because the first that matches decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Prefixes {
    pub(super) fn iter(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.iter().copied().map(IpNet::V4);
        v4.chain(self.v6.iter().copied().map(IpNet::V6))
    }
}

/// The prefixes of a device's addresses.
///
/// Left out: addresses that nobody can use yet or that are not global,
/// point-to-point ones (the prefix is the other side's), single addresses
/// (which have no hosts), and prefixes that hold local addresses which `LOCALS`
/// cannot. A source of a prefix that is left out is a foreign one: slower to
/// check, never wrong.
pub(super) fn prefixes(ifindex: IfIndex, index: &Index<'_>, locals: &Locals) -> Prefixes {
    let mut own: Vec<IpNet> = Vec::new();
    for address in index.addresses_of(ifindex) {
        let net = address.address;
        let usable = address.global && !address.tentative && !address.duplicate && !address.peer;
        // A second address of the same prefix is in LOCALS.
        let known = own.iter().any(|other| other.trunc() == net.trunc());
        if usable && !known && net.prefix_len() < net.max_prefix_len() && !locals.hides_in(net) {
            own.push(net);
        }
    }
    own.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
    let mut prefixes = Prefixes::default();
    for net in own {
        match net {
            IpNet::V4(net) if prefixes.v4.len() < Ingress::PREFIXES => prefixes.v4.push(net),
            IpNet::V6(net) if prefixes.v6.len() < Ingress::PREFIXES => prefixes.v6.push(net),
            _ => {}
        }
    }
    prefixes
}

/// The entry of a network.
pub(super) fn entry(
    network: NetworkId,
    config: &Network,
    place: &Place<'_>,
    mut prefixes: Prefixes,
    locals: &Locals,
    ways: &Ways<'_>,
    kernel: &Kernel,
) -> Ingress {
    // Since `prefixes` chose, LOCALS may have run out of room.
    prefixes.v4.retain(|net| !locals.hides_in(IpNet::V4(*net)));
    prefixes.v6.retain(|net| !locals.hides_in(IpNet::V6(*net)));

    let mut entry = Ingress {
        ifindex: place.link.ifindex,
        network,
        flags: entry_flags(config, place, &prefixes, locals, ways, kernel),
        mac: place.link.mac,
        priority: priorities(place),
        ..Ingress::default()
    };
    for (held, net) in entry.prefixes4.iter_mut().zip(&prefixes.v4) {
        *held = Prefix4::new(net.addr().octets(), net.prefix_len());
        entry.prefixes4_len += 1;
    }
    for (held, net) in entry.prefixes6.iter_mut().zip(&prefixes.v6) {
        *held = Prefix6::new(net.addr().octets(), net.prefix_len());
        entry.prefixes6_len += 1;
    }
    entry
}

fn entry_flags(
    config: &Network,
    place: &Place<'_>,
    prefixes: &Prefixes,
    locals: &Locals,
    ways: &Ways<'_>,
    kernel: &Kernel,
) -> u16 {
    let ifindex = place.link.ifindex;
    let global = &kernel.forwarding;
    let interface = global.interfaces.get(&ifindex).copied().unwrap_or_default();
    let believable = !kernel.tables.rules_v4.custom
        && prefixes.v4.iter().all(|net| ways.lead_back(*net, ifindex));
    [
        (flags::UP, place.is_up()),
        // Policies of IPsec are none that XDP could repeat.
        (flags::FORWARD_V4, interface.v4 && !kernel.transforms.v4),
        (
            flags::FORWARD_V6,
            // With proxy_ndp a destination may be this host's to answer. A rule
            // that suppresses routes does not keep the helper from them
            // (`fib6_rule_action_alt` leaves `rt6` empty).
            (global.v6 || interface.v6_forced)
                && !global.v6_proxy_ndp
                && !interface.v6_disabled
                && !kernel.tables.rules_v6.suppressing
                && !kernel.transforms.v6,
        ),
        (
            // With rules of the namespace's own, fib_validate_source makes the
            // full check even where rp_filter is off.
            flags::RP_FILTER,
            global.rp_filter.max(interface.rp_filter) > 0 || kernel.tables.rules_v4.custom,
        ),
        (flags::TRUST_PREFIXES, believable),
        (
            flags::CHECK_LOCALS,
            prefixes.iter().any(|net| locals.has_others_in(net)),
        ),
        (flags::LOCALS_INCOMPLETE, locals.is_incomplete()),
        (flags::KEEP_PCP, config.pcp == PcpPolicy::Keep),
        (flags::KEEP_PRIORITY, !global.tos_priority),
    ]
    .into_iter()
    .filter(|(_, set)| *set)
    .fold(0, |all, (flag, _)| all | flag)
}

/// The device's ingress-qos-map, by PCP. Devices that are not VLAN devices have
/// none, and neither has the untagged network: 0.
fn priorities(place: &Place<'_>) -> [u8; 8] {
    let mut priorities = [0; 8];
    let map = place.link.vlan.iter().flat_map(|vlan| &vlan.ingress_qos);
    for &(pcp, priority) in map {
        let slot = usize::try_from(pcp)
            .ok()
            .and_then(|pcp| priorities.get_mut(pcp));
        if let Some(slot) = slot {
            *slot = match u8::try_from(priority) {
                Ok(priority) if priority < 16 => priority,
                _ => Ingress::PRIORITY_UNMAPPED,
            };
        }
    }
    priorities
}
