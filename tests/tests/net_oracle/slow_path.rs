//! Conformance section D, and what of A needs no packet: what the kernel answers
//! is the same whether XDP stands in front of it or not.

use std::{net::IpAddr, thread, time::Duration};

use router_tests::{
    forwarded, lab,
    netns::{self, Netns},
    oracle::{Fate, Seen, Twin, compare},
    packet::{Frame, Transport},
    prog::Network::{self, A, B, C, N, U},
    tables::Stage as _,
};

/// ICMP type and code of a frame, v4 and v6.
fn icmp(frame: &[u8]) -> Option<(u8, u8)> {
    let at = if frame.get(12..14) == Some(&[0x81, 0]) {
        18
    } else {
        14
    };
    let message = match frame.get(at - 2..at)? {
        [0x08, 0x00] if frame.get(at + 9) == Some(&1) => frame.get(at + 20..)?,
        [0x86, 0xdd] if frame.get(at + 6) == Some(&58) => frame.get(at + 40..)?,
        _ => return None,
    };
    Some((*message.first()?, *message.get(1)?))
}

/// The one answer on `wire`: who it is from, type and code.
fn answer(seen: &Seen, wire: usize) -> Option<(IpAddr, (u8, u8))> {
    match seen.frames.as_slice() {
        [(at, frame)] if *at == wire => Some((compare::addresses(frame)?.0, icmp(frame)?)),
        _ => None,
    }
}

fn probes(from: Network, to: Network) -> [(IpAddr, Frame, (u8, u8)); 2] {
    let udp = Transport::Udp {
        ports: (33000, 33434),
        payload: vec![0; 32],
    };
    [
        (
            from.v4(1).into(),
            from.v4_to(to).transport(udp.clone()).ttl(1),
            (11, 0),
        ),
        (
            from.v6(1).into(),
            from.v6_to(to).transport(udp).ttl(1),
            (3, 0),
        ),
    ]
}

/// 72: the first hop of every pair is the gateway of the network one is in.
pub(crate) fn traceroute(twin: &mut Twin) {
    for from in Network::ALL {
        for to in Network::ALL.into_iter().filter(|to| *to != from) {
            for (gateway, frame, error) in probes(from, to) {
                let what = format!("{from:?} to {to:?} by {gateway}");
                let Some(bytes) = twin.frame(from, &frame) else {
                    continue;
                };
                let (on, ..) = twin.same(72, &what, from, &[bytes]);
                let wire = twin.world().wire(from);
                if answer(&on, wire) != Some((gateway, error)) {
                    twin.fail(72, &what, &format!("{:?}", answer(&on, wire)));
                }
            }
        }
    }
}

/// 73: no error about errors, later fragments, broadcast and multicast.
pub(crate) fn no_errors_about(twin: &mut Twin) {
    let error4 = Transport::icmp(3, 1, &B.v4_to(A).bytes()[18..]);
    let error6 = Transport::icmp(1, 3, &B.v6_to(A).bytes()[18..]);
    let nowhere4 = |frame: Frame| frame.to4([192, 0, 2, 1].into());
    for (what, frame) in [
        (
            "an ICMP error with TTL 1",
            A.v4_to(B).transport(error4.clone()).ttl(1),
        ),
        (
            "an ICMP error without a route",
            nowhere4(A.v4_to(B).transport(error4)),
        ),
        (
            "an ICMPv6 error with hop limit 1",
            A.v6_to(B).transport(error6).ttl(1),
        ),
        (
            "a later fragment with TTL 1",
            A.v4_to(B).fragment(8, false).ttl(1),
        ),
        (
            "a later fragment without a route",
            nowhere4(A.v4_to(B).fragment(8, true)),
        ),
        (
            "a broadcast MAC with TTL 1",
            A.v4_to(B).to_mac([0xff; 6]).ttl(1),
        ),
        (
            "a multicast MAC, IPv6",
            A.v6_to(B).to_mac([0x33, 0x33, 0, 0, 0, 1]).ttl(1),
        ),
        (
            "to multicast with TTL 1",
            A.v4_to(B).to4([224, 0, 0, 9].into()).ttl(1),
        ),
        ("from nobody, TTL 1", A.v4_to(B).from4([0; 4].into()).ttl(1)),
    ] {
        let Some(bytes) = twin.frame(A, &frame) else {
            continue;
        };
        let (on, ..) = twin.same(73, what, A, &[bytes]);
        if !on.frames.is_empty() {
            twin.fail(73, what, &format!("answered: {:?}", on.frames));
        }
    }
}

