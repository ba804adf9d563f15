//! 90: super-frames. Stations with all offloads on send them; behind their cards
//! there is a wire, and on it, on both sides of the router, no frame is larger than
//! its MTU.
//!
//! ```text
//!  station 0 ==== card 0 (host 0) ---- router ---- card 1 (host 1) ==== station 1
//!        up to 64 KiB, half a checksum       a wire's frames
//! ```
//!
//! A station whose veth were the trunk's other end would not do. The kernel takes
//! TSO from the peer of a veth with XDP, but leaves it the checksum: XDP sees half
//! a checksum, cannot know it, and sends it on. Measured on 6.18: no connection is
//! made with XDP on, while the kernel alone forwards (pitfalls.md 15).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use router_tests::{
    capture::Capture,
    lab::Lab,
    netns::{self, Netns},
    oracle::{Fate, Tally},
    router_daemon::RouterDaemon,
    topology::{Family, offloads_on},
    transfer::{Transferred, transfer},
};

use crate::wire::{self, Wire};

/// Each way.
const BYTES: u64 = 2 << 20;

/// What a NIC with segmentation offload does for its station, and a veth does not
/// do at all.
const OFFLOADS: &[&str] = &["tx", "sg", "tso", "gso", "gro"];

/// Towards the station.
const INSIDE: &str = "inside";

/// The stations' networks.
fn v4(index: usize, host: u8) -> String {
    format!("10.50.{index}.{host}")
}

fn v6(index: usize, host: u8) -> String {
    format!("fd50:{index}::{host}")
}

/// A station behind a host of the lab, which routes for it.
fn station(lab: &Lab, index: usize) -> Netns {
    let name = format!("lab-station{index}-{}", netns::unique_suffix());
    let station = Netns::create(&name).expect("a namespace");
    let card = lab.host(index);
    for netns in [&station, card] {
        netns
            .sysctl("ipv6/conf/default/accept_dad", "0")
            .expect("accept_dad");
    }
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        card.sysctl(key, "1").expect("forwarding");
    }
    card.ip_batch(&format!(
        "link add {INSIDE} type veth peer name eth0 netns {name}\n\
         link set {INSIDE} up\n\
         address add {}/24 dev {INSIDE}\n\
         address add {}/64 dev {INSIDE} nodad",
        v4(index, 1),
        v6(index, 1)
    ))
    .expect("the card's inside");
    station
        .ip_batch(&format!(
            "link set eth0 up\n\
             address add {}/24 dev eth0\n\
             address add {}/64 dev eth0 nodad\n\
             route add default via {}\n\
             route add default via {}",
            v4(index, 10),
            v6(index, 10),
            v4(index, 1),
            v6(index, 1)
        ))
        .expect("the station");
    for (netns, device) in [(&station, "eth0"), (card, INSIDE)] {
        offloads_on(netns, device, OFFLOADS).expect("offloads");
    }
    // At most so much on its way: a veth's ring has 256 places.
    station
        .sysctl("ipv4/tcp_rmem", "4096 65536 65536")
        .expect("tcp_rmem");
    station
}

/// What a run came to.
struct Outcome {
    transferred: Vec<Transferred>,
    /// On the router's wires.
    wire: Arc<Wire>,
    /// The largest frame that a station gave its card.
    largest: u64,
    by_xdp: u64,
    by_kernel: u64,
}

fn run(xdp: bool) -> Option<Outcome> {
    let lab = Lab::or_skip("super_frames", 2)?;
    let mut config = lab.config(&[0, 1], "");
    if !xdp {
        config = config.replace("[[trunk]]\n", "[[trunk]]\nxdp = \"off\"\n");
    }
    let mut daemon = RouterDaemon::configure(&lab, &config).expect("a daemon");
    daemon.start().expect("the daemon to forward");
    let stations = [0, 1].map(|index| station(&lab, index));
    let routes: Vec<_> = [0, 1]
        .map(|index| {
            let network = &lab.networks()[index];
            format!(
                "route add {}/24 via {}\nroute add {}/64 via {}",
                v4(index, 0),
                network.host4,
                v6(index, 0),
                network.host6
            )
        })
        .into();
    lab.router().ip_batch(&routes.join("\n")).expect("routes");
    // The cards have taken one from the stations' 64.
    let (wire, mut taps) = wire::tap(&lab, &[1500, 1500], 62);
    let largest = Arc::new(AtomicU64::new(0));
    for index in [0, 1] {
        let largest = Arc::clone(&largest);
        let tap = Capture::start(lab.host(index), INSIDE, move |frame| {
            largest.fetch_max(frame.bytes.len() as u64, Ordering::Relaxed);
        });
        taps.push(tap.expect("a capture"));
    }
    let before = lab.forwarded_by_kernel().expect("counters");
    let transferred = Family::ALL.map(|family| {
        let address = match family {
            Family::V4 => v4(1, 10),
            Family::V6 => v6(1, 10),
        };
        let address = address.parse().expect("an address");
        transfer(&stations[0], &stations[1], address, BYTES)
            .unwrap_or_else(|error| panic!("{}: {error:#}\n{}", family.name(), lab.diagnosis()))
    });
    for tap in taps {
        tap.finish().expect("no frame was missed");
    }
    let by_xdp = if xdp {
        daemon.forwarded_by_xdp().expect("the daemon's counters")
    } else {
        0
    };
    let by_kernel = lab.forwarded_by_kernel().expect("counters") - before;
    Some(Outcome {
        transferred: transferred.into(),
        wire,
        largest: largest.load(Ordering::Relaxed),
        by_xdp,
        by_kernel,
    })
}

pub(crate) fn super_frames() {
    let Some(with) = run(true) else {
        return;
    };
    let Some(without) = run(false) else {
        return;
    };
    for (arm, outcome) in [("with XDP", &with), ("without", &without)] {
        outcome.wire.assert_as_sent();
        println!(
            "{arm}: {} frames on the wire, up to {} bytes; {} by XDP, {} by the kernel; up to {} \
             bytes from a station",
            outcome.wire.frames(),
            outcome.wire.largest(),
            outcome.by_xdp,
            outcome.by_kernel,
            outcome.largest
        );
        assert!(outcome.largest > 4500, "{arm}: no super-frame was sent");
        assert_eq!(outcome.wire.largest(), 1500, "{arm}");
    }
    for (with, without) in with.transferred.iter().zip(&without.transferred) {
        assert_eq!((&with.there, &with.back), (&without.there, &without.back));
        assert_eq!((with.bytes, without.bytes), (BYTES, BYTES));
    }
    // Neighbour discovery is in the frames, and in nobody's count.
    let most = |count: u64, frames: u64| count * 10 > frames * 9;
    assert!(most(with.by_xdp, with.wire.frames()), "by XDP");
    assert!(with.by_kernel * 50 < with.wire.frames(), "by the kernel");
    assert!(
        most(without.by_kernel, without.wire.frames()),
        "by the kernel"
    );
    let mut tally = Tally::default();
    tally.note(90, Fate::Xdp, "super_frames");
    tally.note(90, Fate::Kernel, "super_frames");
    tally.tell();
}
