//! Conformance section F, as far as no peer is needed: the FIB, neighbours,
//! multipath, rules. XDP follows every one of the kernel's answers; each
//! forwarded row is compared with what the kernel does with the same packet.
//!
//! Case 107 (ifindexes above 64 and 1000) is every row: see `Network::ifindex`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    packet::{Frame, Transport},
    prog::{
        Expect,
        Network::{self, A, B, C, N, U},
        Row, forward, row, up,
    },
    tables::Stage,
};
use router_common::{abi::ingress_flags, datapath::Reason};

fn to4(address: &str) -> Frame {
    let address: Ipv4Addr = address.parse().expect("an address");
    A.v4_to(B).to4(address)
}

fn to6(address: &str) -> Frame {
    let address: Ipv6Addr = address.parse().expect("an address");
    A.v6_to(B).to6(address)
}

/// By the second router of `network`.
fn via(network: Network) -> Expect {
    forward(A, network).by_router()
}

/// Route types.
pub fn route_types<S: Stage>(scene: &mut S) {
    for (kind, net) in [
        ("blackhole", 1),
        ("unreachable", 2),
        ("prohibit", 3),
        ("throw", 4),
    ] {
        scene.ip(&format!(
            "route add {kind} 10.{net}.0.0/16\nroute add {kind} fd00:1{net}::/64"
        ));
    }
    let (no4, no6) = (to4("192.0.2.1"), to6("2001:db8::1"));
    let not_forwarded = up(Reason::NotForwarded);
    let (unreachable, prohibit) = (up(Reason::Unreachable), up(Reason::Prohibit));
    scene.check([
        row(75, "no route", no4, not_forwarded).kernel_answers(),
        row(75, "no route, IPv6", no6, not_forwarded).kernel_answers(),
        row(77, "blackhole", to4("10.1.0.1"), up(Reason::Blackhole)).kernel_drops(),
        row(
            77,
            "blackhole, IPv6",
            to6("fd00:11::1"),
            up(Reason::Blackhole),
        )
        .kernel_drops(),
        row(77, "unreachable", to4("10.2.0.1"), unreachable).kernel_answers(),
        row(77, "unreachable, IPv6", to6("fd00:12::1"), unreachable).kernel_answers(),
        row(77, "prohibit", to4("10.3.0.1"), prohibit).kernel_answers(),
        row(77, "prohibit, IPv6", to6("fd00:13::1"), prohibit).kernel_answers(),
        row(77, "throw", to4("10.4.0.1"), not_forwarded).kernel_answers(),
        row(77, "throw, IPv6", to6("fd00:14::1"), not_forwarded).kernel_answers(),
    ]);
    scene.ip(&format!(
        "route add default via {}\nroute add default via {}",
        C.v4(9),
        U.v6(9)
    ));
    scene.check([
        row(92, "default route", to4("192.0.2.1"), via(C)),
        row(92, "default route, IPv6", to6("2001:db8::1"), via(U)),
        row(
            77,
            "blackhole all the same",
            to4("10.1.0.1"),
            up(Reason::Blackhole),
        ),
    ]);
}

/// Neighbours.
pub fn neighbours<S: Stage>(scene: &mut S) {
    let (v4, v6) = (A.v4_to(B), A.v6_to(B));
    let none = up(Reason::NoNeighbour);
    scene.check([
        row(101, "a host nobody knows", to4("172.16.20.11"), none).kernel_drops(),
        row(101, "a host nobody knows, IPv6", to6("fd00:20::11"), none).kernel_drops(),
        row(46, "the network's own address", to4("172.16.20.0"), none).kernel_drops(),
    ]);
    for (state, known) in [
        ("stale", true),
        ("reachable", true),
        ("delay", true),
        ("probe", true),
        ("permanent", true),
        ("failed", false),
        ("incomplete", false),
        ("none", false),
    ] {
        let device = B.device();
        scene.ip(&format!(
            "neigh replace {} lladdr 02:00:00:00:02:10 nud {state} dev {device}\n\
             neigh replace {} lladdr 02:00:00:00:02:10 nud {state} dev {device}",
            B.v4(10),
            B.v6(0x10)
        ));
        let expect = if known { forward(A, B) } else { none };
        // The kernel resolves what it does not know, and the state moves on.
        let mut rows = [
            row(101, format!("neighbour {state}"), v4.clone(), expect),
            row(101, format!("neighbour {state}, IPv6"), v6.clone(), expect),
        ];
        if !known {
            rows = rows.map(Row::kernel_unasked);
        }
        scene.check(rows);
    }
    // 102: an address that no device answers to.
    scene.ip(&format!(
        "neigh replace {} lladdr 00:00:00:00:00:00 nud permanent dev {dev}\n\
         neigh replace {} lladdr 00:00:00:00:00:00 nud noarp dev {dev}",
        B.v4(10),
        B.v6(0x10),
        dev = B.device()
    ));
    scene.check([
        row(102, "NEVER to 00:00:00:00:00:00", v4, none),
        row(102, "NEVER to 00:00:00:00:00:00, IPv6", v6, none),
    ]);
}

