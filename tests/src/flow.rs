//! Traffic that must not suffer: numbered UDP packets between the hosts of two
//! networks, both ways, for as long as something is done to the router.
//!
//! Every packet that arrives is compared, byte by byte, with what a router must
//! make of it (etherparse's opinion): VID and priority, MACs, TTL one lower,
//! both checksums. Each counts as arrived once, again, or out of order; what
//! never arrives is lost, and [`Report`] knows when it was sent.
//!
//! Frames go out through a packet socket, so that nothing depends on the sending
//! host's neighbours; they come in at the wire, so that nothing depends on the
//! receiving host's stack. Both ends survive an interface that is made anew.

use std::{
    fmt,
    net::UdpSocket,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};

use crate::{
    capture, forwarded,
    lab::{self, HOST_INTERFACE, Lab, Network},
    netns::Netns,
    packet::{Frame, Tag, Transport},
    sys, wait,
};

/// Between two packets of one direction: well above the thousand a second that
/// is asked for, as a sender is not always scheduled in time.
const INTERVAL: Duration = Duration::from_micros(500);

/// The same under software emulation: a packet takes a guest's CPU as long as
/// ten do elsewhere, and one that does nothing else has no time for a daemon.
const SLOW_INTERVAL: Duration = Duration::from_millis(4);

/// A sender that was kept from sending catches up by so many at most: a veth's
/// ring has 256 places, and what overflows there no router has lost.
const BURST: u32 = 16;

/// A packet a second and direction, at least: what a flow must have been to
/// prove anything.
const LEAST_RATE: f64 = 1000.0;

/// A flow that is shorter is not judged by its rate,
const JUDGED: Duration = Duration::from_secs(1);

/// but by its packets.
const LEAST: u64 = 20;

/// For the first packet to arrive: the kernel may have to find neighbours, the
/// daemon to start.
const FIRST: Duration = Duration::from_secs(60);

/// Nothing has come for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(1);

/// Between two looks for an interface that has gone.
const ABSENT: Duration = Duration::from_millis(1);

/// Bytes of a payload.
const PAYLOAD: usize = 64;

/// The number of the packet that is sent until one has arrived.
const WARM_UP: u64 = u64::MAX;

/// IPv4 or IPv6.
pub use crate::topology::Family;

/// Running traffic. Dropping it ends it.
#[derive(Debug)]
pub struct Flow {
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    directions: Vec<Direction>,
    started: Instant,
    kernel_before: u64,
    // Bound, never read: without them the hosts would answer with ICMP.
    _ports: Vec<UdpSocket>,
}

#[derive(Debug)]
struct Direction {
    name: String,
    sender: Option<JoinHandle<Result<Sent>>>,
    sink: Option<JoinHandle<Result<()>>>,
    arrivals: Arc<Mutex<Arrivals>>,
}

impl Flow {
    /// IPv4 between the hosts of two networks, both ways. When this returns, a
    /// packet has arrived in each direction (it is not counted).
    ///
    /// # Errors
    /// Where the first packet does not arrive, and the kernel's.
    pub fn start(lab: &Lab, one: usize, other: usize) -> Result<Self> {
        Self::start_with(lab, one, other, Family::V4)
    }

