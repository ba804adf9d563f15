//! Conformance section A, cases 9 and 10: PCP and DEI, in and out.
//!
//! What the kernel's VLAN device writes: the egress-qos-map of `skb->priority`,
//! and DEI 0. The priority of a forwarded IPv4 packet comes from its TOS
//! (`rt_tos2priority`), of an IPv6 packet from the ingress-qos-map.

use std::net::UdpSocket;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use router_common::{
    abi::{Ingress, ingress_flags},
    datapath::Reason,
};
use router_tests::{
    packet::Tag,
    prog::{
        Network::{A, B, C, N, U},
        Scene, forward, play, row, up,
    },
    tables::a_l2_vlan,
};

/// Every PCP and DEI.
fn priorities() -> impl Iterator<Item = (u8, bool)> {
    (0..8).flat_map(|pcp| [(pcp, false), (pcp, true)])
}

/// An egress-qos-map in which no two neighbours are alike.
fn egress_map() -> [u8; 16] {
    core::array::from_fn(|priority| [7, 3, 5, 1, 6, 0, 4, 2][priority % 8])
}

/// `skb->priority` of a TOS as this kernel has it: it gives a socket the
/// priority from the same table (`rt_tos2priority`).
///
/// Written out from memory instead, the table once had a "filler" for ECN's
/// ECT(0) that the kernel gave up long ago.
fn kernel_priority(tos: u8) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    setsockopt(&socket, sockopt::Ipv4Tos, &tos.into()).expect("set a TOS");
    let priority = getsockopt(&socket, sockopt::Priority).expect("read the priority");
    usize::try_from(priority).expect("0 to 15")
}

#[test]
fn matched_by_vid_alone() {
    play("matched_by_vid_alone", a_l2_vlan::matched_by_vid_alone);
}

#[test]
fn ipv4_priority_comes_from_tos() {
    let Some(mut scene) = Scene::open("ipv4_priority_comes_from_tos") else {
        return;
    };
    let map = egress_map();
    scene.change_egress(B, |entry| entry.pcp = map);
    // It must make no difference for IPv4.
    scene.change_ingress(A, |entry| entry.priority = [3; 8]);
    for tos in 0..=u8::MAX {
        let priority = kernel_priority(tos);
        let expect = forward(A, B).priority(map[priority], false);
        let pcp = tos % 8;
        let frame = A.v4_to(B).tos(tos).priority(pcp, tos % 3 == 0);
        scene.check([row(10, format!("TOS {tos:#04x}, PCP {pcp}"), frame, expect)]);
        let expect = forward(N, B).priority(map[priority], false);
        let frame = N.v4_to(B).tos(tos);
        scene.check([row(10, format!("TOS {tos:#04x}, untagged"), frame, expect)]);
    }
    scene.finish();
}

#[test]
fn ipv6_priority_comes_from_the_ingress_map() {
    let Some(mut scene) = Scene::open("ipv6_priority_comes_from_the_ingress_map") else {
        return;
    };
    let map = egress_map();
    scene.change_egress(B, |entry| entry.pcp = map);
    for ingress_map in [
        [0; 8],
        [0, 1, 2, 3, 4, 5, 6, 7],
        [15, 14, 13, 12, 11, 10, 9, 8],
    ] {
        scene.change_ingress(A, |entry| entry.priority = ingress_map);
        for (pcp, dei) in priorities() {
            let priority = ingress_map[usize::from(pcp)];
            let expect = forward(A, B).priority(map[usize::from(priority)], false);
            let what = format!("{ingress_map:?}: PCP {pcp} DEI {dei}");
            // The class must make no difference for IPv6.
            let frame = A.v6_to(B).priority(pcp, dei).tos(0xb8);
            scene.check([row(10, what, frame, expect)]);
        }
    }
    // A frame without a tag has priority 0.
    let expect = forward(N, B).priority(map[0], false);
    scene.check([row(10, "untagged", N.v6_to(B), expect)]);
    scene.finish();
}

/// `ip_forward_update_priority` 0: IPv4 as IPv6.
#[test]
fn ipv4_may_keep_its_priority() {
    let Some(mut scene) = Scene::open("ipv4_may_keep_its_priority") else {
        return;
    };
    let map = egress_map();
    scene.change_egress(B, |entry| entry.pcp = map);
    let ingress_map = [15, 1, 2, 4, 3, 6, 5, Ingress::PRIORITY_UNMAPPED];
    scene.change_ingress(A, |entry| {
        entry.priority = ingress_map;
        entry.flags |= ingress_flags::KEEP_PRIORITY;
    });
    for pcp in 0..7 {
        let priority = ingress_map[usize::from(pcp)];
        let expect = forward(A, B).priority(map[usize::from(priority)], false);
        for tos in [0, 0x10, 0xb8] {
            let frame = A.v4_to(B).priority(pcp, true).tos(tos);
            scene.check([row(10, format!("PCP {pcp} TOS {tos:#x}"), frame, expect)]);
        }
    }
    let unmapped = A.v4_to(B).priority(7, false);
    scene.check([
        row(
            10,
            "priority above 15",
            unmapped,
            up(Reason::PriorityUnmapped),
        )
        .kernel_forwards(B),
        row(
            10,
            "B does not keep it",
            B.v4_to(A).tos(0x10),
            forward(B, A),
        ),
    ]);
    scene.finish();
}

#[test]
fn priority_that_no_map_holds() {
    let Some(mut scene) = Scene::open("priority_that_no_map_holds") else {
        return;
    };
    scene.change_ingress(A, |entry| entry.priority[5] = Ingress::PRIORITY_UNMAPPED);
    let v6 = |pcp| A.v6_to(B).priority(pcp, false);
    let v4 = A.v4_to(B).priority(5, false);
    scene.check([
        row(10, "priority above 15", v6(5), up(Reason::PriorityUnmapped)).kernel_forwards(B),
        row(10, "another PCP", v6(4), forward(A, B)),
        row(10, "IPv4 does not ask the map", v4, forward(A, B)),
    ]);
    scene.finish();
}

#[test]
fn kept_where_asked() {
    let Some(mut scene) = Scene::open("kept_where_asked") else {
        return;
    };
    let map = egress_map();
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
