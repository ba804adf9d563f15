//! The oracle itself: a fault that no single row shows is told, and so is a
//! silence that nobody expects.

use router_tests::{
    oracle::Twin,
    packet::Transport,
    prog::{
        Network::{A, B},
        forward, row,
    },
    tables::Stage as _,
};

/// The rows go in at once, and the arm without XDP lets out one at a time.
#[test]
fn a_fault_that_no_single_row_shows_is_told() {
    let _guard = super::one_at_a_time();
    let test = "a_fault_that_no_single_row_shows_is_told";
    let Some(mut twin) = Twin::or_skip(test, 1500) else {
        return;
    };
    twin.off.narrow(&[B]);
    let rows = (1..=20).map(|id| {
        let frame = A.v4_to(B).identification(id);
        let frame = frame.transport(Transport::udp(1000));
        row(0, format!("identification {id}"), frame, forward(A, B))
    });
    twin.check(rows.collect::<Vec<_>>());
    let failures = twin.take_failures();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert!(
        failures[0].contains("no frame differs alone"),
        "{failures:#?}"
    );
    assert!(failures[0].contains("only with XDP on"), "{failures:#?}");
    twin.finish();
}

/// Nothing out of either arm is no agreement when nothing may have arrived.
#[test]
fn a_wire_on_which_nobody_answers_is_told() {
    let _guard = super::one_at_a_time();
    let Some(mut twin) = Twin::or_skip("a_wire_on_which_nobody_answers_is_told", 1500) else {
        return;
    };
    let trunk = twin.world().trunk(twin.world().wire(A));
    twin.ip(&format!("link set {trunk} down"));
    let input = twin.frame(A, &A.v4_to(B)).expect("a frame");
    let trial = twin.trial("a dead wire", A, &[input]);
    assert!(trial.on.frames.is_empty() && trial.off.frames.is_empty());
    let told = |arm: &str| {
        let line = format!("nobody answered a probe {arm}");
        trial.wrong.contains(&line)
    };
    assert!(told("with XDP") && told("without"), "{:?}", trial.wrong);
    twin.finish();
}
