//! The article's node1 as plain data, and one change at a time.

mod diff;
mod egress;
mod ingress;
mod numbering;
mod place;
mod scale;

use std::net::IpAddr;

use router_common::{
    abi::{MAX_LOCALS, NetworkName, Prefix4, Prefix6, egress_flags, ingress_flags},
    wire::{MacAddr, Vid},
};

use super::*;
use crate::{
    config::{Network, PcpPolicy, Trunk, XdpMode},
    netlink::{
        fixture::{self, address, device, route, unicast},
        types::{Address, Link, Route, RouteKind, TABLE_MAIN},
    },
    sysctl::InterfaceForwarding,
};

const TRUNK: IfIndex = IfIndex::new(2);
const MAC10: IfIndex = IfIndex::new(10);
const MAC20: IfIndex = IfIndex::new(20);
const OTHER: IfIndex = IfIndex::new(30);
const TABLE_LOCAL: u32 = 255;

fn network(name: &str, vlan: u16) -> Network {
    Network {
        name: name.into(),
        trunk: "eth0".into(),
        vlan: Vid::new(vlan).unwrap(),
        interface: match vlan {
            0 => "eth0".into(),
            vlan => format!("eth0.{vlan}"),
        },
        gateways: Vec::new(),
        pcp: PcpPolicy::Map,
    }
}

fn config() -> Config {
    Config {
        source: None,
        trunks: vec![Trunk {
            interface: "eth0".into(),
            xdp: XdpMode::Native,
        }],
        networks: vec![network("mac10", 100), network("mac20", 200)],
        routes: Vec::new(),
        ..Config::default()
    }
}

fn vlan(ifindex: IfIndex, vid: u16) -> Link {
    fixture::vlan(ifindex, &device(TRUNK, "eth0"), vid)
}

fn local(dst: &str) -> Route {
    route(RouteKind::Local, TABLE_LOCAL, dst, &[MAC10])
}

/// What the kernel has after bring-up.
fn kernel() -> Kernel {
    let mut kernel = Kernel {
        tables: Tables {
            links: vec![device(TRUNK, "eth0"), vlan(MAC10, 100), vlan(MAC20, 200)],
            addresses: vec![
                address(MAC10, "172.16.10.1/24"),
                address(MAC10, "fd00:10::1/64"),
                address(MAC20, "172.16.20.1/24"),
            ],
            routes: vec![
                unicast("172.16.10.0/24", &[MAC10]),
                unicast("fd00:10::/64", &[MAC10]),
                unicast("172.16.20.0/24", &[MAC20]),
                local("127.0.0.0/8"),
                local("172.16.10.1/32"),
                route(
                    RouteKind::Broadcast,
                    TABLE_LOCAL,
                    "172.16.10.255/32",
                    &[MAC10],
                ),
                local("::1/128"),
                local("fe80::1/128"),
            ],
            ..Tables::default()
        },
        forwarding: Forwarding {
            v6: true,
            tos_priority: true,
            ..Forwarding::default()
        },
        ..Kernel::default()
    };
    for ifindex in [MAC10, MAC20] {
        let interface = InterfaceForwarding {
            v4: true,
            v6_mtu: Some(1500),
            ..InterfaceForwarding::default()
        };
        kernel.forwarding.interfaces.insert(ifindex, interface);
    }
    kernel
}

/// With numbers that are places in the file.
fn reconciled(config: &Config, kernel: &Kernel, wanted: &Wanted) -> Plan {
    let numbering = Numbering::default().adapted(config);
    reconcile(config, &numbering, kernel, wanted)
}

fn plan(kernel: &Kernel) -> Plan {
    reconciled(&config(), kernel, &Wanted::default())
}

/// The entry of mac10 after one change of the kernel's state.
fn ingress_after(change: impl FnOnce(&mut Kernel)) -> Ingress {
    let mut kernel = kernel();
    change(&mut kernel);
    plan(&kernel).contents.ingress[&100]
}

fn egress_after(change: impl FnOnce(&mut Kernel)) -> Egress {
    let mut kernel = kernel();
    change(&mut kernel);
    plan(&kernel).contents.egress[&MAC10]
}

fn interface(kernel: &mut Kernel) -> &mut InterfaceForwarding {
    kernel.forwarding.interfaces.get_mut(&MAC10).unwrap()
}

const PLAIN: u16 = ingress_flags::UP
    | ingress_flags::FORWARD_V4
    | ingress_flags::FORWARD_V6
    | ingress_flags::TRUST_PREFIXES;

#[test]
fn the_article() {
    let plan = plan(&kernel());
    assert_eq!(plan.networks, [Ok(MAC10), Ok(MAC20)]);
    let contents = plan.contents;
    assert_eq!(contents.ingress.keys().collect::<Vec<_>>(), [&100, &200]);
    let mac10 = contents.ingress[&100];
    assert_eq!(mac10.ifindex, MAC10);
    assert_eq!(mac10.network, NetworkId::new(0));
    assert_eq!(mac10.flags, PLAIN);
    assert_eq!(mac10.mac, MacAddr::new([2, 0, 0, 0, 0, 1]));
    assert_eq!((mac10.prefixes4_len, mac10.prefixes6_len), (1, 1));
    assert_eq!(mac10.prefixes4[0], Prefix4::new([172, 16, 10, 1], 24));
    let gateway = std::net::Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1);
    assert_eq!(mac10.prefixes6[0], Prefix6::new(gateway.octets(), 64));
    let mac20 = contents.egress[&MAC20];
    assert_eq!(mac20.network, NetworkId::new(1));
    assert_eq!(mac20.vid.get(), 200);
    assert_eq!(mac20.flags, egress_flags::UP);
    assert_eq!((mac20.mtu4, mac20.mtu6), (1500, 1500));
    // Loopback and link-local are no sources that could be believed; three
    // gateways and a broadcast address are.
    assert_eq!(contents.locals.len(), 4, "{:?}", contents.locals);
    assert!(contents.ports.is_empty());
}
