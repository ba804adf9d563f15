//! Who forwarded what, counted at three places that know nothing of each other:
//! * **sent over VLANs**: frames from one VLAN's box to the other's that came in
//!   at the trunks of node2 and node3, each looked at byte by byte
//! * **by kernel**: how often node1's own IPv4 and IPv6 said that they forwarded
//! * **by XDP**: what `router-ctl -j stats` says
//!
//! The first less the second must be the third, exactly.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use router_tests::{
    capture::{Capture, Frame},
    forwarded,
    netns::Netns,
    packet::{Decoded, Tag},
    topology::{Container, Host, ROUTER_MAC, TRUNK, Topology, containers},
    wait,
};

use crate::{daemon::Daemon, report::percent};

/// How long counters may go on moving when a step is over. What is awaited are
/// the last acknowledgements of a connection.
const SETTLE: Duration = Duration::from_secs(30);

/// An Ethernet frame with one tag, without its check sequence.
const LARGEST: usize = 1518;

/// Packets, counted at the three places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) kernel: u64,
    pub(crate) xdp: u64,
}

impl Counts {
    pub(crate) const fn columns(self) -> [u64; 3] {
        [self.sent, self.kernel, self.xdp]
    }

    fn since(self, before: Self) -> Result<Self> {
        let less = |now: u64, then: u64| now.checked_sub(then).context("a counter went back");
        Ok(Self {
            sent: less(self.sent, before.sent)?,
            kernel: less(self.kernel, before.kernel)?,
            xdp: less(self.xdp, before.xdp)?,
        })
    }

    /// What the sinks got and the kernel did not forward, XDP did.
    const fn balanced(self) -> bool {
        self.sent == self.kernel + self.xdp
    }

    /// Every packet is accounted for, and the right one forwarded them.
    pub(crate) fn verify(self, xdp_forwards: bool) -> Result<()> {
        let Self { sent, kernel, xdp } = self;
        ensure!(
            self.balanced(),
            "{sent} packets came to the sinks, the kernel says it forwarded {kernel}, XDP says {xdp}"
        );
        ensure!(sent > 0, "no packet crossed the VLANs");
        if xdp_forwards {
            ensure!(
                xdp * 100 > sent * 95,
                "XDP forwarded {} of the packets only",
                percent(xdp, sent)
            );
        } else {
            ensure!(xdp == 0, "XDP forwarded {xdp} packets, though it is off");
        }
        Ok(())
    }
}

/// Both sinks and the counters.
#[derive(Debug)]
pub(crate) struct Meter {
    ledger: Arc<Ledger>,
    captures: Vec<Capture>,
    last: Counts,
    total: Counts,
}

