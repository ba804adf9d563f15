//! Conformance section F: many routes, equal legs, dead legs, VRFs.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr};

use router_tests::{
    netns,
    oracle::{Fate, Seen, Twin},
    packet::{Frame, Mac, Transport},
    prog::{
        Network::{self, A, B, C, U},
        forward, row,
    },
    tables::Stage,
};

/// The way out of route number `n`.
fn way(n: usize, turn: usize) -> Network {
    [B, C, U][(n + turn) % 3]
}

/// 93: a thousand routes, a hundred of them deleted, a thousand more.
pub(crate) fn many_routes<S: Stage>(stage: &mut S) {
    let net = |n: usize| format!("10.{}.{}", 100 + n / 200, n % 200);
    let to = |n: usize| -> Frame {
        let address: Ipv4Addr = format!("{}.1", net(n)).parse().expect("an address");
        A.v4_to(B).to4(address)
    };
    let add = |range: std::ops::Range<usize>, turn: usize, verb: &str| {
        let mut lines = String::new();
        for n in range {
            let _ = writeln!(
                lines,
                "route {verb} {}.0/24 via {}",
                net(n),
                way(n, turn).v4(9)
            );
        }
        lines
    };
    let check = |stage: &mut S, what: &str, range: std::ops::Range<usize>, turn: usize| {
        let rows = range.step_by(37).map(|n| {
            let expect = forward(A, way(n, turn)).by_router();
            row(93, format!("{what}: route {n}"), to(n), expect)
        });
        stage.check(rows.collect::<Vec<_>>());
    };
    stage.ip(&add(0..1000, 0, "add"));
    check(stage, "1000 added", 0..1000, 0);
    let mut lines = String::new();
    for n in 400..500 {
        let _ = writeln!(lines, "route del {}.0/24", net(n));
    }
    // Deleted ones fall to a wider route.
    let _ = writeln!(lines, "route add 10.0.0.0/8 via {}", U.v4(9));
    stage.ip(&lines);
    check(stage, "100 deleted", 0..400, 0);
    check(stage, "100 deleted", 500..1000, 0);
    let wider = (400..500).step_by(37).map(|n| {
        row(
            93,
            format!("deleted: route {n}"),
            to(n),
            forward(A, U).by_router(),
        )
    });
    stage.check(wider.collect::<Vec<_>>());
    stage.ip(&add(1000..2000, 1, "add"));
    stage.ip(&add(400..500, 2, "add"));
    check(stage, "1000 more", 1000..2000, 1);
    check(stage, "100 again, elsewhere", 400..500, 2);
    check(stage, "the first thousand", 0..400, 0);
}

/// A way by a network's router, in the words of `ip`.
pub(crate) fn nexthop(network: Network, v6: bool) -> String {
    let via = if v6 {
        network.v6(9).to_string()
    } else {
        network.v4(9).to_string()
    };
    format!("via {via} dev {}", network.device())
}

/// Flows that differ by address (L3) or by port alone (L4).
pub(crate) fn flows(v6: bool, by_port: bool, count: u16, net: u8) -> Vec<Frame> {
    (0..count)
        .map(|flow| {
            let (ports, host) = if by_port {
                ((20_000 + flow, 5000), 1)
            } else {
                ((4000, 5000), flow + 1)
            };
            let udp = Transport::Udp {
                ports,
                payload: flow.to_be_bytes().to_vec(),
            };
            let [high, low] = host.to_be_bytes();
            if v6 {
                let to = format!("fd{net}::{host:x}").parse().expect("an address");
                A.v6_to(B).to6(to).transport(udp)
            } else {
                A.v4_to(B).to4([10, net, high, low].into()).transport(udp)
            }
        })
        .collect()
}

/// The neighbour that each flow was sent to, by the number in its payload: two
/// legs may be VLANs of one wire.
fn legs(seen: &Seen) -> BTreeMap<u16, Mac> {
    let leg = |frame: &[u8]| {
        let [high, low] = *frame.last_chunk()?;
        Some((u16::from_be_bytes([high, low]), *frame.first_chunk()?))
    };
    seen.frames
        .iter()
        .filter_map(|(_, frame)| leg(frame))
        .collect()
}

