//! 98, 106: legs that die in other ways than by `ip link set down`: the other end
//! of the wire goes, or the neighbour.

use std::time::{Duration, Instant};

use router_tests::{
    lab,
    oracle::{Arm, Fate, Twin},
    packet::Frame,
    prog::{
        Network::{A, B, C},
        forward, row,
    },
    tables::Stage as _,
};

use super::fib::{flows, nexthop, spread};

/// Flows of each kind.
const FLOWS: u16 = 40;

/// Two legs by routes (13, both families) and by a next-hop group (14).
fn two_legs(twin: &mut Twin) {
    twin.ip(&format!(
        "route add 10.13.0.0/16 nexthop {b4} nexthop {c4}\n\
         route add fd13::/64 nexthop {b6} nexthop {c6}\n\
         nexthop add id 1 {b4}\n\
         nexthop add id 2 {c4}\n\
         nexthop add id 3 {b6}\n\
         nexthop add id 4 {c6}\n\
         nexthop add id 10 group 1/2\n\
         nexthop add id 11 group 3/4\n\
         route add 10.14.0.0/16 nhid 10\n\
         route add fd14::/64 nhid 11",
        b4 = nexthop(B, false),
        c4 = nexthop(C, false),
        b6 = nexthop(B, true),
        c6 = nexthop(C, true),
    ));
}

const KINDS: [(&str, bool, u8); 4] = [
    ("routes", false, 13),
    ("routes, IPv6", true, 13),
    ("next-hop group", false, 14),
    ("next-hop group, IPv6", true, 14),
];

/// Takes the carrier from C's wire, or gives it back, and waits until the router
/// has noticed.
fn carrier(twin: &mut Twin, there: bool) {
    let wire = twin.world().wire(C);
    let state = if there { "up" } else { "down" };
    let noticed = |arm: &Arm| {
        let link = arm.router.ip(&format!("-o link show {}", C.device()));
        link.expect("a link").contains("LOWER_UP") == there
    };
    for arm in [&twin.on, &twin.off] {
        let lines = format!("link set wire{wire} {state}");
        arm.wire.ip(&lines).expect("a wire");
        let start = Instant::now();
        let limit = Duration::from_secs(if lab::slow() { 30 } else { 5 });
        while !noticed(arm) {
            assert!(start.elapsed() < limit, "no notice of the carrier");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    twin.touch();
}

/// All flows, of which some may be lost on a dead leg: alike.
fn alike(twin: &mut Twin, what: &str, flows: &[Frame]) {
    let inputs: Vec<_> = flows
        .iter()
        .filter_map(|flow| twin.frame(A, flow))
        .collect();
    let trial = twin.trial(what, A, &inputs);
    let out = trial.on.frames.len();
    let mut wrong = trial.wrong;
    // The kernel goes on sending to a leg without a carrier.
    if out == 0 || out >= inputs.len() {
        wrong.push(format!("{out} of {} came out", inputs.len()));
    }
    if wrong.is_empty() {
        let fast = trial.counted.fast > 0;
        twin.shown(98, if fast { Fate::Xdp } else { Fate::Kernel });
    } else {
        twin.fail(98, what, &wrong.join("; "));
    }
}

/// 98: C's wire loses its carrier. Routes go on using it; of next-hop objects the
/// kernel takes the dead ones away.
pub(crate) fn carrier_loss(twin: &mut Twin) {
    two_legs(twin);
    carrier(twin, false);
    for (what, v6, net) in KINDS {
        let what = format!("no carrier, {what}");
        let flows = flows(v6, false, FLOWS, net);
        if net == 13 {
            alike(twin, &what, &flows);
        } else {
            spread(twin, &what, 98, &flows, &[B]);
        }
    }
    carrier(twin, true);
}

/// 98: the same when the kernel was told to leave such routes out.
pub(crate) fn carrier_loss_ignored(twin: &mut Twin) {
    for family in ["ipv4", "ipv6"] {
        for interface in ["all", "net-c"] {
            let key = format!("{family}/conf/{interface}/ignore_routes_with_linkdown");
            twin.sysctl(&key, "1");
        }
    }
    two_legs(twin);
    carrier(twin, false);
    for (what, v6, net) in KINDS {
        let what = format!("no carrier, left out, {what}");
        spread(twin, &what, 98, &flows(v6, false, FLOWS, net), &[B]);
    }
    carrier(twin, true);
}

/// 98: a leg's neighbour is known to be dead, and the kernel is told to look.
pub(crate) fn failed_leg(twin: &mut Twin) {
    two_legs(twin);
    twin.sysctl("ipv4/fib_multipath_use_neigh", "1");
    twin.ip(&format!("neigh replace {} dev net-c nud failed", C.v4(9)));
    for (what, v6, net) in KINDS.into_iter().filter(|(_, v6, _)| !v6) {
        let what = format!("failed neighbour, {what}");
        spread(twin, &what, 98, &flows(v6, false, FLOWS, net), &[B]);
    }
}

/// 98: a next-hop group's leg is taken down; 106: with another route there, the
/// next hop is the kernel's.
pub(crate) fn leg_down(twin: &mut Twin) {
    two_legs(twin);
    twin.ip(&format!(
        "route add 10.21.0.0/16 {} metric 10\n\
         route add 10.21.0.0/16 {} metric 20\n\
         route add fd21::/64 {} metric 10\n\
         route add fd21::/64 {} metric 20",
        nexthop(C, false),
        nexthop(B, false),
        nexthop(C, true),
        nexthop(B, true),
    ));
    let to4 = A.v4_to(B).to4([10, 21, 0, 1].into());
    let to6 = A.v6_to(B).to6("fd21::1".parse().expect("an address"));
    let rows = |what: &str, to| {
        let by = forward(A, to).by_router();
        [
            row(106, format!("{what}, IPv4"), to4.clone(), by),
            row(106, format!("{what}, IPv6"), to6.clone(), by),
        ]
    };
    twin.check(rows("both up", C));
    twin.ip("link set net-c down");
    for (what, v6, net) in KINDS.into_iter().filter(|(.., net)| *net == 14) {
        let what = format!("leg down, {what}");
        spread(twin, &what, 98, &flows(v6, false, FLOWS, net), &[B]);
    }
    twin.check(rows("the better one down", B));
}
