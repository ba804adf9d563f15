//! Which addresses are the namespace's own: no other host may use them as a
//! source, and the kernel drops what does. Its broadcast addresses, too: the
//! kernel drops them as sources wherever it makes the full check, which it does
//! for ever once there has been a local route of the user's
//! (`fib_has_custom_local_routes`), and nothing tells whether there has.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use router_common::abi::{LocalAddress, MAX_LOCALS};

use crate::netlink::types::{RouteKind, Tables};

/// The addresses that are the namespace's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Locals {
    /// What `LOCALS` holds.
    pub(super) addresses: BTreeSet<LocalAddress>,
    /// Local routes to whole prefixes (`ip route add local 10.0.0.0/8 dev lo`),
    /// which the map cannot hold.
    wide: Vec<IpNet>,
    /// The map had no room for these.
    left_out: BTreeSet<LocalAddress>,
}

/// Collects them.
///
/// Of two sources: a device's address may have no local route for a moment,
/// and a local route need not have an address. Loopback and IPv6 link-local
/// addresses are left out: as sources the program passes them up anyway.
pub(super) fn collect(tables: &Tables) -> Locals {
    let mut locals = Locals::default();
    for address in &tables.addresses {
        locals.add(address.address.addr());
    }
    for route in &tables.routes {
        if !matches!(route.kind, RouteKind::Local | RouteKind::Broadcast) {
            continue;
        }
        if route.dst.prefix_len() == route.dst.max_prefix_len() {
            locals.add(route.dst.addr());
        } else if !route.dst.addr().is_loopback() {
            locals.wide.push(route.dst);
        }
    }
    locals
}

impl Locals {
    fn add(&mut self, address: IpAddr) {
        if !is_never_routed(address) {
            self.addresses.insert(key(address));
        }
    }

    /// Keeps as many as the map holds: first those inside `prefixes`, because
    /// sources inside them are believed unless they are found here.
    pub(super) fn limit(&mut self, prefixes: impl Iterator<Item = IpNet>) {
        let limit = usize::try_from(MAX_LOCALS).unwrap_or(usize::MAX);
        if self.addresses.len() <= limit {
            return;
        }
        let inside: BTreeSet<_> = prefixes
            .flat_map(|prefix| within(&self.addresses, prefix).collect::<Vec<_>>())
            .collect();
        let outside = self.addresses.difference(&inside).copied();
        let mut ordered = inside.iter().copied().chain(outside);
        let held = ordered.by_ref().take(limit).collect();
        self.left_out = ordered.collect();
        self.addresses = held;
    }

    /// Whether there are local addresses that the map does not hold.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.wide.is_empty() || !self.left_out.is_empty()
    }

    /// Whether a prefix has local addresses that the map does not hold: then
    /// no source inside it may be believed.
    pub(super) fn hides_in(&self, prefix: IpNet) -> bool {
        self.wide
            .iter()
            .any(|wide| wide.contains(&prefix) || prefix.contains(wide))
            || within(&self.left_out, prefix).next().is_some()
    }

    /// Whether a prefix has more local addresses than its gateway and its own
    /// first and last address, which the program knows without being told.
    pub(super) fn has_others_in(&self, prefix: IpNet) -> bool {
        let known = [prefix.addr(), prefix.network(), prefix.broadcast()].map(key);
        within(&self.addresses, prefix).any(|local| !known.contains(&local))
    }
}

fn is_never_routed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn key(address: IpAddr) -> LocalAddress {
    match address {
        IpAddr::V4(v4) => LocalAddress::v4(v4.octets()),
        IpAddr::V6(v6) => LocalAddress::v6(v6.octets()),
    }
}

/// Those inside a prefix: keys are in the order of the addresses.
fn within(addresses: &BTreeSet<LocalAddress>, prefix: IpNet) -> impl Iterator<Item = LocalAddress> {
    let range = key(prefix.network())..=key(prefix.broadcast());
    // Among IPv6 prefixes only the very shortest reach the IPv4 keys.
    let v4 = |local: &LocalAddress| Ipv6Addr::from(local.octets).to_ipv4_mapped().is_some();
    let family = move |local: &LocalAddress| v4(local) == prefix.addr().is_ipv4();
    addresses.range(range).copied().filter(family)
}
