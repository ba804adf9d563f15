//! Two arms, and the tables played on both.

mod repeat;
mod rows;
mod stage;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{
    Arm, Difference, Differences, Fate, Kind, Seen, Stats, Tally, World, compare, pin,
    reset::Baseline,
};
use crate::{
    lab, netns,
    packet::Frame,
    prog::{Network, Row},
    tables::{Stage, Table},
};

pub use repeat::only_together;

/// When the kernel has another error for the same host: a second, and some.
const ERROR_TOKEN: std::time::Duration = std::time::Duration::from_millis(1200);

/// What frames came to that belong to no row.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What came out with XDP.
    pub on: Seen,
    /// What came out without.
    pub off: Seen,
    /// What XDP counted.
    pub counted: Stats,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
}

/// What it is when nobody answers the probe behind a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// Whether anything arrived at all is not known.
    Fault,
    /// The row is about a network that is down.
    Expected,
}

/// Two routers, alike but for XDP.
#[derive(Debug)]
pub struct Twin {
    /// With XDP.
    pub on: Arm,
    /// Without.
    pub off: Arm,
    world: World,
    test: String,
    table: String,
    /// Something was changed that the daemon may not have taken in.
    unsettled: bool,
    /// That was a sysctl which the kernel does not announce.
    unannounced: bool,
    stats: Stats,
    baseline: Baseline,
    /// VLAN devices were given qos maps.
    mapped: bool,
    /// Rows that will go in together.
    waiting: Vec<Row>,
    rows: usize,
    unplayable: usize,
    failures: Vec<String>,
    differences: Differences,
    tally: Tally,
}

impl Twin {
    /// Twins of this kernel's kind for the test of this name; `None`, with a SKIP
    /// line, where this user may not make them.
    ///
    /// # Panics
    /// When anything but permission is missing.
    #[must_use]
    pub fn or_skip(test: &str, mtu: u16) -> Option<Self> {
        Self::or_skip_in(test, |kind| World::new(kind, mtu))
    }