/// Longest match.
pub fn longest_match<S: Stage>(scene: &mut S) {
    // Neither rising nor falling.
    for (length4, length6, network) in [(16, 48, B), (8, 32, C), (32, 128, U), (24, 64, N)] {
        scene.ip(&format!(
            "route add 10.5.6.7/{length4} via {}\nroute add fd05:6:7:8::1/{length6} via {}",
            network.v4(9),
            network.v6(9)
        )
        .replace("10.5.6.7/24", "10.5.6.0/24")
        .replace("10.5.6.7/16", "10.5.0.0/16")
        .replace("10.5.6.7/8", "10.0.0.0/8")
        .replace("fd05:6:7:8::1/64", "fd05:6:7:8::/64")
        .replace("fd05:6:7:8::1/48", "fd05:6:7::/48")
        .replace("fd05:6:7:8::1/32", "fd05:6::/32"));
    }
    scene.check([
        row(92, "/32", to4("10.5.6.7"), via(U)),
        row(92, "/24", to4("10.5.6.8"), via(N)),
        row(92, "/16", to4("10.5.7.7"), via(B)),
        row(92, "/8", to4("10.6.6.7"), via(C)),
        row(92, "/128", to6("fd05:6:7:8::1"), via(U)),
        row(92, "/64", to6("fd05:6:7:8::2"), via(N)),
        row(92, "/48", to6("fd05:6:7:9::1"), via(B)),
        row(92, "/32, IPv6", to6("fd05:6:8::1"), via(C)),
    ]);
    scene.ip("route del 10.5.6.7/32\nroute del fd05:6:7:8::1/128");
    scene.check([
        row(93, "the /32 is gone", to4("10.5.6.7"), via(N)),
        row(93, "the /128 is gone", to6("fd05:6:7:8::1"), via(N)),
    ]);
}