/// So many that chance alone moves the share of two legs by 15 % once in a hundred
/// thousand runs.
const FLOWS: u16 = 1000;

/// Plays flows twice and holds the arms to each other: stickiness, shares.
pub(crate) fn spread(twin: &mut Twin, what: &str, case: u16, flows: &[Frame], ways: &[Network]) {
    let inputs: Vec<_> = flows
        .iter()
        .filter_map(|flow| twin.frame(A, flow))
        .collect();
    if inputs.is_empty() {
        return;
    }
    let mut rounds = Vec::new();
    let mut wrong = Vec::new();
    let mut fast = 0;
    for _ in 0..2 {
        let (mut on, mut off) = (BTreeMap::new(), BTreeMap::new());
        // Far fewer at once than a veth's ring has places.
        for part in inputs.chunks(50) {
            let trial = twin.trial(what, A, part);
            on.extend(legs(&trial.on));
            off.extend(legs(&trial.off));
            fast += trial.counted.fast;
            wrong.extend(trial.wrong);
        }
        rounds.push((on, off));
    }
    let fate = if fast > 0 { Fate::Xdp } else { Fate::Kernel };
    let (on, off) = &rounds[0];
    if rounds[0] != rounds[1] {
        wrong.push("a flow changed its leg".to_owned());
    }
    if on.len() != inputs.len() || off.len() != inputs.len() {
        wrong.push(format!(
            "{} and {} of {} flows came out",
            on.len(),
            off.len(),
            inputs.len()
        ));
    }
    for network in ways {
        let leg = network.router_mac();
        let share = |legs: &BTreeMap<u16, Mac>| legs.values().filter(|mac| **mac == leg).count();
        let fair = inputs.len() / ways.len();
        for (arm, share) in [("with XDP", share(on)), ("without", share(off))] {
            // Within 15 % of what is fair.
            if share.abs_diff(fair) * 100 > fair * 15 {
                wrong.push(format!(
                    "{arm} {share} of {} took {network:?}",
                    inputs.len()
                ));
            }
        }
    }
    let elsewhere = on.iter().filter(|(flow, leg)| off.get(flow) != Some(leg));
    let elsewhere = elsewhere.count();
    if elsewhere > 0 {
        wrong.push(format!("{elsewhere} flows took another leg with XDP"));
    }
    if wrong.is_empty() {
        twin.shown(case, fate);
        twin.shown(97, fate);
    } else {
        twin.fail(case, what, &wrong.join("; "));
    }
}