/// 76: a host that nobody finds: 3/1 and 1/3 once the kernel gives up.
pub(crate) fn failed_neighbours(twin: &mut Twin) {
    for family in ["ipv4", "ipv6"] {
        twin.sysctl(&format!("{family}/neigh/net-b/retrans_time_ms"), "100");
    }
    let v4 = A.v4_to(B).to4(B.v4(77));
    let v6 = A.v6_to(B).to6(B.v6(0x77));
    let frames: Vec<_> = [v4, v6]
        .iter()
        .filter_map(|frame| twin.frame(A, frame))
        .collect();
    let trial = twin.trial("a host that nobody finds", A, &frames);
    assert_eq!(trial.wrong, [""; 0]);
    assert_eq!((&*trial.on.frames, &*trial.off.frames), (&[][..], &[][..]));
    // Three questions each, and then some.
    thread::sleep(Duration::from_millis(if lab::slow() { 4000 } else { 800 }));
    let world = twin.world();
    let wire = world.wire(A);
    let mut errors = Vec::new();
    let mut wrong = Vec::new();
    for arm in [&mut twin.on, &mut twin.off] {
        let mut late = Seen::default();
        arm.drain(&mut late).expect("a wire");
        wrong.extend(compare::invariants(world, &frames, &late));
        let mut kinds: Vec<_> = late
            .frames
            .iter()
            .map(|(at, frame)| (*at == wire, icmp(frame)))
            .collect();
        kinds.sort();
        errors.push(kinds);
    }
    let expected = vec![(true, Some((1, 3))), (true, Some((3, 1)))];
    if errors == [expected.clone(), expected] && wrong.is_empty() {
        twin.shown(76, Fate::Not);
    } else {
        let why = format!("{errors:?}, {wrong:?}");
        twin.fail(76, "a host that nobody finds", &why);
    }
}

/// 78: the kernel still tells hosts of a better way, once.
pub(crate) fn redirects(twin: &mut Twin) {
    twin.ip(&format!(
        "address add fe80::1/64 dev net-a nodad\n\
         neigh replace fe80::9 lladdr 02:00:00:00:01:09 nud permanent dev net-a\n\
         route add 10.9.0.0/16 via {}\n\
         route add fd00:9::/64 via fe80::9 dev net-a",
        A.v4(9)
    ));
    for (what, frame, redirect) in [
        ("IPv4", A.sends4(A.v4(10), [10, 9, 0, 1].into()), (5, 1)),
        (
            "IPv6",
            A.sends6(A.v6(0x10), "fd00:9::1".parse().expect("an address")),
            (137, 0),
        ),
    ] {
        let Some(bytes) = twin.frame(A, &frame) else {
            continue;
        };
        let (on, _, fate) = twin.same(78, what, A, &[bytes]);
        let kinds: Vec<_> = on.frames.iter().filter_map(|(_, f)| icmp(f)).collect();
        if kinds != [redirect] || fate != Fate::Kernel {
            twin.fail(78, what, &format!("{fate}, {kinds:?}"));
        }
    }
}

/// Fields of /proc/net/snmp and snmp6 that moved.
fn counters(router: &Netns) -> Vec<(String, u64)> {
    let text = router
        .run(|| Ok((netns::proc_net("snmp")?, netns::proc_net("snmp6")?)))
        .expect("the kernel's counters");
    let mut counters = Vec::new();
    let lines: Vec<_> = text.0.lines().collect();
    for pair in lines.chunks(2) {
        let [names, values] = pair else { continue };
        for (name, value) in names
            .split_whitespace()
            .zip(values.split_whitespace())
            .skip(1)
        {
            let protocol = names.split(':').next().unwrap_or_default();
            counters.push((format!("{protocol}{name}"), value.parse().unwrap_or(0)));
        }
    }
    for line in text.1.lines() {
        if let Some((name, value)) = line.split_once(char::is_whitespace) {
            counters.push((name.to_owned(), value.trim().parse().unwrap_or(0)));
        }
    }
    counters
}

