//! Following the kernel: its tables and sysctls in memory, as they are now.
//!
//! ```text
//! announcements -> hear -> mirror, forwarding sysctls        at once
//!                    '---> what they leave open is due -> dump of that table   20 ms later
//! overrun -> everything is due -> dump of everything          at once
//! each second: sysctls that are not announced (some of them at a time)
//! each five minutes: everything, as belt and braces
//! ```
//!
//! Dumps run beside the daemon's loop. What is announced meanwhile is applied
//! at once, and once more on top of the dump, which may be older.
//!
//! Invariant: between resyncs nothing is dumped unless the kernel has announced
//! a change that calls for it.

mod dumps;
mod sysctls;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use router_common::wire::IfIndex;
use tokio::{task::JoinSet, time::Instant};
use tracing::{debug, info};

pub(super) use self::dumps::Answer;
use super::{pace::Pace, source::Source};
use crate::{
    api::model::{Following, Problem},
    config::Config,
    netlink::{Delta, Due, Heard, Index, Mirror, types::Link},
    reconcile::Kernel,
};

/// Events that come closer together than this call for one dump.
const QUIET: Duration = Duration::from_millis(20);
/// Between two dumps at most, unless they take longer than this.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How often everything is read anew.
const PERIOD: Duration = Duration::from_secs(300);
/// So many overruns within [`LOOPING_PERIOD`] are no accident.
const LOOPING: usize = 4;
const LOOPING_PERIOD: Duration = Duration::from_secs(10);

/// What came of hearing something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heed {
    /// The maps may have to change.
    pub(super) changed: bool,
    /// These devices are not what they were: nothing may go by them until the
    /// maps have been reconciled.
    pub(super) shut: Vec<IfIndex>,
}

/// Keeps up with the kernel.
#[derive(Debug)]
pub(super) struct Follower<S> {
    pub(super) source: S,
    mirror: Mirror,
    sysctls: sysctls::Known,
    jobs: JoinSet<Answer>,
    /// Dumps that run.
    running: Due,
    begun: Instant,
    /// Their answers are of no use: something was lost meanwhile.
    tainted: bool,
    /// What was announced while they ran.
    log: Vec<Delta>,
    /// A look at devices is under way; how many announcements of devices there
    /// had been when it began.
    looking: Option<u64>,
    heard_of_links: u64,
    /// Neighbours are being declared in use.
    using: bool,
    pace: Pace,
    /// Last time that everything was read.
    whole: Instant,
    counts: Following,
    overruns: VecDeque<Instant>,
    /// Something was lost, and nothing has been read since.
    lost: bool,
    failure: Option<String>,
}

impl<S: Source> Follower<S> {
    /// Knows nothing yet.
    pub(super) fn new(source: S) -> Self {
        let now = Instant::now();
        Self {
            source,
            mirror: Mirror::default(),
            sysctls: sysctls::Known::default(),
            jobs: JoinSet::new(),
            running: Due::default(),
            begun: now,
            tainted: false,
            log: Vec::new(),
            looking: None,
            heard_of_links: 0,
            using: false,
            pace: Pace::new(Duration::ZERO, LONGEST_REST, now),
            whole: now,
            counts: Following::default(),
            overruns: VecDeque::new(),
            lost: true,
            failure: None,
        }
    }

    pub(super) const fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    pub(super) const fn counts(&self) -> &Following {
        &self.counts
    }

    /// Takes over what was heard.
    pub(super) fn hear(&mut self, heard: Heard, now: Instant) -> Heed {
        let mut heed = Heed::default();
        match heard {
            Heard::Deltas(deltas) => {
                for delta in deltas {
                    self.apply(&delta, &mut heed);
                    self.note(delta);
                }
                if self.mirror.due().any() {
                    self.pace.want_after(QUIET, now);
                }
            }
            Heard::Overrun => {
                info!("more was announced than could be heard: reading everything anew");
                self.counts.overruns += 1;
                self.overruns.push_back(now);
                self.tainted = self.running.any();
                self.log.clear();
                self.lost = true;
                self.mirror.distrust();
                self.pace.want(now);
            }
        }
        heed
    }

    fn apply(&mut self, delta: &Delta, heed: &mut Heed) {
        if matches!(delta, Delta::Link(_) | Delta::LinkGone(_)) {
            self.heard_of_links += 1;
        }
        match delta {
            Delta::Link(link) => {
                if let Some(old) = self.mirror.link(link.ifindex) {
                    if identity(old) != identity(link) {
                        heed.shut.push(link.ifindex);
                    }
                    if old.mtu != link.mtu || old.up != link.up {
                        self.sysctls.doubt(link.ifindex);
                    }
                }
            }
            Delta::LinkGone(ifindex) => {
                heed.shut.push(*ifindex);
                self.sysctls.forget(*ifindex);
            }
            Delta::Inet6(ifindex) => heed.changed |= self.sysctls.doubt(*ifindex),
            // With disable_ipv6 they go, and nothing else is said of it.
            Delta::Address(address) | Delta::AddressGone(address) => {
                self.sysctls.doubt(address.ifindex);
            }
            Delta::Netconf(conf) => heed.changed |= self.sysctls.announced(conf),
            _ => {}
        }
        heed.changed |= self.mirror.apply(delta);
    }

