//! Whether the static routes of the configuration are as it wants them, and if
//! not, what is there in their place.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::{
    config::{Config, StaticRoute},
    netlink::{
        self, Index, PROTOCOL,
        types::{Leg, Route, RouteKind, TABLE_MAIN, Tables},
    },
};

/// A static route that is not as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteFault {
    /// Its place in the configuration.
    pub(super) at: usize,
    pub(super) why: Why,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing is in its place.
    Missing,
    /// There is one of ours, but it leads here: `via 10.0.0.8 dev lan`.
    LeadsElsewhere(String),
    /// Somebody else's is in its place.
    Occupied(Occupant),
}

/// A route that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    /// As `ip route` names it: `blackhole 10.9.0.0/16 proto static metric 50`.
    words: String,
    v6: bool,
}

impl Occupant {
    pub(super) fn of(route: &Route) -> Self {
        let kind = match route.kind {
            RouteKind::Unicast => String::new(),
            other => format!("{} ", other.name()),
        };
        let words = format!(
            "{kind}{} proto {} metric {}",
            route.dst,
            netlink::protocol_name(route.protocol),
            route.metric
        );
        Self {
            words,
            v6: route.dst.addr().is_ipv6(),
        }
    }

    /// What removes it.
    pub(super) fn removal(&self) -> String {
        let family = if self.v6 { "-6 " } else { "" };
        format!("ip {family}route del {}", self.words)
    }
}

impl std::fmt::Display for Occupant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// The main table's routes by the places that static routes may take. Where
/// there are several in one, ours counts.
pub(super) fn in_main(tables: &Tables) -> HashMap<(IpNet, u32), &Route> {
    let plain =
        |route: &&Route| route.table == TABLE_MAIN && route.tos == 0 && route.from.is_none();
    let mut places = HashMap::new();
    for route in tables.routes.iter().filter(plain) {
        let first = places.entry((route.dst, route.metric)).or_insert(route);
        if first.protocol != PROTOCOL && route.protocol == PROTOCOL {
            *first = route;
        }
    }
    places
}

