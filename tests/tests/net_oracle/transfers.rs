//! 87, 90 and 91: whole TCP connections between real hosts across networks of
//! different MTUs, with XDP and without.

use std::sync::Arc;

use router_tests::{
    lab::{HOST_INTERFACE, Kind, Lab},
    oracle::{Fate, Tally},
    router_daemon::RouterDaemon,
    topology::Family,
    transfer::{Transferred, transfer},
};

use crate::wire::{self, Wire};

/// Of the four networks, in order.
const MTUS: [u16; 4] = [9000, 1500, 1400, 9000];

/// Client and server.
const PAIRS: [(usize, usize); 4] = [(0, 3), (0, 1), (1, 2), (2, 0)];

/// Each way.
const BYTES: u64 = 2 << 20;

/// Gives every network its MTU: what the wire carries first, then the rest.
fn set_sizes(lab: &Lab) {
    for trunk in lab.trunks() {
        let size = match lab.kind() {
            Kind::Tagged => MTUS[0],
            Kind::Untagged => size_of(lab, &trunk),
        };
        let set = format!("link set {trunk} mtu {size}");
        lab.router().ip(&set).expect("the trunk's MTU");
    }
    for (index, mtu) in MTUS.iter().enumerate() {
        let (netns, port) = lab.sink(index);
        if lab.kind() == Kind::Tagged {
            netns
                .ip(&format!("link set {port} mtu {}", MTUS[0]))
                .expect("the wire's MTU");
        }
        let host = lab.host(index);
        host.ip(&format!("link set {HOST_INTERFACE} mtu {mtu}"))
            .expect("the host's MTU");
        // At most so much on its way: a veth's ring has 256 places.
        host.sysctl("ipv4/tcp_rmem", "4096 65536 65536")
            .expect("tcp_rmem");
    }
}

fn size_of(lab: &Lab, trunk: &str) -> u16 {
    let index = lab
        .networks()
        .iter()
        .position(|network| network.trunk == trunk);
    MTUS[index.unwrap_or(0)]
}

/// Every pair in both families; what arrived, and what XDP forwarded of it.
fn run(xdp: bool) -> Option<(Vec<Transferred>, u64, Arc<Wire>)> {
    let lab = Lab::or_skip("tcp_across_mtus", MTUS.len())?;
    set_sizes(&lab);
    let networks: Vec<_> = (0..MTUS.len()).collect();
    let mut config = lab.config(&networks, "");
    if !xdp {
        config = config.replace("[[trunk]]\n", "[[trunk]]\nxdp = \"off\"\n");
    }
    let mut daemon = RouterDaemon::configure(&lab, &config).expect("a daemon");
    daemon.start().expect("the daemon to forward");
    for (network, mtu) in lab.networks().iter().zip(MTUS) {
        let set = format!("link set {} mtu {mtu}", network.interface);
        lab.router().ip(&set).expect("the network's MTU");
    }
    // Hosts send with 64.
    let (sink, taps) = wire::tap(&lab, &MTUS, 63);
    let mut transferred = Vec::new();
    for (client, server) in PAIRS {
        let network = &lab.networks()[server];
        for family in Family::ALL {
            let address = match family {
                Family::V4 => network.host4.into(),
                Family::V6 => network.host6.into(),
            };
            let done = transfer(lab.host(client), lab.host(server), address, BYTES);
            transferred.push(done.unwrap_or_else(|error| {
                panic!(
                    "{client} to {server}, {}: {error:#}\n{}",
                    family.name(),
                    lab.diagnosis()
                )
            }));
        }
    }
    for tap in taps {
        tap.finish().expect("no frame was missed");
    }
    let fast = if xdp {
        daemon.forwarded_by_xdp().expect("the daemon's counters")
    } else {
        0
    };
    Some((transferred, fast, sink))
}

pub(crate) fn tcp_across_mtus() {
    let Some((with, fast, seen)) = run(true) else {
        return;
    };
    let Some((without, _, seen_without)) = run(false) else {
        return;
    };
    for sink in [&seen, &seen_without] {
        sink.assert_as_sent();
        // Two networks have jumbo frames, and use them.
        let largest = sink.largest();
        assert!(largest > 8000 && largest <= 9000, "{largest} bytes at most");
    }
    for (with, without) in with.iter().zip(&without) {
        assert_eq!((&with.there, &with.back), (&without.there, &without.back));
        assert_eq!(with.bytes, BYTES);
    }
    let frames = seen.frames();
    println!("{fast} of {frames} frames by XDP");
    assert!(fast * 10 > frames * 9, "XDP forwarded {fast} of {frames}");
    let mut tally = Tally::default();
    for case in [87, 90, 91] {
        tally.note(case, Fate::Xdp, "tcp_across_mtus");
    }
    tally.tell();
}
