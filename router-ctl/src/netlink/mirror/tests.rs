//! Announcements in, tables out.

use super::*;
use crate::netlink::{
    fixture::{address, device as link, unicast},
    types::NeighbourFlags,
};

const LAN: IfIndex = IfIndex::new(10);
const WAN: IfIndex = IfIndex::new(20);

fn route(dst: &str, devices: &[IfIndex]) -> Route {
    Route {
        protocol: 186,
        ..unicast(dst, devices)
    }
}

fn with_mtu(mut route: Route) -> Route {
    route.mtu = Some(1400);
    route
}

fn added(route: Route) -> Delta {
    Delta::Route {
        route,
        replaces: false,
    }
}

fn replaced(route: Route) -> Delta {
    Delta::Route {
        route,
        replaces: true,
    }
}

/// Two devices with an address each.
fn mirror() -> Mirror {
    let mut mirror = Mirror::default();
    mirror.install(Dump {
        tables: Tables {
            links: vec![link(LAN, "lan"), link(WAN, "wan")],
            addresses: vec![address(LAN, "10.0.0.1/24"), address(WAN, "192.0.2.2/24")],
            ..Tables::default()
        },
        neighbours: Vec::new(),
    });
    assert!(!mirror.due().any(), "it has just been read");
    mirror
}

fn routes(mirror: &Mirror) -> Vec<String> {
    let routes = mirror.tables().routes.into_iter();
    routes.map(|route| route.dst.to_string()).collect()
}

#[test]
fn routes_that_cannot_matter_cost_nothing() {
    let mut mirror = mirror();
    for number in 0..200_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let route = route(&format!("{}.{b}.{c}.0/24", 20 + a), &[WAN]);
        assert!(!mirror.apply(&added(route.clone())));
        if number % 2 == 0 {
            assert!(!mirror.apply(&Delta::RouteGone(route)));
        }
    }
    assert!(!mirror.due().any());
    assert!(routes(&mirror).is_empty());
}

#[test]
fn routes_that_can_matter_are_kept_at_once() {
    let mut ours = route("10.9.0.0/16", &[WAN]);
    ours.protocol = PROTOCOL;
    let mut local = route("203.0.113.9/32", &[WAN]);
    local.kind = RouteKind::Local;
    let mut group = route("10.7.0.0/16", &[]);
    group.nexthop_object = Some(5);
    for kept in [
        with_mtu(route("20.0.0.0/8", &[WAN])),
        route("20.0.0.0/8", &[WAN, LAN]),
        // Inside what is connected, and what is connected itself.
        route("10.0.0.128/25", &[WAN]),
        route("10.0.0.0/24", &[LAN]),
        with_mtu(route("2001:db8::/32", &[WAN])),
        ours,
        local,
        group,
    ] {
        let mut mirror = mirror();
        assert!(mirror.apply(&added(kept.clone())), "{kept:?}");
        assert!(!mirror.apply(&added(kept.clone())), "once is enough");
        assert_eq!(routes(&mirror), [kept.dst.to_string()]);
        assert!(mirror.apply(&Delta::RouteGone(kept.clone())), "{kept:?}");
        assert!(routes(&mirror).is_empty());
        assert!(!mirror.due().any(), "nothing was in doubt: {kept:?}");
    }
    for passed_over in [
        route("20.0.0.0/8", &[WAN]),
        // Wider than what is connected.
        route("10.0.0.0/16", &[WAN]),
        route("fd00:10::/64", &[LAN]),
    ] {
        let mut mirror = mirror();
        assert!(!mirror.apply(&added(passed_over)));
        assert!(routes(&mirror).is_empty() && !mirror.due().any());
    }
}

#[test]
fn a_route_that_takes_the_place_of_another() {
    let mut mirror = mirror();
    let old = with_mtu(route("20.0.0.0/8", &[WAN]));
    mirror.apply(&added(old.clone()));
    let mut smaller = old.clone();
    smaller.mtu = Some(1300);
    assert!(mirror.apply(&replaced(smaller.clone())));
    assert_eq!(mirror.tables().routes, [smaller]);
    assert!(!mirror.due().any());
    // One that does not matter takes its place: reading tells.
    assert!(mirror.apply(&replaced(route("20.0.0.0/8", &[WAN]))));
    assert!(mirror.take_due().routes_v4);
    assert!(mirror.install_routes(false, vec![route("20.0.0.0/8", &[WAN])]));
    assert!(routes(&mirror).is_empty());
}

