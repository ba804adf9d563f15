//! One arm: a router of its own with the real daemon in it, and its wires.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};
use serde_json::Value;

use super::{
    noise::{self, Noise},
    world::World,
};
use crate::{
    capture, lab,
    netns::{self, Netns},
    packet::{Frame, Mac},
    pass::PassProgram,
    prog::Network,
    router_daemon::RouterDaemon,
    topology::{AS_ON_A_WIRE, offloads_off},
};

/// What came out, by wire.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Wire and frame, in the order in which they were read.
    pub frames: Vec<(usize, Vec<u8>)>,
    /// Questions of the router's own that were left out: ARP, ND, MLD.
    pub questions: usize,
    /// Frames that were sent in for it, probes among them.
    pub sent: u64,
    /// The NIC took no frame of this size, or it has no link.
    pub refused: bool,
    /// A probe was answered: what came before it has arrived.
    pub alive: bool,
}

/// A router under the daemon.
#[derive(Debug)]
pub struct Arm {
    // In this order: programs hold no namespace, the daemon needs its own.
    _ports: Vec<PassProgram>,
    daemon: RouterDaemon,
    sockets: Vec<OwnedFd>,
    world: World,
    xdp: bool,
    probes: u32,
    buffer: Vec<u8>,
    /// The router's namespace.
    pub router: Netns,
    /// The other end of every wire.
    pub wire: Netns,
}

impl Arm {
    /// Builds the router and starts the daemon in it.
    ///
    /// # Errors
    /// The kernel's and the daemon's.
    pub fn build(world: World, xdp: bool) -> Result<Self> {
        let name = |what: &str| {
            let arm = if xdp { "on" } else { "off" };
            format!("oracle-{arm}-{what}-{}", netns::unique_suffix())
        };
        let router = Netns::create(&name("router"))?;
        let wire = Netns::create(&name("wire"))?;
        prepare(&router)?;
        wire.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        router.ip_batch(&world.devices(wire.name()))?;
        let mut ports = Vec::new();
        let mut sockets = Vec::new();
        for number in 0..world.wires() {
            let end = format!("wire{number}");
            wire.ip(&format!("link set {end} arp off up"))?;
            ports.push(PassProgram::attach(&wire, &end)?);
            // Attaching a program turned GRO on again.
            offloads_off(&wire, &end, AS_ON_A_WIRE)?;
            sockets.push(wire.run(|| capture::open(&end))?);
        }
        router.ip_batch(&world.addresses())?;
        for network in Network::ALL {
            // No answer for a host that nobody found, seconds later.
            for family in ["ipv4", "ipv6"] {
                let key = format!("{family}/neigh/{}/retrans_time_ms", network.device());
                router.sysctl(&key, "1000000")?;
            }
        }
        let mut daemon = RouterDaemon::configure_in(&router, &world.config(xdp))?;
        daemon.start()?;
        let mut arm = Self {
            _ports: ports,
            daemon,
            sockets,
            world,
            xdp,
            probes: 0,
            buffer: vec![0; capture::FRAME],
            router,
            wire,
        };
        arm.settle()?;
        Ok(arm)
    }

    /// The daemon.
    #[must_use]
    pub const fn daemon(&self) -> &RouterDaemon {
        &self.daemon
    }

    /// Sends frames in at a network's wire and returns what came out of all of
    /// them, once all that the router does with them at once is done.
    ///
    /// How that is known: an ARP probe goes in behind them, on the same wire and
    /// from the same CPU (see [`pin`](super::pin)). Queues between here and there
    /// keep their order, and the kernel answers a probe for its own address in
    /// the same breath as it forwards. Both arms leave ARP to the kernel.
    ///
    /// # Errors
    /// The kernel's.
    pub fn play(&mut self, network: Network, frames: &[Vec<u8>]) -> Result<Seen> {
        let mut seen = Seen::default();
        self.drain(&mut seen)?;
        seen = Seen::default();
        let wire = self.world.wire(network);
        for frame in frames {
            let sent = self.send(wire, frame)?;
            seen.sent += u64::from(sent);
            seen.refused |= !sent;
        }
        self.barrier(wire, &mut seen)?;
        Ok(seen)
    }

