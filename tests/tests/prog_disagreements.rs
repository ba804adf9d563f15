//! Where `bpf_fib_lookup` and the kernel disagree (measured), and the flags in
//! the maps that make up for it.
//!
//! Every disagreement is shown twice: with the flags that the daemon sets XDP
//! passes up, and the kernel does what the row says; without them ("the helper
//! alone") XDP would forward what the kernel does not. The second kind tells
//! when a kernel changes its mind. Route MTUs are in `prog_e_mtu`, TOS routes,
//! `from` routes and multipath in `prog_f_fib`.

use router_common::datapath::Reason;
use router_tests::{
    prog::{
        Network::{A, B},
        Scene, forward, play, row, up,
    },
    tables::disagreements,
};

#[test]
fn ipv6_forwarding() {
    play("ipv6_forwarding", disagreements::ipv6_forwarding);
}

#[test]
fn ipv6_disabled() {
    play("ipv6_disabled", disagreements::ipv6_disabled);
}

/// 6.17 and later: one interface forwards although `all` does not.
#[test]
fn ipv6_force_forwarding() {
    let Some(mut scene) = Scene::open("ipv6_force_forwarding") else {
        return;
    };
    if !std::path::Path::new("/proc/sys/net/ipv6/conf/all/force_forwarding").exists() {
        println!("SKIP ipv6_force_forwarding: this kernel is older than 6.17");
        return;
    }
    scene.sysctl("ipv6/conf/all/forwarding", "0");
    scene.sysctl("ipv6/conf/net-a/force_forwarding", "1");
    let helper = up(Reason::HelperForwardingOff);
    scene.check([row(105, "forced, interface 0", A.v6_to(B), helper).kernel_forwards(B)]);
    scene.sysctl("ipv6/conf/net-a/forwarding", "1");
    scene.check([row(105, "forced, interface 1", A.v6_to(B), forward(A, B))]);
    scene.finish();
}

#[test]
fn ipv4_forwarding() {
    play("ipv4_forwarding", disagreements::ipv4_forwarding);
}

#[test]
fn local_sources() {
    play("local_sources", disagreements::local_sources);
}

#[test]
fn spoofed_sources() {
    play("spoofed_sources", disagreements::spoofed_sources);
}

#[test]
fn way_back_by_iif_rules() {
    play(
        "way_back_by_iif_rules",
        disagreements::way_back_by_iif_rules,
    );
}

#[test]
fn sources_under_custom_rules() {
    play(
        "sources_under_custom_rules",
        disagreements::sources_under_custom_rules,
    );
}

#[test]
fn local_prefixes() {
    play("local_prefixes", disagreements::local_prefixes);
}

#[test]
fn long_trailers() {
    play("long_trailers", disagreements::long_trailers);
}

/// Why broadcast addresses are in `LOCALS`: see `sources_under_custom_rules`.
#[test]
fn broadcast_source_under_custom_rules_not_told() {
    let Some(mut scene) = Scene::open("broadcast_source_under_custom_rules_not_told") else {
        return;
    };
    scene.ip("rule add from 10.99.0.0/16 lookup 7");
    scene.set_locals(&[]);
    let broadcast = A.v4_to(B).from4(B.v4(255));
    scene.check([row(49, "not told", broadcast, forward(A, B)).kernel_drops()]);
    scene.finish();
}