/// Rules and narrow routes.
pub fn rules_and_narrow_routes<S: Stage>(scene: &mut S) {
    let (b4, c4, u4) = (B.v4(9), C.v4(9), U.v4(9));
    let (b6, c6, u6) = (B.v6(9), C.v6(9), U.v6(9));
    scene.ip(&format!(
        "route add 10.6.0.0/16 via {b4}\n\
         route add 10.6.0.0/16 tos 0x10 via {c4}\n\
         route add fd06::/64 via {b6}\n\
         route add fd06::/64 from fd00:10::/120 via {c6}\n\
         route add table 7 10.7.0.0/16 via {u4}\n\
         route add table 7 fd07::/64 via {u6}\n\
         route add 10.7.0.0/16 via {b4}\n\
         route add fd07::/64 via {b6}"
    ));
    let (to4_6, to6_6) = (to4("10.6.0.1"), to6("fd06::1"));
    let elsewhere = to6_6
        .clone()
        .from6("fd00:10::1234:10".parse().expect("an address"));
    scene.check([
        row(94, "route without TOS", to4_6.clone(), via(B)),
        row(94, "route with TOS 0x10", to4_6.clone().tos(0x10), via(C)),
        row(94, "TOS 0x10 with ECN", to4_6.clone().tos(0x12), via(C)),
        row(94, "another TOS", to4_6.tos(0x08), via(B)),
        row(94, "route from a prefix", to6_6, via(C)),
        // The narrower route hides the other one, from every source.
        row(94, "from another host", elsewhere, up(Reason::NotForwarded)).kernel_drops(),
    ]);

    let (plain4, plain6) = (to4("10.7.0.1"), to6("fd07::1"));
    let tcp = |frame: &Frame| frame.clone().transport(Transport::tcp(10));
    let rule = |scene: &mut S, selector: &str, rows: Vec<Row>| {
        for (verb, rows) in [("add", rows), ("del", Vec::new())] {
            scene.ip(&format!("rule {verb} {selector} lookup 7"));
            scene.ip6(&format!("rule {verb} {selector} lookup 7"));
            scene.check(rows);
        }
    };
    rule(
        scene,
        "tos 0x10",
        vec![
            row(94, "rule by tos, no", plain4.clone(), via(B)),
            row(94, "rule by tos, yes", plain4.clone().tos(0x10), via(U)),
            row(94, "rule by tos, IPv6, no", plain6.clone(), via(B)),
            row(
                94,
                "rule by tos, IPv6, yes",
                plain6.clone().tos(0x10),
                via(U),
            ),
        ],
    );
    // Of N's own host: under rules a source must have its way back to N.
    let from_n = |frame: &Frame| {
        let frame = frame.clone().vlan(N.vid());
        let frame = frame.to_mac(N.gateway_mac()).from_mac(N.host_mac());
        if frame.is_ipv4() {
            frame.from4(N.v4(10))
        } else {
            frame.from6(N.v6(0x10))
        }
    };
    rule(
        scene,
        "iif net-a",
        vec![
            row(94, "rule by iif, yes", plain4.clone(), via(U)),
            row(94, "rule by iif, IPv6, yes", plain6.clone(), via(U)),
            row(
                94,
                "rule by iif, no",
                from_n(&plain4),
                forward(N, B).by_router(),
            ),
            row(
                94,
                "rule by iif, IPv6, no",
                from_n(&plain6),
                forward(N, B).by_router(),
            ),
        ],
    );
    // The trunk is no network's interface.
    rule(
        scene,
        "iif trunk0",
        vec![
            row(94, "rule by trunk", plain4.clone(), via(B)),
            row(94, "rule by trunk, IPv6", plain6.clone(), via(B)),
        ],
    );
    rule(
        scene,
        "ipproto tcp",
        vec![
            row(94, "rule by protocol, no", plain4.clone(), via(B)),
            row(94, "rule by protocol, yes", tcp(&plain4), via(U)),
            row(94, "rule by protocol, IPv6, no", plain6.clone(), via(B)),
            row(94, "rule by protocol, IPv6, yes", tcp(&plain6), via(U)),
        ],
    );
    rule(
        scene,
        "ipproto udp dport 5000",
        vec![
            row(94, "rule by port, yes", plain4.clone(), via(U)),
            row(94, "rule by port, no", tcp(&plain4), via(B)),
            row(94, "rule by port, IPv6, yes", plain6.clone(), via(U)),
            row(94, "rule by port, IPv6, no", tcp(&plain6), via(B)),
        ],
    );
    rule(
        scene,
        "ipproto udp sport 4000",
        vec![
            row(94, "rule by source port, yes", plain4.clone(), via(U)),
            row(94, "rule by source port, IPv6, yes", plain6.clone(), via(U)),
        ],
    );
    // What the kernel takes for ports: the SPI, 0x10101010 and 0x20202020.
    let ipsec = |frame: &Frame, protocol, skip, len, byte| {
        let mut payload = vec![0x30; skip];
        payload.resize(len, byte);
        frame.clone().transport(Transport::Raw(protocol, payload))
    };
    let extension = up(Reason::IpOptions);
    rule(
        scene,
        "sport 4096-8191",
        vec![
            row(94, "ESP, yes", ipsec(&plain4, 50, 0, 8, 0x10), via(U)),
            row(94, "ESP, no", ipsec(&plain4, 50, 0, 8, 0x20), via(B)),
            row(94, "ESP, 3 bytes", ipsec(&plain4, 50, 0, 3, 0x10), via(B)),
            row(94, "ESP, IPv6, yes", ipsec(&plain6, 50, 0, 8, 0x10), via(U)),
            row(94, "ESP, IPv6, no", ipsec(&plain6, 50, 0, 8, 0x20), via(B)),
            row(
                94,
                "ESP, IPv6, 3 bytes",
                ipsec(&plain6, 50, 0, 3, 0x10),
                via(B),
            ),
            row(94, "AH, yes", ipsec(&plain4, 51, 4, 12, 0x10), via(U)),
            row(94, "AH, no", ipsec(&plain4, 51, 4, 12, 0x20), via(B)),
            row(94, "AH, 7 bytes", ipsec(&plain4, 51, 4, 7, 0x10), via(B)),
            row(94, "AH, IPv6", ipsec(&plain6, 51, 4, 12, 0x10), extension),
        ],
    );
    rule(
        scene,
        "fwmark 7",
        vec![
            row(
                94,
                "rule by a mark that no frame has",
                plain4.clone(),
                via(B),
            ),
            row(
                94,
                "rule by a mark that no frame has, IPv6",
                plain6.clone(),
                via(B),
            ),
        ],
    );
    suppressed_routes(scene);
    scene.ip("rule add from 172.16.10.0/28 lookup 7");
    scene.ip6("rule add from fd00:10::/120 lookup 7");
    scene.check([
        row(94, "rule by source", plain4, via(U)),
        row(94, "rule by source, IPv6", plain6, via(U)),
    ]);
}