/// 79: what is passed up is counted by the kernel as if XDP were not there.
pub(crate) fn kernel_counters(twin: &mut Twin) {
    let bad = |frame: Frame| frame.patch(10, &[0xde, 0xad]);
    let frames: Vec<_> = [
        A.v4_to(B).ttl(1),
        A.v4_to(B).to4([192, 0, 2, 1].into()),
        A.v4_to(B).options(&[1, 1, 1, 1]),
        bad(A.v4_to(B)),
        A.v4_to(B).patch_with_checksum(0, &[0x65]),
        A.v6_to(B).ttl(1),
        A.v6_to(B).to6("2001:db8::1".parse().expect("an address")),
        A.v6_to(B).patch(4, &[0xff, 0xff]),
    ]
    .iter()
    .filter_map(|frame| twin.frame(A, frame))
    .collect();
    twin.settle();
    let before = [counters(&twin.on.router), counters(&twin.off.router)];
    let wrong = twin.trial("counters", A, &frames).wrong;
    let after = [counters(&twin.on.router), counters(&twin.off.router)];
    let moved = |arm: usize| -> Vec<(String, u64)> {
        let pairs = before[arm].iter().zip(&after[arm]);
        let moved: Vec<_> = pairs
            .map(|((name, before), (_, after))| (name.clone(), after - before))
            .collect();
        // Questions for neighbours and MLD come when they come.
        let own = |name: &str| {
            ["Type133", "Type135", "Type143"]
                .iter()
                .any(|own| name.contains(own))
        };
        let chatter: u64 = moved
            .iter()
            .filter(|(name, _)| name.starts_with("Icmp6Out") && own(name))
            .map(|(_, count)| count)
            .sum();
        moved
            .into_iter()
            .filter(|(name, _)| !own(name) && !name.contains("Mcast") && !name.contains("Neighbor"))
            .filter(|(name, _)| !name.starts_with("Icmp6OutMsgs") && !name.contains("MLD"))
            .filter(|(name, _)| name != "Ip6OutOctets")
            .map(|(name, count)| match name.as_str() {
                "Ip6OutRequests" | "Ip6OutTransmits" => (name, count - chatter),
                _ => (name, count),
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    let (on, off) = (moved(0), moved(1));
    let has = |name: &str| on.iter().any(|(moved, _)| moved == name);
    let moved = on == off && wrong.is_empty();
    if moved && has("IpInHdrErrors") && has("IpForwDatagrams") && has("Ip6InHdrErrors") {
        twin.shown(79, Fate::Kernel);
    } else {
        twin.fail(
            79,
            "counters",
            &format!("with XDP {on:?}, without {off:?}; {wrong:?}"),
        );
    }
}

/// 21: tags are in the frames, where XDP sees them.
pub(crate) fn no_vlan_offload(twin: &mut Twin) {
    for wire in 0..twin.world().wires() {
        let trunk = twin.world().trunk(wire);
        let mut ethtool = twin.on.router.command("ethtool");
        let features = netns::run(ethtool.args(["-k", trunk])).expect("ethtool");
        if features.contains("rx-vlan-offload: off") {
            twin.shown(21, Fate::Up);
        } else {
            twin.fail(21, trunk, &features);
        }
    }
}

/// 107: the devices are numbered as [`Network::ifindex`] says, and every pair of
/// them is forwarded between by XDP.
pub(crate) fn large_ifindexes(twin: &mut Twin) {
    for network in Network::ALL {
        let device = network.device();
        let link = twin
            .on
            .router
            .ip(&format!("-o link show {device}"))
            .expect("a link");
        let number = network.ifindex();
        assert!(link.starts_with(&format!("{number}: ")), "{link}");
    }
    for (from, to) in [(A, B), (B, N), (N, C), (C, U), (U, A)] {
        let Some(bytes) = twin.frame(from, &from.v4_to(to)) else {
            continue;
        };
        let what = format!("from {} to {}", from.ifindex(), to.ifindex());
        let (.., fate) = twin.same(107, &what, from, &[bytes]);
        if fate != Fate::Xdp {
            twin.fail(107, &what, &fate.to_string());
        }
    }
}

/// 103: a way out that XDP cannot use is the kernel's.
pub(crate) fn no_way_out_for_xdp(twin: &mut Twin) {
    twin.ip("link add side type veth peer name side-far\n\
             link set side up\n\
             link set side-far up\n\
             address add 10.77.0.1/24 dev side\n\
             address add fd00:77::1/64 dev side nodad\n\
             neigh add 10.77.0.2 lladdr 02:00:00:00:77:02 nud permanent dev side\n\
             neigh add fd00:77::2 lladdr 02:00:00:00:77:02 nud permanent dev side");
    for (what, frame) in [
        ("IPv4", A.v4_to(B).to4([10, 77, 0, 2].into())),
        (
            "IPv6",
            A.v6_to(B).to6("fd00:77::2".parse().expect("an address")),
        ),
    ] {
        let Some(bytes) = twin.frame(A, &frame) else {
            continue;
        };
        twin.settle();
        let forwarded = |twin: &Twin| {
            [&twin.on, &twin.off].map(|arm| arm.router.run(forwarded::by_kernel).expect("counters"))
        };
        let before = forwarded(twin);
        let trial = twin.trial(what, A, &[bytes]);
        let (counted, wrong) = (trial.counted, trial.wrong);
        let after = forwarded(twin);
        if after == before.map(|count| count + 1) && counted.fast == 0 && wrong.is_empty() {
            twin.shown(103, Fate::Kernel);
        } else {
            let why = format!("{before:?} to {after:?}, {counted:?}, {wrong:?}");
            twin.fail(103, what, &why);
        }
    }
    twin.ip("link del side");
}

/// 46: a directed broadcast leaves where the kernel is told to let it out.
pub(crate) fn directed_broadcast(twin: &mut Twin) {
    let frame = A.v4_to(B).to4(B.v4(255));
    let own = A.v4_to(B).to4(A.v4(255));
    for told in ["0", "1"] {
        for interface in ["all", "net-a"] {
            twin.sysctl(&format!("ipv4/conf/{interface}/bc_forwarding"), told);
        }
        let expected = told == "1";
        // (Its own with a redirect besides, as any packet that leaves by where it
        // came in.)
        for (what, frame) in [("to B's", &frame), ("to its own", &own)] {
            let Some(bytes) = twin.frame(A, frame) else {
                continue;
            };
            let what = format!("{what}, bc_forwarding {told}");
            let (_, off, fate) = twin.same(46, &what, A, &[bytes]);
            let broadcast = off
                .frames
                .iter()
                .any(|(_, frame)| frame.starts_with(&[0xff; 6]));
            if (fate == Fate::Kernel, broadcast) != (expected, expected) {
                twin.fail(46, &what, &format!("{fate}: {off:?}"));
            }
        }
    }
}

/// 57, 58: with a link-local gateway, as real networks have it: beyond scope is
/// answered, and what is for the link stays on it.
pub(crate) fn link_local(twin: &mut Twin) {
    twin.ip("address add fe80::1/64 dev net-a nodad\n\
             address add fe80::1/64 dev net-b nodad\n\
             neigh replace fe80::10 lladdr 02:00:00:00:01:10 nud permanent dev net-a\n\
             neigh replace fe80::10 lladdr 02:00:00:00:02:10 nud permanent dev net-b");
    let address = |text: &str| text.parse().expect("an address");
    let (near, gateway) = (address("fe80::10"), address("fe80::1"));
    let beyond_scope = Some((1, 2));
    for (case, what, frame, answered) in [
        (57, "link-local to B", A.v6_to(B).from6(near), beyond_scope),
        (
            57,
            "the gateway's own to B",
            A.v6_to(B).from6(gateway),
            None,
        ),
        (
            58,
            "to a link-local host",
            A.v6_to(B).to6(address("fe80::11")),
            None,
        ),
        (
            58,
            "to B's host by its link-local",
            A.sends6(near, near),
            None,
        ),
        (
            58,
            "a ping of the gateway",
            A.sends6(near, gateway).transport(Transport::echo(8)),
            Some((129, 0)),
        ),
    ] {
        let Some(bytes) = twin.frame(A, &frame) else {
            continue;
        };
        let (on, _, fate) = twin.same(case, what, A, &[bytes]);
        let kinds: Vec<_> = on.frames.iter().filter_map(|(_, f)| icmp(f)).collect();
        let fine = answered.is_none_or(|answer| kinds == [answer]);
        if !fine || fate == Fate::Xdp {
            twin.fail(case, what, &format!("{fate}, {kinds:?}"));
        }
    }
}
