//! Conformance section C: IPv6, cases 54 to 71.

use router_tests::{prog::play, tables::c_ipv6};

#[test]
fn class_and_flow_label() {
    play("class_and_flow_label", c_ipv6::class_and_flow_label);
}

#[test]
fn hop_limit() {
    play("hop_limit", c_ipv6::hop_limit);
}

#[test]
fn addresses() {
    play("addresses", c_ipv6::addresses);
}

#[test]
fn extension_headers() {
    play("extension_headers", c_ipv6::extension_headers);
}

#[test]
fn broken_headers() {
    play("broken_headers", c_ipv6::broken_headers);
}

#[test]
fn icmpv6() {
    play("icmpv6", c_ipv6::icmpv6);
}

#[test]
fn transports() {
    play("transports", c_ipv6::transports);
}
