//! Routes and rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use router_common::wire::IfIndex;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
            RouteProtocol, RouteScope, RouteType, RouteVia,
        },
        rule::{RuleAction, RuleAttribute, RuleMessage},
    },
};

use super::{
    Error, Netlink,
    types::{Leg, Lookup, Route, RouteChange, RouteKind, RouteSpec, Rules, TABLE_MAIN},
};

/// `proto router-ctl`: the protocol number of the routes that are ours. None of
/// those that the kernel or iproute2 name (`/etc/iproute2/rt_protos`).
pub const PROTOCOL: u8 = 117;

/// The word for a protocol number, as in `/etc/iproute2/rt_protos`.
#[must_use]
pub fn protocol_name(protocol: u8) -> String {
    let name = match protocol {
        0 => "unspec",
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        PROTOCOL => "router-ctl",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        number => return number.to_string(),
    };
    name.to_owned()
}

impl Netlink {
    /// Every route of every table, IPv4 first.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn routes(&self) -> Result<Vec<Route>, Error> {
        let mut routes = self.routes_of(false).await?;
        routes.extend(self.routes_of(true).await?);
        Ok(routes)
    }

    /// Every IPv4 (`v6`: IPv6) route of every table.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn routes_of(&self, v6: bool) -> Result<Vec<Route>, Error> {
        let mut request = RouteMessage::default();
        request.header.address_family = family(v6);
        let answers = self.dump(RouteNetlinkMessage::GetRoute(request)).await?;
        Ok(answers
            .into_iter()
            .filter_map(told)
            .filter_map(entry)
            .collect())
    }

    /// What the IPv4 (`v6`: IPv6) rules ask.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn rules_of(&self, v6: bool) -> Result<Rules, Error> {
        let mut request = RuleMessage::default();
        request.header.family = family(v6);
        let answers = self.dump(RouteNetlinkMessage::GetRule(request)).await?;
        Ok(answers
            .iter()
            .map(asked_by)
            .fold(Rules::default(), Rules::and))
    }

    /// Changes the main table, with our protocol number.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn change_route(&self, change: RouteChange, spec: &RouteSpec) -> Result<(), Error> {
        let mut message = route_message(spec);
        match change {
            RouteChange::Add => {
                let flags = NLM_F_CREATE | NLM_F_EXCL;
                self.change(RouteNetlinkMessage::NewRoute(message), flags)
                    .await
            }
            RouteChange::Replace => {
                let flags = NLM_F_CREATE | NLM_F_REPLACE;
                self.change(RouteNetlinkMessage::NewRoute(message), flags)
                    .await
            }
            RouteChange::Delete => {
                // Any scope; but only ours: the kernel compares the protocol.
                message.header.scope = RouteScope::NoWhere;
                self.change(RouteNetlinkMessage::DelRoute(message), 0).await
            }
        }
    }

    /// Where a packet to `dst` goes: one of ours, or with `from` one that comes
    /// from there by a device.
    ///
    /// # Errors
    /// If the kernel refuses for another reason than that there is no way.
    pub async fn lookup(
        &self,
        dst: IpAddr,
        from: Option<(IpAddr, IfIndex)>,
    ) -> Result<Lookup, Error> {
        let mut message = RouteMessage::default();
        message.header = header(dst);
        message.header.destination_prefix_length = full_length(dst);
        message.header.flags = RouteFlags::LookupTable;
        message
            .attributes
            .push(RouteAttribute::Destination(dst.into()));
        if let Some((source, device)) = from {
            message.header.source_prefix_length = full_length(source);
            message
                .attributes
                .push(RouteAttribute::Source(source.into()));
            message.attributes.push(RouteAttribute::Iif(device.get()));
        }
        let request = RouteNetlinkMessage::GetRoute(message);
        match self.transact(request, NLM_F_REQUEST).await {
            Ok(answers) => answers
                .into_iter()
                .flatten()
                .filter_map(told)
                .find_map(route)
                .map(|route| Lookup {
                    kind: route.kind,
                    via: route.legs.first().and_then(|leg| leg.via),
                    device: route.legs.first().and_then(|leg| leg.device),
                    source: route.source,
                })
                .ok_or(Error::Broken),
            Err(error) => {
                let kind = match error.errno() {
                    Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => RouteKind::Unreachable,
                    Some(libc::EACCES) => RouteKind::Prohibit,
                    _ => return Err(error),
                };
                Ok(Lookup {
                    kind,
                    via: None,
                    device: None,
                    source: None,
                })
            }
        }
    }
}

const fn family(v6: bool) -> AddressFamily {
    if v6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}

