//! The oracle itself: a fault that no single row shows is told.

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
