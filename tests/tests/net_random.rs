//! 158: random structured packets through the oracle: the same packets as the
//! model judges (`router-common/tests/model`), through real routers with XDP and
//! without.
//!
//! `ROUTER_PACKETS` says how many, `ROUTER_SEED` which.

use router_test_support::{mutation::Mutation, run_of};
use router_tests::{
    lab,
    oracle::{Twin, random},
    prog::Network::{self, B, C},
};

/// Packets of a run: less than a minute.
fn packets() -> u64 {
    if lab::slow() { 1_000 } else { 10_000 }
}

#[test]
fn random_packets_come_out_alike() {
    let Some(mut twin) = Twin::or_skip("random_packets_come_out_alike", 1500) else {
        return;
    };
    let (seed, packets) = run_of(packets());
    match random::run(&mut twin, seed, packets) {
        Ok(run) => {
            println!("{run:?}");
            // A run in which all come to the same would prove nothing.
            assert!(run.xdp * 5 > packets, "{run:?}");
            assert!(run.kernel * 50 > packets, "{run:?}");
            assert!(run.not * 10 > packets, "{run:?}");
            assert!(run.left_out * 10 < packets, "{run:?}");
            assert_eq!(run.worlds, packets.div_ceil(500), "{run:?}");
        }
        Err(failure) => panic!("{failure}"),
    }
    twin.finish();
}

/// Were the arms not alike, a packet would be found and made small: nothing is
/// left of it but where it goes.
#[test]
fn a_difference_is_found_and_made_small() {
    let Some(mut twin) = Twin::or_skip("a_difference_is_found_and_made_small", 1500) else {
        return;
    };
    // One that no reset of a round takes away.
    let elsewhere = format!("route add 172.16.20.8/29 via {} proto static", C.v4(9));
    twin.on.router.ip(&elsewhere).expect("a route");
    let failure = random::run(&mut twin, 1, 2_000).expect_err("the arms differ");
    println!("{failure}");
    assert_eq!(failure.case.skeleton.to, u16::from(B.id()), "{failure}");
    assert!(!failure.case.skeleton.six, "{failure}");
    assert_eq!(failure.case.skeleton.from, 0, "{failure}");
    assert_eq!(failure.world, [], "{failure}");
    assert_eq!(failure.case.mutations, [] as [Mutation; 0], "{failure}");
    assert_eq!(failure.wrong.len(), 2, "{failure}");
    twin.finish();
}

/// What differs only in company is told, with the company.
#[test]
fn a_difference_of_packets_that_go_in_together_is_told() {
    let test = "a_difference_of_packets_that_go_in_together_is_told";
    let Some(mut twin) = Twin::or_skip(test, 1500) else {
        return;
    };
    twin.off.narrow(&Network::ALL);
    let failure = random::run(&mut twin, 1, 5_000).expect_err("the arms differ");
    println!("{failure}");
    assert!(
        failure.wrong[0].contains("no frame differs alone"),
        "{failure}"
    );
    assert!(
        failure
            .wrong
            .iter()
            .skip(1)
            .all(|line| line.contains("only with XDP on")),
        "{failure}"
    );
    twin.finish();
}