#[test]
fn several_routes_in_one_place_are_read() {
    let mut mirror = mirror();
    let one = with_mtu(route("20.0.0.0/8", &[WAN]));
    let other = with_mtu(route("20.0.0.0/8", &[LAN]));
    mirror.apply(&added(one.clone()));
    assert!(mirror.apply(&added(other.clone())));
    assert_eq!(mirror.tables().routes.len(), 2, "both count at once");
    assert!(mirror.take_due().routes_v4);
    mirror.apply(&Delta::RouteGone(one));
    assert!(mirror.take_due().routes_v4, "which of them?");
    // A leg of an IPv6 route goes.
    mirror.apply(&added(route("2001:db8::/32", &[WAN, LAN])));
    mirror.apply(&Delta::RouteGone(route("2001:db8::/32", &[WAN])));
    let due = mirror.take_due();
    assert!(due.routes_v6 && !due.routes_v4);
}

#[test]
fn ipv4_routes_go_in_silence() {
    let silent: [(&str, Delta); 3] = [
        (
            "down",
            Delta::Link(Link {
                up: false,
                ..link(LAN, "lan")
            }),
        ),
        ("gone", Delta::LinkGone(LAN)),
        ("address", Delta::AddressGone(address(LAN, "10.0.0.1/24"))),
    ];
    for (what, delta) in silent {
        let mut mirror = mirror();
        assert!(mirror.apply(&delta), "{what}");
        assert!(mirror.due().routes_v4, "{what}");
    }
    let mut mirror = mirror();
    let mut larger = link(LAN, "lan");
    larger.mtu = 9000;
    assert!(mirror.apply(&Delta::Link(larger.clone())));
    assert!(!mirror.apply(&Delta::Link(larger)), "no news");
    assert!(!mirror.due().any(), "an MTU takes no routes with it");
}

#[test]
fn a_new_prefix_makes_other_routes_matter() {
    let mut mirror = mirror();
    let state = |tentative| {
        let mut v6 = address(LAN, "fd00::1/64");
        v6.tentative = tentative;
        Delta::Address(v6)
    };
    assert!(mirror.apply(&state(true)));
    assert!(mirror.apply(&state(false)));
    assert!(!mirror.apply(&state(false)), "no news");
    assert!(!mirror.due().any());
    // A second address of a known prefix.
    mirror.apply(&Delta::Address(address(LAN, "10.0.0.2/24")));
    assert!(!mirror.due().any());
    mirror.apply(&Delta::Address(address(LAN, "20.0.0.1/24")));
    assert!(mirror.take_due().routes_v4);
    assert!(mirror.apply(&added(route("20.0.0.64/26", &[WAN]))));
    mirror.apply(&Delta::AddressGone(address(LAN, "10.0.0.2/24")));
    assert!(
        mirror.apply(&added(route("10.0.0.64/26", &[WAN]))),
        "still connected"
    );
    mirror.apply(&Delta::AddressGone(address(LAN, "10.0.0.1/24")));
    assert!(!mirror.apply(&added(route("10.0.0.128/26", &[WAN]))));
}

#[test]
fn next_hop_objects_concern_routes_that_use_them() {
    let mut mirror = mirror();
    mirror.apply(&Delta::Nexthop);
    assert!(!mirror.due().any());
    let mut by_object = route("20.0.0.0/8", &[WAN]);
    by_object.nexthop_object = Some(5);
    assert!(
        !mirror.apply(&added(by_object)),
        "one leg is like any other"
    );
    mirror.apply(&Delta::Nexthop);
    let due = mirror.take_due();
    assert!(due.routes_v4 && due.routes_v6);
}

#[test]
fn rules_are_read_but_a_new_one_counts_at_once() {
    let mut mirror = mirror();
    let none = Rules::default();
    let one = Rules {
        custom: true,
        ..none
    };
    let suppressing = Rules {
        custom: true,
        suppressing: true,
        dissecting: false,
    };
    let news = |v6, asked| Delta::Rules { v6, asked };
    assert!(mirror.apply(&news(false, one)));
    assert_eq!(mirror.tables().rules_v4, one);
    assert_eq!(mirror.tables().rules_v6, none);
    assert!(mirror.take_due().rules_v4);
    // It has gone: perhaps there is another.
    assert!(!mirror.apply(&news(false, none)));
    assert!(mirror.take_due().rules_v4);
    assert!(mirror.install_rules(false, none));
    assert_eq!(mirror.tables().rules_v4, none);
    // What one rule asks, a later one does not take back.
    assert!(mirror.apply(&news(true, suppressing)));
    assert!(!mirror.apply(&news(true, one)));
    assert_eq!(mirror.tables().rules_v6, suppressing);
}

