//! What the daemon says of itself, from plain data.

use router_common::{
    abi::Counter,
    datapath::Reason,
    wire::{IfIndex, MacAddr, NetworkId, TrunkSlot, Vid},
};

use super::{
    bringup::{find_room, ours_in_place, route_spec},
    handle::needs_device,
    installed::{Occupant, RouteFault, Why},
    keeper::is_in_place,
    view::{self, Known},
    xdp::{journal_problem, pin_problem},
};
use crate::{
    api::model::State,
    config::{Config, Network, PcpPolicy, StaticRoute, Trunk, XdpMode},
    dataplane::{self, Attachment, Counters},
    journal,
    netlink::{
        PROTOCOL,
        fixture::{address, device as link, unicast},
        types::{
            Leg, Link, Neighbour, NeighbourFlags, NeighbourState, Route, RouteKind, Xdp,
            XdpAttachment,
        },
    },
    reconcile::{Absence, Numbering},
    service::{NeighbourFilter, RouteFilter},
    sysctl::InterfaceForwarding,
};

const TRUNK: IfIndex = IfIndex::new(2);
pub(super) const LAN: IfIndex = IfIndex::new(10);
const PEER: IfIndex = IfIndex::new(11);
const PROG: u32 = 42;

fn config() -> Config {
    Config {
        source: Some("/etc/router-ctl/router.toml".into()),
        trunks: vec![Trunk {
            interface: "eth0".into(),
            xdp: XdpMode::Native,
        }],
        networks: vec![Network {
            name: "lan".into(),
            trunk: "eth0".into(),
            vlan: Vid::new(100).unwrap(),
            interface: "eth0.100".into(),
            gateways: vec![
                "10.0.0.1/24".parse().unwrap(),
                "fd00::1/64".parse().unwrap(),
            ],
            pcp: PcpPolicy::Map,
        }],
        routes: vec![StaticRoute {
            to: "10.9.0.0/16".parse().unwrap(),
            via: Some("10.0.0.9".parse().unwrap()),
            network: None,
            metric: None,
            src: None,
        }],
        ..Config::default()
    }
}

fn attachment(ifindex: IfIndex, generic: bool) -> Attachment {
    Attachment {
        ifindex,
        generic,
        program: "router",
        prog_id: PROG,
        prog_tag: 0xabc,
        link_id: 7,
        pinned: true,
        sends_buffers: true,
    }
}

/// All is well.
pub(super) fn known() -> Known {
    let mut known = Known {
        instance: "default".into(),
        config: config().into(),
        ready: true,
        attachments: vec![Some(attachment(TRUNK, false))],
        rx_vlan: vec![Some(false)],
        ..Known::default()
    };
    known.plan.networks = vec![Ok(LAN)];
    known.kernel.tables.links = vec![
        Link {
            promiscuous: true,
            xdp: Some(Xdp {
                prog_id: PROG,
                mode: XdpAttachment::Native,
            }),
            ..link(TRUNK, "eth0")
        },
        link(LAN, "eth0.100"),
    ];
    known.kernel.tables.addresses = ["10.0.0.1/24", "fd00::1/64", "fe80::1/64"]
        .map(|gateway| address(LAN, gateway))
        .into();
    known.kernel.forwarding.v4 = true;
    known.kernel.forwarding.v6 = true;
    known.kernel.forwarding.interfaces.insert(
        LAN,
        InterfaceForwarding {
            v4: true,
            ..InterfaceForwarding::default()
        },
    );
    known
}

/// State, and message and help of every problem, after one change.
fn judged(change: impl FnOnce(&mut Known)) -> (State, Vec<(String, String)>) {
    let mut known = known();
    change(&mut known);
    let health = known.health();
    let problems = health.problems.into_iter();
    (
        health.state,
        problems.map(|p| (p.message, p.help)).collect(),
    )
}

#[test]
fn all_is_well() {
    assert_eq!(judged(|_| ()), (State::Forwarding, vec![]));
}