    /// Sends a frame in at a wire. False where the NIC does not take it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&self, wire: usize, frame: &[u8]) -> Result<bool> {
        let start = Instant::now();
        loop {
            match send(self.sockets[wire].as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(sent) => {
                    ensure!(sent == frame.len(), "wire{wire} sent half a frame");
                    return Ok(true);
                }
                // A link that is down, or whose watch is still to notice that it
                // is up; what a table sends there is sent in vain.
                Err(Errno::ENOBUFS | Errno::ENETDOWN) if start.elapsed() < link_watch() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::ENOBUFS | Errno::ENETDOWN) => return Ok(false),
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("cannot send {} bytes on wire{wire}", frame.len())
                    });
                }
            }
        }
    }

    /// Waits until what was sent before on this wire has been dealt with.
    ///
    /// # Errors
    /// The kernel's.
    pub fn barrier(&mut self, wire: usize, seen: &mut Seen) -> Result<()> {
        self.probes += 1;
        let [_, a, b, c] = self.probes.to_be_bytes();
        let asker: Mac = [0x02, 0xba, 0, a, b, c];
        // Every network of that wire is asked: one of them may be down.
        let world = self.world;
        for network in Network::ALL.into_iter().filter(|n| world.wire(*n) == wire) {
            let probe = noise::probe(asker, network.v4(1));
            let probe = Frame::raw([0xff; 6], asker, noise::ARP, &probe);
            let probe = probe.tags(world.tag(network).as_slice());
            seen.sent += u64::from(self.send(wire, &probe.bytes())?);
        }
        let start = Instant::now();
        let patience = patience();
        loop {
            let answered = self.drain_until(seen, Some(asker))?;
            if answered {
                seen.alive = true;
                // What is behind the answer belongs to other wires.
                self.drain(seen)?;
                return Ok(());
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                // Nobody is there to answer: all was waited for that long.
                return Ok(());
            }
            let timeout = PollTimeout::try_from(left.min(Duration::from_millis(20)))?;
            let mut wanted = [PollFd::new(self.sockets[wire].as_fd(), PollFlags::POLLIN)];
            match poll(&mut wanted, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// The kernel's.
    pub fn drain(&mut self, seen: &mut Seen) -> Result<()> {
        self.drain_until(seen, None).map(drop)
    }

    fn drain_until(&mut self, seen: &mut Seen, asker: Option<Mac>) -> Result<bool> {
        let mut answered = false;
        for (wire, socket) in self.sockets.iter().enumerate() {
            loop {
                let frame = match capture::receive(socket, &mut self.buffer) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    // Told once when a wire's end goes down; what came stays.
                    Err(error) if error.downcast_ref() == Some(&Errno::ENETDOWN) => continue,
                    Err(error) => return Err(error),
                };
                match noise::classify(&frame.bytes) {
                    Noise::Answer(to) => answered |= asker == Some(to),
                    Noise::Question => seen.questions += 1,
                    Noise::None => seen.frames.push((wire, frame.bytes)),
                }
            }
        }
        Ok(answered)
    }

    /// `GET /v1/stats`, without a process of its own: it is asked for every row.
    ///
    /// # Errors
    /// Where the daemon does not answer.
    pub fn stats(&self) -> Result<Stats> {
        let path = router_ctl::api::socket_path(self.daemon.instance());
        let mut stream = UnixStream::connect(&path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream
            .write_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("no HTTP answer from the daemon")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the daemon says {head}");
        let value: Value = serde_json::from_str(body).context("no JSON from the daemon")?;
        Ok(Stats::read(&value))
    }

    /// Waits until the daemon has taken in what was changed so far.
    ///
    /// How that is known: the last change of all is an address on `lo`, and the
    /// program passes a frame from it up as soon as it knows. Announcements keep
    /// their order. Without XDP there is nothing to wait for. Where that cannot be seen (forwarding is off, say), it waits
    /// as long as the daemon promises to take at most.
    ///
    /// # Errors
    /// The kernel's and the daemon's.
    pub fn settle(&mut self) -> Result<()> {
        self.probes += 1;
        let [.., high, low] = self.probes.to_be_bytes();
        let marker = std::net::Ipv4Addr::new(198, 18, high, low);
        self.router.ip(&format!("address add {marker}/32 dev lo"))?;
        if !self.xdp {
            self.router.ip(&format!("address del {marker}/32 dev lo"))?;
            return Ok(());
        }
        let frame = Network::U.sends4(marker, Network::U.v4(9)).vlan(0).bytes();
        let start = Instant::now();
        let mut before = self.stats()?;
        while start.elapsed() < promise() {
            self.play(Network::U, std::slice::from_ref(&frame))?;
            let now = self.stats()?;
            if now.since(&before).verdict("local-source") > 0 {
                break;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(5));
        }
        // The addresses may not be the last thing that it writes.
        std::thread::sleep(Duration::from_millis(10));
        self.router.ip(&format!("address del {marker}/32 dev lo"))?;
        self.drain(&mut Seen::default())
    }

    /// Makes the kernel let out one large frame at a time, and lose those that come
    /// at once: a fault that no single frame shows.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn narrow(&self, networks: &[Network]) {
        let rate = if lab::slow() { "2mbit" } else { "20mbit" };
        for network in networks {
            let device = network.device();
            let mut tc = self.router.command("tc");
            tc.args(["qdisc", "replace", "dev", device, "root", "tbf"]);
            tc.args(["rate", rate, "burst", "1600", "limit", "1600"]);
            netns::run(&mut tc).unwrap_or_else(|e| panic!("{e:?}"));
        }
    }

    /// A value under /proc/sys/net of the router.
    ///
    /// # Errors
    /// Where there is none.
    pub fn sysctl_value(&self, key: &str) -> Result<String> {
        let path = format!("/proc/sys/net/{key}");
        let value = self.router.run(|| Ok(fs::read_to_string(&path)?));
        Ok(value
            .with_context(|| format!("cannot read {path}"))?
            .trim()
            .to_owned())
    }
}

/// How long the answer to a probe may take where it comes at all.
fn patience() -> Duration {
    if lab::slow() {
        Duration::from_secs(4)
    } else {
        Duration::from_millis(500)
    }
}

/// How long a link's watch takes to notice that it is up.
fn link_watch() -> Duration {
    if lab::slow() {
        Duration::from_secs(4)
    } else {
        Duration::from_millis(500)
    }
}

/// A sub-interface that changes is in the maps anew after 200 ms.
fn promise() -> Duration {
    if lab::slow() {
        Duration::from_secs(6)
    } else {
        Duration::from_millis(1000)
    }
}

/// What the router is told before the daemon comes.
fn prepare(router: &Netns) -> Result<()> {
    for (key, value) in [
        // Every error is answered, however many rows cause one.
        // (Not by a limit of 0: before 6.18 that empties the bucket that routes
        // of type unreachable take their errors from.)
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv6/icmp/ratemask", "\n"),
        // Tables turn on what they want to see.
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // Addresses outlive a link that is down, as IPv4's do.
        ("ipv6/conf/all/keep_addr_on_down", "1"),
        ("ipv6/conf/default/keep_addr_on_down", "1"),
        ("ipv6/conf/default/accept_dad", "0"),
        // Nobody hears of fragments to the router that waited in vain.
        ("ipv4/ipfrag_time", "100000"),
        ("ipv6/ip6frag_time", "100000"),
    ] {
        router.sysctl(key, value)?;
    }
    Ok(())
}

/// What the daemon counts: frames that XDP saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What XDP forwarded itself.
    pub fast: u64,
    /// Reason and frames; `forwarded` is not among them.
    pub verdicts: Vec<(String, u64)>,
}

impl Stats {
    fn read(value: &Value) -> Self {
        let verdicts = value["verdicts"].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            fast: value["fast"]["packets"].as_u64().unwrap_or(0),
            verdicts: verdicts
                .iter()
                .filter_map(|verdict| {
                    let reason = verdict["reason"].as_str()?;
                    Some((reason.to_owned(), verdict["packets"].as_u64()?))
                })
                .filter(|(reason, _)| reason != "forwarded")
                .collect(),
        }
    }

    /// Frames of one reason.
    #[must_use]
    pub fn verdict(&self, reason: &str) -> u64 {
        let found = self.verdicts.iter().find(|(name, _)| name == reason);
        found.map_or(0, |(_, packets)| *packets)
    }

    /// Everything that XDP saw.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.fast
            + self
                .verdicts
                .iter()
                .map(|(_, packets)| packets)
                .sum::<u64>()
    }

    /// What came since `before`; reasons that did not move are left out.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let moved = |(reason, packets): &(String, u64)| {
            let by = packets.saturating_sub(before.verdict(reason));
            (by > 0).then(|| (reason.clone(), by))
        };
        Self {
            fast: self.fast - before.fast,
            verdicts: self.verdicts.iter().filter_map(moved).collect(),
        }
    }
}
