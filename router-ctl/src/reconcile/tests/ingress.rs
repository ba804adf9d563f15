//! `INGRESS` and `LOCALS`: flags, prefixes, priorities.

use super::*;

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
            "IPsec policies for IPv4",
            |k| k.transforms.v4 = true,
            PLAIN & !FORWARD_V4,
        ),
        (
            "IPsec policies for IPv6",
            |k| k.transforms.v6 = true,
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
            |k| k.tables.rules_v4.custom = true,
            (PLAIN & !TRUST_PREFIXES) | RP_FILTER,
        ),
        (
            "an IPv6 rule: no rp_filter there",
            |k| k.tables.rules_v6.custom = true,
            PLAIN,
        ),
        (
            "an IPv6 rule that suppresses routes: the helper does not obey it",
            |k| k.tables.rules_v6.suppressing = true,
            PLAIN & !FORWARD_V6,
        ),
        (
            "an IPv4 rule that does: it obeys",
            |k| k.tables.rules_v4.suppressing = true,
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
    let contents = reconciled(&config, &kernel(), &Wanted::default()).contents;
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