#[test]
fn before_it_is_ready_it_is_starting() {
    assert_eq!(judged(|known| known.ready = false).0, State::Starting);
    // Duplicate address detection takes a second or two.
    let waiting = judged(|known| known.kernel.tables.addresses[1].tentative = true);
    assert_eq!(waiting, (State::Starting, vec![]));
}

/// `/healthz` said no for a second or two whenever a gateway was added.
#[test]
fn a_new_address_is_no_reason_to_start_anew() {
    let mut known = known();
    known.settled = true;
    assert_eq!(known.health().warnings, []);
    known.kernel.tables.addresses[1].tentative = true;
    let health = known.health();
    assert_eq!((health.state, health.problems), (State::Forwarding, vec![]));
    let [warning] = &health.warnings[..] else {
        panic!("{:?}", health.warnings);
    };
    assert_eq!(
        warning.message,
        "lan waits for duplicate address detection of fd00::1/64"
    );
    known.ready = false;
    assert_eq!(known.health().state, State::Starting);
}

const fn fault(why: Why) -> RouteFault {
    RouteFault { at: 0, why }
}

/// In the place of the configured route.
fn blackhole() -> Route {
    Route {
        kind: RouteKind::Blackhole,
        protocol: 4,
        metric: 50,
        ..unicast("10.9.0.0/16", &[])
    }
}

/// A change, what is said of it, and what mends it.
type Case = (fn(&mut Known), &'static str, &'static str);

