//! Dumps that run beside the daemon's loop: begun when they are due, taken over
//! when they are answered, with what was announced meanwhile on top.

use std::time::Duration;

use router_common::wire::IfIndex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Follower, Heed, QUIET};
use crate::{
    config::Config,
    daemon::source::Source,
    netlink::{
        self, Delta, Due, Dump, Index,
        types::{Link, Route, Rules, Tables},
    },
    sysctl::Forwarding,
};

/// After a dump that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Tables that a dump of everything reads: devices, addresses, neighbours,
/// routes and rules of two families.
pub(super) const TABLES: u64 = 7;
/// Announcements that are kept during a dump.
const LOG: usize = 1 << 16;

/// The answer to a dump.
#[derive(Debug)]
pub(in crate::daemon) enum Answer {
    Everything(Result<(Dump, Forwarding), netlink::Error>),
    Routes(bool, Result<Vec<Route>, netlink::Error>),
    Rules(bool, Result<Rules, netlink::Error>),
    /// A look at some devices, by name.
    Links(Vec<(String, Option<Link>)>),
    /// Neighbours have been declared in use.
    Used,
}

impl<S: Source> Follower<S> {
    /// Reads everything and waits for it. What is announced meanwhile is for the
    /// caller to hear afterwards.
    pub(in crate::daemon) async fn read(&mut self, config: &Config) -> Result<(), netlink::Error> {
        // What runs is older.
        self.jobs.abort_all();
        while self.jobs.join_next().await.is_some() {}
        self.running = Due::default();
        self.looking = None;
        self.using = false;
        self.log.clear();
        self.watch_places(config);
        let answer = read_everything(&self.source, interfaces(config)).await;
        self.install(answer?);
        Ok(())
    }

    /// Somebody else's route may be in the place of one of the configuration.
    fn watch_places(&mut self, config: &Config) {
        let places = config.routes.iter().map(|route| route.to.trunc());
        self.mirror.watch_places(places.collect());
    }

    /// Keeps what was announced for when a dump that runs is done.
    pub(super) fn note(&mut self, delta: Delta) {
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

    /// Begins the dumps that are due.
    pub(in crate::daemon) fn start(&mut self, config: &Config, now: Instant) {
        if self.running.any() {
            // Its end is the next occasion.
            self.pace.begin();
            return;
        }
        self.pace.begin();
        self.begun = now;
        let due = self.mirror.take_due();
        self.running = due;
        self.watch_places(config);
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
                    .spawn(async move { Answer::Rules(v6, source.rules(v6).await) });
            }
        }
    }

    /// The next answer. Can be cancelled.
    pub(in crate::daemon) async fn answered(&mut self) -> Answer {
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
    pub(in crate::daemon) fn take(&mut self, answer: Answer, now: Instant) -> Heed {
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
                    Ok(rules) if !self.tainted => {
                        self.counts.dumps += 1;
                        heed.changed |= self.mirror.install_rules(v6, rules);
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
