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

mod sysctls;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use router_common::wire::IfIndex;
use tokio::{task::JoinSet, time::Instant};
use tracing::{debug, info, warn};

use super::{pace::Pace, source::Source};
use crate::{
    api::model::{Following, Problem},
    config::Config,
    netlink::{
        self, Delta, Due, Dump, Heard, Index, Mirror,
        types::{Link, Route, Tables},
    },
    reconcile::Kernel,
    sysctl::Forwarding,
};

/// Events that come closer together than this call for one dump.
const QUIET: Duration = Duration::from_millis(20);
/// Between two dumps at most, unless they take longer than this.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// After a dump that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often everything is read anew.
const PERIOD: Duration = Duration::from_secs(300);
/// Tables that a dump of everything reads: devices, addresses, neighbours,
/// routes and rules of two families.
const TABLES: u64 = 7;
/// Announcements that are kept during a dump.
const LOG: usize = 1 << 16;
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

/// The answer to a dump.
#[derive(Debug)]
pub(super) enum Answer {
    Everything(Result<(Dump, Forwarding), netlink::Error>),
    Routes(bool, Result<Vec<Route>, netlink::Error>),
    Rules(bool, Result<bool, netlink::Error>),
    /// A look at some devices, by name.
    Links(Vec<(String, Option<Link>)>),
    /// Neighbours have been declared in use.
    Used,
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

    /// Reads everything and waits for it. What is announced meanwhile is for the
    /// caller to hear afterwards.
    pub(super) async fn read(&mut self, config: &Config) -> Result<(), netlink::Error> {
        // What runs is older.
        self.jobs.abort_all();
        while self.jobs.join_next().await.is_some() {}
        self.running = Due::default();
        self.looking = None;
        self.using = false;
        self.log.clear();
        let answer = read_everything(&self.source, interfaces(config)).await;
        self.install(answer?);
        Ok(())
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

    /// Keeps what was announced for when a dump that runs is done.
    fn note(&mut self, delta: Delta) {
        let wanted = match &delta {
            _ if self.tainted || !self.running.any() => false,
            _ if self.running.all => true,
            Delta::Route { route, .. } | Delta::RouteGone(route) => self.mirror.heeds(route),
            Delta::Rules { .. } => true,
            _ => false,
        };
        if wanted {
            self.log.push(delta);
        }
        if self.log.len() > LOG {
            self.log.clear();
            self.tainted = true;
        }
    }

    /// When [`start`](Self::start) is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pace.due()
    }

    /// Begins the dumps that are due.
    pub(super) fn start(&mut self, config: &Config, now: Instant) {
        if self.running.any() {
            // Its end is the next occasion.
            self.pace.begin();
            return;
        }
        self.pace.begin();
        self.begun = now;
        let due = self.mirror.take_due();
        self.running = due;
        if due.all {
            debug!("reading everything");
            let (source, names) = (self.source.clone(), interfaces(config));
            self.jobs
                .spawn(async move { Answer::Everything(read_everything(&source, names).await) });
            return;
        }
        debug!(?due, "reading");
        for (v6, wanted) in [(false, due.routes_v4), (true, due.routes_v6)] {
            if wanted {
                let source = self.source.clone();
                self.jobs
                    .spawn(async move { Answer::Routes(v6, source.routes(v6).await) });
            }
        }
        for (v6, wanted) in [(false, due.rules_v4), (true, due.rules_v6)] {
            if wanted {
                let source = self.source.clone();
                self.jobs
                    .spawn(async move { Answer::Rules(v6, source.custom_rules(v6).await) });
            }
        }
    }