const fn cases() -> &'static [Case] {
    &[
        (
            |k| k.kernel.tables.links[1].up = false,
            "sub-interface eth0.100 is down",
            "ip link set eth0.100 up",
        ),
        (
            |k| k.kernel.tables.links[0].up = false,
            "trunk eth0 is down",
            "ip link set eth0 up",
        ),
        (
            |k| {
                k.kernel.tables.links[0].carrier = false;
                k.kernel.tables.links[1].carrier = false;
            },
            "trunk eth0 has no carrier",
            "plug it in, or bring up what is at its other end: `ethtool eth0` says what the driver sees",
        ),
        (
            |k| {
                k.kernel.tables.links[0].carrier = false;
                k.kernel.tables.links[0].parent = Some(PEER);
                k.kernel.tables.links.push(Link {
                    up: false,
                    ..link(PEER, "far")
                });
            },
            "trunk eth0 has no carrier",
            "ip link set far up",
        ),
        (
            |k| k.kernel.tables.links[0].promiscuous = false,
            "eth0 is not promiscuous: it may not see frames for its networks' MACs",
            "ip link set eth0 promisc on",
        ),
        (
            |k| k.rx_vlan = vec![Some(true)],
            "eth0 takes VLAN tags off: XDP does not see them",
            "ethtool -K eth0 rxvlan off",
        ),
        (
            |k| k.kernel.tables.links[0].xdp = None,
            "the XDP program is not attached to eth0 any more",
            "router-ctl config apply",
        ),
        (
            |k| {
                k.kernel.tables.links[0].xdp = Some(Xdp {
                    prog_id: 4711,
                    mode: XdpAttachment::Native,
                });
            },
            "another XDP program is attached to eth0 in place of ours: id 4711",
            "see whose it is with `bpftool prog show id 4711`; detach it with `ip link set eth0 xdp off`, or with `bpftool link detach` where `bpftool link show` has a link of it; then `router-ctl config apply`",
        ),
        (
            |k| k.attachments = vec![Some(attachment(IfIndex::new(99), false))],
            "trunk eth0 was made anew, and XDP is not attached to it: not yet",
            "mend what it names: it is tried again every second",
        ),
        (
            |k| {
                k.attachments = vec![Some(attachment(IfIndex::new(99), false))];
                k.attach_failures = [("eth0".to_owned(), "another program".to_owned())].into();
            },
            "trunk eth0 was made anew, and XDP is not attached to it: another program",
            "mend what it names: it is tried again every second",
        ),
        (
            |k| k.plan.networks = vec![Err(Absence::Missing)],
            "the sub-interface eth0.100 of lan is missing",
            "router-ctl config apply",
        ),
        (
            |k| k.plan.networks = vec![Err(Absence::NotThis("eth0.100 has VLAN 7".into()))],
            "XDP does not forward for lan: eth0.100 has VLAN 7",
            "see what it is with `ip -d link show eth0.100`; if nobody needs it, `ip link del eth0.100`, then `router-ctl config apply`",
        ),
        (
            |k| k.plan.networks = vec![Err(Absence::VlanZero("eth0.0".into()))],
            "XDP does not forward for lan: eth0.0 takes its frames with VLAN 0",
            "ip link del eth0.0",
        ),
        (
            |k| {
                k.plan.networks = vec![Err(Absence::Port {
                    device: "trunk1".into(),
                    master: "br0".into(),
                })];
            },
            "XDP does not forward for lan: trunk1 is a port of br0",
            "ip link set trunk1 nomaster",
        ),
        (
            |k| k.kernel.tables.addresses[0].ifindex = TRUNK,
            "lan has lost its gateway address 10.0.0.1/24",
            "router-ctl config apply",
        ),
        (
            |k| k.kernel.tables.addresses[1].duplicate = true,
            "another host of lan has the gateway address fd00::1/64",
            "give that host another one, then `router-ctl config apply`: the kernel looks once, when an address is given",
        ),
        (
            |k| {
                // They go with it.
                k.kernel.tables.addresses.truncate(1);
                let interfaces = &mut k.kernel.forwarding.interfaces;
                interfaces.get_mut(&LAN).unwrap().v6_disabled = true;
            },
            "IPv6 of lan is switched off: disable_ipv6 of eth0.100 is 1",
            "`sysctl -w net/ipv6/conf/eth0.100/disable_ipv6=0`, then `router-ctl config apply`",
        ),
        (
            |k| k.kernel.forwarding.interfaces.get_mut(&LAN).unwrap().v4 = false,
            "the kernel does not forward IPv4 of lan",
            "sysctl -w net/ipv4/conf/eth0.100/forwarding=1",
        ),
        (
            |k| {
                k.kernel.forwarding.v4 = false;
                k.kernel.forwarding.interfaces.get_mut(&LAN).unwrap().v4 = false;
            },
            "the kernel does not forward IPv4",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            |k| {
                k.kernel.tables.links[0].kind = Some("veth".into());
                k.kernel.tables.links[0].parent = Some(PEER);
                k.kernel.tables.links.push(Link {
                    kind: Some("veth".into()),
                    ..link(PEER, "far")
                });
            },
            "far, the other end of eth0, has no XDP program: what XDP sends there is lost",
            "attach a program to far (one that passes everything will do), or set \
                 `xdp = \"generic\"` for eth0",
        ),
        (
            |k| {
                k.troubles = vec![crate::api::model::Problem {
                    message: "the kernel's tables cannot be read: no".into(),
                    help: "ask it".into(),
                }];
            },
            "the kernel's tables cannot be read: no",
            "ask it",
        ),
        (
            |k| k.kernel.forwarding.v6 = false,
            "the kernel does not forward IPv6",
            "sysctl -w net.ipv6.conf.all.forwarding=1",
        ),
        (
            |k| {
                let forwarding = &mut k.kernel.forwarding;
                forwarding.v4_redirects = true;
                forwarding.interfaces.get_mut(&LAN).unwrap().v4_redirects = true;
            },
            "ICMP redirects are believed on eth0.100, which XDP cannot follow: the kernel alone forwards IPv4 to it",
            "sysctl -w net.ipv4.conf.all.accept_redirects=0",
        ),
        (
            |k| k.route_faults = vec![fault(Why::Missing)],
            "the route to 10.9.0.0/16 is not installed",
            "router-ctl config apply",
        ),
        (
            |k| {
                let there = "via 10.0.0.8 dev eth0.100".to_owned();
                k.route_faults = vec![fault(Why::LeadsElsewhere(there))];
            },
            "the route to 10.9.0.0/16 leads elsewhere than configured: via 10.0.0.8 dev eth0.100",
            "router-ctl config apply",
        ),
        (
            |k| k.route_faults = vec![fault(Why::Occupied(Occupant::of(&blackhole())))],
            "somebody else's route is in the place of the one to 10.9.0.0/16: blackhole 10.9.0.0/16 proto static metric 50",
            "`ip route del blackhole 10.9.0.0/16 proto static metric 50`, then `router-ctl config apply`",
        ),
        (
            |k| {
                let full = dataplane::Error::Pins {
                    path: "/sys/fs/bpf/x".into(),
                    source: std::io::Error::from_raw_os_error(libc::ENOSPC),
                };
                k.pin_failure = Some(pin_problem(&k.instance, None, &full));
            },
            "XDP would not outlive the daemon: /sys/fs/bpf/x: No space left on device (os error 28)",
            "restart the daemon (`router-ctl run`)",
        ),
        (
            |k| {
                let gone = dataplane::Error::Pins {
                    path: "/b/x".into(),
                    source: std::io::Error::from_raw_os_error(libc::EPERM),
                };
                k.pin_failure = Some(pin_problem(&k.instance, Some("/b".as_ref()), &gone));
            },
            "XDP would not outlive the daemon: /b/x: Operation not permitted (os error 1)",
            "mount -t bpf bpf /b; what belongs there is pinned again by itself",
        ),
        (
            |k| {
                let foreign = dataplane::Error::ForeignPin {
                    path: "/sys/fs/bpf/x".into(),
                    why: "is another one".into(),
                };
                k.pin_failure = Some(pin_problem(&k.instance, None, &foreign));
            },
            "XDP would not outlive the daemon: /sys/fs/bpf/x is another one",
            "if nobody needs it: rm /sys/fs/bpf/x; what belongs there is pinned again by itself (`router-ctl explain RC0406`)",
        ),
        (
            |k| {
                let full = journal::Error::Io {
                    path: "/var/lib/router-ctl/x.journal".into(),
                    source: std::io::Error::from_raw_os_error(libc::ENOSPC),
                };
                k.journal_failure = Some(journal_problem(&k.instance, &full));
            },
            "`router-ctl down` could not put everything back: /var/lib/router-ctl/x.journal: No space left on device (os error 28)",
            "make room there, or make it writable: it is written anew by itself",
        ),
        (
            |k| k.map_failure = Some("map LOCALS: full".into()),
            "map LOCALS: full",
            "it is written again every second; where that does not help, end the daemon and start it anew: `router-ctl run`",
        ),
    ]
}

