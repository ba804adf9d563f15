//! The kernel's tables in memory: filled by a dump, kept by what is announced.
//!
//! What an announcement says for certain is taken over. Where it leaves a doubt,
//! or where the kernel announces nothing (IPv4 routes go in silence with their
//! device or address, and what a next-hop object leads to changes under its
//! routes), the table is marked as due for another dump.
//!
//! Of the routes only those are kept that can matter to the maps
//! ([`Mirror::concerns`]): a router may have a million others, and a change of
//! one of those costs nothing but its decoding.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net};
use router_common::wire::IfIndex;

use super::{
    Delta, PROTOCOL,
    types::{
        Address, Link, Neighbour, NeighbourState, Route, RouteKind, Rules, TABLE_MAIN, Tables,
    },
};

/// All that is read at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Devices, addresses, routes and rules.
    pub tables: Tables,
    /// Neighbours of all devices.
    pub neighbours: Vec<Neighbour>,
}

/// What is due to be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Everything.
    pub all: bool,
    /// IPv4 routes.
    pub routes_v4: bool,
    /// IPv6 routes.
    pub routes_v6: bool,
    /// IPv4 rules.
    pub rules_v4: bool,
    /// IPv6 rules.
    pub rules_v6: bool,
}

impl Due {
    /// Whether anything is.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }

    fn routes(&mut self, v6: bool) {
        *(if v6 {
            &mut self.routes_v6
        } else {
            &mut self.routes_v4
        }) = true;
    }
}

/// What distinguishes routes. Two can share it (`ip route append`).
type RouteKey = (u32, IpNet, Option<IpNet>, u8, u32);

/// What distinguishes addresses, whatever their state.
type AddressKey = (IfIndex, IpNet, bool);

/// The kernel's tables.
#[derive(Debug, Default)]
pub struct Mirror {
    links: BTreeMap<IfIndex, Link>,
    /// Of two with one name the later one: names are unique, and the other has
    /// lost its own meanwhile.
    names: BTreeMap<String, IfIndex>,
    addresses: BTreeMap<AddressKey, Address>,
    routes: BTreeMap<RouteKey, Vec<Route>>,
    rules_v4: Rules,
    rules_v6: Rules,
    neighbours: BTreeMap<(IfIndex, IpAddr), Neighbour>,
    connected: Connected,
    /// Destinations of which every route of the main table matters.
    places: BTreeSet<IpNet>,
    /// There are routes that lead to a next-hop object.
    objects: bool,
    due: Due,
}

impl Mirror {
    /// Takes over a dump. What was announced since it was begun must be applied
    /// again, in order.
    pub fn install(&mut self, dump: Dump) {
        let tables = dump.tables;
        *self = Self {
            rules_v4: tables.rules_v4,
            rules_v6: tables.rules_v6,
            places: std::mem::take(&mut self.places),
            ..Self::default()
        };
        for link in &tables.links {
            self.put_link(link);
        }
        for address in tables.addresses {
            self.put_address(&address);
        }
        // It has just been read.
        self.due = Due::default();
        self.keep(tables.routes);
        for neighbour in dump.neighbours {
            self.put_neighbour(neighbour);
        }
    }

    /// Takes over the routes of one family. Whether any that matter changed.
    pub fn install_routes(&mut self, v6: bool, routes: Vec<Route>) -> bool {
        let (old, others): (BTreeMap<_, _>, _) = std::mem::take(&mut self.routes)
            .into_iter()
            .partition(|((_, dst, ..), _)| is_v6(*dst) == v6);
        self.keep(routes);
        let changed = self.routes != old;
        self.routes.extend(others);
        changed
    }

    /// Takes over what the rules ask. Whether that is news.
    pub fn install_rules(&mut self, v6: bool, rules: Rules) -> bool {
        let known = if v6 {
            &mut self.rules_v6
        } else {
            &mut self.rules_v4
        };
        std::mem::replace(known, rules) != rules
    }

    /// Takes over what was announced. Whether it changes anything that the maps
    /// may depend on.
    pub fn apply(&mut self, delta: &Delta) -> bool {
        match delta {
            Delta::Link(link) => self.put_link(link),
            Delta::LinkGone(ifindex) => self.remove_link(*ifindex),
            Delta::Address(address) => self.put_address(address),
            Delta::AddressGone(address) => self.remove_address(address),
            Delta::Route { route, replaces } => self.put_route(route, *replaces),
            Delta::RouteGone(route) => self.remove_route(route),
            Delta::Rules { v6, asked } => {
                let known = if *v6 {
                    self.due.rules_v6 = true;
                    self.rules_v6
                } else {
                    self.due.rules_v4 = true;
                    self.rules_v4
                };
                // That one has come is certain.
                self.install_rules(*v6, known.and(*asked))
            }
            Delta::Neighbour(neighbour) => {
                self.put_neighbour(*neighbour);
                false
            }
            Delta::NeighbourGone(neighbour) => {
                self.neighbours
                    .remove(&(neighbour.ifindex, neighbour.address));
                false
            }
            Delta::Nexthop => {
                if self.objects {
                    self.due.routes(false);
                    self.due.routes(true);
                }
                false
            }
            Delta::Unreadable => {
                self.due.all = true;
                false
            }
            Delta::Inet6(_) | Delta::Netconf(_) => false,
        }
    }