    /// [`Flow::start`] in either family.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub fn start_with(lab: &Lab, one: usize, other: usize, family: Family) -> Result<Self> {
        let mut flow = Self {
            stop_sending: Arc::default(),
            stop_receiving: Arc::default(),
            directions: Vec::new(),
            started: Instant::now(),
            kernel_before: 0,
            _ports: Vec::new(),
        };
        let (mut sources, mut ports) = (Vec::new(), Vec::new());
        for (from, to) in [(one, other), (other, one)] {
            let port = lab.host(to).run(|| Ok(UdpSocket::bind("[::]:0")?))?;
            let number = port.local_addr()?.port();
            ports.push(port);
            let template =
                Template::new(&lab.networks()[from], &lab.networks()[to], family, number);
            let arrivals = Arc::new(Mutex::new(Arrivals::default()));
            let (netns, interface) = lab.sink(to);
            let tap = netns.run(|| Tap::open(interface))?;
            let sink = netns.spawn({
                let (template, arrivals) = (template.clone(), Arc::clone(&arrivals));
                let stop = Arc::clone(&flow.stop_receiving);
                move || receive(tap, &template, &arrivals, &stop)
            })?;
            flow.directions.push(Direction {
                name: format!(
                    "{} -> {}",
                    lab.networks()[from].name,
                    lab.networks()[to].name
                ),
                sender: None,
                sink: Some(sink),
                arrivals,
            });
            sources.push((from, template));
        }
        for (direction, (from, template)) in flow.directions.iter().zip(&sources) {
            warm_up(lab.host(*from), template, &direction.arrivals)
                .with_context(|| format!("{}\n{}", direction.name, lab.diagnosis()))?;
        }
        flow.kernel_before = lab.forwarded_by_kernel()?;
        flow.started = Instant::now();
        for (direction, (from, template)) in flow.directions.iter_mut().zip(sources) {
            let stop = Arc::clone(&flow.stop_sending);
            let sender = lab.host(from).spawn(move || emit(template, &stop))?;
            direction.sender = Some(sender);
        }
        flow._ports = ports;
        Ok(flow)
    }

    /// Runs for a while: so that what is done next meets traffic, or what was
    /// done before has had its effect.
    pub fn run_for(&self, duration: Duration) {
        thread::sleep(duration);
    }

    /// Ends the traffic and waits until what is on its way has arrived.
    ///
    /// # Errors
    /// Where a sender or a sink failed, or the kernel gave the sink less than
    /// had arrived.
    pub fn finish(mut self, lab: &Lab) -> Result<Report> {
        self.stop_sending.store(true, Ordering::Relaxed);
        let ended = Instant::now();
        let mut directions = Vec::new();
        for direction in &mut self.directions {
            let sender = direction.sender.take().context("a flow without a sender")?;
            let sent = join(sender).with_context(|| direction.name.clone())?;
            settle(&direction.arrivals, sent.times.len());
            directions.push((direction.name.clone(), sent));
        }
        self.stop_receiving.store(true, Ordering::Relaxed);
        let mut reports = Vec::new();
        for (direction, (name, sent)) in self.directions.iter_mut().zip(directions) {
            let sink = direction.sink.take().context("a flow without a sink")?;
            join(sink).with_context(|| direction.name.clone())?;
            reports.push(lock(&direction.arrivals).judge(name, &sent, self.started, ended));
        }
        let by_kernel = lab.router().run(forwarded::by_kernel)? - self.kernel_before;
        let sound = reports.iter().all(DirectionReport::is_sound);
        Ok(Report {
            directions: reports,
            by_kernel,
            started: self.started,
            elapsed: ended.saturating_duration_since(self.started),
            diagnosis: if sound {
                String::new()
            } else {
                lab.diagnosis()
            },
        })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop_sending.store(true, Ordering::Relaxed);
        self.stop_receiving.store(true, Ordering::Relaxed);
        for direction in &mut self.directions {
            // Whoever did not ask for the result has failed before.
            if let Some(sender) = direction.sender.take() {
                let _ = sender.join();
            }
            if let Some(sink) = direction.sink.take() {
                let _ = sink.join();
            }
        }
    }
}

/// What became of a flow.
#[derive(Debug)]
pub struct Report {
    /// There, and back.
    pub directions: Vec<DirectionReport>,
    /// Packets that the router's kernel forwarded meanwhile.
    pub by_kernel: u64,
    started: Instant,
    elapsed: Duration,
    diagnosis: String,
}