const fn full_length(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn header(ip: IpAddr) -> RouteHeader {
    RouteHeader {
        address_family: match ip {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        },
        ..RouteHeader::default()
    }
}

fn route_message(spec: &RouteSpec) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        destination_prefix_length: spec.dst.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Other(PROTOCOL),
        scope: match (spec.dst, spec.via) {
            (IpNet::V4(_), None) => RouteScope::Link,
            _ => RouteScope::Universe,
        },
        kind: RouteType::Unicast,
        ..header(spec.dst.addr())
    };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Destination(spec.dst.network().into()));
    attributes.push(RouteAttribute::Priority(spec.metric));
    if let Some(via) = spec.via {
        attributes.push(match (spec.dst, via) {
            // RFC 5549: an IPv4 route by an IPv6 next hop.
            (IpNet::V4(_), IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
            _ => RouteAttribute::Gateway(via.into()),
        });
    }
    if let Some(device) = spec.device {
        attributes.push(RouteAttribute::Oif(device.get()));
    }
    if let Some(source) = spec.source {
        attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    message
}

fn told(message: RouteNetlinkMessage) -> Option<RouteMessage> {
    match message {
        RouteNetlinkMessage::NewRoute(message) => Some(message),
        _ => None,
    }
}

/// The route of a table that a message is about; `None`: an exception that the
/// kernel has learnt (a path MTU, a redirect), or another family (multicast
/// routing).
pub(super) fn entry(message: RouteMessage) -> Option<Route> {
    let learnt = message.header.flags.contains(RouteFlags::Cloned);
    if learnt { None } else { route(message) }
}

fn route(message: RouteMessage) -> Option<Route> {
    let header = message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut dst = any;
    let mut from = None;
    let mut metric = 0;
    let mut source = None;
    let mut mtu = None;
    let mut nexthop_object = None;
    let mut leg = Leg {
        via: None,
        device: None,
    };
    let mut legs = Vec::new();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = value,
            RouteAttribute::Destination(address) => dst = ip(&address)?,
            RouteAttribute::Source(address) => from = ip(&address),
            RouteAttribute::Priority(value) => metric = value,
            RouteAttribute::PrefSource(address) => source = ip(&address),
            RouteAttribute::NhId(id) => nexthop_object = Some(id),
            RouteAttribute::Metrics(metrics) => mtu = route_mtu(&metrics),
            RouteAttribute::MultiPath(hops) => {
                legs = hops
                    .into_iter()
                    .map(|hop| Leg {
                        via: hop.attributes.iter().find_map(via),
                        device: Some(IfIndex::new(hop.interface_index)),
                    })
                    .collect();
            }
            RouteAttribute::Oif(index) => leg.device = Some(IfIndex::new(index)),
            other => leg.via = leg.via.or_else(|| via(&other)),
        }
    }
    if legs.is_empty() && (leg.device.is_some() || leg.via.is_some()) {
        legs.push(leg);
    }
    Some(Route {
        table,
        kind: kind(header.kind),
        dst: IpNet::new(dst, header.destination_prefix_length).ok()?,
        from: from.and_then(|from| IpNet::new(from, header.source_prefix_length).ok()),
        tos: header.tos,
        protocol: header.protocol.into(),
        metric,
        legs,
        source,
        mtu,
        nexthop_object,
    })
}

fn via(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(ip)) => Some((*ip).into()),
        RouteAttribute::Via(RouteVia::Inet6(ip)) => Some((*ip).into()),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn route_mtu(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) if *mtu != 0 => Some(*mtu),
        _ => None,
    })
}

const fn kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        _ => RouteKind::Other,
    }
}

/// What a rule that is there, or has come, asks. Every namespace starts with
/// three that ask nothing: `from all lookup local|main|default`.
pub(super) fn asked_by(message: &RouteNetlinkMessage) -> Rules {
    let RouteNetlinkMessage::NewRule(rule) = message else {
        return Rules::default();
    };
    let mut rules = Rules::default();
    let header = &rule.header;
    let mut table = u32::from(header.table);
    let mut selective = header.src_len != 0 || header.dst_len != 0 || header.tos != 0;
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Table(value) => table = *value,
            RuleAttribute::Priority(_)
            | RuleAttribute::Protocol(_)
            // -1 in a rule that does not suppress.
            | RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            RuleAttribute::L3MDev(on) => selective |= *on,
            RuleAttribute::SuppressPrefixLen(_) | RuleAttribute::SuppressIfGroup(_) => {
                rules.suppressing = true;
            }
            RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_) => rules.dissecting = true,
            _ => selective = true,
        }
    }
    const TABLE_DEFAULT: u32 = TABLE_MAIN - 1;
    const TABLE_LOCAL: u32 = TABLE_MAIN + 1;
    let known = matches!(table, TABLE_DEFAULT | TABLE_MAIN | TABLE_LOCAL);
    selective |= rules.suppressing || rules.dissecting;
    rules.custom = selective || !known || header.action != RuleAction::ToTable;
    rules
}
