//! Conformance section F, as far as no peer is needed: the FIB, neighbours,
//! multipath, rules. XDP follows every one of the kernel's answers; each
//! forwarded row is compared with what the kernel does with the same packet.
//!
//! Case 107 (ifindexes above 64 and 1000) is every row: see `Network::ifindex`.

use std::net::{Ipv4Addr, Ipv6Addr};

use router_common::{abi::egress_flags, datapath::Reason};
use router_tests::{
    oracle::{Fate, report},
    packet::{Frame, Transport},
    prog::{
        Agreement,
        Network::{A, B, C, U},
        Scene, forward, play, row, up,
    },
    tables::f_fib,
};

fn to4(address: &str) -> Frame {
    let address: Ipv4Addr = address.parse().expect("an address");
    A.v4_to(B).to4(address)
}

fn to6(address: &str) -> Frame {
    let address: Ipv6Addr = address.parse().expect("an address");
    A.v6_to(B).to6(address)
}

#[test]
fn route_types() {
    play("route_types", f_fib::route_types);
}

#[test]
fn neighbours() {
    play("neighbours", f_fib::neighbours);
}

#[test]
fn longest_match() {
    play("longest_match", f_fib::longest_match);
}

#[test]
fn rules_and_narrow_routes() {
    play("rules_and_narrow_routes", f_fib::rules_and_narrow_routes);
}

#[test]
fn next_hops_of_other_kinds() {
    play("next_hops_of_other_kinds", f_fib::next_hops_of_other_kinds);
}

/// 96, 97: the leg that the kernel chooses, flow by flow.
#[test]
fn multipath() {
    let Some(mut scene) = Scene::open("multipath") else {
        return;
    };
    let legs = |v6: bool| {
        [B, C, U]
            .map(|network| {
                let router = if v6 {
                    network.v6(9).to_string()
                } else {
                    network.v4(9).to_string()
                };
                format!(
                    "nexthop via {router} dev {} weight {}",
                    network.device(),
                    network.id()
                )
            })
            .join(" ")
    };
    scene.ip(&format!(
        "route add 10.13.0.0/16 {}\nroute add fd13::/64 {}",
        legs(false),
        legs(true)
    ));
    scene.ip(&format!(
        "nexthop add id 1 via {} dev {b}\n\
         nexthop add id 2 via {} dev {c}\n\
         nexthop add id 3 via {} dev {b}\n\
         nexthop add id 4 via {} dev {c}\n\
         nexthop add id 10 group 1/2\n\
         nexthop add id 11 group 1/2 type resilient buckets 16\n\
         nexthop add id 12 group 3/4\n\
         route add 10.14.0.0/16 nhid 10\n\
         route add 10.15.0.0/16 nhid 11\n\
         route add fd14::/64 nhid 12",
        B.v4(9),
        C.v4(9),
        B.v6(9),
        C.v6(9),
        b = B.device(),
        c = C.device(),
    ));
    let mut seen = [0; 5];
    for flow in 0..48_u8 {
        for (case, net) in [(97, "10.13"), (99, "10.14"), (99, "10.15")] {
            let frame = to4(&format!("{net}.{flow}.1"));
            follow(&scene, case, &frame, &mut seen);
        }
        for (case, net) in [(97, "fd13"), (99, "fd14")] {
            let frame = to6(&format!("{net}::{flow:x}")).flow_label(u32::from(flow) * 77);
            follow(&scene, case, &frame, &mut seen);
        }
    }
    assert!(
        seen.iter().filter(|count| **count > 10).count() == 3,
        "three legs carry flows: {seen:?}"
    );

    report::shown(97, Fate::Xdp, "multipath");
    report::shown(99, Fate::Xdp, "multipath");

    // Where the choice cannot be repeated, the kernel makes it.
    scene.recount();
    let echo = |frame: Frame| frame.transport(Transport::echo(8));
    let error4 = |frame: Frame| frame.transport(Transport::icmp(3, 1, &A.v4_to(B).bytes()[18..]));
    let error6 = |frame: Frame| frame.transport(Transport::icmp(1, 3, &A.v6_to(B).bytes()[18..]));
    for network in [B, C, U] {
        scene.change_egress(network, |entry| entry.flags |= egress_flags::MULTIPATH_LEG);
    }
    let multipath = up(Reason::Multipath);
    scene.check([
        row(97, "ICMP error", error4(to4("10.13.0.1")), multipath),
        row(97, "ICMPv6 error", error6(to6("fd13::1")), multipath),
    ]);
    follow(&scene, 97, &echo(to4("10.13.0.1")), &mut seen);
    follow(&scene, 97, &echo(to6("fd13::1")), &mut seen);
    scene.recount();
    for (key, flag) in [
        (
            "ipv4/fib_multipath_hash_policy",
            egress_flags::MULTIPATH_V4_UNREPEATABLE,
        ),
        (
            "ipv6/fib_multipath_hash_policy",
            egress_flags::MULTIPATH_V6_UNREPEATABLE,
        ),
    ] {
        scene.sysctl(key, "1");
        for network in [B, C, U] {
            scene.change_egress(network, |entry| entry.flags |= flag);
        }
        let (expect4, expect6) = if key.starts_with("ipv4") {
            (multipath, forward(A, B))
        } else {
            (forward(A, B), multipath)
        };
        scene.check([
            row(96, format!("{key}, IPv4"), A.v4_to(B), expect4),
            row(96, format!("{key}, IPv6"), A.v6_to(B), expect6),
        ]);
    }
    scene.finish();
}

/// Counts the leg that XDP and the kernel agree on.
fn follow(scene: &Scene, case: u16, frame: &Frame, seen: &mut [u32; 5]) {
    match scene.agree(A, frame) {
        Ok(Agreement::Forwarded(leg)) => seen[usize::from(leg.id())] += 1,
        other => panic!("case {case}: {other:?} for {frame:?}"),
    }
}
