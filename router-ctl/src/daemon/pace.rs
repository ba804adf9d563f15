//! When to do what many events ask for: soon, but not for every one of them.

use std::time::Duration;

use tokio::time::Instant;

/// Work may take a quarter of the time, no more: rest three times as long as it
/// took.
const REST: u32 = 3;

/// When some work is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when it is wanted.
    first: Option<Instant>,
    /// From when it may be done.
    at: Option<Instant>,
    /// It is wanted without delay.
    urgent: bool,
    /// Not before.
    rested: Instant,
    /// Rest at least and at most.
    bounds: (Duration, Duration),
}

impl Pace {
    /// Nothing is wanted. Between two times there are at least `shortest` and,
    /// however long the work takes, no more than `longest`.
    pub(super) fn new(shortest: Duration, longest: Duration, now: Instant) -> Self {
        Self {
            first: None,
            at: None,
            urgent: false,
            rested: now,
            bounds: (shortest, longest),
        }
    }

    /// Wanted now, or once it is rested.
    pub(super) fn want(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.at = Some(now);
        self.urgent = true;
    }

    /// Wanted when nothing has happened for `quiet`; but no later than eight
    /// times that from the first time on.
    pub(super) fn want_after(&mut self, quiet: Duration, now: Instant) {
        let first = *self.first.get_or_insert(now);
        if !self.urgent {
            self.at = Some((now + quiet).min(first + quiet * 8));
        }
    }

    /// When it is due; `None`: it is not wanted.
    pub(super) fn due(&self) -> Option<Instant> {
        self.at.map(|at| at.max(self.rested))
    }

    /// Whether it is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Begun: what is wanted from now on is wanted again.
    pub(super) fn begin(&mut self) {
        self.first = None;
        self.at = None;
        self.urgent = false;
    }

    /// Not before `until`.
    pub(super) fn hold(&mut self, until: Instant) {
        self.rested = self.rested.max(until);
    }

    /// Done; it took `cost`.
    pub(super) fn done(&mut self, cost: Duration, now: Instant) {
        let (shortest, longest) = self.bounds;
        self.rested = now + (cost * REST).clamp(shortest, longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_is_done_at_once_and_the_next_after_a_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(ms(20), ms(160), start);
        assert_eq!(pace.due(), None);
        pace.want(start);
        assert!(pace.is_due(start));
        pace.begin();
        assert_eq!(pace.due(), None);
        pace.done(ms(1), start + ms(1));
        pace.want(start + ms(2));
        assert_eq!(pace.due(), Some(start + ms(21)), "no sooner than the least");
        pace.begin();
        pace.done(ms(30), start + ms(60));
        pace.want(start + ms(61));
        assert_eq!(pace.due(), Some(start + ms(150)), "a quarter of the time");
        pace.begin();
        pace.done(ms(1000), start + ms(2000));
        pace.want(start + ms(2001));
        assert_eq!(pace.due(), Some(start + ms(2160)), "no later than the most");
    }

    #[test]
    fn a_burst_is_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let mut pace = Pace::new(ms(0), ms(1000), start);
        for at in (0..=300).step_by(10) {
            pace.want_after(ms(20), start + ms(at));
            let expected = (at + 20).min(160);
            assert_eq!(pace.due(), Some(start + ms(expected)));
        }
        pace.want(start + ms(5));
        pace.want_after(ms(20), start + ms(6));
        assert_eq!(pace.due(), Some(start + ms(5)), "what is urgent stays so");
    }
}
