//! What of the daemon's state is news to whoever follows it (`monitor`).
//!
//! The engine says [`News::known`] when what is known may have changed, and
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
    netlink::{Delta, Heard, types},
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

impl News {
    /// Tells what the kernel has announced of routes and neighbours.
    pub(super) fn heard(&self, heard: &Heard, known: &Known) {
        if !self.hub.is_heard() {
            return;
        }
        let deltas = match heard {
            Heard::Deltas(deltas) => deltas,
            Heard::Overrun => return self.hub.say(What::Overrun {}),
        };
        for what in deltas.iter().flat_map(|delta| told_by_kernel(delta, known)) {
            self.hub.say(what);
        }
    }
}

fn told_by_kernel(delta: &Delta, known: &Known) -> Vec<What> {
    let routes = |route: &types::Route, gone| {
        let shown = known.routes(std::slice::from_ref(route));
        let what = |route| What::Route { gone, route };
        shown.into_iter().map(what).collect()
    };
    let neighbour = |neighbour: &types::Neighbour, gone| {
        let shown = known.shows(neighbour).then(|| What::Neighbour {
            gone,
            neighbour: known.neighbour(neighbour),
        });
        shown.into_iter().collect()
    };
    match delta {
        Delta::Route { route, .. } => routes(route, false),
        Delta::RouteGone(route) => routes(route, true),
        Delta::Neighbour(new) => neighbour(new, false),
        Delta::NeighbourGone(old) => neighbour(old, true),
        _ => Vec::new(),
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
    use router_common::wire::IfIndex;

    use super::{
        super::tests::{LAN, known},
        *,
    };
    use crate::netlink::types::NeighbourState;

    fn told(state: State, problems: &[&str], networks: &[(&str, &str)]) -> Told {
        Told {
            state,
            problems: problems
                .iter()
                .map(|message| Problem {
                    message: (*message).to_owned(),
                    help: "mend it".to_owned(),
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

    #[test]
    fn what_the_kernel_announces_is_told_where_it_concerns_the_networks() {
        let known = known();
        let neighbour = |device, state| {
            Delta::Neighbour(types::Neighbour {
                ifindex: device,
                address: "10.0.0.9".parse().unwrap(),
                mac: None,
                state,
                flags: types::NeighbourFlags::default(),
            })
        };
        let failed = neighbour(LAN, NeighbourState::Failed);
        let failed = told_by_kernel(&failed, &known);
        let [
            What::Neighbour {
                gone: false,
                neighbour: told,
            },
        ] = failed.as_slice()
        else {
            panic!("not a neighbour");
        };
        assert_eq!((&*told.network, &*told.state), ("lan", "FAILED"));
        for other in [
            neighbour(LAN, NeighbourState::NoArp),
            neighbour(IfIndex::new(99), NeighbourState::Reachable),
            Delta::Nexthop,
        ] {
            assert_eq!(told_by_kernel(&other, &known), [], "{other:?}");
        }
        let route = |table| types::Route {
            table,
            dst: "10.9.0.0/16".parse().unwrap(),
            kind: types::RouteKind::Unicast,
            from: None,
            tos: 0,
            protocol: 117,
            metric: 50,
            legs: vec![types::Leg {
                via: None,
                device: Some(LAN),
            }],
            source: None,
            mtu: None,
            nexthop_object: None,
        };
        let gone = Delta::RouteGone(route(types::TABLE_MAIN));
        let gone = told_by_kernel(&gone, &known);
        let [
            What::Route {
                gone: true,
                route: told,
            },
        ] = gone.as_slice()
        else {
            panic!("not a route");
        };
        assert_eq!(told.network, "lan");
        // The table of local addresses is not what users mean by routes.
        let local = Delta::RouteGone(route(255));
        assert_eq!(told_by_kernel(&local, &known), []);
    }

    #[tokio::test]
    async fn that_something_was_not_heard_is_told() {
        let news = News::default();
        let known = Known::default();
        let mut ear = news.listen(Interest::USUAL, &known);
        news.heard(&Heard::Overrun, &known);
        assert_eq!(ear.hear().await.unwrap().what, What::Overrun {});
    }
}
