//! Conformance section A, cases 9 and 10: PCP and DEI, in and out.
//!
//! What the kernel's VLAN device writes: the egress-qos-map of `skb->priority`,
//! and DEI 0. The priority of a forwarded IPv4 packet comes from its TOS
//! (`rt_tos2priority`), of an IPv6 packet from the ingress-qos-map.

use std::net::UdpSocket;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use router_common::{abi::ingress_flags, datapath::Reason};

use crate::{
    prog::{
        Network::{A, B, N},
        forward, row, up,
    },
    tables::Stage,
};

/// Every PCP and DEI.
fn priorities() -> impl Iterator<Item = (u8, bool)> {
    (0..8).flat_map(|pcp| [(pcp, false), (pcp, true)])
}

/// An egress-qos-map in which no two neighbours are alike.
#[must_use]
pub fn odd_map() -> [u8; 16] {
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

/// IPv4 has its priority from its TOS, and not from the ingress map.
pub fn ipv4_from_tos<S: Stage>(scene: &mut S) {
    let map = odd_map();
    scene.egress_map(B, map);
    // It must make no difference for IPv4.
    scene.ingress_map(A, [3; 8]);
    let expect = |tos: u8| map[kernel_priority(tos)];
    scene.check((0..=u8::MAX).map(|tos| {
        let pcp = tos % 8;
        let frame = A.v4_to(B).tos(tos).priority(pcp, tos % 3 == 0);
        let forwarded = forward(A, B).priority(expect(tos), false);
        row(10, format!("TOS {tos:#04x}, PCP {pcp}"), frame, forwarded)
    }));
    scene.check((0..=u8::MAX).map(|tos| {
        let frame = N.v4_to(B).tos(tos);
        let forwarded = forward(N, B).priority(expect(tos), false);
        row(10, format!("TOS {tos:#04x}, untagged"), frame, forwarded)
    }));
}

/// IPv6 has it from the ingress map, and not from its class.
pub fn ipv6_from_the_ingress_map<S: Stage>(scene: &mut S) {
    let map = odd_map();
    scene.egress_map(B, map);
    for ingress_map in [
        [0; 8],
        [0, 1, 2, 3, 4, 5, 6, 7],
        [15, 14, 13, 12, 11, 10, 9, 8],
    ] {
        scene.ingress_map(A, ingress_map.map(u32::from));
        for (pcp, dei) in priorities() {
            let priority: u8 = ingress_map[usize::from(pcp)];
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
}

/// `ip_forward_update_priority` 0: IPv4 as IPv6.
pub fn ipv4_may_keep_its_own<S: Stage>(scene: &mut S) {
    let map = odd_map();
    scene.egress_map(B, map);
    let ingress_map = [15, 1, 2, 4, 3, 6, 5, 100];
    scene.sysctl("ipv4/ip_forward_update_priority", "0");
    scene.ingress_map(A, ingress_map);
    scene.change_ingress(A, |entry| {
        entry.flags |= ingress_flags::KEEP_PRIORITY;
        entry.priority = ingress_map.map(|priority| match priority {
            100 => router_common::abi::Ingress::PRIORITY_UNMAPPED,
            held => held.to_le_bytes()[0],
        });
    });
    for pcp in 0..7 {
        let priority = ingress_map[usize::from(pcp)].to_le_bytes()[0];
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
        row(10, "the way back", B.v4_to(A).tos(0x10), forward(B, A)),
    ]);
}

/// A priority that no egress map of ours holds.
pub fn no_map_holds_it<S: Stage>(scene: &mut S) {
    scene.ingress_map(A, [0, 0, 0, 0, 0, 100, 0, 0]);
    let v6 = |pcp| A.v6_to(B).priority(pcp, false);
    let v4 = A.v4_to(B).priority(5, false);
    scene.check([
        row(10, "priority above 15", v6(5), up(Reason::PriorityUnmapped)).kernel_forwards(B),
        row(10, "another PCP", v6(4), forward(A, B)),
        row(10, "IPv4 does not ask the map", v4, forward(A, B)),
    ]);
}