impl Report {
    /// Packets that were sent, both ways.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.directions.iter().map(|direction| direction.sent).sum()
    }

    /// Packets that never arrived, both ways.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.directions
            .iter()
            .map(|direction| direction.lost.len())
            .sum()
    }

    /// Packets that were sent at `time` or later and never arrived.
    #[must_use]
    pub fn lost_since(&self, time: Instant) -> usize {
        let time = time.saturating_duration_since(self.started);
        let lost = self.directions.iter().flat_map(|direction| &direction.lost);
        lost.filter(|lost| lost.at >= time).count()
    }

    /// Nothing lost, nothing doubled, every byte right, and enough traffic to
    /// say so.
    ///
    /// # Panics
    /// Otherwise; with who lost what when, and where the kernel counted drops.
    pub fn assert_hitless(&self) {
        println!("{self}");
        self.assert_sound_but_losses();
        assert_eq!(
            self.lost(),
            0,
            "packets were lost\n{self}\n{}",
            self.diagnosis
        );
    }

    /// [`Report::assert_hitless`], but what was sent before `time` may be lost:
    /// there was no device to receive it.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_hitless_since(&self, time: Instant) {
        println!("{self}");
        self.assert_sound_but_losses();
        let after = time.saturating_duration_since(self.started);
        assert_eq!(
            self.lost_since(time),
            0,
            "packets were lost {} ms after the start or later\n{self}\n{}",
            after.as_millis(),
            self.diagnosis
        );
    }

    /// # Panics
    /// When something arrived twice or wrong, or there was too little traffic.
    pub fn assert_sound_but_losses(&self) {
        for direction in &self.directions {
            assert_eq!(direction.wrong, None, "{}\n{self}", direction.name);
            assert_eq!(direction.duplicated, 0, "doubled packets\n{self}");
            // A moment's hiccup of the machine must not fail a short one.
            let enough = direction.rate >= LEAST_RATE || self.elapsed < JUDGED;
            assert!(
                direction.sent >= LEAST && (lab::slow() || enough),
                "too little traffic to prove anything\n{self}"
            );
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for direction in &self.directions {
            writeln!(f, "{direction}")?;
        }
        write!(f, "by kernel {}", self.by_kernel)
    }
}

/// One direction of a flow.
#[derive(Debug)]
pub struct DirectionReport {
    /// `net0 -> net1`.
    pub name: String,
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that never arrived.
    pub lost: Vec<Lost>,
    /// Arrivals of a packet that had arrived before.
    pub duplicated: u64,
    /// Arrivals behind a packet that was sent later.
    pub reordered: u64,
    /// The first frame that was not as a router must have left it.
    pub wrong: Option<String>,
    /// Packets a second, on average, while there was an interface to send from.
    pub rate: f64,
}

impl DirectionReport {
    fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.duplicated == 0 && self.wrong.is_none()
    }
}

impl fmt::Display for DirectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            sent,
            lost,
            duplicated,
            reordered,
            wrong,
            rate,
        } = self;
        write!(
            f,
            "{name}: sent {sent} ({rate:.0}/s), lost {}, doubled {duplicated}, reordered {reordered}",
            lost.len()
        )?;
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            write!(
                f,
                "; the losses are #{} sent at {} ms to #{} sent at {} ms",
                first.number,
                first.at.as_millis(),
                last.number,
                last.at.as_millis()
            )?;
        }
        if let Some(wrong) = wrong {
            write!(f, "; wrong: {wrong}")?;
        }
        Ok(())
    }
}

/// A packet that never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number, from 0.
    pub number: u64,
    /// When it was sent, since the flow's start.
    pub at: Duration,
}

/// The frame as it is sent and as it must arrive, but for the number.
#[derive(Clone, Debug)]
struct Template {
    magic: [u8; 8],
    sent: Vec<u8>,
    arriving: Vec<u8>,
}

impl Template {
    fn new(from: &Network, to: &Network, family: Family, port: u16) -> Self {
        static FLOWS: AtomicU32 = AtomicU32::new(0);
        let [a, b, c, d] = FLOWS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let magic = [b'f', b'l', b'o', b'w', a, b, c, d];
        let mut payload: Vec<u8> = (0..PAYLOAD).map(|byte| byte.to_le_bytes()[0]).collect();
        payload[..8].copy_from_slice(&magic);
        number(&mut payload, 0);
        let transport = Transport::Udp {
            ports: (4000, port),
            payload,
        };
        let (gateway, host) = (from.gateway_mac, from.host_mac);
        let frame = match family {
            Family::V4 => Frame::ipv4(gateway, host, from.host4, to.host4, transport),
            Family::V6 => Frame::ipv6(gateway, host, from.host6, to.host6, transport),
        };
        let tag = to.vid.map(Tag::dot1q);
        Self {
            magic,
            sent: frame.bytes(),
            arriving: frame.routed(to.host_mac, to.gateway_mac, tag).bytes(),
        }
    }

    /// The number in a packet of this flow, wherever and however it was routed.
    /// `None` for all else, and for the ICMP error that quotes one.
    fn number_of(&self, frame: &[u8]) -> Option<u64> {
        let payload = frame.len().checked_sub(PAYLOAD)?;
        let (magic, rest) = frame[payload..].split_first_chunk::<8>()?;
        if *magic != self.magic || !is_udp(frame) {
            return None;
        }
        Some(u64::from_be_bytes(*rest.first_chunk()?))
    }

