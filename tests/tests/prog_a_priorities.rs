//! Conformance section A, cases 9 and 10: PCP and DEI, in and out. On a wire, with
//! real VLAN devices: `net_oracle`, in VMs.

use router_common::abi::ingress_flags;
use router_tests::{
    packet::Tag,
    prog::{
        Network::{A, B, C, N, U},
        Scene, forward, play, row,
    },
    tables::{
        a_l2_vlan,
        a_priorities::{self, odd_map},
    },
};

/// Every PCP and DEI.
fn priorities() -> impl Iterator<Item = (u8, bool)> {
    (0..8).flat_map(|pcp| [(pcp, false), (pcp, true)])
}

#[test]
fn matched_by_vid_alone() {
    play("matched_by_vid_alone", a_l2_vlan::matched_by_vid_alone);
}

#[test]
fn ipv4_priority_comes_from_tos() {
    play("ipv4_priority_comes_from_tos", a_priorities::ipv4_from_tos);
}

#[test]
fn ipv6_priority_comes_from_the_ingress_map() {
    play(
        "ipv6_priority_comes_from_the_ingress_map",
        a_priorities::ipv6_from_the_ingress_map,
    );
}

#[test]
fn ipv4_may_keep_its_priority() {
    play(
        "ipv4_may_keep_its_priority",
        a_priorities::ipv4_may_keep_its_own,
    );
}

#[test]
fn priority_that_no_map_holds() {
    play("priority_that_no_map_holds", a_priorities::no_map_holds_it);
}

#[test]
fn kept_where_asked() {
    let Some(mut scene) = Scene::open("kept_where_asked") else {
        return;
    };
    let map = odd_map();
    scene.change_egress(B, |entry| entry.pcp = map);
    scene.change_egress(C, |entry| entry.pcp = map);
    for network in [A, N] {
        scene.change_ingress(network, |entry| entry.flags |= ingress_flags::KEEP_PCP);
    }
    for (pcp, dei) in priorities() {
        let what = format!("PCP {pcp} DEI {dei} kept");
        let v4 = A.v4_to(B).priority(pcp, dei);
        let v6 = A.v6_to(C).priority(pcp, dei);
        let popped = A.v4_to(U).priority(pcp, dei);
        let tag = [Tag::dot1q(0).priority(pcp, dei)];
        let tagged = N.v4_to(B).tags(&tag);
        scene.check([
            row(10, what.clone(), v4, forward(A, B).priority(pcp, dei)),
            row(10, what.clone(), v6, forward(A, C).priority(pcp, dei)),
            row(10, what.clone(), popped, forward(A, U)),
            row(
                10,
                format!("{what} of a priority tag"),
                tagged,
                forward(N, B).priority(pcp, dei),
            ),
            row(
                10,
                "B keeps nothing",
                B.v4_to(A).priority(pcp, dei),
                forward(B, A),
            ),
        ]);
    }
    // Where there was none, the map gives one.
    let pushed = forward(N, B).priority(map[6], false);
    scene.check([row(10, "nothing to keep", N.v4_to(B).tos(0x10), pushed)]);
    scene.finish();
}
