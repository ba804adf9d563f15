//! What became of a flow, and whether that is good enough.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::lab;

/// A packet a second and direction, at least: what a flow must have been to
/// prove anything.
const LEAST_RATE: f64 = 1000.0;

/// A flow that is shorter is not judged by its rate,
const JUDGED: Duration = Duration::from_secs(1);

/// but by its packets.
const LEAST: u64 = 20;

/// What became of a flow.
#[derive(Debug)]
pub struct Report {
    /// There, and back.
    pub directions: Vec<DirectionReport>,
    /// Packets that the router's kernel forwarded meanwhile.
    pub by_kernel: u64,
    pub(super) started: Instant,
    pub(super) elapsed: Duration,
    pub(super) diagnosis: String,
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
    pub(super) fn is_sound(&self) -> bool {
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
