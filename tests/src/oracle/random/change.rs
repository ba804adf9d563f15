//! What is changed about both routers: the mutations of a round's packets that an
//! operator could make.

use std::{fmt, net::IpAddr};

use router_test_support::{
    mutation::{Case, Hop, Mutation},
    world::{Only, first_of, host4, host6},
};

use crate::{oracle::Kind, prog::Network};

/// Changes of a round: few, that packets still find their way.
const CHANGES: usize = 3;

/// The host that packets are to; not one of the tables'.
const HOST: u8 = 11;

/// A change of both routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a device's MTU: network and bytes.
    Mtu(Network, u16),
    /// A line of `ip`.
    Ip(String),
    /// A value under /proc/sys/net.
    Sysctl(String, &'static str),
    /// The host of this network that packets are to has no MAC, in one family.
    Silent(Network, bool),
    /// egress-qos-map of a VLAN device: priority and PCP.
    Egress(Network, u8, u8),
    /// ingress-qos-map of a VLAN device: PCP and priority.
    Ingress(Network, u8, u32),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(network, mtu) => write!(f, "link set {} mtu {mtu}", network.device()),
            Self::Ip(line) => f.write_str(line),
            Self::Sysctl(key, value) => write!(f, "{key} = {value}"),
            Self::Silent(network, six) => write!(f, "no neighbour {}", target(*network, *six)),
            Self::Egress(network, priority, pcp) => {
                write!(f, "egress-qos-map of {} {priority}:{pcp}", network.device())
            }
            Self::Ingress(network, pcp, priority) => {
                write!(
                    f,
                    "ingress-qos-map of {} {pcp}:{priority}",
                    network.device()
                )
            }
        }
    }
}

/// The host that packets of one family are to.
pub(super) fn target(network: Network, six: bool) -> IpAddr {
    let number = network.id().into();
    if six {
        host6(number, HOST).into()
    } else {
        host4(number, HOST).into()
    }
}

/// The network of this number; the generator has one more, of which our routers
/// know nothing.
pub(super) fn network(number: u16) -> Option<Network> {
    Network::ALL.get(usize::from(number)).copied()
}

/// What an operator would do to have a mutation's world; `None`: he could not, or
/// tables have it.
fn change(mutation: Mutation, next: Option<Mutation>) -> Option<Change> {
    let device = |number: u16| network(number).map(Network::device);
    let sysctl = |key: String, value| Some(Change::Sysctl(key, value));
    match mutation {
        Mutation::NoForwarding4(number) => {
            sysctl(format!("ipv4/conf/{}/forwarding", device(number)?), "0")
        }
        Mutation::NoForwarding6(number) => {
            sysctl(format!("ipv6/conf/{}/forwarding", device(number)?), "0")
        }
        Mutation::RpFilter(number, on) => {
            let value = if on { "1" } else { "2" };
            sysctl(format!("ipv4/conf/{}/rp_filter", device(number)?), value)
        }
        Mutation::PcpOf(number, priority, pcp) => {
            let tagged = network(number).filter(|network| network.vid() != 0)?;
            Some(Change::Egress(tagged, priority & 15, pcp & 7))
        }
        Mutation::PriorityOf(number, pcp, priority) => {
            let tagged = network(number).filter(|network| network.vid() != 0)?;
            Some(Change::Ingress(tagged, pcp & 7, priority))
        }
        Mutation::TosKeepsPriority => sysctl("ipv4/ip_forward_update_priority".to_owned(), "0"),
        // Below, the kernel has no IPv6 on a device.
        Mutation::Mtu(number, mtu @ 1280..=1500) => Some(Change::Mtu(network(number)?, mtu)),
        Mutation::Local4(address) => {
            let unicast = !matches!(address[0], 0 | 127 | 224..);
            unicast.then(|| Change::Ip(format!("address add {}/32 dev lo", IpAddr::from(address))))
        }
        Mutation::Local6(address) => {
            let unicast = address[0] != 0xff && address[0] != 0xfe && address[..15] != [0; 15];
            unicast.then(|| {
                let address = IpAddr::from(address);
                Change::Ip(format!("address add {address}/128 dev lo nodad"))
            })
        }
        Mutation::Silent4(address) => {
            let found = Network::ALL.into_iter();
            let mut found = found.filter(|n| target(*n, false) == IpAddr::from(address));
            found.next().map(|network| Change::Silent(network, false))
        }
        Mutation::Silent6(address) => {
            let found = Network::ALL.into_iter();
            let mut found = found.filter(|n| target(*n, true) == IpAddr::from(address));
            found.next().map(|network| Change::Silent(network, true))
        }
        Mutation::Route4(to, len, Only::Always, hop) => route(to.into(), len, hop, next),
        Mutation::Route6(to, len, Only::Always, hop) => route(to.into(), len, hop, next),
        _ => None,
    }
}

/// A line that adds a route, before what the kernel has there of its own accord.
fn route(to: IpAddr, len: u8, hop: Hop, next: Option<Mutation>) -> Option<Change> {
    let six = to.is_ipv6();
    let prefix = format!("{}/{len}", first_of(to, len));
    let (verb, metric) = if six {
        ("add", " metric 5")
    } else {
        ("prepend", "")
    };
    let way = match hop {
        Hop::Via(number) if six => format!("via {}", network(number)?.v6(9)),
        Hop::Via(number) => format!("via {}", network(number)?.v4(9)),
        // Of the others the kernel answers one a second.
        Hop::No("blackhole") => {
            return Some(Change::Ip(format!(
                "route {verb} blackhole {prefix}{metric}"
            )));
        }
        Hop::No(_) | Hop::Elsewhere => return None,
    };
    let mtu = match next {
        Some(Mutation::RouteMtu(mtu, locked)) if mtu >= if six { 1280 } else { 68 } => {
            let lock = if locked { "lock " } else { "" };
            format!(" mtu {lock}{mtu}")
        }
        _ => String::new(),
    };
    Some(Change::Ip(format!(
        "route {verb} {prefix} {way}{metric}{mtu}"
    )))
}

