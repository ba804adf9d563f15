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
    types::{Address, Link, Neighbour, Route, Rules},
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
        /// What the one that has come asks.
        asked: Rules,
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

/// What datagrams of the kernel's say, one behind the other: for fuzzers, which
/// have no socket.
#[must_use]
pub fn announced(datagrams: &[u8]) -> Vec<Delta> {
    let mut deltas = Vec::new();
    read(datagrams, &mut deltas);
    deltas
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
            let asked = match decode(message) {
                Some(rule) => routes::asked_by(&rule),
                // Anything.
                None => Rules {
                    custom: true,
                    suppressing: true,
                    dissecting: true,
                },
            };
            Some(Delta::Rules { v6, asked })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{
        raw::tests::bytes,
        types::{NeighbourState, RouteKind},
    };

    fn heard(digits: &str) -> Vec<Delta> {
        let mut deltas = Vec::new();
        read(&bytes(digits), &mut deltas);
        deltas
    }

    fn one(digits: &str) -> Delta {
        let [delta] = <[Delta; 1]>::try_from(heard(digits)).unwrap();
        delta
    }

    /// `ip route add 10.9.0.0/16 via 10.0.0.9 mtu 1400`, then `replace` without
    /// the MTU.
    #[test]
    fn routes_say_whether_they_replace() {
        let Delta::Route { route, replaces } = one(
            "48000000180000060e53056b826d000002100000fe0300010000000008000f00fe000000080001000a\
             0900000c0008000800020078050000080005000a0000090800040003000000",
        ) else {
            panic!("no route");
        };
        assert_eq!((route.mtu, replaces), (Some(1400), false));
        assert_eq!(route.dst.to_string(), "10.9.0.0/16");
        assert_eq!(route.legs.len(), 1);
        let Delta::Route { route, replaces } = one(
            "3c000000180000010e53056b846d000002100000fe0300010000000008000f00fe000000080001000a\
             090000080005000a0000090800040003000000",
        ) else {
            panic!("no route");
        };
        assert_eq!((route.mtu, replaces), (None, true));
    }

    /// `ip route add 10.8.0.0/16 nexthop via 10.0.0.9 nexthop via 10.0.0.8`
    #[test]
    fn legs_of_a_multipath_route() {
        let Delta::Route { route, .. } = one(
            "50000000180000060e53056b886d000002100000fe0300010000000008000f00fe000000080001000a\
             080000240009001000000003000000080005000a0000091000000003000000080005000a000008",
        ) else {
            panic!("no route");
        };
        assert_eq!(route.legs.len(), 2);
    }

    /// A removed route is the one that was added, in all that is kept of it:
    /// the broadcast route of `ip addr add` and `ip addr del`.
    #[test]
    fn a_route_that_goes_is_as_it_came() {
        let rest = "02200000ff02fd030000000008000f00ff000000080001000a0001ff\
                    080007000a0001010800040003000000";
        let added = one(&format!("3c000000180000060000000000000000{rest}"));
        let removed = one(&format!("3c000000190000000000000000000000{rest}"));
        match (added, removed) {
            (Delta::Route { route, .. }, Delta::RouteGone(gone)) => {
                assert_eq!(route, gone);
                assert_eq!(route.kind, RouteKind::Broadcast);
            }
            other => panic!("{other:?}"),
        }
    }

    /// `ip addr add 10.0.1.1/24 dev ta`
    #[test]
    fn an_address() {
        let Delta::Address(address) = one(
            "4c000000140000000e53056b7a6d00000218800003000000080001000a000101080002000a000101\
             0700030074610000080008008000000014000600ffffffffffffffff0ff505000ff50500",
        ) else {
            panic!("no address");
        };
        assert_eq!(address.address.to_string(), "10.0.1.1/24");
        assert_eq!(address.ifindex, IfIndex::new(3));
    }

    /// `ip rule add fwmark 1 lookup 100`
    #[test]
    fn a_rule() {
        let rule = one(
            "4c000000200000000f53056b8d6d000002000000640000010000000008000f006400000008000e00\
             ffffffff050015000000000008000600fd7f000008000a000100000008001000ffffffff",
        );
        let expected = Delta::Rules {
            v6: false,
            asked: Rules {
                custom: true,
                ..Rules::default()
            },
        };
        assert_eq!(rule, expected);
    }

    /// `ip neigh del 10.0.0.9 dev ta`
    #[test]
    fn a_neighbour_fails_and_goes() {
        let both = heard(
            "400000001c00000000000000916d0000020000000300000020000001080001000a000009080004000000\
             00001400030018000000180000001800000001000000\
             400000001d0000000000000000000000020000000300000020000001080001000a000009080004000000\
             00001400030018000000180000001800000000000000",
        );
        match &both[..] {
            [Delta::Neighbour(failed), Delta::NeighbourGone(gone)] => {
                assert_eq!(failed.state, NeighbourState::Failed);
                assert_eq!(failed.address, gone.address);
            }
            other => panic!("{other:?}"),
        }
    }

    /// `ip link set tb nomaster`: the bridge has lost a port, the device is
    /// there. And the forwarding entry that goes with it.
    #[test]
    fn what_a_bridge_says_of_its_ports_is_no_news_of_devices() {
        let port = heard(
            "5400000011000000000000000000000007000100020000004310010000000000070003007462000008000a\
             000400000008000400dc05000005001000060000000a000100a6c7d9369a2c00000800050003000000",
        );
        assert_eq!(port, []);
        let forwarding = heard(
            "4c0000001d00000000000000000000000700000004000000800000000a000200a6c7d9369a2c0000\
             080009000400000008000f000000000014000300000000005e0100005e01000000000000",
        );
        assert_eq!(forwarding, []);
    }

    /// Header of an AF_INET6 RTM_NEWLINK (`RTNLGRP_IPV6_IFINFO`).
    #[test]
    fn inet6_settings_are_no_news_of_devices() {
        let settings = one("200000001000000000000000000000000a000100030000004310010000000000");
        assert_eq!(settings, Delta::Inet6(IfIndex::new(3)));
    }

    #[test]
    fn what_cannot_be_read_is_not_passed_over() {
        // RTM_NEWADDR with an attribute that is cut short.
        let broken = "1c000000140000000000000000000000021880000300000008000100";
        assert_eq!(heard(broken), [Delta::Unreadable]);
        assert_eq!(heard("ffff000014000000"), [Delta::Unreadable]);
    }
}
