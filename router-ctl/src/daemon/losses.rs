//! Frames that the kernel could not redirect for XDP: a problem while it goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::view::errno_name;
use crate::{api::model::Problem, instance::router_ctl};

/// A problem is over when nothing more was lost for so long.
const OVER: Duration = Duration::from_secs(10);

/// What was lost, and when.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By error number, at the last look. They begin with the daemon.
    before: BTreeMap<u32, u64>,
    /// By error number: when more was seen.
    seen: BTreeMap<u32, Instant>,
}

impl Losses {
    /// Looks at the counters. What there is of problems now.
    pub(super) fn look(
        &mut self,
        instance: &str,
        counts: &BTreeMap<u32, u64>,
        now: Instant,
    ) -> Option<Problem> {
        for (&number, &count) in counts {
            if count > self.before.get(&number).copied().unwrap_or(0) {
                self.seen.insert(number, now);
            }
        }
        self.before.clone_from(counts);
        self.seen.retain(|_, seen| now - *seen < OVER);
        let names: BTreeSet<_> = self.seen.keys().map(|number| errno_name(*number)).collect();
        if names.is_empty() {
            return None;
        }
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        Some(Problem {
            message: format!("frames that XDP redirects to another trunk are lost: {names}"),
            help: format!(
                "`{} stats --watch` counts them; EOPNOTSUPP: that trunk's driver sends nothing for XDP, set `xdp = \"generic\"` for all trunks; ENETDOWN: `ip link set TRUNK up`",
                router_ctl(instance)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOPNOTSUPP: u32 = 95;
    const ENETDOWN: u32 = 100;

    #[test]
    fn a_loss_is_a_problem_until_it_is_over() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(losses.look("default", &BTreeMap::new(), at(0)), None);
        let problem = losses.look("default", &BTreeMap::from([(EOPNOTSUPP, 3)]), at(1));
        let message = problem.unwrap().message;
        assert!(message.ends_with(": EOPNOTSUPP"), "{message}");
        let counts = BTreeMap::from([(EOPNOTSUPP, 3), (ENETDOWN, 1)]);
        let message = losses.look("default", &counts, at(5)).unwrap().message;
        assert!(message.ends_with(": ENETDOWN, EOPNOTSUPP"), "{message}");
        // The first is over, the second is not.
        let message = losses.look("default", &counts, at(12)).unwrap().message;
        assert!(message.ends_with(": ENETDOWN"), "{message}");
        assert_eq!(losses.look("default", &counts, at(15)), None);
    }

    /// Maps that are made anew have a counter that begins anew.
    #[test]
    fn counters_may_begin_anew() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(
            losses
                .look("default", &BTreeMap::from([(0, 9)]), at(0))
                .is_some()
        );
        assert_eq!(losses.look("default", &BTreeMap::new(), at(20)), None);
        let problem = losses
            .look("default", &BTreeMap::from([(0, 1)]), at(21))
            .unwrap();
        assert!(problem.message.ends_with(": other"), "{problem:?}");
    }
}