/// The changes of a round: the first few that its packets have, no place twice.
pub(super) fn changes(kind: Kind, cases: &[(u64, Case)]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (_, case) in cases {
        for (place, mutation) in case.mutations.iter().enumerate() {
            let next = case.mutations.get(place + 1).copied();
            let Some(change) = change(*mutation, next) else {
                continue;
            };
            let of_tags = matches!(change, Change::Egress(..) | Change::Ingress(..));
            if of_tags && kind == Kind::Untagged {
                continue;
            }
            let twice = changes
                .iter()
                .any(|other| subject(other) == subject(&change));
            if !twice {
                changes.push(change);
            }
            if changes.len() == CHANGES {
                return changes;
            }
        }
    }
    changes
}

/// What a change is about: the kernel refuses to make some things twice.
fn subject(change: &Change) -> String {
    match change {
        Change::Ip(line) => {
            let words = line.split(' ').filter(|word| *word != "blackhole");
            words.take(3).collect::<Vec<_>>().join(" ")
        }
        Change::Sysctl(key, _) => key.clone(),
        Change::Mtu(network, _) => network.device().to_owned(),
        Change::Silent(..) => change.to_string(),
        Change::Egress(network, ..) => format!("egress {network:?}"),
        Change::Ingress(network, ..) => format!("ingress {network:?}"),
    }
}

#[cfg(test)]
mod tests {
    use router_test_support::generator;

    use super::*;

    /// Packets of a round.
    const ROUND: u64 = 500;

    #[test]
    fn worlds_are_what_an_operator_types() {
        let route = Mutation::Route4([172, 16, 20, 11], 24, Only::Always, Hop::Via(3));
        let six = [0xfd, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        let route6 = Mutation::Route6(six, 64, Only::Always, Hop::No("blackhole"));
        let mtu = Some(Mutation::RouteMtu(1300, true));
        for (mutation, next, line) in [
            (route, None, "route prepend 172.16.20.0/24 via 172.16.40.9"),
            (
                route,
                mtu,
                "route prepend 172.16.20.0/24 via 172.16.40.9 mtu lock 1300",
            ),
            (route6, mtu, "route add blackhole fd00:20::/64 metric 5"),
            (Mutation::Mtu(1, 1400), None, "link set net-b mtu 1400"),
            (
                Mutation::Local4([10, 9, 8, 7]),
                None,
                "address add 10.9.8.7/32 dev lo",
            ),
            (
                Mutation::Silent4([172, 16, 20, 11]),
                None,
                "no neighbour 172.16.20.11",
            ),
            (
                Mutation::PcpOf(1, 17, 9),
                None,
                "egress-qos-map of net-b 1:1",
            ),
            (
                Mutation::PriorityOf(0, 7, 16),
                None,
                "ingress-qos-map of net-a 7:16",
            ),
            (
                Mutation::RpFilter(2, true),
                None,
                "ipv4/conf/net-n/rp_filter = 1",
            ),
        ] {
            let change = change(mutation, next).map(|change| change.to_string());
            assert_eq!(change.as_deref(), Some(line), "{mutation:?}");
        }
        // Of the packet, of no device of ours, or nothing that a host could have.
        for mutation in [
            Mutation::Hops(1),
            Mutation::Mtu(5, 1400),
            Mutation::PcpOf(2, 1, 5),
            Mutation::Mtu(1, 576),
            Mutation::Local4([224, 0, 0, 1]),
            Mutation::Local4([127, 0, 0, 1]),
            Mutation::Route4([10, 9, 8, 7], 24, Only::OfClass(2), Hop::Via(3)),
        ] {
            assert_eq!(change(mutation, None), None, "{mutation:?}");
        }
    }

    #[test]
    fn a_round_changes_no_place_twice() {
        let mut all = Vec::new();
        for round in 0..200 {
            let cases: Vec<_> = (round * ROUND..(round + 1) * ROUND)
                .map(|number| (number, generator::case(7, number)))
                .collect();
            let changes = changes(Kind::Tagged, &cases);
            assert_eq!(changes.len(), CHANGES);
            let mut subjects: Vec<_> = changes.iter().map(subject).collect();
            subjects.sort();
            subjects.dedup();
            assert_eq!(subjects.len(), CHANGES, "{changes:?}");
            all.extend(changes);
        }
        // Every kind comes.
        let has = |wanted: fn(&Change) -> bool| all.iter().filter(|c| wanted(c)).count();
        assert!(has(|c| matches!(c, Change::Mtu(..))) > 10);
        assert!(has(|c| matches!(c, Change::Sysctl(..))) > 10);
        assert!(has(|c| matches!(c, Change::Silent(..))) > 10);
        assert!(has(|c| matches!(c, Change::Egress(..))) > 10);
        assert!(has(|c| matches!(c, Change::Ingress(..))) > 10);
        for begin in ["route prepend ", "route add ", "address add "] {
            let count = all.iter().filter(|c| c.to_string().starts_with(begin));
            assert!(count.count() > 10, "{begin}");
        }
    }
}