/// Without the name, it would change another router of the same machine.
#[test]
fn no_mending_command_is_about_another_instance() {
    let mut named = 0;
    for (change, message, _) in cases() {
        let (_, problems) = judged(|known| {
            known.instance = "a3".into();
            change(known);
        });
        for (_, help) in problems {
            for command in help.split("router-ctl ").skip(1) {
                // It is about none.
                if !command.starts_with("explain ") {
                    assert!(
                        command.starts_with("--instance a3 "),
                        "{message}: {command}"
                    );
                    named += 1;
                }
            }
        }
    }
    assert!(named >= 4, "{named}");
}

/// `config apply` has nothing to apply where the command line is all there is.
#[test]
fn without_a_file_what_mends_it_is_said_in_full() {
    for (change, help) in [
        (
            (|k| k.plan.networks = vec![Err(Absence::Missing)]) as fn(&mut Known),
            "ip link add link eth0 name eth0.100 type vlan id 100 && ip link set eth0.100 up \
             && ip addr add 10.0.0.1/24 dev eth0.100 && ip addr add fd00::1/64 dev eth0.100",
        ),
        (
            |k| k.kernel.tables.addresses[0].ifindex = TRUNK,
            "ip addr add 10.0.0.1/24 dev eth0.100",
        ),
        (
            |k| k.route_faults = vec![fault(Why::Missing)],
            "router-ctl routes add 10.9.0.0/16 via 10.0.0.9",
        ),
        (
            |k| k.route_faults = vec![fault(Why::LeadsElsewhere("dev x".into()))],
            "router-ctl routes replace 10.9.0.0/16 via 10.0.0.9",
        ),
        (|k| k.kernel.tables.links[0].xdp = None, "router-ctl run"),
    ] {
        let (_, problems) = judged(|known| {
            known.config = Config {
                source: None,
                ..config()
            }
            .into();
            change(known);
        });
        let helps: Vec<&str> = problems.iter().map(|(_, help)| help.as_str()).collect();
        assert_eq!(helps, [help]);
    }
}