/// The rules of `wg-quick`: what only main's default route leads to goes into the
/// tunnel. The helper takes the route that a rule suppresses, in IPv6 alone.
fn suppressed_routes<S: Stage>(scene: &mut S) {
    let (plain4, plain6) = (to4("192.0.2.1"), to6("2001:db8::1"));
    scene.ip(&format!(
        "route add default via {}\n\
         route add default via {}\n\
         route add table 8 default via {}\n\
         route add table 8 default via {}",
        U.v4(9),
        U.v6(9),
        C.v4(9),
        C.v6(9)
    ));
    for suppress in ["suppress_prefixlength 0", "suppress_ifgroup default"] {
        let rules = [
            "pref 9 not fwmark 7 lookup 8".to_owned(),
            format!("pref 8 lookup main {suppress}"),
        ];
        let change = |scene: &mut S, verb: &str| {
            for rule in &rules {
                scene.ip(&format!("rule {verb} {rule}"));
                scene.ip6(&format!("rule {verb} {rule}"));
            }
        };
        change(scene, "add");
        // The second suppresses the way back to A, too.
        if suppress.ends_with('0') {
            scene.check([row(94, suppress, plain4.clone(), via(C))]);
        }
        let (alone, told) = (via(U), up(Reason::ForwardingOff));
        scene.check([row(
            94,
            format!("{suppress}, IPv6, not told"),
            plain6.clone(),
            alone,
        )
        .by_hand()
        .kernel_forwards_by_router(C)]);
        scene.change_ingress(A, |entry| entry.flags &= !ingress_flags::FORWARD_V6);
        scene.check([
            row(94, format!("{suppress}, IPv6"), plain6.clone(), told).kernel_forwards_by_router(C),
            row(94, format!("{suppress}, IPv6, to a host"), A.v6_to(B), told),
        ]);
        change(scene, "del");
        scene.change_ingress(A, |_| ());
        scene.check([row(94, "no rule suppresses, IPv6", plain6.clone(), via(U))]);
    }
}

/// Next hops of other kinds.
pub fn next_hops_of_other_kinds<S: Stage>(scene: &mut S) {
    scene.ip(&format!(
        "route add 10.8.0.0/16 via inet6 {}\n\
         nexthop add id 1 via {} dev {b}\n\
         nexthop add id 2 blackhole\n\
         route add 10.9.0.0/16 nhid 1\n\
         route add 10.10.0.0/16 nhid 2\n\
         route add fd08::/64 encap seg6 mode encap segs fd00:77::1 via {} dev {b}\n\
         route add 10.11.0.0/16 dev {b}\n\
         route add 10.12.0.0/16 via 10.99.0.1 dev {b} onlink\n\
         neigh add 10.99.0.1 lladdr {mac} nud permanent dev {b}",
        B.v6(9),
        B.v4(9),
        B.v6(9),
        b = B.device(),
        mac = "02:00:00:00:02:09",
    ));
    scene.check([
        row(100, "IPv4 by an IPv6 next hop", to4("10.8.0.1"), via(B)),
        row(99, "next hop object", to4("10.9.0.1"), via(B)),
        row(
            99,
            "next hop object, blackhole",
            to4("10.10.0.1"),
            up(Reason::Blackhole),
        )
        .kernel_drops(),
        row(104, "SRv6", to6("fd08::1"), up(Reason::LightweightTunnel)),
        row(
            101,
            "on-link route, nobody there",
            to4("10.11.0.1"),
            up(Reason::NoNeighbour),
        )
        .kernel_drops(),
        row(
            92,
            "next hop outside every prefix",
            to4("10.12.0.1"),
            via(B),
        ),
    ]);
    // 106: a device that is gone.
    scene.ip("link set net-b down");
    scene.check([row(
        106,
        "egress down, no other route",
        to4("10.12.0.1"),
        up(Reason::NotForwarded),
    )
    .kernel_answers()]);
}
