//! Random packets through the generic packet path, against a model that shares
//! no code with it.
//!
//! `ROUTER_PACKETS` says how many (a million are made anyway), `ROUTER_SEED`
//! which. A failure is made small and printed as a row for `regressions.rs`.

mod compare;
mod kernel;
mod model;
mod regressions;
mod shares;
mod tables;

use router_test_support::{draft::Skeleton, generator, mutation::Case, run_of, shrink};

use crate::{
    compare::{compare, compare_frame},
    shares::Shares,
};

/// Packets of a run.
const PACKETS: u64 = 1_000_000;

/// Case 158.
#[test]
fn random_packets_meet_the_model() {
    let (seed, packets) = run_of(PACKETS);
    let mut shares = Shares::default();
    for number in 0..packets {
        let case = generator::case(seed, number);
        match compare(&case) {
            Ok(outcome) => shares.count(&case, &outcome),
            Err(difference) => {
                let smallest = shrink::shrink_while(&case, |case| compare(case).is_err());
                let same = compare(&smallest).expect_err("it fails, too");
                panic!(
                    "packet {number} of seed {seed}: {difference}\n\
                     smallest: {same}\n\
                     a row for router-common/tests/model/regressions.rs:\n\n{}\n",
                    shrink::row(&smallest)
                );
            }
        }
    }
    shares.print();
    shares.assert_healthy();
}

/// Cases 156 and 157: sound frames of every way through, cut at every length,
/// and with every single bit flipped.
#[test]
fn every_cut_and_every_flipped_bit_meets_the_model() {
    let (mut cuts, mut flips) = (0, 0);
    for (from, to) in [(0, 1), (2, 0), (0, 2), (0, 3), (3, 5), (4, 2)] {
        for (six, protocol) in [(false, 17), (false, 1), (true, 6), (true, 58)] {
            let skeleton = Skeleton {
                from,
                to,
                six,
                protocol,
                payload: 24,
            };
            let mutations = Vec::new();
            let (world, frame) = Case {
                skeleton,
                mutations,
            }
            .build();
            let check = |frame: &[u8], what: &str, at: usize| {
                if let Err(difference) = compare_frame(&world, frame) {
                    panic!("{skeleton:?}, {what} {at}: {difference}");
                }
            };
            for len in 0..=frame.len() {
                check(&frame[..len], "cut to", len);
                cuts += 1;
            }
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                check(&flipped, "bit", bit);
                flips += 1;
            }
        }
    }
    assert!(cuts > 24 * 58 && flips > 24 * 58 * 8, "{cuts}, {flips}");
}