#[test]
fn every_problem_has_its_mending_command() {
    for (change, message, help) in cases() {
        let (state, problems) = judged(change);
        assert_eq!(state, State::Degraded, "{message}");
        let expected = ((*message).to_owned(), (*help).to_owned());
        assert_eq!(problems, [expected]);
    }
}

/// With one reason for all of them, a trunk was told another one's.
#[test]
fn each_trunk_that_was_made_anew_has_its_own_reason() {
    let other = IfIndex::new(3);
    let mut known = known();
    let mut config = config();
    config.trunks.push(Trunk {
        interface: "eth1".into(),
        xdp: XdpMode::Native,
    });
    known.config = config.into();
    known.attachments = vec![
        Some(attachment(IfIndex::new(98), false)),
        Some(attachment(IfIndex::new(99), false)),
    ];
    known.rx_vlan.push(Some(false));
    known.kernel.tables.links.push(Link {
        promiscuous: true,
        ..link(other, "eth1")
    });
    known.attach_failures = [("eth0", "no queues"), ("eth1", "no memory")]
        .map(|(trunk, why)| (trunk.to_owned(), why.to_owned()))
        .into();
    let told = |known: &Known| -> Vec<String> {
        let problems = known.health().problems.into_iter();
        problems.map(|problem| problem.message).collect()
    };
    let anew = "was made anew, and XDP is not attached to it:";
    assert_eq!(
        told(&known),
        [
            format!("trunk eth0 {anew} no queues"),
            format!("trunk eth1 {anew} no memory"),
        ]
    );
    // The one that comes back does not take the other's with it.
    known.attach_failures.remove("eth0");
    known.attachments[0] = Some(attachment(TRUNK, false));
    assert_eq!(told(&known), [format!("trunk eth1 {anew} no memory")]);
}

/// Per-interface forwarding is what the kernel asks; and of a peer that cannot
/// be seen, or that has a program, there is nothing to say.
#[test]
fn what_is_no_problem() {
    type Change = fn(&mut Known);
    let fine: [Change; 3] = [
        |k| k.kernel.forwarding.v4 = false,
        |k| {
            k.kernel.tables.links[0].kind = Some("veth".into());
            k.kernel.tables.links[0].parent_elsewhere = true;
        },
        |k| {
            k.kernel.tables.links[0].kind = Some("veth".into());
            k.kernel.tables.links[0].parent = Some(PEER);
            k.kernel.tables.links.push(Link {
                kind: Some("veth".into()),
                xdp: Some(Xdp {
                    prog_id: 1,
                    mode: XdpAttachment::Native,
                }),
                ..link(PEER, "far")
            });
        },
    ];
    for change in fine {
        assert_eq!(judged(change), (State::Forwarding, vec![]));
    }
}

