//! 87, 90 and 91: whole TCP connections between real hosts across networks of
//! different MTUs, with XDP and without.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use router_tests::{
    capture::{Capture, Frame},
    lab::{HOST_INTERFACE, Kind, Lab},
    oracle::{Fate, Tally},
    packet::Decoded,
    router_daemon::RouterDaemon,
    topology::Family,
    transfer::{Transferred, transfer},
};

/// Of the four networks, in order.
const MTUS: [u16; 4] = [9000, 1500, 1400, 9000];

/// Client and server.
const PAIRS: [(usize, usize); 4] = [(0, 3), (0, 1), (1, 2), (2, 0)];

/// Each way.
const BYTES: u64 = 2 << 20;

/// What the sinks saw.
#[derive(Debug, Default)]
struct Sink {
    frames: AtomicU64,
    largest: AtomicU64,
    bad_sums: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Sink {
    /// `limits`: the largest packet by VID, 0 for none.
    fn take(&self, limits: &[(u16, u16)], frame: &Frame) {
        let Some(decoded) = Decoded::read(&frame.bytes) else {
            return;
        };
        self.frames.fetch_add(1, Ordering::Relaxed);
        let head = 14 + 4 * decoded.tags.len();
        let packet = frame.bytes.len() - head;
        self.largest.fetch_max(packet as u64, Ordering::Relaxed);
        let vid = decoded.vid().unwrap_or(0);
        let limit = limits.iter().find(|(known, _)| *known == vid);
        let fits = limit.is_some_and(|(_, mtu)| packet <= usize::from(*mtu));
        if fits && decoded.header_checksum_ok {
            let bad = u64::from(!decoded.transport_checksum_ok);
            self.bad_sums.fetch_add(bad, Ordering::Relaxed);
            return;
        }
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < 10 {
            wrong.push(format!("{packet} bytes where {limit:?} may be: {decoded}"));
        }
    }
}

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
fn run(xdp: bool) -> Option<(Vec<Transferred>, u64, Arc<Sink>)> {
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
    let sink = Arc::new(Sink::default());
    let mut taps = Vec::new();
    for (index, network) in lab.networks().iter().enumerate() {
        let limits: Vec<_> = match lab.kind() {
            Kind::Tagged if index > 0 => continue,
            Kind::Tagged => {
                let vids = lab
                    .networks()
                    .iter()
                    .map(|network| network.vid.unwrap_or(0));
                vids.zip(MTUS).collect()
            }
            Kind::Untagged => vec![(network.vid.unwrap_or(0), MTUS[index])],
        };
        let (netns, port) = lab.sink(index);
        let seen = Arc::clone(&sink);
        let tap = Capture::start(netns, port, move |frame| seen.take(&limits, &frame));
        taps.push(tap.expect("a capture"));
    }
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
        let wrong = sink.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(wrong.is_empty(), "{wrong:#?}");
        // On a loaded machine one frame of thousands comes with a wrong TCP
        // checksum and is sent again; seen with the kernel's forwarding as well
        // (on veth, a retransmission shares its header with what is in flight:
        // not proved). A wrong rewrite would be wrong in all of them.
        let frames = sink.frames.load(Ordering::Relaxed);
        let bad = sink.bad_sums.load(Ordering::Relaxed);
        println!("{bad} of {frames} frames with a wrong TCP checksum");
        assert!(bad * 500 <= frames, "{bad} of {frames}");
        // Two networks have jumbo frames, and use them.
        let largest = sink.largest.load(Ordering::Relaxed);
        assert!(largest > 8000 && largest <= 9000, "{largest} bytes at most");
    }
    for (with, without) in with.iter().zip(&without) {
        assert_eq!((&with.there, &with.back), (&without.there, &without.back));
        assert_eq!(with.bytes, BYTES);
    }
    let frames = seen.frames.load(Ordering::Relaxed);
    println!("{fast} of {frames} frames by XDP");
    assert!(fast * 10 > frames * 9, "XDP forwarded {fast} of {frames}");
    let mut tally = Tally::default();
    for case in [87, 90, 91] {
        tally.note(case, Fate::Xdp, "tcp_across_mtus");
    }
    tally.tell();
}
