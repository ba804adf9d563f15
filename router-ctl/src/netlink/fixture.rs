//! What a kernel tells of links, addresses and routes, for tests: plain data in
//! its usual shape, of which a test changes what it is about.

use router_common::wire::{IfIndex, MacAddr};

use super::types::{Address, Leg, Link, Route, RouteKind, TABLE_MAIN, Vlan};

/// `RTPROT_KERNEL`.
const KERNEL: u8 = 2;

/// A device that is up, with a MAC of its own and an MTU of 1500.
pub(crate) fn device(ifindex: IfIndex, name: &str) -> Link {
    Link {
        ifindex,
        name: name.into(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        up: true,
        carrier: true,
        ..Link::default()
    }
}

/// An 802.1Q sub-interface of this device, named `PARENT.VID`.
pub(crate) fn vlan(ifindex: IfIndex, parent: &Link, vid: u16) -> Link {
    Link {
        kind: Some("vlan".into()),
        parent: Some(parent.ifindex),
        vlan: Some(Vlan {
            vid,
            protocol: 0x8100,
            ..Vlan::default()
        }),
        ..device(ifindex, &format!("{}.{vid}", parent.name))
    }
}

/// A global address, `IP/PREFIX`.
pub(crate) fn address(ifindex: IfIndex, address: &str) -> Address {
    Address {
        ifindex,
        address: address.parse().unwrap(),
        peer: false,
        global: true,
        tentative: false,
        duplicate: false,
    }
}

/// A route that the kernel made, with one leg on link for each device.
pub(crate) fn route(kind: RouteKind, table: u32, dst: &str, devices: &[IfIndex]) -> Route {
    Route {
        table,
        kind,
        dst: dst.parse().unwrap(),
        from: None,
        tos: 0,
        protocol: KERNEL,
        metric: 0,
        legs: devices
            .iter()
            .map(|device| Leg {
                via: None,
                device: Some(*device),
            })
            .collect(),
        source: None,
        mtu: None,
        nexthop_object: None,
    }
}

/// The same of the main table, to somebody.
pub(crate) fn unicast(dst: &str, devices: &[IfIndex]) -> Route {
    route(RouteKind::Unicast, TABLE_MAIN, dst, devices)
}