#[test]
fn names_follow_their_devices() {
    let mut mirror = mirror();
    let number = |mirror: &Mirror, name: &str| mirror.link_named(name).map(|link| link.ifindex);
    // They change names, by way of a third.
    for (ifindex, name) in [(LAN, "other"), (WAN, "lan"), (LAN, "wan")] {
        assert!(mirror.apply(&Delta::Link(link(ifindex, name))));
    }
    assert_eq!(number(&mirror, "lan"), Some(WAN));
    assert_eq!(number(&mirror, "wan"), Some(LAN));
    assert_eq!(number(&mirror, "other"), None);
    // Deleted, and its number given to another.
    mirror.apply(&Delta::LinkGone(WAN));
    mirror.apply(&Delta::Link(link(WAN, "new")));
    assert_eq!(number(&mirror, "lan"), None);
    assert_eq!(number(&mirror, "new"), Some(WAN));
    let of_it = |address: &Address| address.ifindex == WAN;
    assert!(
        !mirror.tables().addresses.iter().any(of_it),
        "the old one's"
    );
}

#[test]
fn neighbours_are_kept_by_device() {
    let mut mirror = mirror();
    let neighbour = |ifindex, address: &str, state| Neighbour {
        ifindex,
        address: address.parse().unwrap(),
        mac: None,
        state,
        flags: NeighbourFlags::default(),
    };
    let stale = |ifindex, address| neighbour(ifindex, address, NeighbourState::Stale);
    for each in [
        stale(LAN, "10.0.0.9"),
        stale(LAN, "fd00::9"),
        stale(WAN, "192.0.2.1"),
    ] {
        assert!(!mirror.apply(&Delta::Neighbour(each)), "not for the maps");
    }
    assert_eq!(mirror.neighbours_of(LAN).count(), 2);
    let nine = "10.0.0.9".parse().unwrap();
    mirror.used(LAN, nine);
    let states: Vec<_> = mirror.neighbours_of(LAN).map(|n| n.state).collect();
    assert_eq!(states, [NeighbourState::Delay, NeighbourState::Stale]);
    mirror.apply(&Delta::NeighbourGone(stale(LAN, "fd00::9")));
    assert_eq!(mirror.neighbours_of(LAN).count(), 1);
    mirror.apply(&Delta::LinkGone(LAN));
    assert_eq!(mirror.neighbours_of(LAN).count(), 0);
    assert_eq!(mirror.neighbours_of(WAN).count(), 1);
}

/// What was announced while a dump ran is applied on top of it: the dump may be
/// older, or newer.
#[test]
fn announcements_can_be_applied_again() {
    let events = [
        Delta::Link(link(LAN, "lan")),
        Delta::LinkGone(LAN),
        Delta::Link(link(LAN, "anew")),
        Delta::Address(address(LAN, "10.0.0.1/24")),
        added(with_mtu(route("20.0.0.0/8", &[LAN]))),
        Delta::RouteGone(with_mtu(route("20.0.0.0/8", &[LAN]))),
    ];
    let mut expected = None;
    for taken in 0..=events.len() {
        // A dump that was taken after some of the events.
        let mut kernel = mirror();
        for event in &events[..taken] {
            kernel.apply(event);
        }
        let mut mirror = Mirror::default();
        mirror.install(Dump {
            tables: kernel.tables(),
            neighbours: Vec::new(),
        });
        for event in &events {
            mirror.apply(event);
        }
        let tables = mirror.tables();
        assert_eq!(
            expected.get_or_insert_with(|| tables.clone()),
            &tables,
            "{taken}"
        );
    }
}

/// A million routes of others are not kept; one in the place of ours is.
#[test]
fn what_is_in_the_place_of_one_of_ours_is_kept() {
    let place = route("20.0.0.0/8", &[WAN]);
    let mut mirror = mirror();
    mirror.apply(&added(place.clone()));
    assert!(!mirror.tables().routes.contains(&place));
    mirror.watch_places([place.dst].into());
    let other = Route {
        table: 100,
        ..place.clone()
    };
    mirror.apply(&added(place.clone()));
    mirror.apply(&added(other.clone()));
    let kept = mirror.tables().routes;
    assert!(kept.contains(&place) && !kept.contains(&other));
    // A dump that takes everything's place takes it over.
    let mut tables = mirror.tables();
    tables.routes = vec![place.clone()];
    mirror.install(Dump {
        tables,
        neighbours: Vec::new(),
    });
    assert_eq!(mirror.tables().routes, [place]);
}