    /// Why a frame of this number is not as it should be.
    fn check(&self, wanted: &mut Vec<u8>, frame: &[u8], sequence: u64) -> Option<String> {
        wanted.clone_from(&self.arriving);
        number(wanted, sequence);
        (wanted != frame).then(|| format!("packet {sequence}: {frame:02x?}, not {wanted:02x?}"))
    }
}

/// Whether a frame, with tags or without, is UDP.
fn is_udp(frame: &[u8]) -> bool {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let protocol = match frame.get(at..at + 2) {
        Some([0x08, 0x00]) => frame.get(at + 2 + 9),
        Some([0x86, 0xdd]) => frame.get(at + 2 + 6),
        _ => None,
    };
    protocol == Some(&17)
}

/// Writes a packet's number into the payload at the end of `frame`: and its
/// complement behind it, so that the checksum is that of every number.
fn number(frame: &mut [u8], number: u64) {
    let at = frame.len() - PAYLOAD + 8;
    frame[at..at + 8].copy_from_slice(&number.to_be_bytes());
    frame[at + 8..at + 16].copy_from_slice(&(!number).to_be_bytes());
}

/// What a sink saw.
#[derive(Debug, Default)]
struct Arrivals {
    warm: bool,
    /// By number: how often.
    times: Vec<u8>,
    different: usize,
    duplicated: u64,
    reordered: u64,
    highest: Option<u64>,
    wrong: Option<String>,
}

impl Arrivals {
    fn record(&mut self, sequence: u64) {
        if sequence == WARM_UP {
            self.warm = true;
            return;
        }
        let Ok(index) = usize::try_from(sequence) else {
            return;
        };
        if self.times.len() <= index {
            // A spoilt number must not take all memory.
            self.times.resize(index.min(1 << 26) + 1, 0);
        }
        let Some(times) = self.times.get_mut(index) else {
            return;
        };
        *times = times.saturating_add(1);
        if *times > 1 {
            self.duplicated += 1;
            return;
        }
        self.different += 1;
        if self.highest.is_some_and(|highest| sequence < highest) {
            self.reordered += 1;
        } else {
            self.highest = Some(sequence);
        }
    }

    fn judge(
        &mut self,
        name: String,
        sent: &Sent,
        started: Instant,
        ended: Instant,
    ) -> DirectionReport {
        let Sent {
            times: sent,
            absent,
        } = sent;
        let sending = ended
            .saturating_duration_since(started)
            .saturating_sub(*absent);
        if self.times.len() > sent.len() {
            self.wrong
                .get_or_insert_with(|| "a packet that was never sent".to_owned());
        }
        let lost = sent.iter().enumerate().filter_map(|(index, at)| {
            let arrived = self.times.get(index).is_some_and(|times| *times > 0);
            (!arrived).then(|| Lost {
                number: index as u64,
                at: at.saturating_duration_since(started),
            })
        });
        let sent_count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        DirectionReport {
            name,
            sent: sent.len() as u64,
            lost: lost.collect(),
            duplicated: self.duplicated,
            reordered: self.reordered,
            wrong: self.wrong.take(),
            rate: f64::from(sent_count) / sending.as_secs_f64(),
        }
    }
}

/// Sends the packet that is not counted until one has arrived.
fn warm_up(host: &Netns, template: &Template, arrivals: &Mutex<Arrivals>) -> Result<()> {
    let mut frame = template.sent.clone();
    number(&mut frame, WARM_UP);
    let mut sent: Option<Instant> = None;
    wait::until("the first packet to arrive", FIRST, || {
        if lock(arrivals).warm {
            return Ok(Some(()));
        }
        // One at a time, or counters would not tell how many there were.
        if sent.is_none_or(|sent| sent.elapsed() > SILENCE) {
            host.run(|| capture::inject(HOST_INTERFACE, &frame))?;
            sent = Some(Instant::now());
        }
        Ok(None)
    })
}

/// What a sender did.
#[derive(Debug, Default)]
struct Sent {
    /// By number: when.
    times: Vec<Instant>,
    /// For so long there was no interface to send from.
    absent: Duration,
}