/// 96 to 99: equal legs, by routes and by next-hop objects, under the hash
/// policies L3 and L4; then one leg dies.
pub(crate) fn equal_legs(twin: &mut Twin) {
    twin.ip(&format!(
        "route add 10.13.0.0/16 nexthop {} nexthop {}\n\
         route add fd13::/64 nexthop {} nexthop {}\n\
         nexthop add id 1 {}\n\
         nexthop add id 2 {}\n\
         nexthop add id 10 group 1/2\n\
         nexthop add id 11 group 1/2 type resilient buckets 32\n\
         route add 10.14.0.0/16 nhid 10\n\
         route add 10.15.0.0/16 nhid 11\n\
         nexthop add id 3 {}\n\
         nexthop add id 4 {}\n\
         nexthop add id 12 group 3/4 type resilient buckets 32\n\
         route add fd15::/64 nhid 12",
        nexthop(C, false),
        nexthop(U, false),
        nexthop(C, true),
        nexthop(U, true),
        nexthop(C, false),
        nexthop(U, false),
        nexthop(C, true),
        nexthop(U, true),
    ));
    for (policy, by_port) in [("0", false), ("1", true)] {
        for family in ["ipv4", "ipv6"] {
            twin.sysctl(&format!("{family}/fib_multipath_hash_policy"), policy);
        }
        for (what, case, v6, net) in [
            ("routes", 96, false, 13),
            ("routes, IPv6", 96, true, 13),
            ("next-hop group", 99, false, 14),
            ("resilient group", 99, false, 15),
            ("resilient group, IPv6", 99, true, 15),
        ] {
            let flows = flows(v6, by_port, FLOWS, net);
            spread(
                twin,
                &format!("{what}, policy {policy}"),
                case,
                &flows,
                &[C, U],
            );
        }
    }
    for family in ["ipv4", "ipv6"] {
        twin.sysctl(&format!("{family}/fib_multipath_hash_policy"), "0");
    }
    // Echoes by a rule that looks into packets; none of these matches.
    twin.ip6("rule add ipproto tcp dport 1 lookup 7");
    let echoes: Vec<_> = flows(true, false, 150, 13)
        .into_iter()
        .zip(0_u16..)
        .map(|(flow, number)| {
            let payload = number.to_be_bytes().to_vec();
            let id = (7, 1);
            flow.flow_label(0x1_2345)
                .transport(Transport::Echo { id, payload })
        })
        .collect();
    spread(twin, "echoes under a rule by ports", 96, &echoes, &[C, U]);
    twin.ip6("rule del ipproto tcp dport 1 lookup 7");
    // 98, 106: whichever way is left.
    twin.ip("link set net-c down");
    for (what, v6) in [("dead leg", false), ("dead leg, IPv6", true)] {
        let flows = flows(v6, false, 40, 13);
        spread(twin, what, 98, &flows, &[U]);
    }
}

/// 95: networks in a VRF are forwarded between; to others where its table lets a
/// packet fall through to the next rule, as it does until it has a last route.
pub(crate) fn vrf(twin: &mut Twin) {
    twin.ip("link add red type vrf table 100\nlink set red up");
    twin.ip("link set net-a master red\nlink set net-b master red");
    // Neighbours and IPv6 addresses went with the move.
    twin.ip(&twin.world().addresses());
    for (what, from, frame, expected) in [
        ("an open table", A, A.v4_to(C), true),
        ("an open table, IPv6", A, A.v6_to(C), true),
    ] {
        fate_in_vrf(twin, what, from, &frame, expected);
    }
    twin.ip(
        "route add unreachable 0.0.0.0/0 table 100 metric 4278198272\n\
         route add unreachable ::/0 table 100 metric 4278198272",
    );
    for (what, from, frame, expected) in [
        ("inside", A, A.v4_to(B), true),
        ("inside, IPv6", A, A.v6_to(B), true),
        ("back", B, B.v4_to(A), true),
        ("out of it", A, A.v4_to(C), false),
        ("out of it, IPv6", A, A.v6_to(C), false),
        ("into it", C, C.v4_to(A), false),
        ("into it, IPv6", C, C.v6_to(A), false),
        ("beside it", C, C.v4_to(U), true),
    ] {
        fate_in_vrf(twin, what, from, &frame, expected);
    }
    twin.ip("link set net-a nomaster\nlink set net-b nomaster\nlink del red");
}

/// The same with XDP and without, and forwarded or not.
fn fate_in_vrf(twin: &mut Twin, what: &str, from: Network, frame: &Frame, forwarded: bool) {
    let Some(bytes) = twin.frame(from, frame) else {
        return;
    };
    let (.., fate) = twin.same(95, what, from, &[bytes]);
    if matches!(fate, Fate::Xdp | Fate::Kernel) != forwarded {
        twin.fail(95, what, &fate.to_string());
    }
}

/// Whether this kernel has VRFs: tried, in a namespace that goes away.
pub(crate) fn has_vrf() -> bool {
    std::thread::spawn(|| {
        let _guard = netns::private().ok()?;
        netns::ip("link add red type vrf table 100").ok()
    })
    .join()
    .is_ok_and(|done| done.is_some())
}
