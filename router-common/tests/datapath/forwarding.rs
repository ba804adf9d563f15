//! What is forwarded, byte for byte, and what the FIB was asked for it.

use crate::support::{
    frames::{FrameSpec, v4, v4_between, v6, v6_between},
    tables::{A, Asked, B, C, MemoryTables, N, Net},
};
use router_common::{
    abi::{Ingress, egress_flags, ingress_flags},
    datapath::{FibQuery, Pair, Reason, Verdict, route},
    wire::{IfIndex, IpProto, NetworkId, TrunkSlot},
};
use router_test_support::Buffer;

fn pair(from: Net, to: Net) -> Pair {
    Pair {
        from: NetworkId::new(from.id),
        to: NetworkId::new(to.id),
    }
}

/// Routes the frame and asserts verdict and bytes.
fn assert_forwarded(
    tables: &MemoryTables,
    input: &FrameSpec,
    expected: &FrameSpec,
    verdict: Verdict,
) {
    let mut packet = Buffer::new(&input.build());
    assert_eq!(route(&mut packet, tables), verdict, "{input:?}");
    assert_eq!(packet.frame(), expected.build(), "{input:?}");
}

/// Cases 1, 3, 4, 24 and 54: between tagged and untagged networks, both
/// families.
#[test]
fn between_networks_of_one_trunk() {
    let tables = MemoryTables::new();
    for (from, to) in [(A, B), (B, A), (N, A), (A, N)] {
        for frame in [v4_between(from, to), v6_between(from, to)] {
            let expected = frame.forwarded(to);
            assert_forwarded(
                &tables,
                &frame,
                &expected,
                Verdict::Transmit(pair(from, to)),
            );
        }
    }
}

/// Case 23: by the second trunk, tagged and untagged in.
#[test]
fn to_a_second_trunk() {
    let tables = MemoryTables::new();
    for from in [A, N] {
        for frame in [v4_between(from, C), v6_between(from, C)] {
            let verdict = Verdict::Redirect(pair(from, C), TrunkSlot::new(1));
            assert_forwarded(&tables, &frame, &frame.forwarded(C), verdict);
        }
    }
}

/// Case 5: a priority tag is the untagged network's, and no VID 0 comes out.
#[test]
fn priority_tag_is_untagged() {
    let tables = MemoryTables::new();
    for mut frame in [v4_between(N, B), v6_between(N, B)] {
        frame.tag = Some((5, false, 0));
        let expected = frame.forwarded(B);
        assert_forwarded(&tables, &frame, &expected, Verdict::Transmit(pair(N, B)));
    }
    let mut tables = MemoryTables::new();
    // Out untagged on another trunk: the priority tag is taken off.
    tables.out(C, |egress| egress.vid = N.vid());
    let mut frame = v4_between(N, C);
    frame.tag = Some((5, true, 0));
    let mut expected = frame.forwarded(C);
    expected.tag = None;
    let verdict = Verdict::Redirect(pair(N, C), TrunkSlot::new(1));
    assert_forwarded(&tables, &frame, &expected, verdict);
}

/// Cases 9 and 10: PCP and DEI never choose the network; what goes out is the
/// egress map of the packet's priority, for every PCP, DEI and class.
#[test]
fn pcp_follows_the_kernels_maps() {
    let mut tables = MemoryTables::new();
    tables.out(B, |egress| {
        egress.pcp = [3, 7, 1, 0, 4, 0, 6, 2, 0, 5, 0, 0, 0, 0, 0, 0];
    });
    tables.on_a(|ingress| ingress.priority = [0, 9, 2, 7, 6, 1, 4, 0]);
    // linux/pkt_sched.h, by bits 4 to 1 of the TOS: best effort 0, bulk 2,
    // interactive bulk 4, interactive 6.
    let kernel_priority = [0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];
    let pcp_of = |priority: usize| [3, 7, 1, 0, 4, 0, 6, 2, 0, 5][priority];
    for pcp in 0..8_u8 {
        for dei in [false, true] {
            for tos in 0..=255_u8 {
                let mut frame = v4();
                frame.tag = Some((pcp, dei, A.vid));
                let header = frame.v4_header();
                header.dscp = (tos >> 2).try_into().unwrap();
                header.ecn = (tos & 3).try_into().unwrap();
                let mut expected = frame.forwarded(B);
                let priority = kernel_priority[usize::from((tos & 0x1e) >> 1)];
                expected.tag = Some((pcp_of(priority), false, B.vid));
                assert_forwarded(&tables, &frame, &expected, Verdict::Transmit(pair(A, B)));
            }
            let mut frame = v6();
            frame.tag = Some((pcp, dei, A.vid));
            let mut expected = frame.forwarded(B);
            let priority = [0, 9, 2, 7, 6, 1, 4, 0][usize::from(pcp)];
            expected.tag = Some((pcp_of(priority), false, B.vid));
            assert_forwarded(&tables, &frame, &expected, Verdict::Transmit(pair(A, B)));
        }
    }
}

