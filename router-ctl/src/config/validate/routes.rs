//! `[[route]]` entries, and routes on the command line.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::Spanned;

use super::{
    Diagnostics, Draft, Seen,
    address::{address, family, not_a_host},
    nearest,
};
use crate::{
    codes,
    config::{
        Network, StaticRoute,
        file::{self, File},
    },
};

/// What is said of a metric that is none.
pub(in crate::config) const METRIC: &str = "the smaller metric wins; without one it is 50";

pub(super) fn routes(
    file: &File,
    networks: &[Network],
    wrong: &mut Diagnostics,
) -> Vec<StaticRoute> {
    let checker = Checker {
        networks,
        some_network_unknown: file
            .networks
            .as_ref()
            .is_none_or(|all| networks.len() < all.len()),
    };
    let mut seen = Seen::default();
    let mut routes = Vec::new();
    for entry in &file.routes {
        let Some(route) = route(entry, None, wrong) else {
            continue;
        };
        if route.via.is_none() && route.network.is_none() {
            wrong.push(no_way(entry));
            continue;
        }
        checker.next_hop(entry, &route, wrong);
        let metric = route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
        if let Some(first) = seen.note((route.to, metric), entry.span.clone()) {
            wrong.push(
                Draft::new(
                    codes::DUPLICATE,
                    format!("two routes to {} with metric {metric}", route.to),
                )
                .at(entry.span.clone(), "again here")
                .see(first, "first here")
                .help("give one of them another `metric`"),
            );
        }
        routes.push(route);
    }
    routes
}

/// What is wrong with a route that leads nowhere.
pub(in crate::config) fn no_way(entry: &file::Route) -> super::Diagnostic {
    Draft::new(codes::MISSING_KEY, "a route without next hop")
        .at(entry.span.clone(), "neither `via` nor a network")
        .help("say where to: via IP; or which network it is on: `network` (on the command line: dev NETWORK)")
}

/// What is wrong with a link-local next hop that may be on any network.
pub(in crate::config) fn without_network(
    entry: &file::Route,
    route: &StaticRoute,
) -> Option<super::Diagnostic> {
    let via = route.via.filter(|via| is_link_local(*via))?;
    let word = entry.via.as_ref()?;
    entry.network.is_none().then(|| {
        Draft::new(
            codes::NEXT_HOP_INVALID,
            format!("`via` {via} is link-local: it exists on every network"),
        )
        .at(word.span(), "on which one?")
        .help("say on which: `network` (on the command line: dev NETWORK)")
    })
}