impl Meter {
    /// Starts counting at the sinks. To be called before node1 routes.
    pub(crate) fn start(topology: &Topology) -> Result<Self> {
        let ledger = Arc::new(Ledger::default());
        let captures = Host::ALL
            .into_iter()
            .map(|host| {
                let ledger = Arc::clone(&ledger);
                Capture::start(topology.host(host), TRUNK, move |frame| {
                    ledger.record(host, &frame);
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            ledger,
            captures,
            last: Counts::default(),
            total: Counts::default(),
        })
    }

    /// Everything since the start.
    pub(crate) const fn total(&self) -> Counts {
        self.total
    }

    /// The first echo request from VLAN 100 that was seen on its way to box4.
    pub(crate) fn specimen(&self) -> Option<Vec<u8>> {
        lock(&self.ledger.specimen).clone()
    }

    /// Waits until everything has arrived and returns what was counted since the
    /// last call. Counters that stand still and do not agree are returned, too:
    /// [`Counts::verify`] is for that.
    pub(crate) fn settle(&mut self, router: &Netns, daemon: Option<&Daemon>) -> Result<Counts> {
        let mut before = None;
        let mut still = 0;
        let now = wait::until("the packet counters to stand still", SETTLE, || {
            let now = Counts {
                sent: self.ledger.delivered.load(Ordering::Relaxed),
                kernel: router.run(forwarded::by_kernel)?,
                xdp: daemon.map_or(Ok(0), Daemon::fast_packets)?,
            };
            still = if before.replace(now) == Some(now) {
                still + 1
            } else {
                0
            };
            // A frame may still be in a queue when the counters do not agree.
            let enough = if now.balanced() { 1 } else { 20 };
            Ok((still >= enough).then_some(now))
        })?;
        let step = now.since(self.last)?;
        self.last = now;
        self.total = now;
        self.ledger.verify()?;
        Ok(step)
    }

    /// Ends the captures.
    pub(crate) fn finish(self) -> Result<()> {
        for capture in self.captures {
            capture.finish()?;
        }
        self.ledger.verify()
    }
}

/// What the sinks saw.
#[derive(Debug, Default)]
struct Ledger {
    delivered: AtomicU64,
    wrong: Mutex<Option<String>>,
    specimen: Mutex<Option<Vec<u8>>>,
}

impl Ledger {
    /// Looks at a frame that came in at a host's trunk.
    fn record(&self, host: Host, frame: &Frame) {
        let Some(decoded) = Decoded::read(&frame.bytes) else {
            return;
        };
        let Some(receiver) = crossing(&decoded).filter(|receiver| receiver.host == host) else {
            return;
        };
        // The switch floods what it does not know the way of: the same packet
        // before it was routed may pass here, on its own VLAN and to node1's MAC.
        if decoded.source != ROUTER_MAC && decoded.destination != receiver.mac() {
            return;
        }
        if let Err(error) = check(&decoded, &receiver, frame.bytes.len()) {
            lock(&self.wrong).get_or_insert_with(|| {
                format!(
                    "a frame at the trunk of {}: {error:#}: {decoded}",
                    host.name()
                )
            });
        }
        if receiver.name == "box4" {
            lock(&self.specimen).get_or_insert_with(|| frame.bytes.clone());
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    fn verify(&self) -> Result<()> {
        match &*lock(&self.wrong) {
            Some(wrong) => bail!("{wrong}"),
            None => Ok(()),
        }
    }
}

/// The box a packet is for, if it comes from a box of the other VLAN.
fn crossing(frame: &Decoded) -> Option<Container> {
    let find = |address| {
        let has = |container: &Container| address == container.v4 || address == container.v6;
        containers().into_iter().find(has)
    };
    let (sender, receiver) = (find(frame.from)?, find(frame.to)?);
    (sender.vlan != receiver.vlan).then_some(receiver)
}

/// As a router must have left it.
fn check(frame: &Decoded, receiver: &Container, length: usize) -> Result<()> {
    ensure!(frame.source == ROUTER_MAC, "not from the gateway's MAC");
    ensure!(
        frame.destination == receiver.mac(),
        "not to {}'s MAC",
        receiver.name
    );
    // Priority 0, as the VLAN devices' maps are empty.
    ensure!(
        frame.tags == [Tag::dot1q(receiver.vlan.vid)],
        "not on VLAN {} with priority 0",
        receiver.vlan.vid
    );
    ensure!(frame.ttl == 63, "ttl {}, not 63", frame.ttl);
    ensure!(
        frame.header_checksum_ok,
        "the IPv4 header's checksum is wrong"
    );
    ensure!(frame.transport_checksum_ok, "the checksum is wrong");
    ensure!(length <= LARGEST, "{length} bytes: no wire carries that");
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use router_tests::packet::{self, Transport};

    use super::*;

    fn counts(sent: u64, kernel: u64, xdp: u64) -> Counts {
        Counts { sent, kernel, xdp }
    }

    #[test]
    fn a_single_packet_unaccounted_for_fails() {
        assert!(counts(1000, 10, 990).verify(true).is_ok());
        assert!(counts(1000, 10, 989).verify(true).is_err());
        assert!(counts(1000, 11, 990).verify(true).is_err());
    }

    #[test]
    fn the_right_one_must_have_forwarded() {
        assert!(counts(1000, 50, 950).verify(true).is_err());
        assert!(counts(1000, 1000, 0).verify(true).is_err());
        assert!(counts(1000, 1000, 0).verify(false).is_ok());
        assert!(counts(1000, 999, 1).verify(false).is_err());
        assert!(counts(0, 0, 0).verify(false).is_err());
    }

    /// box1 to box4, as it comes in at node3 when all is well.
    fn routed() -> packet::Frame {
        let [box1, .., box4] = containers();
        packet::Frame::ipv4(
            box4.mac(),
            ROUTER_MAC,
            box1.v4,
            box4.v4,
            Transport::tcp(100),
        )
        .vlan(200)
        .with4(|header| header.time_to_live = 63)
    }

    /// How many were counted, and whether they were right.
    fn recorded(host: Host, frame: &packet::Frame) -> (u64, bool) {
        let ledger = Ledger::default();
        let frame = Frame {
            bytes: frame.bytes(),
            tag_was_metadata: false,
        };
        ledger.record(host, &frame);
        let delivered = ledger.delivered.load(Ordering::Relaxed);
        (delivered, ledger.verify().is_ok())
    }

    #[test]
    fn a_routed_frame_counts_at_its_own_sink() {
        assert_eq!(recorded(Host::Node3, &routed()), (1, true));
        assert_eq!(recorded(Host::Node2, &routed()), (0, true));
    }

    #[test]
    fn a_frame_on_its_way_to_the_gateway_does_not_count() {
        let [box1, ..] = containers();
        let flooded = routed().vlan(100).to_mac(ROUTER_MAC).from_mac(box1.mac());
        assert_eq!(recorded(Host::Node3, &flooded), (0, true));
    }

    #[test]
    fn a_frame_that_was_routed_wrongly_is_found() {
        let [box1, _, box3, _] = containers();
        let ttl = |ttl| routed().with4(|header| header.time_to_live = ttl);
        for (what, frame) in [
            ("ttl not decremented", ttl(64)),
            ("ttl decremented twice", ttl(62)),
            ("the old VLAN", routed().vlan(100)),
            ("no tag", routed().vlan(0)),
            ("a priority", routed().priority(5, false)),
            ("another's MAC", routed().to_mac(box3.mac())),
            ("not from the gateway", routed().from_mac(box1.mac())),
            ("the IPv4 checksum", routed().patch(10, &[0, 0])),
            ("the TCP checksum", routed().patch(20 + 16, &[0, 0])),
        ] {
            assert_eq!(recorded(Host::Node3, &frame), (1, false), "{what}");
        }
    }
}