/// With `ip_forward_update_priority` off, IPv4 keeps the tag's priority too.
#[test]
fn priority_is_kept_where_the_sysctl_says_so() {
    let mut tables = MemoryTables::new();
    tables.out(B, |egress| egress.pcp[3] = 6);
    tables.on_a(|ingress| {
        ingress.flags |= ingress_flags::KEEP_PRIORITY;
        ingress.priority[5] = 3;
    });
    let mut frame = v4();
    frame.tag = Some((5, false, A.vid));
    frame.v4_header().dscp = 10.try_into().unwrap();
    let mut expected = frame.forwarded(B);
    expected.tag = Some((6, false, B.vid));
    assert_forwarded(&tables, &frame, &expected, Verdict::Transmit(pair(A, B)));
}

/// Case 10, `pcp = "keep"`; a pushed tag has nothing to keep.
#[test]
fn pcp_is_kept_where_asked() {
    let mut tables = MemoryTables::new();
    tables.on_a(|ingress| ingress.flags |= ingress_flags::KEEP_PCP);
    let mut frame = v4();
    frame.tag = Some((5, true, A.vid));
    let mut expected = frame.forwarded(B);
    expected.tag = Some((5, true, B.vid));
    assert_forwarded(&tables, &frame, &expected, Verdict::Transmit(pair(A, B)));
}

#[test]
fn a_priority_that_no_map_holds_passes_up() {
    let mut tables = MemoryTables::new();
    tables.on_a(|ingress| ingress.priority[5] = Ingress::PRIORITY_UNMAPPED);
    let mut frame = v6();
    frame.tag = Some((5, false, A.vid));
    let mut packet = Buffer::new(&frame.build());
    let verdict = route(&mut packet, &tables);
    assert_eq!(verdict, Verdict::Pass(Reason::PriorityUnmapped));
    assert_eq!(packet.frame(), frame.build());
}

/// The FIB is asked in the name of the sub-interface, with everything that a
/// policy rule could look at, and with IPv6's full length (case 83's slack).
#[test]
fn fib_is_asked_completely() {
    let tables = MemoryTables::new();
    let mut frame = v4();
    frame.v4_header().dscp = 10.try_into().unwrap();
    route(&mut Buffer::new(&frame.build()), &tables);
    let v6 = v6();
    route(&mut Buffer::new(&v6.build()), &tables);
    assert_eq!(
        tables.asked(),
        [
            Asked::V4(FibQuery {
                ifindex: IfIndex::new(A.ifindex),
                source: A.v4(10),
                destination: B.v4(11),
                class: [40, 0, 0, 0],
                protocol: IpProto::UDP,
                source_port: 4000,
                destination_port: 5432,
                length: 60,
            }),
            Asked::V6(FibQuery {
                ifindex: IfIndex::new(A.ifindex),
                source: A.v6(10),
                destination: B.v6(11),
                class: [0x02, 0xeb, 0xee, 0xf5],
                protocol: IpProto::UDP,
                source_port: 4000,
                destination_port: 5432,
                length: 80,
            }),
        ]
    );
}

/// Rules by ports see what the kernel takes for them: of ESP (50) and AH (51) the
/// number of the security association.
#[test]
fn ports_are_what_the_kernel_takes_for_them() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
    let (none, first, second) = ((0, 0), (0x102, 0x304), (0x506, 0x708));
    for (protocol, len, expected) in [
        (6, 4, first),
        (17, 3, none),
        (33, 8, first),
        (47, 8, none),
        (50, 3, none),
        (50, 4, first),
        (51, 7, none),
        (51, 8, second),
        (132, 8, first),
        (136, 8, first),
    ] {
        let tables = MemoryTables::new();
        let mut four = v4();
        four.v4_header().protocol = protocol.into();
        four.payload = bytes[..len].to_vec();
        route(&mut Buffer::new(&four.build()), &tables);
        let mut six = v6();
        six.v6_header().next_header = protocol.into();
        six.payload = bytes[..len].to_vec();
        route(&mut Buffer::new(&six.build()), &tables);
        let asked: Vec<_> = tables
            .asked()
            .iter()
            .filter_map(|asked| match asked {
                Asked::V4(query) => Some((query.source_port, query.destination_port)),
                Asked::V6(query) => Some((query.source_port, query.destination_port)),
                Asked::Device(_) => None,
            })
            .collect();
        // AH is an extension header of IPv6: nothing is asked.
        let families = if protocol == 51 { 1 } else { 2 };
        assert_eq!(asked, vec![expected; families], "{protocol}, {len} bytes");
    }
}