#[test]
fn xdp_off_is_no_problem() {
    let mut config = config();
    config.trunks[0].xdp = XdpMode::Off;
    let mut known = known();
    known.config = config.into();
    known.attachments = vec![None];
    known.kernel.tables.links[0].xdp = None;
    known.rx_vlan = vec![Some(true)];
    assert_eq!(known.health().state, State::Forwarding);
    assert_eq!(known.trunks()[0].xdp_mode, "off");
}

#[test]
fn networks_show_what_the_kernel_has() {
    let config = config();
    let mut known = known();
    let [shown] = &known.networks()[..] else {
        panic!("one network");
    };
    assert_eq!(shown.state, "up");
    assert_eq!(shown.vlan, Some(100));
    assert_eq!(
        shown.gateways, config.networks[0].gateways,
        "no link-local ones"
    );
    known.kernel.tables.links[0].up = false;
    assert_eq!(known.networks()[0].state, "down");
    known.plan.networks = vec![Err(Absence::Missing)];
    assert_eq!(known.networks()[0].state, "missing");
}

/// Native XDP cannot send where only generic XDP is; generic XDP can.
#[test]
fn frames_are_redirected_to_drivers_that_take_them() {
    let slots = |attachments: &[Option<bool>]| {
        let mut config = config();
        config.trunks = ["eth0", "eth1"]
            .map(|name| Trunk {
                interface: name.into(),
                xdp: XdpMode::Auto,
            })
            .into();
        let known = Known {
            numbering: Numbering::default().adapted(&config),
            config: config.into(),
            attachments: attachments
                .iter()
                .map(|generic| generic.map(|generic| attachment(TRUNK, generic)))
                .collect(),
            ..Known::default()
        };
        let slots = known.transmitters().into_iter().map(TrunkSlot::get);
        slots.collect::<Vec<_>>()
    };
    assert_eq!(slots(&[Some(false), Some(false)]), [0, 1]);
    assert_eq!(slots(&[Some(false), Some(true)]), [0]);
    assert_eq!(slots(&[Some(true), Some(true)]), [0, 1]);
    assert_eq!(slots(&[None, Some(false)]), [1]);
    assert_eq!(slots(&[None, None]), [0_u8; 0]);
}

/// Made anew under its name, a trunk has another number and no program: what is
/// redirected to it would be lost.
#[test]
fn frames_are_not_redirected_to_a_trunk_made_anew() {
    let ours = attachment(TRUNK, false);
    let trunk = |ifindex, prog_id: Option<u32>| Link {
        ifindex,
        xdp: prog_id.map(|prog_id| Xdp {
            prog_id,
            mode: XdpAttachment::Native,
        }),
        ..Link::default()
    };
    for (what, link, expected) in [
        ("as it was", Some(trunk(TRUNK, Some(ours.prog_id))), true),
        ("made anew", Some(trunk(LAN, None)), false),
        (
            "number and program of another",
            Some(trunk(TRUNK, Some(ours.prog_id + 1))),
            false,
        ),
        ("program gone", Some(trunk(TRUNK, None)), false),
        ("gone", None, false),
    ] {
        assert_eq!(is_in_place(Some(&ours), link.as_ref()), expected, "{what}");
    }
    assert!(!is_in_place(None, Some(&trunk(TRUNK, Some(PROG)))));
}

