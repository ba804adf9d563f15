//! 108: routes and neighbours change while traffic runs. What is sent 10 ms after
//! the change, or later, is not on the old path; and nothing is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use router_tests::{
    lab,
    oracle::{Arm, Fate, Seen, Twin},
    packet::{Frame, Transport},
    prog::Network::{A, B, C},
    tables::Stage as _,
};

/// After this nothing is on the old path.
const GRACE: Duration = Duration::from_millis(10);

/// Before the change, and after its grace.
fn run_for() -> Duration {
    Duration::from_millis(if lab::slow() { 1000 } else { 150 })
}

/// One change.
struct Change {
    what: &'static str,
    frame: Frame,
    /// Lines of `ip`.
    lines: String,
    /// A frame of the old path and of the new one: its place and its MAC.
    old: (usize, [u8; 6]),
    new: (usize, [u8; 6]),
}

/// Sends numbered packets through one arm, changes it meanwhile, and tells what
/// is wrong.
fn under_way(arm: &mut Arm, wire_of_a: usize, frame: &Frame, change: &Change) -> Vec<String> {
    let mut seen = Seen::default();
    arm.drain(&mut seen).expect("a wire");
    let mut seen = Seen::default();
    let mut sent: Vec<Instant> = Vec::new();
    let router = arm.router.handle().expect("a namespace");
    let lines = change.lines.clone();
    let changed = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&changed);
    let start = Instant::now();
    let changer = thread::spawn(move || {
        thread::sleep(run_for());
        router.ip_batch(&lines).expect("ip");
        let at = Instant::now();
        told.store(true, Ordering::Relaxed);
        at
    });
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) && start.elapsed() < run_for() * 20 {
        if end.is_none() && changed.load(Ordering::Relaxed) {
            end = Some(Instant::now() + GRACE + run_for());
        }
        let number = u32::try_from(sent.len()).expect("few packets");
        let udp = Transport::Udp {
            ports: (4000, 5000),
            payload: number.to_be_bytes().to_vec(),
        };
        sent.push(Instant::now());
        arm.send(wire_of_a, &frame.clone().transport(udp).bytes())
            .expect("a wire");
        arm.drain(&mut seen).expect("a wire");
        thread::sleep(Duration::from_micros(500));
    }
    let changed_at = changer.join().expect("the change");
    arm.barrier(wire_of_a, &mut seen).expect("a wire");
    let mut wrong = Vec::new();
    let mut came = vec![0_u32; sent.len()];
    let (mut before, mut after) = (0, 0);
    for (wire, frame) in &seen.frames {
        let bytes = &frame[frame.len() - 4..];
        let number = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let Some(at) = sent.get(number as usize) else {
            continue;
        };
        came[number as usize] += 1;
        let place = (*wire, frame[..6].try_into().expect("a MAC"));
        if place == change.old {
            before += 1;
            if *at > changed_at + GRACE {
                let late = at.duration_since(changed_at);
                wrong.push(format!("on the old path {late:?} after the change"));
            }
        } else if place == change.new {
            after += 1;
        } else {
            wrong.push(format!("on another path: {place:?}"));
        }
    }
    let lost = came.iter().filter(|count| **count == 0).count();
    if lost > 0 || came.iter().any(|count| *count > 1) {
        wrong.push(format!("{lost} of {} lost, or some came twice", sent.len()));
    }
    if before == 0 || after == 0 {
        wrong.push(format!("{before} on the old path, {after} on the new one"));
    }
    wrong
}

pub(crate) fn mid_traffic(twin: &mut Twin) {
    let world = twin.world();
    let (wire_b, wire_c) = (world.wire(B), world.wire(C));
    twin.ip(&format!(
        "route add 10.9.0.0/16 via {}\nroute add fd00:9::/64 via {}",
        B.v4(9),
        B.v6(9)
    ));
    let to4 = A.v4_to(B).to4([10, 9, 0, 1].into());
    let to6 = A.v6_to(B).to6("fd00:9::1".parse().expect("an address"));
    let moved = [0x02, 0, 0, 0, 2, 0x99];
    let neighbour = |address: &str| {
        format!("neigh replace {address} lladdr 02:00:00:00:02:99 nud permanent dev net-b")
    };
    let routes = ((wire_b, B.router_mac()), (wire_c, C.router_mac()));
    let hosts = ((wire_b, B.host_mac()), (wire_b, moved));
    let changes = [
        (
            "route",
            to4,
            format!("route replace 10.9.0.0/16 via {}", C.v4(9)),
            routes,
        ),
        (
            "route, IPv6",
            to6,
            format!("route replace fd00:9::/64 via {}", C.v6(9)),
            routes,
        ),
        (
            "neighbour",
            A.v4_to(B),
            neighbour(&B.v4(10).to_string()),
            hosts,
        ),
        (
            "neighbour, IPv6",
            A.v6_to(B),
            neighbour(&B.v6(0x10).to_string()),
            hosts,
        ),
        (
            "narrower route",
            A.v4_to(B),
            format!("route add {}/32 via {}", B.v4(10), C.v4(9)),
            ((wire_b, moved), (wire_c, C.router_mac())),
        ),
    ];
    for (what, frame, lines, (old, new)) in changes {
        let change = Change {
            what,
            frame,
            lines,
            old,
            new,
        };
        twin.settle();
        let Some(frame) = world.on_wire(A, &change.frame) else {
            continue;
        };
        let fast = twin.on.stats().expect("the daemon").fast;
        let wire_of_a = world.wire(A);
        let on = under_way(&mut twin.on, wire_of_a, &frame, &change);
        let off = under_way(&mut twin.off, wire_of_a, &frame, &change);
        let fast = twin.on.stats().expect("the daemon").fast - fast;
        // What this counted is no row's.
        twin.touch();
        if on.is_empty() && off.is_empty() && fast > 0 {
            twin.shown(108, Fate::Xdp);
        } else {
            twin.fail(
                108,
                change.what,
                &format!("with XDP {on:?}, without {off:?}, {fast} by XDP"),
            );
        }
    }
}