    /// [`Twin::or_skip`], with these VIDs for A, B and C.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn with_vids_or_skip(test: &str, mtu: u16, vids: [u16; 3]) -> Option<Self> {
        Self::or_skip_in(test, |kind| World {
            vids,
            ..World::new(kind, mtu)
        })
    }

    fn or_skip_in(test: &str, world: impl FnOnce(Kind) -> World) -> Option<Self> {
        drop(netns::private_or_skip(test)?);
        let twin = Self::build_in(test, world);
        Some(twin.unwrap_or_else(|e| panic!("{test}: cannot build the twins: {e:#}")))
    }

    /// Twins of this kernel's kind.
    ///
    /// # Errors
    /// The kernel's and the daemon's.
    pub fn build(test: &str, mtu: u16) -> Result<Self> {
        Self::build_in(test, |kind| World::new(kind, mtu))
    }

    fn build_in(test: &str, world: impl FnOnce(Kind) -> World) -> Result<Self> {
        let kind = if lab::kernel_has_vlans()? {
            Kind::Tagged
        } else {
            Kind::Untagged
        };
        let world = world(kind);
        let on = Arm::build(world, true).context("with XDP")?;
        let off = Arm::build(world, false).context("without XDP")?;
        // Not earlier: daemons may use all CPUs.
        pin()?;
        Ok(Self {
            stats: on.stats()?,
            baseline: Baseline::default(),
            mapped: false,
            on,
            off,
            world,
            test: test.to_owned(),
            table: String::new(),
            unsettled: false,
            unannounced: false,
            rows: 0,
            unplayable: 0,
            failures: Vec::new(),
            differences: Differences::default(),
            tally: Tally::default(),
            waiting: Vec::new(),
        })
    }

    /// Tagged or not, and sizes.
    #[must_use]
    pub const fn world(&self) -> World {
        self.world
    }

    /// Plays a table, and undoes what it changed.
    ///
    /// # Panics
    /// Where the kernel or a daemon refuses.
    pub fn play(&mut self, name: &str, table: Table<Self>) {
        self.begin(name);
        table(self);
        self.reset();
    }

    /// From now on rows are of this table.
    pub fn begin(&mut self, name: &str) {
        name.clone_into(&mut self.table);
    }

    /// Undoes everything that was changed since the beginning.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn reset(&mut self) {
        self.flush();
        if std::mem::take(&mut self.mapped) {
            for network in Network::ALL {
                self.egress_map(network, [0; 16]);
                self.ingress_map(network, [0; 8]);
            }
            self.mapped = false;
        }
        let baseline = std::mem::take(&mut self.baseline);
        self.unannounced |= baseline.any(unannounced_key);
        for arm in [&self.on, &self.off] {
            baseline
                .restore(arm, self.world)
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unsettled = true;
    }

    /// Something was changed, or will be, that the daemon must take in before
    /// the next row.
    pub fn touch(&mut self) {
        self.unsettled = true;
    }

    /// Waits until the daemon has taken in what was changed.
    ///
    /// # Panics
    /// Where the kernel or a daemon refuses.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.unannounced) {
            std::thread::sleep(unannounced());
        }
        if self.unsettled {
            for arm in [&mut self.on, &mut self.off] {
                arm.settle().unwrap_or_else(|e| panic!("{e:?}"));
            }
            self.unsettled = false;
            self.stats = self.on.stats().unwrap_or_else(|e| panic!("{e:?}"));
        }
    }

    /// Sends frames (as they are on the wire) into both arms. What came out, and
    /// what XDP counted.
    ///
    /// # Panics
    /// Where the kernel or a daemon refuses.
    fn exchange(&mut self, from: Network, frames: &[Vec<u8>]) -> (Seen, Seen, Stats) {
        let once = self.exchange_once(from, frames);
        if !compare::only_errors_differ(&once.0, &once.1) {
            return once;
        }
        self.differs(Difference::ErrorLimit, "an error");
        std::thread::sleep(ERROR_TOKEN);
        self.exchange_once(from, frames)
    }

    fn exchange_once(&mut self, from: Network, frames: &[Vec<u8>]) -> (Seen, Seen, Stats) {
        self.settle();
        let on = self.on.play(from, frames);
        let off = self.off.play(from, frames);
        let stats = self.on.stats().unwrap_or_else(|e| panic!("{e:?}"));
        let counted = stats.since(&self.stats);
        self.stats = stats;
        (
            on.unwrap_or_else(|e| panic!("with XDP: {e:?}")),
            off.unwrap_or_else(|e| panic!("without XDP: {e:?}")),
            counted,
        )
    }

    /// Plays frames that came in on `from`, and holds the arms to each other and
    /// to the invariants. No row is noted: what is wrong is the caller's to tell.
    ///
    /// # Panics
    /// Where the kernel or a daemon refuses.
    pub fn trial(&mut self, what: &str, from: Network, frames: &[Vec<u8>]) -> Trial {
        self.flush();
        let (on, off, counted) = self.exchange(from, frames);
        let (_, wrong) = self.judge(what, frames, &on, &off, &counted, Silence::Fault);
        Trial {
            on,
            off,
            counted,
            wrong,
        }
    }

    /// Differences that are allowed and occurred, a line each.
    pub fn allowed(&self) -> impl Iterator<Item = String> {
        self.differences.lines()
    }

    /// A frame that comes in on `from`, as it is on this world's wire; `None`: it
    /// is about tags, and there are none.
    #[must_use]
    pub fn frame(&self, from: Network, frame: &Frame) -> Option<Vec<u8>> {
        self.world.on_wire(from, frame).map(|frame| frame.bytes())
    }

    /// Notes a difference that is allowed.
    pub fn differs(&mut self, difference: Difference, what: &str) {
        let place = format!("{}: {what}", self.table);
        self.differences.note(difference, &place);
    }

    /// Plays frames of one case that came in on `from`, and holds the arms to
    /// each other and to the invariants. What came out, and the fate.
    pub fn same(
        &mut self,
        case: u16,
        what: &str,
        from: Network,
        frames: &[Vec<u8>],
    ) -> (Seen, Seen, Fate) {
        self.flush();
        let (on, off, counted) = self.exchange(from, frames);
        let (fate, wrong) = self.judge(what, frames, &on, &off, &counted, Silence::Fault);
        self.conclude(case, what, fate, &wrong, &counted);
        (on, off, fate)
    }

    /// I1, I4 to I7; and the fate.
    fn judge(
        &mut self,
        what: &str,
        frames: &[Vec<u8>],
        on: &Seen,
        off: &Seen,
        counted: &Stats,
        silence: Silence,
    ) -> (Fate, Vec<String>) {
        let comparison = compare::compare(on, off, frames, counted.fast);
        let place = format!("{}: {what}", self.table);
        for difference in comparison.allowed {
            self.differences.note(difference, &place);
        }
        let mut wrong = comparison.wrong;
        let same = wrong.is_empty();
        wrong.extend(self.broken(frames, on, off, counted, silence));
        let fate = if !same {
            Fate::Differs
        } else if counted.fast > 0 {
            Fate::Xdp
        } else if frames
            .iter()
            .any(|input| compare::was_forwarded(input, off))
        {
            Fate::Kernel
        } else {
            Fate::Not
        };
        (fate, wrong)
    }

    /// I4 to I7, of both arms; and the probes behind the frames must be answered,
    /// or nothing came because nothing had arrived.
    fn broken(
        &self,
        frames: &[Vec<u8>],
        on: &Seen,
        off: &Seen,
        counted: &Stats,
        silence: Silence,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        for (arm, seen) in [("with XDP", on), ("without", off)] {
            let of_arm = compare::invariants(self.world, frames, seen);
            broken.extend(of_arm.into_iter().map(|line| format!("{line}, {arm}")));
            if !seen.alive && silence == Silence::Fault {
                broken.push(format!("nobody answered a probe {arm}"));
            }
        }
        if on.alive != off.alive {
            broken.push("the probe of one arm alone was answered".to_owned());
        }
        // On a wire that is dead nothing arrives.
        if on.alive && counted.frames() != on.sent {
            broken.push(format!(
                "I5: {} frames were sent, {} counted: {counted:?}",
                on.sent,
                counted.frames()
            ));
        }
        broken
    }

    /// Notes a row's end.
    fn conclude(&mut self, case: u16, what: &str, fate: Fate, wrong: &[String], counted: &Stats) {
        self.rows += 1;
        self.tally.note(case, fate, &self.place());
        if wrong.is_empty() {
            return;
        }
        let mut text = format!("case {case}: {}: {what} ({fate})", self.table);
        for line in wrong {
            let _ = write!(text, "\n    {line}");
        }
        let _ = write!(text, "\n    counted: {counted:?}");
        println!("{text}");
        self.failures.push(text);
    }

    /// A failure that no row tells.
    pub fn fail(&mut self, case: u16, what: &str, why: &str) {
        self.conclude(
            case,
            what,
            Fate::Differs,
            &[why.to_owned()],
            &Stats::default(),
        );
    }

    /// A case that was shown otherwise than by a row.
    pub fn shown(&mut self, case: u16, fate: Fate) {
        self.rows += 1;
        self.tally.note(case, fate, &self.place());
    }

    fn place(&self) -> String {
        format!("{}::{}", self.test, self.table)
    }

    /// What has failed, which fails nobody then: for tests of the oracle itself.
    pub fn take_failures(&mut self) -> Vec<String> {
        self.flush();
        std::mem::take(&mut self.failures)
    }

    /// Fails the test if a row failed.
    ///
    /// # Panics
    /// With every row that failed.
    pub fn finish(mut self) {
        self.flush();
        println!(
            "{}: {} rows on {:?} networks, {} that need tags or larger frames left out",
            self.test, self.rows, self.world.kind, self.unplayable
        );
        self.tally.tell();
        for line in self.differences.lines() {
            println!("{line}");
        }
        let failures = std::mem::take(&mut self.failures);
        assert!(
            failures.is_empty(),
            "{} of {} rows failed:\n{}",
            failures.len(),
            self.rows,
            failures.join("\n")
        );
    }
}

/// Sysctls of which the kernel says nothing.
fn unannounced_key(key: &str) -> bool {
    [
        "multipath",
        "update_priority",
        "force_forwarding",
        "use_pmtu",
        "accept_redirects",
    ]
    .iter()
    .any(|quiet| key.contains(quiet))
}

/// The daemon looks once a second.
fn unannounced() -> std::time::Duration {
    std::time::Duration::from_millis(if lab::slow() { 3000 } else { 1300 })
}

/// A test that forgets to finish must not pass for it.
impl Drop for Twin {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        }
    }
}
