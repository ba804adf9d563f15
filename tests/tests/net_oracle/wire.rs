//! The router's wires, both ways: what came out of it is what went in, segment by
//! segment.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use router_tests::{
    capture::{Capture, Frame},
    lab::{Kind, Lab},
    oracle::compare,
    packet::Decoded,
};

/// TCP's number.
const TCP: u8 = 6;

/// What the hosts sent, and what came to them.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    frames: AtomicU64,
    largest: AtomicU64,
    /// What the router makes of the hosts' TTL.
    ttl: u8,
    wrong: Mutex<Vec<String>>,
    /// By TCP segment, but for what a router changes of it: how often it was sent,
    /// and how often it came.
    segments: Mutex<HashMap<Vec<u8>, (u32, u32)>>,
}

impl Wire {
    /// `limits`: the largest packet by VID, 0 for none.
    fn take(&self, limits: &[(u16, u16)], frame: &Frame, outgoing: bool) {
        let Some(decoded) = Decoded::read(&frame.bytes) else {
            return;
        };
        if decoded.protocol == TCP
            && let Some(packet) = compare::identity(&frame.bytes)
        {
            let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            let (sent, came) = segments.entry(packet).or_default();
            *if outgoing { sent } else { came } += 1;
        }
        // To a group: a kernel's own chatter (MLD, neighbour discovery), on a trunk
        // untagged as well, whenever it likes.
        if outgoing || frame.bytes[0] & 1 == 1 {
            return;
        }
        self.frames.fetch_add(1, Ordering::Relaxed);
        let head = 14 + 4 * decoded.tags.len();
        let packet = frame.bytes.len() - head;
        self.largest.fetch_max(packet as u64, Ordering::Relaxed);
        let vid = decoded.vid().unwrap_or(0);
        let limit = limits.iter().find(|(known, _)| *known == vid);
        let fits = limit.is_some_and(|(_, mtu)| packet <= usize::from(*mtu));
        let hops = decoded.protocol != TCP || decoded.ttl == self.ttl;
        if fits && hops && decoded.header_checksum_ok && decoded.transport_checksum_ok {
            return;
        }
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < 10 {
            wrong.push(format!("{packet} bytes where {limit:?} may be: {decoded}"));
        }
    }

    /// IP frames that came.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes of the largest packet that came.
    pub(crate) fn largest(&self) -> u64 {
        self.largest.load(Ordering::Relaxed)
    }

    /// Nothing came but what was sent, bit by bit, and no more often.
    pub(crate) fn assert_as_sent(&self) {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut sent, mut came) = (0, 0);
        for (packet, (out, into)) in segments.iter() {
            assert!(into <= out, "sent {out} times, came {into}: {packet:02x?}");
            sent += out;
            came += into;
        }
        println!("{came} segments came of {sent}");
        // What a loaded machine drops is sent again.
        assert!(came * 10 > sent * 9, "{came} of {sent}");
    }
}

/// Captures at all of a lab's sinks, whose networks have these MTUs. `ttl`: of
/// what the router has forwarded.
pub(crate) fn tap(lab: &Lab, mtus: &[u16], ttl: u8) -> (Arc<Wire>, Vec<Capture>) {
    let wire = Arc::new(Wire {
        ttl,
        ..Wire::default()
    });
    let mut taps = Vec::new();
    for (index, network) in lab.networks().iter().enumerate() {
        let limits: Vec<_> = match lab.kind() {
            Kind::Tagged if index > 0 => continue,
            Kind::Tagged => {
                let networks = lab.networks().iter();
                let vids = networks.map(|network| network.vid.unwrap_or(0));
                vids.zip(mtus.iter().copied()).collect()
            }
            Kind::Untagged => vec![(network.vid.unwrap_or(0), mtus[index])],
        };
        let (netns, port) = lab.sink(index);
        let seen = Arc::clone(&wire);
        let tap = Capture::start_both_ways(netns, port, move |frame, outgoing| {
            seen.take(&limits, &frame, outgoing);
        });
        taps.push(tap.expect("a capture"));
    }
    (wire, taps)
}