#[test]
fn routes_name_networks_and_devices() {
    let leg = |via: Option<&str>, device| Leg {
        via: via.map(|via| via.parse().unwrap()),
        device: Some(device),
    };
    let route = |dst: &str, legs: &[Leg]| Route {
        protocol: 117,
        metric: 50,
        legs: legs.into(),
        ..unicast(dst, &[])
    };
    let other_table = Route {
        table: 100,
        ..route("10.1.0.0/16", &[leg(None, LAN)])
    };
    let blackhole = Route {
        kind: RouteKind::Blackhole,
        ..route("10.2.0.0/16", &[])
    };
    let routes = [
        route(
            "10.9.0.0/16",
            &[leg(Some("10.0.0.9"), LAN), leg(None, TRUNK)],
        ),
        route("fe80::/64", &[leg(None, LAN)]),
        route("0.0.0.0/0", &[leg(None, IfIndex::new(77))]),
        other_table,
        blackhole,
    ];
    let shown: Vec<_> = known()
        .routes(&routes)
        .into_iter()
        .map(|route| {
            (
                route.dst.to_string(),
                route.network,
                route.vlan,
                route.proto,
            )
        })
        .collect();
    let row = |dst: &str, network: &str, vlan| {
        (
            dst.to_owned(),
            network.to_owned(),
            vlan,
            "router-ctl".to_owned(),
        )
    };
    assert_eq!(
        shown,
        [
            row("10.9.0.0/16", "lan", Some(100)),
            row("10.9.0.0/16", "dev:eth0", None),
            row("0.0.0.0/0", "dev:77", None),
        ]
    );
}

#[test]
fn neighbours_are_those_of_the_networks_in_order() {
    let neighbour = |device: IfIndex, address: &str, state| Neighbour {
        ifindex: device,
        address: address.parse().unwrap(),
        mac: (state != NeighbourState::Failed).then(|| MacAddr::new([2, 0, 0, 0, 0, 9])),
        state,
        flags: NeighbourFlags::default(),
    };
    let all = [
        neighbour(LAN, "fd00::9", NeighbourState::Stale),
        neighbour(LAN, "10.0.0.9", NeighbourState::Reachable),
        neighbour(LAN, "10.0.0.8", NeighbourState::Failed),
        neighbour(LAN, "ff02::1", NeighbourState::NoArp),
        neighbour(TRUNK, "192.0.2.9", NeighbourState::Reachable),
    ];
    let both = RouteFilter { v4: true, v6: true };
    let shown = |families, network: Option<&str>| -> Vec<String> {
        let network = network.map(ToOwned::to_owned);
        let filter = NeighbourFilter { families, network };
        let shown = known().neighbours(&all, &filter);
        let texts = shown.iter().map(|n| {
            let vlan = n.vlan.map(|vlan| vlan.to_string()).unwrap_or_default();
            let mac = n.mac.as_deref().unwrap_or("-");
            format!("{} {mac} {} {vlan} {}", n.ip, n.network, n.state)
        });
        texts.collect()
    };
    let four = [
        "10.0.0.8 - lan 100 FAILED",
        "10.0.0.9 02:00:00:00:00:09 lan 100 REACHABLE",
    ];
    let six = ["fd00::9 02:00:00:00:00:09 lan 100 STALE"];
    assert_eq!(shown(both, None), [&four[..], &six[..]].concat());
    assert_eq!(shown(RouteFilter { v6: false, ..both }, Some("lan")), four);
    assert_eq!(shown(RouteFilter { v4: false, ..both }, None), six);
    assert_eq!(shown(both, Some("elsewhere")), [""; 0]);
}

#[test]
fn stats_add_up() {
    let mut config = config();
    config.trunks.push(Trunk {
        interface: "eth1".into(),
        xdp: XdpMode::Native,
    });
    let network = |name: &str, trunk: &str| Network {
        name: name.into(),
        trunk: trunk.into(),
        ..config.networks[0].clone()
    };
    config.networks = vec![
        network("a", "eth0"),
        network("b", "eth0"),
        network("c", "eth1"),
    ];
    let counter = |packets| Counter {
        packets,
        bytes: packets * 100,
    };
    let id = NetworkId::new;
    let counters = Counters {
        kept: vec![(Reason::Arp, counter(3))],
        forwarded: vec![
            (id(0), Some(id(1)), counter(10)),
            (id(0), Some(id(2)), counter(5)),
            (id(2), None, counter(1)),
        ],
        redirect_errors: Some([(0, 1), (95, 2)].into()),
    };
    let numbering = Numbering::default().adapted(&config);
    let stats = view::stats(&config, &numbering, &counters);
    assert_eq!((stats.fast.packets, stats.fast.bytes), (16, 1600));
    let verdicts: Vec<_> = stats
        .verdicts
        .iter()
        .map(|v| (&*v.reason, &*v.action, v.packets))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("forwarded", "tx", 11),
            ("forwarded", "redirect", 5),
            ("arp", "pass", 3)
        ]
    );
    let pairs: Vec<_> = stats.pairs.iter().map(|p| (&*p.from, &*p.to)).collect();
    assert_eq!(pairs, [("a", "b"), ("a", "c"), ("c", "*")]);
    let errors = stats.redirect_errors.unwrap();
    let errors: Vec<_> = errors.iter().map(|e| (&*e.errno, e.packets)).collect();
    assert_eq!(errors, [("other", 1), ("EOPNOTSUPP", 2)]);
    // Scripts rely on `forwarded` being there.
    let idle = view::stats(&config, &numbering, &Counters::default());
    assert_eq!(idle.verdicts.len(), 1);
}

