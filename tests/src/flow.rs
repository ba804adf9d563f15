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

mod report;
mod sender;
mod sink;
mod template;
#[cfg(test)]
mod tests;

use std::{
    net::UdpSocket,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

pub use self::report::{DirectionReport, Lost, Report};
use self::{
    sender::{Sent, emit},
    sink::{Arrivals, Tap, receive},
    template::{Template, WARM_UP, number},
};
/// IPv4 or IPv6.
pub use crate::topology::Family;
use crate::{
    capture, forwarded,
    lab::{HOST_INTERFACE, Lab},
    netns::Netns,
    wait,
};

/// For the first packet to arrive: the kernel may have to find neighbours, the
/// daemon to start.
const FIRST: Duration = Duration::from_secs(60);

/// Nothing has come for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(1);

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