/// With rp_filter, a foreign source is looked up the other way round, as if the
/// answer came in where the packet leaves, without a length; it must leave by
/// the network the packet came from.
#[test]
fn foreign_sources_need_a_way_back() {
    let mut tables = MemoryTables::new();
    tables.on_a(|ingress| ingress.flags |= ingress_flags::RP_FILTER);
    let mut frame = v4();
    let foreign = [10, 9, 0, 1];
    frame.v4_header().source = foreign;
    for (way_back, expected) in [
        (None, Verdict::Pass(Reason::SourceUnverified)),
        (Some(B), Verdict::Pass(Reason::SourceUnverified)),
        (Some(A), Verdict::Transmit(pair(A, B))),
    ] {
        tables.routes4.remove(&foreign);
        if let Some(net) = way_back {
            tables
                .routes4
                .insert(foreign, Ok(crate::support::tables::hop(net, 9)));
        }
        tables.asked.borrow_mut().clear();
        let verdict = route(&mut Buffer::new(&frame.build()), &tables);
        assert_eq!(verdict, expected, "way back: {way_back:?}");
        assert_eq!(
            tables.asked()[1],
            Asked::Device(FibQuery {
                ifindex: IfIndex::new(B.ifindex),
                source: B.v4(11),
                destination: foreign,
                class: [0; 4],
                protocol: IpProto::UDP,
                source_port: 5432,
                destination_port: 4000,
                length: 0,
            })
        );
    }
}

/// A source of the network's own needs no second lookup, rp_filter or not,
/// unless the prefixes are not to be trusted.
#[test]
fn own_sources_are_believed() {
    let mut tables = MemoryTables::new();
    tables.on_a(|ingress| ingress.flags |= ingress_flags::RP_FILTER);
    let verdict = route(&mut Buffer::new(&v4().build()), &tables);
    assert_eq!(verdict, Verdict::Transmit(pair(A, B)));
    assert_eq!(tables.asked().len(), 1);

    tables.on_a(|ingress| ingress.flags &= !ingress_flags::TRUST_PREFIXES);
    let verdict = route(&mut Buffer::new(&v4().build()), &tables);
    assert_eq!(verdict, Verdict::Pass(Reason::SourceUnverified));
}

/// ICMP errors over a multipath leg hash their inner header in the kernel;
/// other hash policies than L3 cannot be repeated at all.
#[test]
fn multipath_legs() {
    let mut tables = MemoryTables::new();
    tables.out(B, |egress| egress.flags |= egress_flags::MULTIPATH_LEG);
    let mut error = v4();
    error.v4_header().protocol = etherparse::IpNumber::ICMP;
    error.payload[0] = 3;
    let mut echo = error.clone();
    echo.payload[0] = 8;
    let passes = Verdict::Pass(Reason::Multipath);
    let forwards = Verdict::Transmit(pair(A, B));
    let verdict_of =
        |tables: &MemoryTables, frame: &FrameSpec| route(&mut Buffer::new(&frame.build()), tables);
    assert_eq!(verdict_of(&tables, &error), passes);
    assert_eq!(verdict_of(&tables, &echo), forwards);

    let mut error6 = v6();
    error6.v6_header().next_header = etherparse::IpNumber::IPV6_ICMP;
    error6.payload[0] = 1;
    assert_eq!(verdict_of(&tables, &error6), passes);

    tables.out(B, |egress| {
        egress.flags |= egress_flags::MULTIPATH_V4_UNREPEATABLE;
    });
    assert_eq!(verdict_of(&tables, &echo), passes);
    assert_eq!(verdict_of(&tables, &v6()), forwards);
    tables.out(B, |egress| {
        egress.flags |= egress_flags::MULTIPATH_V6_UNREPEATABLE;
    });
    assert_eq!(verdict_of(&tables, &v6()), passes);
}