    /// What is due to be read again.
    #[must_use]
    pub const fn due(&self) -> Due {
        self.due
    }

    /// The same, and it is not any more.
    pub fn take_due(&mut self) -> Due {
        std::mem::take(&mut self.due)
    }

    /// The same, to change.
    pub const fn due_mut(&mut self) -> &mut Due {
        &mut self.due
    }

    /// Marks everything as due.
    pub fn distrust(&mut self) {
        self.due.all = true;
    }

    /// What the IPv6 rules do.
    #[must_use]
    pub const fn rules_v6(&self) -> Rules {
        self.rules_v6
    }

    /// The device of this number.
    #[must_use]
    pub fn link(&self, ifindex: IfIndex) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    /// The device of this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.link(*self.names.get(name)?)
    }

    /// Whether an announcement about a route changes anything here.
    #[must_use]
    pub fn heeds(&self, route: &Route) -> bool {
        self.concerns(route) || self.routes.contains_key(&key(route))
    }

    /// Notes that a neighbour has been declared in use: the kernel does not say
    /// that it is not stale any more.
    pub fn used(&mut self, ifindex: IfIndex, address: IpAddr) {
        if let Some(neighbour) = self.neighbours.get_mut(&(ifindex, address))
            && neighbour.state == NeighbourState::Stale
        {
            neighbour.state = NeighbourState::Delay;
        }
    }

    /// The neighbours on a device.
    pub fn neighbours_of(&self, ifindex: IfIndex) -> impl Iterator<Item = &Neighbour> {
        let first = (ifindex, IpAddr::from([0, 0, 0, 0]));
        self.neighbours
            .range(first..)
            .take_while(move |((device, _), _)| *device == ifindex)
            .map(|(_, neighbour)| neighbour)
    }

    /// Everything but the neighbours; of the routes those that matter.
    #[must_use]
    pub fn tables(&self) -> Tables {
        Tables {
            links: self.links.values().cloned().collect(),
            addresses: self.addresses.values().cloned().collect(),
            routes: self.routes.values().flatten().cloned().collect(),
            rules_v4: self.rules_v4,
            rules_v6: self.rules_v6,
        }
    }

    /// Keeps whatever routes lead to these destinations from the next dump on.
    pub fn watch_places(&mut self, places: BTreeSet<IpNet>) {
        self.places = places;
    }

    /// Whether a route can matter: to the maps, because it limits sizes, has
    /// several legs, delivers here, is one of ours, or leads to what an address
    /// of this host makes a neighbour; or because it may be in the place of one
    /// of ours.
    fn concerns(&self, route: &Route) -> bool {
        route.mtu.is_some()
            || route.legs.len() > 1
            // Its legs are known to the object alone: it may be a group.
            || (route.legs.is_empty() && route.nexthop_object.is_some())
            || matches!(route.kind, RouteKind::Local | RouteKind::Broadcast)
            || (route.table == TABLE_MAIN
                && (route.protocol == PROTOCOL || self.places.contains(&route.dst)))
            || matches!(route.dst, IpNet::V4(dst) if self.connected.holds(dst))
    }

    /// Keeps the routes that matter.
    fn keep(&mut self, routes: Vec<Route>) {
        for route in routes {
            self.objects |= route.nexthop_object.is_some();
            if self.concerns(&route) {
                self.routes.entry(key(&route)).or_default().push(route);
            }
        }
    }

    fn put_link(&mut self, link: &Link) -> bool {
        let old = self.links.insert(link.ifindex, link.clone());
        if old.as_ref().is_none_or(|old| old.name != link.name) {
            self.names.insert(link.name.clone(), link.ifindex);
        }
        let Some(old) = old else { return true };
        if old.name != link.name {
            self.forget_name(&old);
        }
        if (old.up && !link.up) || (old.carrier && !link.carrier) {
            // Its routes go, and IPv4 does not say so.
            self.due.routes(false);
            self.due.routes(true);
        }
        old != *link
    }

    fn forget_name(&mut self, link: &Link) {
        if self.names.get(&link.name) == Some(&link.ifindex) {
            self.names.remove(&link.name);
        }
    }

    fn remove_link(&mut self, ifindex: IfIndex) -> bool {
        let Some(old) = self.links.remove(&ifindex) else {
            return false;
        };
        self.forget_name(&old);
        let first = IpNet::V4(Ipv4Net::default());
        let addresses: Vec<AddressKey> = self
            .addresses
            .range((ifindex, first, false)..)
            .map(|(key, _)| *key)
            .take_while(|(device, ..)| *device == ifindex)
            .collect();
        for key in addresses {
            self.take_address(&key);
        }
        let neighbours: Vec<IpAddr> = self
            .neighbours_of(ifindex)
            .map(|neighbour| neighbour.address)
            .collect();
        for address in neighbours {
            self.neighbours.remove(&(ifindex, address));
        }
        self.due.routes(false);
        self.due.routes(true);
        true
    }

    fn put_address(&mut self, address: &Address) -> bool {
        let key = address_key(address);
        match self.addresses.insert(key, address.clone()) {
            Some(old) => old != *address,
            None => {
                if let IpNet::V4(net) = address.address
                    && self.connected.add(net)
                {
                    // Other routes matter now.
                    self.due.routes(false);
                }
                true
            }
        }
    }

    fn remove_address(&mut self, address: &Address) -> bool {
        // IPv4 routes that named it as their source go in silence.
        self.due.routes(is_v6(address.address));
        self.take_address(&address_key(address))
    }

    fn take_address(&mut self, key: &AddressKey) -> bool {
        let taken = self.addresses.remove(key);
        if let Some(IpNet::V4(net)) = taken.as_ref().map(|address| address.address) {
            self.connected.remove(net);
        }
        taken.is_some()
    }

    fn put_route(&mut self, route: &Route, replaces: bool) -> bool {
        self.objects |= route.nexthop_object.is_some();
        let v6 = is_v6(route.dst);
        let concerns = self.concerns(route);
        let Some(kept) = self.routes.get_mut(&key(route)) else {
            if concerns {
                self.routes.insert(key(route), vec![route.clone()]);
            }
            return concerns;
        };
        match &mut kept[..] {
            [old] if *old == *route => return false,
            [old] if replaces && concerns => *old = route.clone(),
            _ => {
                // Another beside it, in place of one of several, or one that
                // matters no more: reading tells. Until then both count.
                self.due.routes(v6);
                if concerns && !kept.contains(route) {
                    kept.push(route.clone());
                }
            }
        }
        true
    }

    fn remove_route(&mut self, route: &Route) -> bool {
        let key = key(route);
        match self.routes.get(&key).map(Vec::as_slice) {
            None => false,
            Some([only]) if only == route => {
                self.routes.remove(&key);
                true
            }
            // One leg of several, or one of several routes.
            Some(_) => {
                self.due.routes(is_v6(route.dst));
                false
            }
        }
    }

    fn put_neighbour(&mut self, neighbour: Neighbour) {
        self.neighbours
            .insert((neighbour.ifindex, neighbour.address), neighbour);
    }
}

