//! What passes up: the reason, and every byte as it came.

use crate::support::{
    frames::{FrameSpec, v4, v4_between, v6, v6_between},
    tables::{A, B, C, MemoryTables, N, hop},
};
use router_common::{
    abi::{LocalAddress, Prefix4, egress_flags, ingress_flags},
    datapath::{Reason, Verdict, route},
    wire::MacAddr,
};
use router_test_support::Buffer;

/// Conformance case and what it is, the frame, what is changed about `C`, and
/// the reason to pass.
type Row<C> = (&'static str, fn() -> FrameSpec, fn(&mut C), Reason);

fn assert_passes(tables: &MemoryTables, what: &str, frame: &[u8], reason: Reason) {
    let mut packet = Buffer::new(frame);
    assert_eq!(route(&mut packet, tables), Verdict::Pass(reason), "{what}");
    assert_eq!(packet.frame(), frame, "{what}: untouched");
}

/// Changes to the frame that A sends to B, by conformance case.
#[test]
fn frames_that_are_the_kernels() {
    #[rustfmt::skip]
    let rows: &[Row<FrameSpec>] = &[
        ("6: VID 4095", v4, |f| f.tag = Some((0, false, 4095)), Reason::UnknownVid),
        ("7: unknown VID", v4, |f| f.tag = Some((0, false, 300)), Reason::UnknownVid),
        ("16: other MAC", v4, |f| f.destination = B.mac(), Reason::OtherMac),
        ("17: broadcast MAC", v4, |f| f.destination = [0xff; 6], Reason::OtherMac),
        ("18: multicast source MAC", v4, |f| f.source[0] |= 1, Reason::BadSourceMac),
        ("26: TTL 1", v4, |f| f.v4_header().time_to_live = 1, Reason::TtlExceeded),
        ("27: TTL 0", v4, |f| f.v4_header().time_to_live = 0, Reason::TtlExceeded),
        ("37: long trailer", v4, |f| f.trailer = vec![0; 5], Reason::Trailer),
        ("38: options", v4, |f| f.v4_header().options = [1, 1, 1, 0].into(), Reason::IpOptions),
        ("40: from 127/8", v4, |f| f.v4_header().source = [127, 0, 0, 1], Reason::Martian),
        ("47: to multicast", v4, |f| f.v4_header().destination = [224, 0, 0, 5], Reason::Multicast),
        ("48: from the gateway", v4, |f| f.v4_header().source = A.v4(1), Reason::LocalSource),
        ("48: from another gateway", v4, |f| f.v4_header().source = B.v4(1), Reason::LocalSource),
        ("49: from the network's broadcast", v4, |f| f.v4_header().source = A.v4(255), Reason::LocalSource),
        ("89: first fragment", v4, |f| f.v4_header().more_fragments = true, Reason::Fragment),
        ("89: later fragment", v4, |f| f.v4_header().fragment_offset = 1.try_into().unwrap(), Reason::Fragment),
        ("55: hop limit 1", v6, |f| f.v6_header().hop_limit = 1, Reason::TtlExceeded),
        ("56: hop limit 0", v6, |f| f.v6_header().hop_limit = 0, Reason::TtlExceeded),
        ("48: from the gateway, v6", v6, |f| f.v6_header().source = A.v6(1), Reason::LocalSource),
        ("48: from another gateway, v6", v6, |f| f.v6_header().source = B.v6(1), Reason::LocalSource),
        ("subnet-router anycast as source", v6, |f| f.v6_header().source = A.v6(0), Reason::LocalSource),
        ("63: hop-by-hop", v6, |f| f.v6_header().next_header = 0.into(), Reason::IpOptions),
        ("64: routing header", v6, |f| f.v6_header().next_header = 43.into(), Reason::IpOptions),
        ("89: v6 fragment", v6, |f| f.v6_header().next_header = 44.into(), Reason::Fragment),
        ("65: destination options", v6, |f| f.v6_header().next_header = 60.into(), Reason::IpOptions),
        ("66: long trailer, v6", v6, |f| f.trailer = vec![0; 3], Reason::Trailer),
        ("75: no route", v4, |f| f.v4_header().destination = [8, 8, 8, 8], Reason::NotForwarded),
    ];
    let tables = MemoryTables::new();
    for (what, frame, change, reason) in rows {
        let mut spec = frame();
        change(&mut spec);
        assert_passes(&tables, what, &spec.build(), *reason);
    }
    for message in 133..=137 {
        let mut spec = v6();
        spec.v6_header().next_header = 58.into();
        spec.payload[0] = message;
        let what = format!("69: neighbour discovery {message}");
        assert_passes(&tables, &what, &spec.build(), Reason::NeighbourDiscovery);
    }
}

/// Frames that no builder makes: bytes changed in a sound one.
#[test]
fn malformed_frames() {
    const L3: usize = 18;
    #[rustfmt::skip]
    let rows: &[Row<Vec<u8>>] = &[
        ("11: 802.1ad tag", v4, |b| b[12..14].copy_from_slice(&[0x88, 0xa8]), Reason::StackedTags),
        ("14: inner 802.1Q tag", v4, |b| b[16..18].copy_from_slice(&[0x81, 0x00]), Reason::StackedTags),
        ("13: inner 802.1ad tag", v4, |b| b[16..18].copy_from_slice(&[0x88, 0xa8]), Reason::StackedTags),
        ("19: ARP", v4, |b| b[16..18].copy_from_slice(&[0x08, 0x06]), Reason::Arp),
        ("19: LLDP", v4, |b| b[16..18].copy_from_slice(&[0x88, 0xcc]), Reason::NotIp),
        ("20: 802.3 length", v4, |b| b[12..14].copy_from_slice(&[0x00, 0x40]), Reason::NotIp),
        ("31: bad checksum", v4, |b| b[L3 + 10] ^= 1, Reason::BadChecksum),
        ("32: version 5", v4, |b| b[L3] = 0x55, Reason::BadIpHeader),
        ("33: IHL 4", v4, |b| b[L3] = 0x44, Reason::BadIpHeader),
        ("34: tot_len below the header", v4, |b| b[L3 + 2..L3 + 4].copy_from_slice(&[0, 19]), Reason::BadIpHeader),
        ("36: tot_len above the frame", v4, |b| b[L3 + 2..L3 + 4].copy_from_slice(&[5, 0]), Reason::BadIpHeader),
        ("66: payload_len above the frame", v6, |b| b[L3 + 4] = 1, Reason::BadIpHeader),
        ("67: version 4 in IPv6", v6, |b| b[L3] = 0x46, Reason::BadIpHeader),
    ];
    let tables = MemoryTables::new();
    for (what, frame, change, reason) in rows {
        let mut bytes = frame().build();
        change(&mut bytes);
        assert_passes(&tables, what, &bytes, *reason);
    }
}

/// Changes to the tables, under frames that would be forwarded.
#[test]
fn states_in_which_the_kernel_decides() {
    use ingress_flags::{CHECK_LOCALS, FORWARD_V4, FORWARD_V6, LOCALS_INCOMPLETE, UP};
    #[rustfmt::skip]
    let rows: &[Row<MemoryTables>] = &[
        ("8: network down", v4, |t| t.on_a(|i| i.flags &= !UP), Reason::NetworkDown),
        ("7: empty entry", v4, |t| t.on_a(|i| *i = Default::default()), Reason::UnknownVid),
        ("105: forwarding off", v4, |t| t.on_a(|i| i.flags &= !FORWARD_V4), Reason::ForwardingOff),
        ("105: forwarding off, v6", v6, |t| t.on_a(|i| i.flags &= !FORWARD_V6), Reason::ForwardingOff),
        (
            "48: second local address",
            v4,
            |t| {
                t.on_a(|i| i.flags |= CHECK_LOCALS);
                t.locals.insert(LocalAddress::v4(A.v4(10)));
            },
            Reason::LocalSource,
        ),
        (
            "48: second local address, v6",
            v6,
            |t| {
                t.on_a(|i| i.flags |= CHECK_LOCALS);
                t.locals.insert(LocalAddress::v6(A.v6(10)));
            },
            Reason::LocalSource,
        ),
        (
            "foreign source, locals incomplete",
            v4,
            |t| {
                t.on_a(|i| {
                    i.flags |= LOCALS_INCOMPLETE;
                    i.prefixes4_len = 0;
                });
            },
            Reason::SourceUnverified,
        ),
        ("101: no neighbour", v4, |t| _ = t.routes4.insert(B.v4(11), Err(Reason::NoNeighbour)), Reason::NoNeighbour),
        (
            "102: neighbour without a MAC",
            v4,
            |t| {
                let mut noarp = hop(B, 11);
                noarp.destination = MacAddr::default();
                t.routes4.insert(B.v4(11), Ok(noarp));
            },
            Reason::NoNeighbour,
        ),
        ("22: same network", v4, |t| _ = t.routes4.insert(B.v4(11), Ok(hop(A, 9))), Reason::SameNetwork),
        ("103: egress is no network", v4, |t| _ = t.egress.remove(&B.ifindex), Reason::EgressUnknown),
        ("103: egress down", v4, |t| t.out(B, |e| e.flags &= !egress_flags::UP), Reason::EgressDown),
        ("85: route MTU", v4, |t| t.out(B, |e| e.mtu4 = 59), Reason::MtuExceeded),
        ("85: route MTU, v6", v6, |t| t.out(B, |e| e.mtu6 = 79), Reason::MtuExceeded),
        (
            "83: MTU that the helper knows",
            v6,
            |t| _ = t.routes6.insert(B.v6(11), Err(Reason::FragmentationNeeded)),
            Reason::FragmentationNeeded,
        ),
    ];
    for (what, frame, change, reason) in rows {
        let mut tables = MemoryTables::new();
        change(&mut tables);
        assert_passes(&tables, what, &frame().build(), *reason);
    }

    let mut tables = MemoryTables::new();
    tables.ports.clear();
    for frame in [v4_between(A, C), v6_between(A, C)] {
        assert_passes(
            &tables,
            "103: second trunk gone",
            &frame.build(),
            Reason::EgressDown,
        );
    }
}

/// Case 80 and 83: a packet of exactly the MTU is forwarded.
#[test]
fn exactly_the_mtu() {
    let mut tables = MemoryTables::new();
    tables.out(B, |egress| {
        egress.mtu4 = 60;
        egress.mtu6 = 80;
    });
    for frame in [v4(), v6()] {
        let verdict = route(&mut Buffer::new(&frame.build()), &tables);
        assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
    }
}

/// Case 87: what a trunk's driver sends of several buffers.
#[test]
fn several_buffers() {
    for frame in [v4_between(A, C), v6_between(A, C)] {
        let frame = frame.build();
        let mut tables = MemoryTables::new();
        let mut packet = Buffer::new(&frame).in_several();
        let verdict = route(&mut packet, &tables);
        assert_eq!(verdict, Verdict::Pass(Reason::SeveralBuffers));
        assert_eq!(packet.frame(), frame);
        tables.out(C, |egress| egress.flags |= egress_flags::SENDS_BUFFERS);
        let verdict = route(&mut packet, &tables);
        assert!(matches!(verdict, Verdict::Redirect(..)), "{verdict:?}");
    }
    // Back where it came from: that driver has such frames.
    let mut packet = Buffer::new(&v4().build()).in_several();
    let verdict = route(&mut packet, &MemoryTables::new());
    assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
}

/// A tag that finds no room leaves the frame as it was.
#[test]
fn no_headroom() {
    let frame = v4_between(N, A).build();
    let mut packet = Buffer::with_headroom(&frame, 3);
    let verdict = route(&mut packet, &MemoryTables::new());
    assert_eq!(verdict, Verdict::Pass(Reason::NoHeadroom));
    assert_eq!(packet.frame(), frame);
}

/// More prefixes than an entry holds: sources of the others are foreign, and
/// still forwarded where rp_filter is off.
#[test]
fn second_prefix_counts() {
    let mut tables = MemoryTables::new();
    tables.on_a(|ingress| {
        ingress.prefixes4 = [Prefix4::new([10, 1, 0, 1], 24), Prefix4::new(A.v4(1), 24)];
        ingress.prefixes4_len = 2;
    });
    let verdict = route(&mut Buffer::new(&v4().build()), &tables);
    assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
    let mut gateway = v4();
    gateway.v4_header().source = A.v4(1);
    assert_passes(
        &tables,
        "gateway of the second prefix",
        &gateway.build(),
        Reason::LocalSource,
    );
}

/// Operations case 1: past the lease everything that would be forwarded passes
/// up, and nothing else of the maps is believed either.
#[test]
fn nothing_is_forwarded_past_the_lease() {
    for (frame, to) in [
        (v4_between(A, B), B),
        (v6_between(A, B), B),
        (v4_between(A, N), N),
        (v4_between(A, C), C),
    ] {
        let mut tables = MemoryTables::new();
        let mut packet = Buffer::new(&frame.build());
        let verdict = route(&mut packet, &tables);
        assert!(
            matches!(verdict, Verdict::Transmit(_) | Verdict::Redirect(..)),
            "before it ends: {verdict:?}"
        );
        assert_eq!(packet.frame(), frame.forwarded(to).build());
        let asked = tables.asked().len();
        tables.now = tables.control.direct_lease;
        assert_passes(&tables, "at its end", &frame.build(), Reason::LeaseExpired);
        tables.ingress.clear();
        assert_passes(&tables, "unknown VID", &frame.build(), Reason::LeaseExpired);
        tables.control = router_common::abi::Control::default();
        tables.now = 0;
        assert_passes(&tables, "never given", &frame.build(), Reason::LeaseExpired);
        assert_eq!(tables.asked().len(), asked, "the FIB is not asked");
    }
}
