//! What the packets of a run came to: a run in which (nearly) everything
//! passes up for the first reason would prove nothing.

use std::collections::BTreeMap;

use router_common::datapath::Reason;

use router_test_support::mutation::Case;

use crate::compare::Outcome;

/// Reasons that no packet can have here: `route()` makes none, and every frame is
/// in one buffer.
const NEVER: [&str; 2] = ["internal", "several-buffers"];

#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: u64,
    kinds: BTreeMap<&'static str, u64>,
}

impl Shares {
    pub(crate) fn count(&mut self, case: &Case, outcome: &Outcome) {
        self.all += 1;
        let mut add = |kind| *self.kinds.entry(kind).or_default() += 1;
        match outcome {
            Outcome::Passed(reason) => add(reason),
            Outcome::Forwarded { elsewhere, grew } => {
                add("forwarded");
                add(if case.skeleton.six {
                    "forwarded: IPv6"
                } else {
                    "forwarded: IPv4"
                });
                add(match grew {
                    0 => "forwarded: same length",
                    4 => "forwarded: tag pushed",
                    _ => "forwarded: tag popped",
                });
                if *elsewhere {
                    add("forwarded: other trunk");
                }
                if !case.mutations.is_empty() {
                    add("forwarded: changed");
                }
            }
        }
    }

    pub(crate) fn print(&self) {
        for (kind, count) in &self.kinds {
            println!("{count:>9} {kind}");
        }
    }

    /// Parts per million.
    fn share(&self, kind: &str) -> u64 {
        let count = self.kinds.get(kind).copied().unwrap_or(0);
        count * 1_000_000 / self.all.max(1)
    }

    /// Enough of each verdict. A short run has its own luck.
    pub(crate) fn assert_healthy(&self) {
        if self.all < 100_000 {
            println!("{} packets are too few to look at their shares", self.all);
            return;
        }
        let forwarded = self.share("forwarded");
        assert!(
            (300_000..700_000).contains(&forwarded),
            "{forwarded} of a million are forwarded"
        );
        for (kind, at_least) in [
            ("forwarded: IPv4", 150_000),
            ("forwarded: IPv6", 150_000),
            ("forwarded: tag pushed", 30_000),
            ("forwarded: tag popped", 30_000),
            ("forwarded: other trunk", 30_000),
            ("forwarded: changed", 200_000),
        ] {
            let share = self.share(kind);
            assert!(share >= at_least, "{share} of a million are {kind}");
        }
        for reason in Reason::ALL {
            let share = self.share(reason.name());
            if NEVER.contains(&reason.name()) {
                assert_eq!(share, 0, "{}", reason.name());
            } else {
                assert!(share >= 200, "{share} of a million are {}", reason.name());
            }
        }
    }
}