const fn key(route: &Route) -> RouteKey {
    (route.table, route.dst, route.from, route.tos, route.metric)
}

const fn address_key(address: &Address) -> AddressKey {
    (address.ifindex, address.address, address.peer)
}

const fn is_v6(net: IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

/// IPv4 prefixes of this host's addresses.
#[derive(Debug, Default)]
struct Connected {
    /// How many addresses each has.
    prefixes: BTreeMap<Ipv4Net, usize>,
    /// How many prefixes of each length there are.
    lengths: BTreeMap<u8, usize>,
}

impl Connected {
    /// Whether it is a new one.
    fn add(&mut self, net: Ipv4Net) -> bool {
        let count = self.prefixes.entry(net.trunc()).or_default();
        *count += 1;
        let new = *count == 1;
        if new {
            *self.lengths.entry(net.prefix_len()).or_default() += 1;
        }
        new
    }

    fn remove(&mut self, net: Ipv4Net) {
        if dropped(&mut self.prefixes, net.trunc()) {
            dropped(&mut self.lengths, net.prefix_len());
        }
    }

    /// Whether a prefix is inside one of these.
    fn holds(&self, dst: Ipv4Net) -> bool {
        self.lengths
            .range(..=dst.prefix_len())
            .filter_map(|(length, _)| Ipv4Net::new(dst.addr(), *length).ok())
            .any(|around| self.prefixes.contains_key(&around.trunc()))
    }
}

/// Counts down; whether it was the last.
fn dropped<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    use std::collections::btree_map::Entry;
    let Entry::Occupied(mut entry) = counts.entry(key) else {
        return false;
    };
    *entry.get_mut() -= 1;
    let last = *entry.get() == 0;
    if last {
        entry.remove();
    }
    last
}