/// The static routes that are not as they should be.
pub(super) fn faults(config: &Config, tables: &Tables) -> Vec<RouteFault> {
    if config.routes.is_empty() {
        return Vec::new();
    }
    let places = in_main(tables);
    let index = Index::of(tables);
    let interfaces: HashMap<&str, &str> = config
        .networks
        .iter()
        .map(|network| (&*network.name, &*network.interface))
        .collect();
    let why = |wanted: &StaticRoute| {
        let metric = wanted.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
        let Some(route) = places.get(&(wanted.to.trunc(), metric)) else {
            return Some(Why::Missing);
        };
        if route.protocol != PROTOCOL {
            return Some(Why::Occupied(Occupant::of(route)));
        }
        let name = |leg: &Leg| Some(&*index.link_of(leg.device?)?.name);
        let device = wanted.network.as_deref();
        let device = device.map(|name| interfaces.get(name).copied().unwrap_or(name));
        let same = |leg: &Leg| {
            leg.via == wanted.via && device.is_none_or(|device| name(leg) == Some(device))
        };
        let source = wanted.src.is_none() || route.source == wanted.src;
        if source && matches!(&route.legs[..], [leg] if same(leg)) {
            return None;
        }
        let legs = route.legs.iter().map(|leg| {
            let via = leg.via.map(|via| format!("via {via} "));
            format!(
                "{}dev {}",
                via.unwrap_or_default(),
                name(leg).unwrap_or("?")
            )
        });
        let mut words = legs.collect::<Vec<_>>().join(", ");
        if let Some(source) = route.source {
            words.push_str(&format!(" src {source}"));
        }
        Some(Why::LeadsElsewhere(words))
    };
    let routes = config.routes.iter().enumerate();
    routes
        .filter_map(|(at, wanted)| {
            Some(RouteFault {
                at,
                why: why(wanted)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use router_common::wire::IfIndex;

    use super::*;
    use crate::netlink::fixture::{device, unicast};

    const LAN: IfIndex = IfIndex::new(10);
    const DMZ: IfIndex = IfIndex::new(11);

    fn config(route: &str) -> Config {
        let text = format!(
            "[[trunk]]\ninterface = \"eth0\"\n\
             [[network]]\nname = \"lan\"\nvlan = 1\ngateway = \"10.0.1.1/24\"\n\
             [[network]]\nname = \"dmz\"\nvlan = 2\ngateway = \"10.0.2.1/24\"\n\
             [[route]]\nto = \"10.9.0.0/16\"\n{route}\n"
        );
        Config::parse("router.toml", &text).unwrap()
    }

    fn route(protocol: u8, via: &str, device: IfIndex) -> Route {
        Route {
            protocol,
            metric: StaticRoute::DEFAULT_METRIC,
            legs: vec![Leg {
                via: Some(via.parse().unwrap()),
                device: Some(device),
            }],
            ..unicast("10.9.0.0/16", &[])
        }
    }

    fn why(config: &Config, routes: &[Route]) -> Option<Why> {
        let tables = Tables {
            links: vec![device(LAN, "eth0.1"), device(DMZ, "eth0.2")],
            routes: routes.to_vec(),
            ..Tables::default()
        };
        let mut faults = faults(config, &tables);
        assert!(faults.iter().all(|fault| fault.at == 0) && faults.len() < 2);
        faults.pop().map(|fault| fault.why)
    }

    /// Only destination and metric were compared: one that had been moved by
    /// `routes replace` was said to be as configured.
    #[test]
    fn a_route_that_leads_elsewhere_is_not_as_it_should_be() {
        let plain = config("via = \"10.0.1.9\"");
        let ours = |via, device| vec![route(PROTOCOL, via, device)];
        assert_eq!(why(&plain, &ours("10.0.1.9", LAN)), None);
        assert_eq!(why(&plain, &[]), Some(Why::Missing));
        let elsewhere = |words: &str| Some(Why::LeadsElsewhere(words.into()));
        assert_eq!(
            why(&plain, &ours("10.0.1.8", LAN)),
            elsewhere("via 10.0.1.8 dev eth0.1")
        );
        let by_device = config("via = \"10.0.1.9\"\nnetwork = \"lan\"");
        assert_eq!(why(&by_device, &ours("10.0.1.9", LAN)), None);
        assert_eq!(
            why(&by_device, &ours("10.0.1.9", DMZ)),
            elsewhere("via 10.0.1.9 dev eth0.2")
        );
        let from = config("via = \"10.0.1.9\"\nsrc = \"10.0.2.1\"");
        let with = |source: &str| Route {
            source: Some(source.parse().unwrap()),
            ..route(PROTOCOL, "10.0.1.9", LAN)
        };
        assert_eq!(why(&from, &[with("10.0.2.1")]), None);
        assert_eq!(
            why(&from, &[with("10.0.1.1")]),
            elsewhere("via 10.0.1.9 dev eth0.1 src 10.0.1.1")
        );
    }

    #[test]
    fn a_route_of_somebody_else_in_the_place_is_named() {
        let plain = config("via = \"10.0.1.9\"");
        let theirs = route(4, "10.0.1.9", LAN);
        let hole = Route {
            kind: RouteKind::Blackhole,
            legs: Vec::new(),
            ..route(3, "10.0.1.9", LAN)
        };
        for (there, removal) in [
            (&theirs, "ip route del 10.9.0.0/16 proto static metric 50"),
            (
                &hole,
                "ip route del blackhole 10.9.0.0/16 proto boot metric 50",
            ),
        ] {
            let Some(Why::Occupied(occupant)) = why(&plain, std::slice::from_ref(there)) else {
                panic!("{there:?}");
            };
            assert_eq!(occupant.removal(), removal);
        }
        // Beside ours it does no harm, whichever is first.
        let ours = route(PROTOCOL, "10.0.1.9", LAN);
        assert_eq!(why(&plain, &[theirs.clone(), ours.clone()]), None);
        assert_eq!(why(&plain, &[ours, theirs]), None);
        let six = Occupant::of(&Route {
            dst: "fd00::/64".parse().unwrap(),
            ..route(12, "10.0.1.9", LAN)
        });
        assert_eq!(
            six.removal(),
            "ip -6 route del fd00::/64 proto bird metric 50"
        );
    }
}
