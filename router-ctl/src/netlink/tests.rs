//! Messages as the kernel sends them, taken apart.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::{
    AddressFamily, IpProtocol, RouteNetlinkMessage,
    rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange},
};

use super::{routes::asked_by, types::Rules};

fn rule(table: u8, attributes: Vec<RuleAttribute>) -> RouteNetlinkMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = AddressFamily::Inet;
    rule.header.action = RuleAction::ToTable;
    rule.header.table = table;
    rule.attributes = vec![
        RuleAttribute::Table(table.into()),
        RuleAttribute::SuppressPrefixLen(u32::MAX),
        RuleAttribute::Priority(0),
    ];
    rule.attributes.extend(attributes);
    RouteNetlinkMessage::NewRule(rule)
}

#[test]
fn the_rules_that_every_namespace_has_are_not_custom() {
    for table in [255, 254, 253] {
        assert_eq!(asked_by(&rule(table, vec![])), Rules::default(), "{table}");
    }
}

#[test]
fn any_other_rule_is_custom() {
    let custom = [
        rule(100, vec![]),
        rule(254, vec![RuleAttribute::Iifname("eth0".into())]),
        rule(254, vec![RuleAttribute::FwMark(1)]),
        rule(0, vec![RuleAttribute::L3MDev(true)]),
        rule(
            254,
            vec![RuleAttribute::Source(Ipv4Addr::new(10, 0, 0, 0).into())],
        ),
    ];
    for message in custom {
        let expected = Rules {
            custom: true,
            ..Rules::default()
        };
        assert_eq!(asked_by(&message), expected, "{message:?}");
    }
    let mut blackhole = rule(254, vec![]);
    if let RouteNetlinkMessage::NewRule(rule) = &mut blackhole {
        rule.header.action = RuleAction::Blackhole;
    }
    assert!(asked_by(&blackhole).custom);
}

#[test]
fn rules_that_look_into_packets_are_told_apart() {
    let ports = RulePortRange {
        start: 4096,
        end: 8191,
    };
    for look in [
        RuleAttribute::IpProtocol(IpProtocol::Tcp),
        RuleAttribute::SourcePortRange(ports),
        RuleAttribute::DestinationPortRange(ports),
    ] {
        let asked = asked_by(&rule(254, vec![look]));
        assert!(
            asked.custom && asked.dissecting && !asked.suppressing,
            "{asked:?}"
        );
    }
}

/// `wg-quick` makes the first: `lookup main suppress_prefixlength 0`.
#[test]
fn rules_that_suppress_routes_are_told_apart() {
    for suppress in [
        RuleAttribute::SuppressPrefixLen(0),
        RuleAttribute::SuppressIfGroup(0),
    ] {
        let asked = asked_by(&rule(254, vec![suppress]));
        assert!(asked.custom && asked.suppressing, "{asked:?}");
    }
}

/// The kernel dumps one table at a time to a socket. Clones share it, and whoever
/// asks second waits: it was refused with EBUSY.
#[tokio::test]
async fn many_may_ask_at_once() {
    let netlink = super::Netlink::connect().unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let netlink = netlink.clone();
        asking.spawn(async move { netlink.tables().await.map(|tables| tables.links.len()) });
    }
    while let Some(answer) = asking.join_next().await {
        assert!(answer.unwrap().unwrap() > 0, "there is lo at least");
    }
}
