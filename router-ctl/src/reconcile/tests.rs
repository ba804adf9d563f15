//! The article's node1 as plain data, and one change at a time.

use std::net::IpAddr;

use router_common::{
    abi::{MAX_LOCALS, Prefix4, Prefix6, egress_flags, ingress_flags},
    wire::{MacAddr, Vid},
};

use super::*;
use crate::{
    config::{PcpPolicy, Trunk, XdpMode},
    netlink::types::{Address, Leg, Link, Route, RouteKind, TABLE_MAIN, Vlan},
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
    }
}

fn device(ifindex: IfIndex, name: &str) -> Link {
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

fn vlan(ifindex: IfIndex, vid: u16) -> Link {
    Link {
        kind: Some("vlan".into()),
        parent: Some(TRUNK),
        vlan: Some(Vlan {
            vid,
            protocol: 0x8100,
            ..Vlan::default()
        }),
        ..device(ifindex, &format!("eth0.{vid}"))
    }
}

fn address(ifindex: IfIndex, address: &str) -> Address {
    Address {
        ifindex,
        address: address.parse().unwrap(),
        peer: false,
        global: true,
        tentative: false,
        duplicate: false,
    }
}

fn route(kind: RouteKind, table: u32, dst: &str, devices: &[IfIndex]) -> Route {
    Route {
        table,
        kind,
        dst: dst.parse().unwrap(),
        from: None,
        tos: 0,
        protocol: 2,
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

fn unicast(dst: &str, devices: &[IfIndex]) -> Route {
    route(RouteKind::Unicast, TABLE_MAIN, dst, devices)
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

fn plan(kernel: &Kernel) -> Plan {
    reconcile(&config(), kernel, &Wanted::default())
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

#[test]
fn ingress_flags_follow_the_kernel() {
    use ingress_flags::{
        CHECK_LOCALS, FORWARD_V4, FORWARD_V6, LOCALS_INCOMPLETE, RP_FILTER, TRUST_PREFIXES, UP,
    };
    type Change = fn(&mut Kernel);
    let cases: &[(&str, Change, u16)] = &[
        (
            "sub-interface down",
            |k| k.tables.links[1].up = false,
            PLAIN & !UP,
        ),
        (
            "sub-interface without carrier",
            |k| k.tables.links[1].carrier = false,
            PLAIN & !UP,
        ),
        ("trunk down", |k| k.tables.links[0].up = false, PLAIN & !UP),
        (
            "trunk without carrier",
            |k| k.tables.links[0].carrier = false,
            PLAIN & !UP,
        ),
        (
            "IPv4 forwarding off",
            |k| interface(k).v4 = false,
            PLAIN & !FORWARD_V4,
        ),
        (
            "unknown sysctls",
            |k| k.forwarding.interfaces.clear(),
            PLAIN & !FORWARD_V4,
        ),
        (
            "IPv6 forwarding off",
            |k| k.forwarding.v6 = false,
            PLAIN & !FORWARD_V6,
        ),
        (
            "IPv6 forced",
            |k| {
                k.forwarding.v6 = false;
                interface(k).v6_forced = true;
            },
            PLAIN,
        ),
        (
            "proxy_ndp",
            |k| k.forwarding.v6_proxy_ndp = true,
            PLAIN & !FORWARD_V6,
        ),
        (
            "IPv6 disabled",
            |k| interface(k).v6_disabled = true,
            PLAIN & !FORWARD_V6,
        ),
        (
            "rp_filter of all",
            |k| k.forwarding.rp_filter = 2,
            PLAIN | RP_FILTER,
        ),
        (
            "rp_filter of the interface",
            |k| interface(k).rp_filter = 1,
            PLAIN | RP_FILTER,
        ),
        (
            "an IPv4 rule: the kernel makes the full check",
            |k| k.tables.custom_rules_v4 = true,
            (PLAIN & !TRUST_PREFIXES) | RP_FILTER,
        ),
        (
            "an IPv6 rule: no rp_filter there",
            |k| k.tables.custom_rules_v6 = true,
            PLAIN,
        ),
        (
            "no connected route",
            |k| {
                k.tables.routes.remove(0);
            },
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "connected route for one TOS only",
            |k| k.tables.routes[0].tos = 4,
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "more specific route by another device",
            |k| k.tables.routes.push(unicast("172.16.10.64/26", &[MAC20])),
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "more specific route by the same device",
            |k| k.tables.routes.push(unicast("172.16.10.64/26", &[MAC10])),
            PLAIN,
        ),
        (
            "the prefix on two devices",
            |k| k.tables.routes.push(unicast("172.16.10.0/24", &[OTHER])),
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "multipath inside the prefix",
            |k| {
                k.tables
                    .routes
                    .push(unicast("172.16.10.9/32", &[MAC10, OTHER]));
            },
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "a route that only its next-hop object knows",
            |k| {
                let mut route = unicast("172.16.10.9/32", &[]);
                route.nexthop_object = Some(1);
                k.tables.routes.push(route);
            },
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "blackhole inside the prefix",
            |k| {
                let route = route(RouteKind::Blackhole, TABLE_MAIN, "172.16.10.9/32", &[]);
                k.tables.routes.push(route);
            },
            PLAIN & !TRUST_PREFIXES,
        ),
        (
            "another network's broadcast address inside the prefix",
            |k| {
                let route = route(
                    RouteKind::Broadcast,
                    TABLE_LOCAL,
                    "172.16.10.127/32",
                    &[MAC10],
                );
                k.tables.routes.push(route);
            },
            (PLAIN & !TRUST_PREFIXES) | CHECK_LOCALS,
        ),
        (
            "wider routes",
            |k| k.tables.routes.push(unicast("172.16.0.0/16", &[MAC20])),
            PLAIN,
        ),
        (
            "second address of the same prefix",
            |k| k.tables.addresses.push(address(MAC10, "172.16.10.2/24")),
            PLAIN | CHECK_LOCALS,
        ),
        (
            "another device's address inside the prefix",
            |k| k.tables.addresses.push(address(OTHER, "fd00:10::99/128")),
            PLAIN | CHECK_LOCALS,
        ),
        (
            "a local route without an address",
            |k| k.tables.routes.push(local("172.16.10.77/32")),
            PLAIN | CHECK_LOCALS,
        ),
        (
            "a local prefix elsewhere",
            |k| k.tables.routes.push(local("10.0.0.0/8")),
            PLAIN | LOCALS_INCOMPLETE,
        ),
    ];
    for (what, change, flags) in cases {
        let entry = ingress_after(change);
        assert_eq!(
            entry.flags, *flags,
            "{what}: {:#b}, not {flags:#b}",
            entry.flags
        );
    }
}

#[test]
fn keep_pcp_is_the_networks_choice() {
    let mut config = config();
    config.networks[1].pcp = PcpPolicy::Keep;
    let contents = reconcile(&config, &kernel(), &Wanted::default()).contents;
    assert!(contents.ingress[&200].has(ingress_flags::KEEP_PCP));
    assert!(!contents.ingress[&100].has(ingress_flags::KEEP_PCP));
}

#[test]
fn prefixes_are_those_whose_hosts_can_be_believed() {
    let v4 = |change: fn(&mut Vec<Address>)| {
        let entry = ingress_after(|kernel| change(&mut kernel.tables.addresses));
        entry.prefixes4[..entry.prefixes4_len.into()].to_vec()
    };
    let lan = Prefix4::new([172, 16, 10, 1], 24);
    assert_eq!(v4(|_| {}), [lan]);
    assert_eq!(v4(|a| a[0].tentative = true), []);
    assert_eq!(v4(|a| a[0].duplicate = true), []);
    assert_eq!(v4(|a| a[0].global = false), []);
    assert_eq!(v4(|a| a[0].peer = true), []);
    assert_eq!(v4(|a| a[0] = address(MAC10, "172.16.10.1/32")), []);
    assert_eq!(v4(|a| a.push(address(MAC10, "172.16.10.2/24"))), [lan]);
    // The most specific first: the first match decides who is a host.
    assert_eq!(
        v4(|a| a[0] = address(MAC10, "172.16.10.1/16")),
        [Prefix4::new([172, 16, 10, 1], 16)]
    );
    assert_eq!(
        v4(|a| a.extend([
            address(MAC10, "172.16.0.1/16"),
            address(MAC10, "10.0.0.1/30")
        ])),
        [Prefix4::new([10, 0, 0, 1], 30), lan]
    );
}

#[test]
fn a_local_prefix_takes_its_networks_prefix_away() {
    for dst in ["172.16.10.128/25", "172.16.0.0/16", "172.16.10.0/24"] {
        let entry = ingress_after(|kernel| kernel.tables.routes.push(local(dst)));
        assert_eq!(entry.prefixes4_len, 0, "{dst}");
        assert_eq!(entry.prefixes6_len, 1, "{dst}");
        assert!(entry.has(ingress_flags::LOCALS_INCOMPLETE), "{dst}");
    }
}

#[test]
fn locals_that_do_not_fit_are_said_to_be_missing() {
    let mut kernel = kernel();
    for number in 0..MAX_LOCALS {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        let net = IpAddr::from(ip).into();
        let mut other = address(OTHER, "10.0.0.0/32");
        other.address = net;
        kernel.tables.addresses.push(other);
    }
    let contents = plan(&kernel).contents;
    assert_eq!(contents.locals.len(), MAX_LOCALS as usize);
    let mac10 = contents.ingress[&100];
    assert!(mac10.has(ingress_flags::LOCALS_INCOMPLETE));
    // The gateways stay: they are inside the prefixes that are believed.
    assert!(
        contents
            .locals
            .contains(&LocalAddress::v4([172, 16, 10, 1]))
    );
    assert_eq!(mac10.prefixes4_len, 1);
}

#[test]
fn qos_maps_become_tables() {
    let mut kernel = kernel();
    let vlan = kernel.tables.links[1].vlan.as_mut().unwrap();
    vlan.ingress_qos = vec![(0, 1), (5, 15), (6, 16), (9, 3)];
    vlan.egress_qos = vec![(0, 2), (15, 7), (16, 5), (3, 9)];
    let contents = plan(&kernel).contents;
    let unmapped = Ingress::PRIORITY_UNMAPPED;
    assert_eq!(
        contents.ingress[&100].priority,
        [1, 0, 0, 0, 0, 15, unmapped, 0]
    );
    let pcp = contents.egress[&MAC10].pcp;
    assert_eq!((pcp[0], pcp[3], pcp[15]), (2, 1, 7));
    assert_eq!(pcp.iter().filter(|pcp| **pcp == 0).count(), 13);
}

/// `ip_forward_update_priority=0`.
#[test]
fn ipv4_may_keep_its_priority() {
    let off = ingress_after(|kernel| kernel.forwarding.tos_priority = false);
    assert!(off.has(ingress_flags::KEEP_PRIORITY));
    assert!(!ingress_after(|_| ()).has(ingress_flags::KEEP_PRIORITY));
}

/// The broadcast address of another network is nobody's source, and the
/// network's own needs no look-up.
#[test]
fn broadcast_addresses_are_local() {
    let broadcast = |dst: &str, device| Route {
        kind: RouteKind::Broadcast,
        ..unicast(dst, &[device])
    };
    let own = ingress_after(|kernel| {
        kernel
            .tables
            .routes
            .push(broadcast("172.16.10.255/32", MAC10));
    });
    assert!(!own.has(ingress_flags::CHECK_LOCALS));
    let mut kernel = kernel();
    kernel
        .tables
        .routes
        .push(broadcast("172.16.20.255/32", MAC20));
    assert!(
        plan(&kernel)
            .contents
            .locals
            .contains(&LocalAddress::v4([172, 16, 20, 255]))
    );
}

#[test]
fn mtu_is_the_smallest_of_all() {
    let mtus = |change: fn(&mut Kernel)| {
        let entry = egress_after(change);
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(mtus(|k| k.tables.links[1].mtu = 1400), (1400, 1400));
    assert_eq!(mtus(|k| k.tables.links[0].mtu = 1300), (1300, 1300));
    assert_eq!(mtus(|k| interface(k).v6_mtu = Some(1280)), (1500, 1280));
    assert_eq!(mtus(|k| interface(k).v6_mtu = None), (1500, 1500));
    assert_eq!(mtus(|k| interface(k).v6_disabled = true), (1500, 0));
    let with_route = |dst: &str, devices: &[IfIndex], nexthop: Option<u32>| {
        let entry = egress_after(|kernel| {
            let mut route = unicast(dst, devices);
            route.mtu = Some(1350);
            route.nexthop_object = nexthop;
            kernel.tables.routes.push(route);
        });
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(with_route("10.0.0.0/8", &[MAC10], None), (1350, 1500));
    assert_eq!(with_route("2001:db8::/32", &[MAC10], None), (1500, 1350));
    assert_eq!(with_route("10.0.0.0/8", &[MAC20], None), (1500, 1500));
    assert_eq!(
        with_route("10.0.0.0/8", &[MAC20, MAC10], None),
        (1350, 1500)
    );
    assert_eq!(with_route("10.0.0.0/8", &[], Some(7)), (1350, 1500));
    assert_eq!(
        with_route("10.0.0.0/8", &[], None),
        (1500, 1500),
        "a blackhole"
    );
}

#[test]
fn multipath_legs_are_marked() {
    use egress_flags::{MULTIPATH_LEG, MULTIPATH_V4_UNREPEATABLE, MULTIPATH_V6_UNREPEATABLE, UP};
    let flags = |dst: &str, devices: &[IfIndex], nexthop, v4_policy, v6_policy| {
        egress_after(|kernel| {
            let mut route = unicast(dst, devices);
            route.nexthop_object = nexthop;
            kernel.tables.routes.push(route);
            kernel.forwarding.v4_hash_policy = v4_policy;
            kernel.forwarding.v6_hash_policy = v6_policy;
        })
        .flags
    };
    let legs = [MAC10, MAC20];
    assert_eq!(flags("10.0.0.0/8", &[MAC10], None, 1, 1), UP);
    assert_eq!(flags("10.0.0.0/8", &[MAC20, OTHER], None, 1, 1), UP);
    assert_eq!(flags("10.0.0.0/8", &legs, None, 0, 1), UP | MULTIPATH_LEG);
    assert_eq!(
        flags("10.0.0.0/8", &legs, None, 1, 0),
        UP | MULTIPATH_LEG | MULTIPATH_V4_UNREPEATABLE
    );
    assert_eq!(
        flags("2001:db8::/32", &legs, None, 1, 3),
        UP | MULTIPATH_LEG | MULTIPATH_V6_UNREPEATABLE
    );
    assert_eq!(
        flags("10.0.0.0/8", &[], Some(5), 1, 0),
        UP | MULTIPATH_LEG | MULTIPATH_V4_UNREPEATABLE,
        "a next-hop object that may be a group"
    );
}

#[test]
fn devices_that_are_not_the_networks_are_not_installed() {
    type Change = fn(&mut Vec<Link>);
    let cases: &[(Change, &str)] = &[
        (
            |l| {
                l.remove(1);
            },
            "missing",
        ),
        (
            |l| {
                l.remove(0);
            },
            "trunk missing",
        ),
        (
            |l| l[1].master = Some(OTHER),
            "eth0.100 is a port of another device",
        ),
        (
            |l| l[1].master = Some(MAC20),
            "eth0.100 is a port of eth0.200",
        ),
        (
            |l| l[1].vlan = None,
            "eth0.100 is a vlan device, not 802.1Q",
        ),
        (
            |l| {
                l[1].vlan = None;
                l[1].kind = Some("macvlan".into());
            },
            "eth0.100 is a macvlan device, not 802.1Q",
        ),
        (
            |l| l[1].vlan.as_mut().unwrap().protocol = 0x88a8,
            "eth0.100 is 802.1ad, not 802.1Q",
        ),
        (
            |l| l[1].vlan.as_mut().unwrap().vid = 300,
            "eth0.100 has VLAN 300, not 100",
        ),
        (
            |l| l[1].parent = Some(MAC20),
            "eth0.100 stands on eth0.200, not on eth0",
        ),
        (
            |l| l[1].parent = None,
            "eth0.100 stands on a device of another network namespace, not on eth0",
        ),
    ];
    for (change, why) in cases {
        let mut kernel = kernel();
        change(&mut kernel.tables.links);
        let plan = plan(&kernel);
        let absence = plan.networks[0].as_ref().unwrap_err();
        assert_eq!(absence.to_string(), *why);
        assert!(!plan.contents.ingress.contains_key(&100), "{why}");
        assert!(!plan.contents.egress.contains_key(&MAC10), "{why}");
    }
}

#[test]
fn any_device_can_stand_in_where_that_is_wanted() {
    let mut kernel = kernel();
    kernel.tables.links[1].vlan = None;
    kernel.tables.links[1].kind = Some("veth".into());
    kernel.tables.links[1].parent = None;
    let wanted = Wanted {
        stand_in: true,
        ..Wanted::default()
    };
    let plan = reconcile(&config(), &kernel, &wanted);
    assert_eq!(plan.networks[0], Ok(MAC10));
    assert_eq!(plan.contents.egress[&MAC10].vid.get(), 100);
    // A real VLAN device must still be the right one.
    kernel.tables.links[2].vlan.as_mut().unwrap().vid = 300;
    assert!(reconcile(&config(), &kernel, &wanted).networks[1].is_err());
}

#[test]
fn the_untagged_network_is_the_trunk() {
    let mut config = config();
    config.networks.push(network("wan", 0));
    let plan = reconcile(&config, &kernel(), &Wanted::default());
    assert_eq!(plan.networks[2], Ok(TRUNK));
    assert_eq!(plan.contents.ingress[&0].ifindex, TRUNK);
    assert!(plan.contents.egress[&TRUNK].vid.is_untagged());
    config.networks[2].interface = "eth0.100".into();
    let plan = reconcile(&config, &kernel(), &Wanted::default());
    assert!(plan.networks[2].is_err());
}

#[test]
fn second_trunk_has_its_own_rows_and_ports() {
    let mut config = config();
    config.trunks.push(Trunk {
        interface: "eth1".into(),
        xdp: XdpMode::Native,
    });
    config.networks[1].trunk = "eth1".into();
    let mut kernel = kernel();
    kernel.tables.links.push(device(OTHER, "eth1"));
    kernel.tables.links[2].parent = Some(OTHER);
    let slot = TrunkSlot::new;
    let wanted = Wanted {
        stand_in: false,
        transmitters: [slot(0), slot(1)].into(),
    };
    let contents = reconcile(&config, &kernel, &wanted).contents;
    assert_eq!(
        contents.ingress.keys().collect::<Vec<_>>(),
        [&100, &(4096 + 200)]
    );
    assert_eq!(contents.egress[&MAC20].trunk, slot(1));
    assert_eq!(contents.ports, [(slot(0), TRUNK), (slot(1), OTHER)].into());
    let alone = Wanted {
        stand_in: false,
        transmitters: [slot(1)].into(),
    };
    let contents = reconcile(&config, &kernel, &alone).contents;
    assert_eq!(contents.ports, [(slot(1), OTHER)].into());
}

#[test]
fn diff_leads_from_anything_to_anything() {
    let full = plan(&kernel()).contents;
    let mut changed = kernel();
    changed.tables.links[1].ifindex = OTHER;
    for address in &mut changed.tables.addresses[..2] {
        address.ifindex = OTHER;
    }
    changed.tables.addresses[0].address = "172.16.11.1/24".parse().unwrap();
    let mut changed = plan(&changed).contents;
    changed.ports.insert(TrunkSlot::new(0), TRUNK);
    let states = [Contents::default(), full, changed];
    for from in &states {
        for to in &states {
            let mut state = from.clone();
            for operation in diff(from, to) {
                state.apply(&operation);
            }
            assert_eq!(state, *to);
            assert_eq!(diff(to, to), []);
        }
    }
}

/// A sub-interface that is made anew: its VID stays, its number does not.
#[test]
fn diff_opens_last_and_forgets_locals_after_that() {
    let before = plan(&kernel()).contents;
    let mut anew = kernel();
    anew.tables.links[1].ifindex = OTHER;
    anew.tables.addresses[0] = address(OTHER, "172.16.99.1/24");
    let after = plan(&anew).contents;
    let kinds: Vec<_> = diff(&before, &after)
        .iter()
        .map(|operation| match operation {
            Operation::RemoveEgress(device) => format!("-egress {device}"),
            Operation::SetEgress(device, _) => format!("+egress {device}"),
            Operation::SetIngress(index, _) => format!("+ingress {index}"),
            Operation::AddLocal(_) => "+local".into(),
            Operation::RemoveLocal(_) => "-local".into(),
            other => format!("{other:?}"),
        })
        .collect();
    // 172.16.10.1 still has its local route here.
    assert_eq!(
        kinds,
        ["-egress 10", "+local", "+egress 30", "+ingress 100"]
    );
}
