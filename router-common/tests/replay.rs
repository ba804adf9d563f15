//! Replays on stable what the fuzz targets of `fuzz/` start from, and what they
//! have found.

use router_test_support::corpus;

#[path = "../fuzz/src/lib.rs"]
pub mod fuzz;

fn replay(target: &str, run: fn(&[u8]) -> bool) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), target, 4, run);
}

#[test]
fn parse() {
    replay("parse", fuzz::parse);
}

#[test]
fn route() {
    replay("route", fuzz::route);
}