/// Sends until told to stop. While there is no interface nothing is sent, and
/// nothing counted.
fn emit(mut template: Template, stop: &AtomicBool) -> Result<Sent> {
    let mut sent = Sent::default();
    let mut socket: Option<OwnedFd> = None;
    let interval = if lab::slow() { SLOW_INTERVAL } else { INTERVAL };
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if let Some(early) = next.checked_duration_since(now) {
            thread::sleep(early);
            continue;
        }
        if now - next > interval * BURST {
            next = now - interval * BURST;
        }
        let Some(open) = &socket else {
            socket = if_nametoindex(HOST_INTERFACE)
                .ok()
                .and_then(|index| sys::packet_socket(index).ok());
            if socket.is_none() {
                thread::sleep(ABSENT);
            }
            sent.absent += now.elapsed();
            continue;
        };
        number(&mut template.sent, sent.times.len() as u64);
        let at = Instant::now();
        match send(open.as_raw_fd(), &template.sent, MsgFlags::empty()) {
            Ok(_) => {
                sent.times.push(at);
                next += interval;
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => thread::yield_now(),
            // The interface is down, or gone: another may be there soon.
            Err(Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) => {
                socket = None;
            }
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok(sent)
}

/// A packet socket at a sink, on an interface that may be made anew.
#[derive(Debug)]
struct Tap {
    interface: &'static str,
    index: u32,
    socket: OwnedFd,
    /// The interface went down, and may have gone.
    down: bool,
}

impl Tap {
    /// In the calling thread's namespace.
    fn open(interface: &'static str) -> Result<Self> {
        Ok(Self {
            interface,
            index: if_nametoindex(interface)?,
            socket: capture::open(interface)?,
            down: false,
        })
    }

    /// The next frame; `None` when none is waiting.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<u8>>> {
        match capture::receive(&self.socket, buffer) {
            Ok(Some(frame)) => Ok(Some(frame.bytes)),
            Ok(None) => Ok(None),
            Err(error) if error.downcast_ref() == Some(&Errno::ENETDOWN) => {
                self.down = true;
                // What came before is still there to be read.
                Ok(capture::receive(&self.socket, buffer)?.map(|frame| frame.bytes))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for frames, or for an interface in place of the one that has gone.
    fn wait(&mut self) -> Result<()> {
        let patience = if self.down { 1_u8 } else { 20 };
        if self.down && if_nametoindex(self.interface).is_ok_and(|index| index != self.index) {
            // It may go again, or not be ready yet.
            if let Ok(anew) = Self::open(self.interface) {
                *self = anew;
            }
        }
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(patience)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for frames"),
        }
    }
}

/// Reads until told to stop, then what is left. Runs in the sink's namespace.
fn receive(
    mut tap: Tap,
    template: &Template,
    arrivals: &Mutex<Arrivals>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut buffer = vec![0; capture::FRAME];
    let mut wanted = Vec::new();
    loop {
        // Read before the queue is: what came before the stop is counted.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some(frame) = tap.next(&mut buffer)? {
            let Some(sequence) = template.number_of(&frame) else {
                continue;
            };
            let wrong = template.check(&mut wanted, &frame, sequence);
            let mut arrivals = lock(arrivals);
            arrivals.record(sequence);
            if let Some(wrong) = wrong {
                arrivals.wrong.get_or_insert(wrong);
            }
        }
        let drops = sys::statistics(&tap.socket)?.drops;
        ensure!(drops == 0, "the sink itself lost {drops} frames");
        if stopping {
            return Ok(());
        }
        tap.wait()?;
    }
}

/// Waits until as many have arrived as were sent, or nothing comes any more.
fn settle(arrivals: &Mutex<Arrivals>, sent: usize) {
    let mut before = lock(arrivals).different;
    let mut since = Instant::now();
    while before < sent && since.elapsed() < SILENCE {
        thread::sleep(Duration::from_millis(5));
        let now = lock(arrivals).different;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel alone is the router.
    fn lab(test: &str) -> Option<Lab> {
        let lab = Lab::or_skip(test, 2)?;
        lab.router().sysctl("ipv4/ip_forward", "1").unwrap();
        lab.router()
            .sysctl("ipv6/conf/all/forwarding", "1")
            .unwrap();
        for trunk in 0..lab.trunks().len() {
            lab.address(trunk).unwrap();
        }
        Some(lab)
    }

    #[test]
    fn a_flow_through_the_kernel_arrives_whole() {
        let Some(lab) = lab("a_flow_through_the_kernel_arrives_whole") else {
            return;
        };
        for family in Family::ALL {
            let flow = Flow::start_with(&lab, 0, 1, family).unwrap();
            flow.run_for(Duration::from_millis(200));
            let report = flow.finish(&lab).unwrap();
            report.assert_hitless();
            assert!(report.sent() > 100, "{report}");
            assert_eq!(report.by_kernel, report.sent(), "{report}");
        }
    }

    #[test]
    fn what_a_router_loses_is_found_and_when() {
        let Some(lab) = lab("what_a_router_loses_is_found_and_when") else {
            return;
        };
        let flow = Flow::start(&lab, 0, 1).unwrap();
        flow.run_for(Duration::from_millis(100));
        lab.router().sysctl("ipv4/ip_forward", "0").unwrap();
        flow.run_for(Duration::from_millis(100));
        lab.router().sysctl("ipv4/ip_forward", "1").unwrap();
        let mended = Instant::now();
        flow.run_for(Duration::from_millis(100));
        let report = flow.finish(&lab).unwrap();
        assert!(report.lost() > 50, "{report}");
        assert_eq!(report.lost_since(mended), 0, "{report}");
        report.assert_hitless_since(mended);
        assert!(std::panic::catch_unwind(|| report.assert_hitless()).is_err());
    }

    #[test]
    fn a_trunk_that_is_made_anew_is_used_at_once() {
        let Some(mut lab) = lab("a_trunk_that_is_made_anew_is_used_at_once") else {
            return;
        };
        let flow = Flow::start(&lab, 0, 1).unwrap();
        flow.run_for(Duration::from_millis(100));
        lab.unplug(0).unwrap();
        lab.plug(0).unwrap();
        lab.address(0).unwrap();
        let back = Instant::now();
        flow.run_for(Duration::from_millis(300));
        let report = flow.finish(&lab).unwrap();
        report.assert_hitless_since(back);
        assert!(report.lost() > 0, "nothing was unplugged\n{report}");
    }

    #[test]
    fn a_frame_that_was_routed_wrongly_is_found() {
        let network = Network::new_for_tests;
        let template = Template::new(&network(0), &network(1), Family::V4, 9);
        let mut arrived = template.arriving.clone();
        number(&mut arrived, 5);
        assert_eq!(template.number_of(&arrived), Some(5));
        let mut wanted = Vec::new();
        assert_eq!(template.check(&mut wanted, &arrived, 5), None);
        // MACs, VID, TTL, header checksum, UDP checksum.
        for at in [0, 6, 15, 26, 28, 44] {
            let mut spoilt = arrived.clone();
            spoilt[at] ^= 1;
            assert!(
                template.check(&mut wanted, &spoilt, 5).is_some(),
                "byte {at}"
            );
        }
        // As sent: the router did nothing.
        let mut sent = template.sent.clone();
        number(&mut sent, 5);
        assert!(template.check(&mut wanted, &sent, 5).is_some());
        assert_eq!(template.number_of(&sent), Some(5));
        // The error that quotes it is not it.
        let error = Transport::icmp(3, 0, &sent[14..]);
        let from = network(0);
        let error = Frame::ipv4([0; 6], [0; 6], from.gateway4, from.host4, error);
        assert_eq!(template.number_of(&error.bytes()), None);
    }

    #[test]
    fn arrivals_are_judged_by_their_numbers() {
        let mut arrivals = Arrivals::default();
        for number in [WARM_UP, 0, 2, 1, 2, 4] {
            arrivals.record(number);
        }
        assert!(arrivals.warm);
        let start = Instant::now();
        let sent = Sent {
            times: (0..6).map(|at| start + Duration::from_millis(at)).collect(),
            absent: Duration::from_millis(500),
        };
        let report = arrivals.judge("a".into(), &sent, start, start + Duration::from_secs(1));
        let lost: Vec<_> = report.lost.iter().map(|lost| lost.number).collect();
        assert_eq!(lost, [3, 5]);
        assert_eq!(report.lost[1].at, Duration::from_millis(5));
        assert_eq!((report.duplicated, report.reordered), (1, 1));
        assert_eq!(report.wrong, None);
        // Six in the half second in which there was an interface.
        assert!((report.rate - 12.0).abs() < 1e-6, "{}", report.rate);
        arrivals.record(6);
        let report = arrivals.judge("a".into(), &sent, start, start + Duration::from_secs(1));
        assert!(report.wrong.is_some());
    }
}