/// A subnet's own and its broadcast address; /31 and /32 have none.
fn is_broadcast(via: IpAddr, net: &IpNet) -> bool {
    match (via, net) {
        (IpAddr::V4(via), IpNet::V4(net)) if net.prefix_len() < 31 => {
            via == net.broadcast() || via == net.network()
        }
        _ => false,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A route by itself: addresses, families, ranges. `v6`: what `default` means
/// where no address tells.
pub(in crate::config) fn route(
    entry: &file::Route,
    v6: Option<bool>,
    wrong: &mut Diagnostics,
) -> Option<StaticRoute> {
    let via = entry.via.as_ref().map(|word| host("via", word, wrong));
    let src = entry.src.as_ref().map(|word| host("src", word, wrong));
    let metric = entry
        .metric
        .as_ref()
        .map(|metric| self::metric(metric, wrong));
    let known = |address: Option<Option<IpAddr>>| address.flatten();
    let v6 = known(via)
        .or(known(src))
        .map_or(v6 == Some(true), |address| address.is_ipv6());
    let to_word = entry.to.as_ref()?;
    let to = destination(to_word, v6, wrong)?;
    for (key, address, word) in [("via", via, &entry.via), ("src", src, &entry.src)] {
        if let (Some(address), Some(word)) = (known(address), word)
            && address.is_ipv6() != to.addr().is_ipv6()
        {
            wrong.push(
                Draft::new(
                    codes::FAMILY_MISMATCH,
                    format!("`{key}` {address} cannot serve {to}"),
                )
                .at(word.span(), family(address))
                .see(to_word.span(), family(to.addr()))
                .help(format!(
                    "give an {} address, or take `{key}` out",
                    family(to.addr())
                )),
            );
            return None;
        }
    }
    Some(StaticRoute {
        to,
        // An address that is wrong was reported: it is not "left out".
        via: via.map_or(Some(None), |via| via.map(Some))?,
        network: entry.network.as_ref().map(|word| word.get_ref().clone()),
        metric: metric
            .map_or(Some(None), |metric| metric.map(Some))?
            .map(|metric| StaticRoute::kernel_metric(to, metric)),
        src: src.map_or(Some(None), |src| src.map(Some))?,
    })
}

fn host(key: &str, word: &Spanned<String>, wrong: &mut Diagnostics) -> Option<IpAddr> {
    let address = address(key, word, wrong)?;
    let Some(why) = not_a_host(address) else {
        return Some(address);
    };
    wrong.push(
        Draft::new(codes::NEXT_HOP_INVALID, format!("`{key}` {address} {why}"))
            .at(word.span(), "not a host's address")
            .help(match key {
                "via" => "name the next router by its own address on one of the networks",
                _ => "name an address that this router has itself",
            }),
    );
    None
}

fn metric(number: &Spanned<i64>, wrong: &mut Diagnostics) -> Option<u32> {
    let metric = u32::try_from(*number.get_ref()).ok();
    if metric.is_none() {
        wrong.push(
            Draft::new(
                codes::BAD_VALUE,
                format!("metric {} does not exist", number.get_ref()),
            )
            .at(number.span(), "0 to 4294967295")
            .help(METRIC),
        );
    }
    metric
}

fn destination(word: &Spanned<String>, v6: bool, wrong: &mut Diagnostics) -> Option<IpNet> {
    let text = word.get_ref().as_str();
    if text == "default" {
        return Some(if v6 {
            IpNet::V6(Ipv6Net::default())
        } else {
            IpNet::V4(Ipv4Net::default())
        });
    }
    let Some(net) = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    else {
        wrong.push(
            Draft::new(
                codes::BAD_ADDRESS,
                format!("destination \"{text}\" is not a prefix"),
            )
            .at(word.span(), "ADDRESS/LENGTH, or `default`")
            .help("as in 10.9.0.0/16 or fd00:9::/48"),
        );
        return None;
    };
    if net.addr() != net.network() {
        wrong.push(
            Draft::new(
                codes::BAD_ADDRESS,
                format!("destination {net} has bits behind its prefix length"),
            )
            .at(word.span(), "an address inside the prefix, not the prefix")
            .help(format!("did you mean {}?", net.trunc())),
        );
        return None;
    }
    if net.addr().is_multicast() || (net.addr().is_loopback() && net.prefix_len() > 0) {
        wrong.push(
            Draft::new(
                codes::BAD_ADDRESS,
                format!("destination {net} is never routed"),
            )
            .at(word.span(), "multicast or loopback")
            .help("take it out: multicast is not routed here, and loopback stays in the host"),
        );
        return None;
    }
    Some(net)
}

/// What a route's next hop must be, given the networks.
struct Checker<'n> {
    networks: &'n [Network],
    /// A network was wrong: the route may mean that one.
    some_network_unknown: bool,
}

impl Checker<'_> {
    fn next_hop(&self, entry: &file::Route, route: &StaticRoute, wrong: &mut Diagnostics) {
        let candidates: Vec<&Network> = match &entry.network {
            None => self.networks.iter().collect(),
            Some(word) => {
                let found = self
                    .networks
                    .iter()
                    .find(|network| network.name == *word.get_ref());
                if found.is_none() {
                    self.unknown(word, wrong);
                    return;
                }
                found.into_iter().collect()
            }
        };
        let (Some(via), Some(word)) = (route.via, &entry.via) else {
            return;
        };
        let own = self
            .networks
            .iter()
            .find(|network| network.gateways.iter().any(|net| net.addr() == via));
        if let Some(own) = own {
            wrong.push(
                Draft::new(
                    codes::NEXT_HOP_INVALID,
                    format!("`via` {via} is this router's own address"),
                )
                .at(word.span(), format!("the gateway of {}", own.name))
                .help(format!(
                    "name the next router on {}; for what is on it directly leave `via` out and give `network`",
                    own.name
                )),
            );
            return;
        }
        let broadcast = candidates.iter().find_map(|network| {
            let mut nets = network.gateways.iter();
            nets.find(|net| is_broadcast(via, net))
        });
        if let Some(net) = broadcast {
            wrong.push(
                Draft::new(
                    codes::NEXT_HOP_INVALID,
                    format!(
                        "`via` {via} is no host's: {} has it for all of them",
                        net.trunc()
                    ),
                )
                .at(word.span(), "the subnet's first or last address")
                .help("name the next router by its own address on one of the networks"),
            );
            return;
        }
        if is_link_local(via) {
            wrong.extend(without_network(entry, route));
            return;
        }
        // An uplink keeps the addresses it has: only the kernel knows them.
        let unknowable = candidates.iter().any(|network| network.gateways.is_empty());
        let inside = candidates
            .iter()
            .any(|network| network.gateways.iter().any(|net| net.contains(&via)));
        if !inside && !unknowable && !self.some_network_unknown {
            self.outside(via, word, &candidates, wrong);
        }
    }

    fn outside(
        &self,
        via: IpAddr,
        word: &Spanned<String>,
        candidates: &[&Network],
        wrong: &mut Diagnostics,
    ) {
        let elsewhere = self
            .networks
            .iter()
            .find(|network| network.gateways.iter().any(|net| net.contains(&via)));
        let (what, help) = match (candidates, elsewhere) {
            (_, Some(other)) => (
                "not in that network's subnets".to_owned(),
                format!("it is in network {}", other.name),
            ),
            ([only], None) => {
                let nets: Vec<_> = only
                    .gateways
                    .iter()
                    .map(|net| net.trunc().to_string())
                    .collect();
                let label = format!("not in {}", nets.join(", "));
                (
                    label,
                    "the next hop must be a neighbour on the network".to_owned(),
                )
            }
            _ => (
                "not in the subnet of any network".to_owned(),
                "the next hop must be a neighbour on one of the networks".to_owned(),
            ),
        };
        wrong.push(
            Draft::new(
                codes::NEXT_HOP_INVALID,
                format!("next hop {via} is not on any network it could be on"),
            )
            .at(word.span(), what)
            .help(help),
        );
    }

    fn unknown(&self, word: &Spanned<String>, wrong: &mut Diagnostics) {
        if self.some_network_unknown {
            return;
        }
        let names = || self.networks.iter().map(|network| network.name.as_str());
        let wanted = word.get_ref();
        let diagnostic = Draft::new(
            codes::NETWORK_UNKNOWN,
            format!("there is no network {wanted}"),
        )
        .at(word.span(), "not a [[network]]");
        let by_interface = self
            .networks
            .iter()
            .find(|network| network.interface == *wanted);
        let meant = by_interface
            .map(|network| network.name.as_str())
            .or_else(|| nearest(wanted, names()));
        wrong.push(match meant {
            Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
            None => diagnostic.help(format!(
                "the networks are: {}",
                names().collect::<Vec<_>>().join(", ")
            )),
        });
    }
}