    /// When [`start`](Self::start) is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pace.due()
    }

    /// Looks at devices by themselves: that a program is detached from one is
    /// not announced.
    pub(super) fn look_at(&mut self, names: Vec<String>) {
        if self.looking.is_some() {
            // The kernel is busy; so it is asked no more.
            return;
        }
        self.looking = Some(self.heard_of_links);
        let source = self.source.clone();
        self.jobs.spawn(async move {
            let mut links = Vec::new();
            for name in names {
                if let Ok(link) = source.link(&name).await {
                    links.push((name, link));
                }
            }
            Answer::Links(links)
        });
    }

    /// Declares neighbours to be in use.
    pub(super) fn use_neighbours(&mut self, chosen: Vec<(IfIndex, IpAddr)>) {
        if chosen.is_empty() || self.using {
            return;
        }
        self.using = true;
        for (ifindex, address) in &chosen {
            self.mirror.used(*ifindex, *address);
        }
        let source = self.source.clone();
        self.jobs.spawn(async move {
            for (ifindex, address) in chosen {
                // One that has gone meanwhile needs nothing.
                if let Err(error) = source.use_neighbour(ifindex, address).await {
                    debug!(%error, %address, "not in use");
                }
            }
            Answer::Used
        });
    }

    fn compare(&mut self, links: Vec<(String, Option<Link>)>, heed: &mut Heed) {
        for (name, link) in links {
            match link {
                Some(link) => {
                    if self.mirror.link(link.ifindex) != Some(&link) {
                        self.apply(&Delta::Link(link), heed);
                    }
                }
                None => {
                    let gone = self.mirror.link_named(&name).map(|link| link.ifindex);
                    if let Some(ifindex) = gone {
                        // Its end is announced as well, mostly.
                        self.apply(&Delta::LinkGone(ifindex), heed);
                    }
                }
            }
        }
    }

    /// Each second: reads the sysctls that the kernel does not announce, those
    /// of some devices at a time. Whether the maps may have to change.
    pub(super) fn tick(&mut self, config: &Config, now: Instant) -> bool {
        if now - self.whole > PERIOD && !self.mirror.due().all && !self.running.all {
            self.mirror.distrust();
            self.pace.want(now);
        }
        while self
            .overruns
            .front()
            .is_some_and(|at| now - *at > LOOPING_PERIOD)
        {
            self.overruns.pop_front();
        }
        let sysctls = self.source.sysctls();
        self.sysctls.tick(config, &self.mirror, sysctls)
    }

    /// The kernel's state, as far as it is known; sysctls that are not are read.
    pub(super) fn kernel(&mut self, config: &Config) -> Kernel {
        let tables = self.mirror.tables();
        let index = Index::of(&tables);
        let forwarding = self.sysctls.of(config, &index, self.source.sysctls());
        Kernel {
            tables,
            forwarding,
            ..Kernel::default()
        }
    }

    /// Whether what is known has to be looked at once more when a change is
    /// over.
    pub(super) fn is_unsure(&self) -> bool {
        self.sysctls.is_unsure()
    }

    /// Whether it knows what the kernel has.
    pub(super) const fn is_current(&self) -> bool {
        !self.lost && self.failure.is_none()
    }

    /// What keeps it from following.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.overruns.len() >= LOOPING {
            problems.push(Problem {
                message: format!(
                    "the kernel's tables change faster than they can be followed: read anew {} times in {} s",
                    self.overruns.len(),
                    LOOPING_PERIOD.as_secs()
                ),
                help: "see what changes them: ip monitor".into(),
            });
        }
        if let Some(failure) = &self.failure {
            problems.push(Problem {
                message: format!("the kernel's tables cannot be read: {failure}"),
                help:
                    "it is tried again by itself: mend what it names; `ip route` shows whether the \
                       kernel answers"
                        .into(),
            });
        }
        problems
    }
}

/// What makes a device a network's: if any of it changes, it may not be any
/// more.
fn identity(link: &Link) -> impl PartialEq + '_ {
    let vlan = link.vlan.as_ref().map(|vlan| (vlan.vid, vlan.protocol));
    (
        (&link.name, &link.kind, vlan, link.mac),
        (link.master, link.parent, link.parent_elsewhere, link.up),
    )
}
