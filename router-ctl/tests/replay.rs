//! Replays on stable what the fuzz targets of `fuzz/` start from, and what they
//! have found.

use router_test_support::corpus;

#[path = "../fuzz/src/lib.rs"]
pub mod fuzz;

fn replay(target: &str, run: fn(&[u8]) -> bool) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), target, 1, run);
}

#[test]
fn config() {
    replay("config", fuzz::config);
}

#[test]
fn words() {
    replay("words", fuzz::words);
}

#[test]
fn api() {
    replay("api", fuzz::api);
}

#[test]
fn journal() {
    replay("journal", fuzz::journal);
}

#[test]
fn netlink() {
    replay("netlink", fuzz::netlink);
}
