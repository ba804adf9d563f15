//! What the kernel announces, in words of our own: one [`Delta`] a message.

use router_common::wire::IfIndex;
use rtnetlink::{
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};

use super::{
    addresses, links, neighbours,
    raw::{self, Message, Netconf, Scope},
    routes,
    types::{Address, Link, Neighbour, Route},
};

/// `RTM_*` (include/uapi/linux/rtnetlink.h) that are not decoded by the crates.
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const NEW_NETCONF: u16 = 80;
const DELETE_NETCONF: u16 = 81;
const NEW_NEXTHOP: u16 = 104;
const DELETE_NEXTHOP: u16 = 105;

/// One change that the kernel announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// A device is there, or has changed.
    Link(Link),
    /// A device has gone: deleted, or into another network namespace.
    LinkGone(IfIndex),
    /// Something of a device's IPv6 settings has changed.
    Inet6(IfIndex),
    /// An address is there, or has changed.
    Address(Address),
    /// An address has gone.
    AddressGone(Address),
    /// A route is there.
    Route {
        /// As it is now.
        route: Route,
        /// It takes the place of another.
        replaces: bool,
    },
    /// A route has gone.
    RouteGone(Route),
    /// A rule has come or gone.
    Rules {
        /// IPv6, or IPv4.
        v6: bool,
        /// What has come is not one of those that every namespace has.
        custom: bool,
    },
    /// A neighbour is there, or has changed.
    Neighbour(Neighbour),
    /// A neighbour has gone.
    NeighbourGone(Neighbour),
    /// Forwarding sysctls have changed.
    Netconf(Netconf),
    /// A next-hop object that routes may lead to has changed or gone.
    Nexthop,
    /// Something that could not be read: nothing that is known may be relied
    /// upon.
    Unreadable,
}

/// Reads a datagram of the kernel's.
pub(super) fn read(datagram: &[u8], deltas: &mut Vec<Delta>) {
    let mut used = 0;
    for message in raw::messages(datagram) {
        used += message.whole.len().next_multiple_of(4);
        deltas.extend(delta(&message));
    }
    if used < datagram.len() {
        deltas.push(Delta::Unreadable);
    }
}

/// `None`: nothing that concerns us.
fn delta(message: &Message<'_>) -> Option<Delta> {
    let family = i32::from(message.family());
    match message.kind {
        // A bridge speaks of its ports; the device itself is announced, too,
        // and has not gone when it is a port no more.
        NEW_LINK | DELETE_LINK if family == libc::AF_BRIDGE => None,
        NEW_LINK | DELETE_LINK if family == libc::AF_INET6 => {
            // `struct ifinfomsg`: family, padding, type, index.
            let index = message.payload().get(4..8)?.try_into().ok()?;
            Some(Delta::Inet6(IfIndex::new(u32::from_ne_bytes(index))))
        }
        NEW_LINK | DELETE_LINK if family != libc::AF_UNSPEC => None,
        NEW_RULE | DELETE_RULE => {
            let v6 = match family {
                libc::AF_INET => false,
                libc::AF_INET6 => true,
                // Rules of multicast routing.
                _ => return None,
            };
            let custom = decode(message).is_none_or(|rule| routes::is_custom_rule(&rule));
            Some(Delta::Rules { v6, custom })
        }
        NEW_NETCONF => raw::netconf(message.payload()).map(Delta::Netconf),
        // With its device, which is announced itself.
        DELETE_NETCONF => None,
        // A new one has no routes yet.
        NEW_NEXTHOP => (message.flags & raw::REPLACE != 0).then_some(Delta::Nexthop),
        DELETE_NEXTHOP => Some(Delta::Nexthop),
        NEW_NEIGHBOUR | DELETE_NEIGHBOUR if family == libc::AF_BRIDGE => None,
        _ => match decode(message) {
            Some(decoded) => known(decoded, message.flags),
            // Neighbours decide nothing that is in the maps.
            None if matches!(message.kind, NEW_NEIGHBOUR | DELETE_NEIGHBOUR) => None,
            None => Some(Delta::Unreadable),
        },
    }
}

fn decode(message: &Message<'_>) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::deserialize(message.whole).ok()?.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    }
}

fn known(message: RouteNetlinkMessage, flags: u16) -> Option<Delta> {
    use RouteNetlinkMessage as M;
    match message {
        M::NewLink(message) => links::link(message).map(Delta::Link),
        M::DelLink(message) => Some(Delta::LinkGone(IfIndex::new(message.header.index))),
        M::NewAddress(message) => addresses::address(message).map(Delta::Address),
        M::DelAddress(message) => addresses::address(message).map(Delta::AddressGone),
        M::NewRoute(message) => routes::entry(message).map(|route| Delta::Route {
            route,
            replaces: flags & raw::REPLACE != 0,
        }),
        M::DelRoute(message) => routes::entry(message).map(Delta::RouteGone),
        M::NewNeighbour(message) => neighbours::neighbour(&message).map(Delta::Neighbour),
        M::DelNeighbour(message) => neighbours::neighbour(&message).map(Delta::NeighbourGone),
        _ => None,
    }
}

impl Delta {
    /// The device that a change is of, where it is of one.
    #[must_use]
    pub const fn device(&self) -> Option<IfIndex> {
        match self {
            Self::Link(link) => Some(link.ifindex),
            Self::LinkGone(ifindex) | Self::Inet6(ifindex) => Some(*ifindex),
            Self::Address(address) | Self::AddressGone(address) => Some(address.ifindex),
            Self::Neighbour(neighbour) | Self::NeighbourGone(neighbour) => Some(neighbour.ifindex),
            Self::Netconf(Netconf {
                scope: Scope::Device(ifindex),
                ..
            }) => Some(*ifindex),
            _ => None,
        }
    }
}
