//! What of the daemon's state is news to whoever follows it (`monitor`).
//!
//! The engine says [`News::known`] after each resync and the watch loop
//! [`News::heard`] with what the kernel announced. Where nobody listens, neither
//! does anything.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use super::view::Known;
use crate::{
    api::{
        event::What,
        model::{NetworkStatus, Problem, State, TrunkStatus},
    },
    hub::{Ear, Hub, Interest},
};

/// What readers were told last, and the way to tell them more.
#[derive(Debug, Default)]
pub(super) struct News {
    hub: Hub,
    told: Mutex<Option<Told>>,
}

/// The daemon's state as far as readers hear of it.
#[derive(Debug)]
struct Told {
    state: State,
    problems: Vec<Problem>,
    trunks: Vec<TrunkStatus>,
    networks: Vec<NetworkStatus>,
}

impl Told {
    fn of(known: &Known) -> Self {
        let health = known.health();
        Self {
            state: health.state,
            problems: health.problems,
            trunks: known.trunks(),
            networks: known.networks(),
        }
    }
}

impl News {
    /// Hears what changes from now on.
    pub(super) fn listen(&self, interest: Interest, known: &Known) -> Ear {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.hub.is_heard() {
            // It was not kept while nobody listened.
            *told = Some(Told::of(known));
        }
        self.hub.listen(interest)
    }

    /// Tells what is new.
    pub(super) fn known(&self, known: &Known) {
        if !self.hub.is_heard() {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Told::of(known);
        if let Some(before) = told.as_ref() {
            for what in news(before, &now) {
                self.hub.say(what);
            }
        }
        *told = Some(now);
    }
}

/// Links first, then what they do to the daemon's health.
fn news(before: &Told, now: &Told) -> Vec<What> {
    let mut news = Vec::new();
    for trunk in &now.trunks {
        if !before.trunks.contains(trunk) {
            news.push(What::Trunk {
                trunk: trunk.clone(),
            });
        }
    }
    let names: HashSet<&str> = now.networks.iter().map(|n| n.name.as_str()).collect();
    for old in &before.networks {
        if !names.contains(old.name.as_str()) {
            news.push(What::Network {
                gone: true,
                network: old.clone(),
            });
        }
    }
    let known: HashMap<&str, &NetworkStatus> = before
        .networks
        .iter()
        .map(|network| (network.name.as_str(), network))
        .collect();
    for network in &now.networks {
        if known.get(network.name.as_str()) != Some(&network) {
            news.push(What::Network {
                gone: false,
                network: network.clone(),
            });
        }
    }
    let problem = |gone: bool, problem: &Problem| What::Problem {
        gone,
        problem: problem.clone(),
    };
    let new = now.problems.iter().filter(|p| !before.problems.contains(p));
    news.extend(new.map(|new| problem(false, new)));
    let old = before.problems.iter().filter(|p| !now.problems.contains(p));
    news.extend(old.map(|old| problem(true, old)));
    if before.state != now.state {
        news.push(What::State { state: now.state });
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: State, problems: &[&str], networks: &[(&str, &str)]) -> Told {
        Told {
            state,
            problems: problems
                .iter()
                .map(|message| Problem {
                    message: (*message).to_owned(),
                    help: None,
                })
                .collect(),
            trunks: Vec::new(),
            networks: networks
                .iter()
                .map(|(name, state)| NetworkStatus {
                    name: (*name).to_owned(),
                    trunk: "eth0".to_owned(),
                    vlan: Some(100),
                    interface: "eth0.100".to_owned(),
                    ifindex: None,
                    gateways: Vec::new(),
                    mac: None,
                    mtu: None,
                    state: (*state).to_owned(),
                })
                .collect(),
        }
    }

    /// What is said, in short.
    fn said(before: &Told, now: &Told) -> Vec<String> {
        let short = |what| match what {
            What::State { state } => format!("{state:?}"),
            What::Problem { gone, problem } => format!("{} {gone}", problem.message),
            What::Network { gone, network } => format!("{} {} {gone}", network.name, network.state),
            other => format!("{other:?}"),
        };
        news(before, now).into_iter().map(short).collect()
    }

    #[test]
    fn what_differs_is_news() {
        let good = told(State::Forwarding, &[], &[("a", "up"), ("b", "up")]);
        let bad = told(
            State::Degraded,
            &["a is down"],
            &[("a", "down"), ("b", "up")],
        );
        assert_eq!(said(&good, &good), [""; 0]);
        assert_eq!(
            said(&good, &bad),
            ["a down false", "a is down false", "Degraded"]
        );
        assert_eq!(
            said(&bad, &good),
            ["a up false", "a is down true", "Forwarding"]
        );
        let other = told(State::Forwarding, &[], &[("b", "up"), ("c", "up")]);
        assert_eq!(said(&good, &other), ["a up true", "c up false"]);
    }

    #[tokio::test]
    async fn readers_hear_of_changes_since_they_listen() {
        let news = News::default();
        let known = Known::default();
        news.known(&known);
        let mut ear = news.listen(Interest::USUAL, &known);
        let ready = Known {
            ready: true,
            ..Known::default()
        };
        news.known(&known);
        news.known(&ready);
        let event = ear.hear().await.unwrap();
        assert_eq!(
            event.what,
            What::State {
                state: State::Forwarding
            }
        );
    }
}
