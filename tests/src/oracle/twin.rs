//! Two arms, and the tables played on both.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use router_common::{
    abi::{Egress, Ingress},
    datapath::Reason,
};

use super::{
    Arm, Difference, Differences, Fate, Kind, Seen, Stats, Tally, World, compare, pin,
    reset::Baseline,
};
use crate::{
    lab, netns,
    packet::Frame,
    prog::{Expect, Kernel, Network, Row},
    tables::{Stage, Table},
};

/// Rows that go in at once: far fewer than a veth's ring has places.
const BATCH: usize = 32;

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
    pub fn exchange(&mut self, from: Network, frames: &[Vec<u8>]) -> (Seen, Seen, Stats) {
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
        let (_, wrong) = self.judge(what, frames, &on, &off, &counted);
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
        let (fate, wrong) = self.judge(what, frames, &on, &off, &counted);
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
    ) -> (Fate, Vec<String>) {
        let comparison = compare::compare(on, off, &compare::senders(frames));
        let place = format!("{}: {what}", self.table);
        for difference in comparison.allowed {
            self.differences.note(difference, &place);
        }
        let mut wrong = comparison.wrong;
        let same = wrong.is_empty();
        if let [input] = frames {
            wrong.extend(compare::invariants(self.world, input, on));
        }
        // On a wire that is dead nothing arrives.
        if on.alive && counted.frames() != on.sent {
            wrong.push(format!(
                "I5: {} frames were sent, {} counted: {counted:?}",
                on.sent,
                counted.frames()
            ));
        }
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

    /// XDP forwards it, and so does the kernel: rows that may go in together.
    fn is_plain(row: &Row) -> bool {
        matches!(row.expect, Expect::Forward { .. })
            && matches!(row.kernel, Kernel::Forwards(..) | Kernel::Unasked)
    }

    /// Plays the rows that wait.
    fn flush(&mut self) {
        let rows = std::mem::take(&mut self.waiting);
        self.batch(&rows);
    }

    /// Rows that XDP is to forward, all on one wire, at once: most are, and to
    /// ask the daemon for every single one takes long under emulation. If
    /// anything is not as it should be, they are played one by one.
    fn batch(&mut self, rows: &[Row]) {
        let inputs: Option<Vec<Vec<u8>>> = rows
            .iter()
            .map(|row| {
                self.world
                    .on_wire(row.ingress, &row.frame)
                    .map(|f| f.bytes())
            })
            .collect();
        let Some(inputs) = inputs.filter(|inputs| inputs.len() > 1) else {
            for row in rows {
                self.row(row);
            }
            return;
        };
        let mut expected: Vec<_> = rows.iter().filter_map(|row| self.expected(row)).collect();
        let (on, off, counted) = self.exchange(rows[0].ingress, &inputs);
        let senders = compare::senders(&inputs);
        let comparison = compare::compare(&on, &off, &senders);
        let came = on.frames.iter();
        let mut came: Vec<_> = came
            .map(|(wire, frame)| (*wire, compare::normal(frame, &senders).0))
            .collect();
        came.sort();
        expected.sort();
        let fine = comparison.wrong.is_empty()
            && came == expected
            && counted.fast == rows.len() as u64
            && counted.frames() == on.sent;
        if !fine {
            for row in rows {
                self.row(row);
            }
            return;
        }
        for difference in comparison.allowed {
            let place = format!("{}: {} and others", self.table, rows[0].what);
            self.differences.note(difference, &place);
        }
        for row in rows {
            self.conclude(row.case, &row.what, Fate::Xdp, &[], &counted);
        }
    }

    /// The wire and the frame, normal, that must come out of a row that is
    /// forwarded.
    fn expected(&self, row: &Row) -> Option<(usize, Vec<u8>)> {
        let Expect::Forward { to, via, tag, .. } = row.expect else {
            return None;
        };
        let tag = self
            .world
            .tag(to)
            .and(tag)
            .map(|tag| self.world.tag_here(tag));
        let frame = match &row.becomes {
            Some(becomes) => becomes.clone().tags(tag.as_slice()),
            None => {
                let frame = self.world.on_wire(row.ingress, &row.frame)?;
                frame.routed(via, to.gateway_mac(), tag)
            }
        };
        let bytes = frame.bytes();
        let senders = compare::senders(std::slice::from_ref(&bytes));
        Some((self.world.wire(to), compare::normal(&bytes, &senders).0))
    }

    /// One row of a table.
    fn row(&mut self, row: &Row) {
        let Some(frame) = self.world.on_wire(row.ingress, &row.frame) else {
            self.unplayable += 1;
            return;
        };
        let input = frame.bytes();
        let frames = [input];
        let (mut on, mut off, mut counted) = self.exchange(row.ingress, &frames);
        if row.kernel == Kernel::Answers && on.frames.is_empty() && off.frames.is_empty() {
            self.differs(Difference::ErrorLimit, &row.what);
            std::thread::sleep(ERROR_TOKEN);
            (on, off, counted) = self.exchange(row.ingress, &frames);
        }
        if on.refused && off.refused {
            // Larger than what the NIC takes: nothing of the router's.
            self.unplayable += 1;
            return;
        }
        let (fate, mut wrong) = self.judge(&row.what, &frames, &on, &off, &counted);
        match row.expect {
            Expect::Forward { .. } => {
                if counted.fast != 1 {
                    wrong.push("XDP should have forwarded it".to_owned());
                }
                let senders = compare::senders(&frames);
                let came = on.frames.iter();
                let came: Vec<_> = came
                    .map(|(wire, frame)| (*wire, compare::normal(frame, &senders).0))
                    .collect();
                let expected = self.expected(row);
                if came != expected.as_slice() {
                    for (what, frames) in [("expected", expected.as_slice()), ("came", &came)] {
                        wrong.extend(frames.iter().map(|(wire, frame)| {
                            format!("{what} on wire{wire}: {}", compare::describe(frame))
                        }));
                    }
                }
            }
            Expect::Up(reason) => {
                // Without tags there is none to be cut off.
                let untagged = reason == Reason::FrameTooShort && frame.tag_list().is_empty();
                if on.alive && counted.verdict(reason.name()) == 0 && !untagged {
                    wrong.push(format!("XDP should have passed it up as {}", reason.name()));
                }
            }
        }
        wrong.extend(self.kernel_wrong(row, &frames[0], &off));
        self.conclude(row.case, &row.what, fate, &wrong, &counted);
    }

    /// Where the kernel alone did not do what the row says.
    fn kernel_wrong(&self, row: &Row, input: &[u8], off: &Seen) -> Option<String> {
        let fine = match row.kernel {
            Kernel::Unasked => true,
            Kernel::Drops => off.frames.is_empty(),
            Kernel::Answers => {
                let wire = self.world.wire(row.ingress);
                matches!(off.frames.as_slice(), [(at, _)] if *at == wire)
                    && !compare::was_forwarded(input, off)
            }
            Kernel::Forwards(to, via) => {
                let wire = self.world.wire(to);
                matches!(off.frames.as_slice(), [(at, frame)] if *at == wire && frame.starts_with(&via))
                    && compare::was_forwarded(input, off)
            }
        };
        (!fine).then(|| {
            let came: Vec<_> = off
                .frames
                .iter()
                .map(|(wire, frame)| format!("wire{wire}: {}", compare::describe(frame)))
                .collect();
            format!(
                "the kernel should: {:?}; what left it: {came:?}",
                row.kernel
            )
        })
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
    key.contains("multipath") || key.contains("update_priority")
}

/// The daemon looks once a second.
fn unannounced() -> std::time::Duration {
    std::time::Duration::from_millis(if lab::slow() { 3000 } else { 1300 })
}

impl Stage for Twin {
    fn check(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows.into_iter().filter(|row| !row.by_hand) {
            if Self::is_plain(&row) {
                let other = |first: &Row| first.ingress != row.ingress;
                if self.waiting.len() == BATCH || self.waiting.first().is_some_and(other) {
                    self.flush();
                }
                self.waiting.push(row);
            } else {
                self.flush();
                self.row(&row);
            }
        }
    }

    fn ip(&mut self, lines: &str) {
        self.flush();
        for arm in [&self.on, &self.off] {
            arm.router
                .ip_batch(lines)
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unsettled = true;
    }

    fn ip6(&mut self, words: &str) {
        self.flush();
        for arm in [&self.on, &self.off] {
            arm.router
                .ip(&format!("-6 {words}"))
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unsettled = true;
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        self.flush();
        self.baseline
            .remember(key, &self.off)
            .unwrap_or_else(|e| panic!("{e:?}"));
        for arm in [&self.on, &self.off] {
            arm.router
                .sysctl(key, value)
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unannounced |= unannounced_key(key);
        self.unsettled = true;
    }

    /// The daemon's matter.
    fn change_ingress(&mut self, _: Network, _: impl FnOnce(&mut Ingress)) {}

    /// The daemon's matter.
    fn change_egress(&mut self, _: Network, _: impl FnOnce(&mut Egress)) {}

    /// Of the VLAN device; the daemon reads it. Where there is none, no frame has a
    /// priority.
    fn egress_map(&mut self, network: Network, pcp: [u8; 16]) {
        if self.world.tag(network).is_some() {
            let map = pcp.iter().enumerate();
            let map = map.fold(String::new(), |text, (priority, pcp)| {
                format!("{text} {priority}:{pcp}")
            });
            let device = network.device();
            self.ip(&format!("link set {device} type vlan egress-qos-map{map}"));
            self.mapped = true;
        }
    }

    fn ingress_map(&mut self, network: Network, priority: [u32; 8]) {
        if self.world.tag(network).is_some() {
            let map = priority.iter().enumerate();
            let map = map.fold(String::new(), |text, (pcp, priority)| {
                format!("{text} {pcp}:{priority}")
            });
            let device = network.device();
            self.ip(&format!("link set {device} type vlan ingress-qos-map{map}"));
            self.mapped = true;
        }
    }

    /// The daemon's matter.
    fn sync_locals(&mut self) {}
}

/// A test that forgets to finish must not pass for it.
impl Drop for Twin {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        }
    }
}
