//! The scenes: pings, TCP, a frame that is not for the gateway.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use router_tests::{
    capture::{self, Capture},
    netns::Netns,
    packet::{Decoded, Frame, Mac, Transport},
    ping::{self, Answer},
    topology::{Container, Family, Host, TRUNK, Topology, containers},
    transfer::{self, Transferred},
    wait,
};

use crate::daemon::Daemon;

/// For an answer. The kernel takes three seconds to say that nobody is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// As many as the article shows.
const PINGS: u16 = 3;

/// Frames that are not for the gateway.
const STRAYS: u64 = 5;

/// A MAC that nobody has, so that the switch floods, and its sender's.
const NOBODY: Mac = [0x02, 0, 0, 0, 0x0b, 0xad];
const STRANGER: Mac = [0x02, 0, 0, 0, 0x0f, 0x0e];

/// A ping from box1: to whom, and what must come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    /// `box2`, `box3` or `box4`.
    pub(crate) to: Container,
    pub(crate) family: Family,
}

impl Ping {
    /// The article's, for both families.
    pub(crate) fn all() -> Vec<Self> {
        let [_, box2, box3, box4] = containers();
        let of = |family| [box3, box2, box4].map(|to| Self { to, family });
        Family::ALL.into_iter().flat_map(of).collect()
    }

    /// `box1 -> box4 IPv4`
    pub(crate) fn name(&self) -> String {
        format!("ping box1 -> {} {}", self.to.name, self.family.name())
    }

    fn crosses(&self, topology: &Topology) -> bool {
        topology.boxes()[0].0.vlan != self.to.vlan
    }

    /// Before there is a router: reached within the VLAN only. All at once, as
    /// "unreachable" takes the kernel some seconds.
    pub(crate) fn before(topology: &Topology, pings: &[Self]) -> Result<Vec<String>> {
        thread::scope(|scope| {
            let running: Vec<_> = pings
                .iter()
                .map(|ping| scope.spawn(|| ping.run(topology, 1, !ping.crosses(topology), 64)))
                .collect();
            running
                .into_iter()
                .map(|ping| ping.join().map_err(|_| anyhow!("a ping panicked"))?)
                .collect()
        })
    }

    /// With a router: everywhere, one hop further in the other VLAN.
    pub(crate) fn after(&self, topology: &Topology) -> Result<String> {
        let ttl = if self.crosses(topology) { 63 } else { 64 };
        self.run(topology, PINGS, true, ttl)
    }

    fn run(&self, topology: &Topology, count: u16, reach: bool, ttl: u8) -> Result<String> {
        let target = self.to.address(self.family);
        let (_, box1) = &topology.boxes()[0];
        let answer = box1
            .run(|| ping::ping(target, count, PATIENCE))
            .with_context(|| self.name())?;
        match answer {
            Answer::Ttl(found) if reach && found == ttl => Ok(format!("ttl {found}")),
            Answer::Unreachable(_) if !reach => Ok("unreachable".to_owned()),
            Answer::Ttl(found) if reach => {
                bail!("{}: answers have ttl {found}, not {ttl}", self.name())
            }
            Answer::Ttl(_) => bail!("{}: answered, though there is no router", self.name()),
            Answer::Unreachable(reason) => bail!("{}: {reason}", self.name()),
        }
    }
}

/// TCP from box1 to box4 and back.
pub(crate) fn tcp(topology: &Topology, family: Family, bytes: u64) -> Result<Transferred> {
    let [(_, box1), .., (box4, server)] = topology.boxes();
    transfer::transfer(box1, server, box4.address(family), bytes)
        .with_context(|| format!("TCP box1 -> box4 {}", family.name()))
}

/// Frames on VLAN 100 from node2, with box4's IP address, to a MAC that is not
/// the gateway's: the switch floods them to node1, XDP and the kernel see them,
/// and nobody may forward them. A ping of box4 follows, which is counted.
pub(crate) fn strays(topology: &Topology, daemon: Option<&Daemon>) -> Result<()> {
    let [(box1, from), .., (box4, at)] = topology.boxes();
    let frame = Frame::ipv4(NOBODY, STRANGER, box1.v4, box4.v4, Transport::udp(64))
        .vlan(box1.vlan.vid)
        .bytes();
    let came = Arc::new(AtomicU64::new(0));
    let watch = {
        let came = Arc::clone(&came);
        let address = IpAddr::V4(box1.v4);
        Capture::start(at, "eth0", move |frame| {
            let decoded = Decoded::read(&frame.bytes);
            if decoded.is_some_and(|decoded| decoded.from == address && decoded.protocol == 17) {
                came.fetch_add(1, Ordering::Relaxed);
            }
        })?
    };

    let seen = |daemon: Option<&Daemon>| daemon.map_or(Ok(0), |daemon| daemon.verdict("other-mac"));
    let before = seen(daemon)?;
    topology.host(Host::Node2).run(|| {
        for _ in 0..STRAYS {
            capture::inject(TRUNK, &frame)?;
        }
        Ok(())
    })?;
    if daemon.is_some() {
        wait::until(
            "XDP to see frames that are not for the gateway",
            PATIENCE,
            || Ok((seen(daemon)? >= before + STRAYS).then_some(())),
        )?;
    }
    // What was sent before a ping has arrived when the ping is answered.
    fence(from, box4)?;
    watch.finish()?;
    let came = came.load(Ordering::Relaxed);
    ensure!(
        came == 0,
        "box4 got {came} frames that were not for the gateway"
    );
    Ok(())
}

fn fence(from: &Netns, to: &Container) -> Result<()> {
    match from.run(|| ping::ping(IpAddr::V4(to.v4), 1, PATIENCE))? {
        Answer::Ttl(63) => Ok(()),
        other => bail!("box1 pings {}: {other:?}", to.name),
    }
}