#[test]
fn static_routes_find_their_device_by_their_next_hop() {
    let config = config();
    let tables = known().kernel.tables;
    let spec = route_spec(&config, &config.routes[0], &tables).unwrap();
    assert_eq!(spec.device, Some(LAN));
    assert_eq!(spec.metric, StaticRoute::DEFAULT_METRIC);
    let by = |network: &str| StaticRoute {
        network: Some(network.into()),
        ..config.routes[0].clone()
    };
    let device = |network| route_spec(&config, &by(network), &tables).map(|spec| spec.device);
    assert_eq!(device("lan").unwrap(), Some(LAN));
    assert_eq!(device("eth0").unwrap(), Some(TRUNK));
    assert_eq!(
        device("none").unwrap_err().code,
        crate::codes::DEVICE_UNKNOWN
    );
}

/// The kernel's words for it are no help.
#[test]
fn a_link_local_next_hop_needs_its_network() {
    let mut route = StaticRoute {
        to: "fd50::/64".parse().unwrap(),
        via: Some("fe80::1".parse().unwrap()),
        network: None,
        metric: None,
        src: None,
    };
    let refused = needs_device(&route).unwrap_err();
    assert_eq!(refused.code, crate::codes::NEXT_HOP_INVALID);
    assert_eq!(refused.help.as_deref(), Some("say on which: dev NETWORK"));
    route.network = Some("lan".into());
    needs_device(&route).unwrap();
}

/// Routes of others are theirs to change, whatever the kernel would let us do.
#[test]
fn only_our_own_routes_are_replaced() {
    let config = config();
    let tables = known().kernel.tables;
    let wanted = StaticRoute {
        to: "10.9.0.0/16".parse().unwrap(),
        via: Some("172.16.10.9".parse().unwrap()),
        network: None,
        metric: Some(50),
        src: None,
    };
    let spec = route_spec(&config, &wanted, &tables).unwrap();
    let with = |protocol| {
        let mut tables = tables.clone();
        tables.routes.push(Route {
            protocol,
            metric: 50,
            ..unicast(&wanted.to.to_string(), &[])
        });
        tables
    };
    assert!(matches!(ours_in_place(&spec, &tables), Ok(None)));
    assert!(matches!(ours_in_place(&spec, &with(PROTOCOL)), Ok(Some(_))));
    let theirs = with(4);
    let refused = ours_in_place(&spec, &theirs).unwrap_err();
    assert!(refused.to_string().contains("proto static"), "{refused}");
    assert_eq!(
        refused.help.as_deref(),
        Some(
            "remove that one with `ip route del 10.9.0.0/16 proto static metric 50`, or give this \
             one another metric"
        )
    );
    // `config apply` asks before it does anything.
    find_room(&config, &with(PROTOCOL)).unwrap();
    let refused = find_room(&config, &theirs).unwrap_err();
    assert_eq!(refused.code, crate::codes::ROUTE_EXISTS);
}
