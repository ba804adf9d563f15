//! Conformance section B: IPv4, cases 24 to 53, and fragments (89).

use router_tests::{prog::play, tables::b_ipv4};

#[test]
fn time_to_live() {
    play("time_to_live", b_ipv4::time_to_live);
}

#[test]
fn checksum_corners() {
    play("checksum_corners", b_ipv4::checksum_corners);
}

#[test]
fn broken_headers() {
    play("broken_headers", b_ipv4::broken_headers);
}

#[test]
fn trailers() {
    play("trailers", b_ipv4::trailers);
}

#[test]
fn options_and_fragments() {
    play("options_and_fragments", b_ipv4::options_and_fragments);
}

#[test]
fn martians() {
    play("martians", b_ipv4::martians);
}

#[test]
fn gateway_addresses() {
    play("gateway_addresses", b_ipv4::gateway_addresses);
}

#[test]
fn as_the_kernel() {
    play("as_the_kernel", b_ipv4::as_the_kernel);
}
