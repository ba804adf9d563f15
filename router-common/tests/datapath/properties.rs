//! Statements over every frame of a kind.

use crate::support::{
    frames::{FrameSpec, v4, v4_between, v6, v6_between},
    tables::{A, B, C, MemoryTables, N},
};
use proptest::prelude::*;
use router_common::datapath::{Reason, Verdict, route};
use router_test_support::Buffer;

/// Frames that are forwarded, one of each way through the program.
fn forwarded_frames() -> Vec<FrameSpec> {
    [(A, B), (N, A), (A, N), (A, C)]
        .into_iter()
        .flat_map(|(from, to)| [v4_between(from, to), v6_between(from, to)])
        .collect()
}

/// Case 156: cut at every length, a frame is never forwarded in part and never
/// touched.
#[test]
fn every_truncation_passes_untouched() {
    let tables = MemoryTables::new();
    for spec in forwarded_frames() {
        let whole = spec.build();
        for len in 0..whole.len() {
            let mut packet = Buffer::new(&whole[..len]);
            let verdict = route(&mut packet, &tables);
            assert!(
                matches!(
                    verdict,
                    Verdict::Pass(Reason::FrameTooShort | Reason::BadIpHeader)
                ),
                "{len} of {} bytes: {verdict:?}",
                whole.len()
            );
            assert_eq!(packet.frame(), &whole[..len], "{len} bytes");
        }
    }
}

/// Cases 24, 25 and 54: TTL 2 to 255, exactly one less.
#[test]
fn every_ttl_goes_down_by_one() {
    let tables = MemoryTables::new();
    for ttl in 2..=255 {
        let mut four = v4();
        four.v4_header().time_to_live = ttl;
        let mut six = v6();
        six.v6_header().hop_limit = ttl;
        for spec in [four, six] {
            let mut packet = Buffer::new(&spec.build());
            assert!(matches!(route(&mut packet, &tables), Verdict::Transmit(_)));
            assert_eq!(packet.frame(), spec.forwarded(B).build(), "ttl {ttl}");
        }
    }
}

/// Case 28: the checksum that etherparse computes, for every identification
/// (so for every checksum there is).
#[test]
fn every_checksum_is_right() {
    let tables = MemoryTables::new();
    for id in 0..=u16::MAX {
        let mut spec = v4();
        spec.v4_header().identification = id;
        let mut packet = Buffer::new(&spec.build());
        assert!(matches!(route(&mut packet, &tables), Verdict::Transmit(_)));
        assert_eq!(packet.frame(), spec.forwarded(B).build(), "id {id}");
    }
}

/// Case 37: padding up to 64 bytes stays, one byte more is the kernel's.
#[test]
fn padding_may_stay_up_to_the_minimum() {
    let tables = MemoryTables::new();
    for payload in 0..=30 {
        for total in 0..=70_usize {
            let mut spec = v4();
            spec.payload.truncate(payload);
            let bare = spec.build().len();
            let Some(trailer) = total.checked_sub(bare) else {
                continue;
            };
            spec.trailer = vec![0x55; trailer];
            let mut packet = Buffer::new(&spec.build());
            let verdict = route(&mut packet, &tables);
            if trailer == 0 || total <= 64 {
                assert!(matches!(verdict, Verdict::Transmit(_)), "{bare}+{trailer}");
                assert_eq!(packet.frame(), spec.forwarded(B).build());
            } else {
                assert_eq!(verdict, Verdict::Pass(Reason::Trailer), "{bare}+{trailer}");
            }
        }
    }
}

/// Every protocol without extension headers goes through (case 52), with any
/// payload, even an empty one.
#[test]
fn every_protocol_is_routed() {
    let tables = MemoryTables::new();
    let extension = [0, 43, 44, 51, 60, 135, 139, 140];
    for protocol in 0..=255_u8 {
        for payload in [0, 1, 3, 4, 40] {
            let mut four = v4();
            four.v4_header().protocol = protocol.into();
            four.payload.truncate(payload);
            let mut packet = Buffer::new(&four.build());
            assert!(matches!(route(&mut packet, &tables), Verdict::Transmit(_)));
            assert_eq!(packet.frame(), four.forwarded(B).build());

            let mut six = v6();
            six.v6_header().next_header = protocol.into();
            six.payload.truncate(payload);
            let mut packet = Buffer::new(&six.build());
            let verdict = route(&mut packet, &tables);
            if extension.contains(&protocol) {
                assert!(matches!(verdict, Verdict::Pass(_)), "{protocol}");
                assert_eq!(packet.frame(), six.build());
            } else {
                assert!(matches!(verdict, Verdict::Transmit(_)), "{protocol}");
                assert_eq!(packet.frame(), six.forwarded(B).build());
            }
        }
    }
}

proptest! {
    /// Whatever comes in: no panic, and what is not forwarded is untouched.
    #[test]
    fn random_bytes_never_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut packet = Buffer::new(&bytes);
        let verdict = route(&mut packet, &MemoryTables::new());
        prop_assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
        prop_assert_eq!(packet.frame(), bytes);
    }

    /// A sound frame with one byte changed is either untouched, or differs from
    /// the input only where a router may write.
    #[test]
    fn one_changed_byte(at in 0_usize..78, value: u8, six: bool) {
        let spec = if six { v6() } else { v4() };
        let mut input = spec.build();
        let at = at % input.len();
        input[at] = value;
        let mut packet = Buffer::new(&input);
        match route(&mut packet, &MemoryTables::new()) {
            Verdict::Transmit(_) => {
                let mutable = |i: usize| match i {
                    0..=15 => true,
                    _ if six => i == 18 + 7,
                    _ => i == 18 + 8 || i == 18 + 10 || i == 18 + 11,
                };
                prop_assert_eq!(packet.frame().len(), input.len());
                for (i, (out, before)) in packet.frame().iter().zip(&input).enumerate() {
                    prop_assert!(out == before || mutable(i), "byte {}", i);
                }
            }
            Verdict::Pass(_) => prop_assert_eq!(packet.frame(), input),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