    /// The next answer. Can be cancelled.
    pub(super) async fn answered(&mut self) -> Answer {
        loop {
            match self.jobs.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic())
                }
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Takes over an answer. Whether the maps may have to change.
    pub(super) fn take(&mut self, answer: Answer, now: Instant) -> Heed {
        let mut heed = Heed::default();
        let mut failed = false;
        let dumped = !matches!(answer, Answer::Links(_) | Answer::Used);
        match answer {
            Answer::Everything(answer) => {
                self.running.all = false;
                match answer {
                    Ok(_) if self.tainted => self.mirror.distrust(),
                    Ok(answer) => {
                        self.install(answer);
                        self.replay(|_| true, &mut heed);
                        heed.changed = true;
                    }
                    Err(error) => {
                        failed = true;
                        self.failed(&error);
                        self.mirror.distrust();
                    }
                }
            }
            Answer::Routes(v6, answer) => {
                *routes(&mut self.running, v6) = false;
                match answer {
                    Ok(answer) if !self.tainted => {
                        self.counts.dumps += 1;
                        heed.changed |= self.mirror.install_routes(v6, answer);
                        let ours = |route: &Route| route.dst.addr().is_ipv6() == v6;
                        let again = |delta: &Delta| {
                            matches!(delta, Delta::Route { route, .. } | Delta::RouteGone(route)
                                if ours(route))
                        };
                        self.replay(again, &mut heed);
                    }
                    answer => {
                        if let Err(error) = answer {
                            failed = true;
                            self.failed(&error);
                        }
                        *routes(self.mirror.due_mut(), v6) = true;
                    }
                }
            }
            Answer::Rules(v6, answer) => {
                *rules(&mut self.running, v6) = false;
                match answer {
                    Ok(custom) if !self.tainted => {
                        self.counts.dumps += 1;
                        heed.changed |= self.mirror.install_rules(v6, custom);
                        let again = |delta: &Delta| matches!(delta, Delta::Rules { v6: of, .. } if *of == v6);
                        self.replay(again, &mut heed);
                    }
                    answer => {
                        if let Err(error) = answer {
                            failed = true;
                            self.failed(&error);
                        }
                        *rules(self.mirror.due_mut(), v6) = true;
                    }
                }
            }
            Answer::Links(links) => {
                // What was announced meanwhile may be newer.
                if self.looking.take() == Some(self.heard_of_links) {
                    self.compare(links, &mut heed);
                }
            }
            Answer::Used => self.using = false,
        }
        if dumped && !self.running.any() {
            self.log.clear();
            self.tainted = false;
            self.pace.done(now - self.begun, now);
        }
        if failed {
            self.pace.hold(now + RETRY);
        }
        let due = self.mirror.due();
        if due.all {
            self.pace.want(now);
        } else if due.any() {
            self.pace.want_after(QUIET, now);
        }
        heed
    }

    fn install(&mut self, (dump, forwarding): (Dump, Forwarding)) {
        self.counts.resyncs += 1;
        self.counts.dumps += TABLES;
        self.mirror.install(dump);
        self.sysctls.install(forwarding);
        self.whole = Instant::now();
        self.failure = None;
        self.lost = false;
    }

    fn replay(&mut self, wanted: impl Fn(&Delta) -> bool, heed: &mut Heed) {
        let log = std::mem::take(&mut self.log);
        for delta in log.iter().filter(|delta| wanted(delta)) {
            self.apply(delta, heed);
        }
        self.log = log;
    }

    fn failed(&mut self, error: &netlink::Error) {
        warn!(%error, "cannot read the kernel's tables");
        self.failure = Some(error.to_string());
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
        Kernel { tables, forwarding }
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
                help: Some("see what changes them: ip monitor".into()),
            });
        }
        if let Some(failure) = &self.failure {
            problems.push(Problem {
                message: format!("the kernel's tables cannot be read: {failure}"),
                help: None,
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

const fn routes(due: &mut Due, v6: bool) -> &mut bool {
    if v6 {
        &mut due.routes_v6
    } else {
        &mut due.routes_v4
    }
}

const fn rules(due: &mut Due, v6: bool) -> &mut bool {
    if v6 {
        &mut due.rules_v6
    } else {
        &mut due.rules_v4
    }
}

fn interfaces(config: &Config) -> Vec<String> {
    let networks = config.networks.iter();
    networks.map(|network| network.interface.clone()).collect()
}

/// Tables, and the sysctls of the devices that bear these names.
async fn read_everything<S: Source>(
    source: &S,
    names: Vec<String>,
) -> Result<(Dump, Forwarding), netlink::Error> {
    let dump = source.everything().await?;
    let devices = devices(&dump.tables, names);
    let sysctls = source.sysctls().clone();
    // Thousands of files, in the worst case.
    let reading = tokio::task::spawn_blocking(move || {
        sysctls.forwarding(
            devices
                .iter()
                .map(|(device, name)| (*device, name.as_str())),
        )
    });
    let forwarding = match reading.await {
        Ok(forwarding) => forwarding?,
        Err(_) => return Err(netlink::Error::Broken),
    };
    Ok((dump, forwarding))
}

fn devices(tables: &Tables, names: Vec<String>) -> Vec<(IfIndex, String)> {
    let index = Index::of(tables);
    let device = |name: String| Some((index.link(&name)?.ifindex, name));
    names.into_iter().filter_map(device).collect()
}
