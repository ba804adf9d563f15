//! Conformance section A: Ethernet and VLAN, cases 1 to 23.
//!
//! Case 21 (rx-vlan-offload) is the daemon's and not here.

use crate::{
    packet::{DOT1AD, Frame, Tag, Transport},
    prog::{
        Network::{A, B, C, N, U},
        Row, forward, row, up,
    },
    tables::Stage,
};
use router_common::{abi::ingress_flags, datapath::Reason};

/// The MACs of a frame from A's host to A's gateway, around any payload.
fn raw(ether_type: u16, payload: &[u8]) -> Frame {
    Frame::raw(A.gateway_mac(), A.host_mac(), ether_type, payload)
}

fn every_pair() -> Vec<Row> {
    let mut rows = Vec::new();
    for from in [A, B, N] {
        for to in [A, B, N, C, U] {
            if from == to {
                continue;
            }
            let case = match (from.vid(), to.vid(), to.trunk()) {
                (_, _, 1) => 23,
                (0, ..) => 3,
                (_, 0, _) => 4,
                _ => 1,
            };
            for transport in [Transport::udp(64), Transport::tcp(100), Transport::echo(56)] {
                let what = format!("{from:?} to {to:?}");
                let v4 = from.v4_to(to).transport(transport.clone());
                rows.push(row(case, format!("{what} IPv4"), v4, forward(from, to)));
                let v6 = from.v6_to(to).transport(transport);
                rows.push(row(case, format!("{what} IPv6"), v6, forward(from, to)));
            }
        }
    }
    rows
}

/// Networks reach each other.
pub fn networks_reach_each_other<S: Stage>(scene: &mut S) {
    scene.check(every_pair());
}

/// 2: between any two networks that are not both untagged, whatever VIDs they have
/// on this stage.
pub fn every_vid<S: Stage>(scene: &mut S) {
    for from in [A, B, N, C, U] {
        for to in [A, B, N, C, U] {
            if from == to || (from.vid(), to.vid()) == (0, 0) {
                continue;
            }
            let what = format!("{from:?} to {to:?}");
            scene.check([
                row(2, what.clone(), from.v4_to(to), forward(from, to)),
                row(2, what, from.v6_to(to), forward(from, to)),
            ]);
        }
    }
}

/// Priority tags.
pub fn priority_tags<S: Stage>(scene: &mut S) {
    for pcp in 0..8 {
        for dei in [false, true] {
            let tag = [Tag::dot1q(0).priority(pcp, dei)];
            let what = format!("VID 0 with PCP {pcp} DEI {dei}");
            // Section 2: to an untagged network the tag must go.
            scene.check([
                row(5, what.clone(), N.v4_to(A).tags(&tag), forward(N, A)),
                row(5, what.clone(), N.v4_to(U).tags(&tag), forward(N, U)),
                row(5, what.clone(), N.v6_to(B).tags(&tag), forward(N, B)),
                row(5, what, N.v6_to(U).tags(&tag), forward(N, U)),
            ]);
        }
    }
}

/// 5: where the trunk has a device of VLAN 0, frames with VID 0 are that device's.
/// Here it is down and drops them.
pub fn device_of_vlan_0<S: Stage>(scene: &mut S) {
    let (tagged, plain) = (N.v4_to(A).tags(&[Tag::dot1q(0)]), N.v4_to(A));
    let passed = up(Reason::UnknownVid);
    scene.ip(&format!(
        "link add link {} name vlan-0 type vlan id 0",
        N.device()
    ));
    scene.check([
        row(5, "VID 0, which has a device", tagged.clone(), passed)
            .on(N)
            .kernel_drops(),
        row(5, "no tag beside it", plain.clone(), passed)
            .on(N)
            .kernel_forwards(A),
    ]);
    scene.ip("link del vlan-0");
    scene.check([
        row(5, "VID 0, the device has gone", tagged, forward(N, A)),
        row(5, "no tag", plain, forward(N, A)),
    ]);
}

/// Stacked tags.
pub fn stacked_tags<S: Stage>(scene: &mut S) {
    let (a, b) = (Tag::dot1q(A.vid()), Tag::dot1q(B.vid()));
    let (a_ad, b_ad) = (Tag::dot1ad(A.vid()), Tag::dot1ad(B.vid()));
    for (case, what, tags) in [
        (11, "802.1ad around 802.1Q", vec![a_ad, b]),
        (11, "802.1ad around 802.1ad", vec![a_ad, b_ad]),
        (
            12,
            "802.1ad alone, with a VID that 802.1Q knows",
            vec![a_ad],
        ),
        (12, "802.1ad alone, VID 0", vec![Tag::dot1ad(0)]),
        (14, "three tags", vec![a, b, b]),
        (14, "three tags, the first 802.1ad", vec![a_ad, a, b]),
        (15, "A around B", vec![a, b]),
        (15, "A around A", vec![a, a]),
        (15, "A around 802.1ad", vec![a, b_ad]),
        (15, "priority tag around A", vec![Tag::dot1q(0), a]),
        (15, "unknown VID around A", vec![Tag::dot1q(999), a]),
    ] {
        scene.check([
            row(case, what, A.v4_to(B).tags(&tags), up(Reason::StackedTags)),
            row(case, what, A.v6_to(B).tags(&tags), up(Reason::StackedTags)),
        ]);
    }
    // TPIDs that some vendors use for stacking, and that are no tags here.
    for tpid in [0x9100, 0x9200, 0x9300] {
        let tag = Tag { tpid, ..a };
        let frame = A.v4_to(B).tags(&[tag]);
        scene.check([row(
            12,
            format!("TPID {tpid:#06x}"),
            frame,
            up(Reason::NotIp),
        )]);
    }
    assert_eq!(a_ad.tpid, DOT1AD);
}

/// Macs.
pub fn macs<S: Stage>(scene: &mut S) {
    let mut off_by_one = A.gateway_mac();
    off_by_one[5] ^= 1;
    let mut first_byte = A.gateway_mac();
    first_byte[0] ^= 4;
    for (case, what, mac) in [
        (16, "to another host of A", A.router_mac()),
        (16, "to B's gateway on A", B.gateway_mac()),
        (16, "to the gateway, last byte off by one", off_by_one),
        (16, "to the gateway, first byte wrong", first_byte),
        (16, "to 00:00:00:00:00:00", [0; 6]),
        (17, "broadcast", [0xff; 6]),
        (17, "IPv4 multicast MAC", [0x01, 0, 0x5e, 0, 0, 1]),
        (17, "IPv6 multicast MAC", [0x33, 0x33, 0, 0, 0, 1]),
    ] {
        scene.check([
            row(case, what, A.v4_to(B).to_mac(mac), up(Reason::OtherMac)).kernel_drops(),
            row(case, what, A.v6_to(B).to_mac(mac), up(Reason::OtherMac)).kernel_drops(),
            row(case, what, A.v4_to(U).to_mac(mac), up(Reason::OtherMac)).kernel_drops(),
        ]);
    }
    for (what, mac) in [
        ("broadcast as source", [0xff; 6]),
        ("multicast as source", [0x01, 0, 0x5e, 0, 0, 1]),
        ("group bit in the source", [0x03, 0, 0, 0, 1, 0x10]),
    ] {
        scene.check([
            row(18, what, A.v4_to(B).from_mac(mac), up(Reason::BadSourceMac)),
            row(18, what, A.v6_to(B).from_mac(mac), up(Reason::BadSourceMac)),
        ]);
    }
    // The source MAC is otherwise nobody's business.
    for mac in [[0; 6], A.gateway_mac(), B.host_mac()] {
        let frame = A.v4_to(B).from_mac(mac);
        scene.check([row(16, "any unicast source", frame, forward(A, B))]);
    }
}

/// Other protocols.
pub fn other_protocols<S: Stage>(scene: &mut S) {
    let a = [Tag::dot1q(A.vid())];
    let zeros = [0; 46];
    for (case, what, ether_type, reason) in [
        (19, "ARP", 0x0806, Reason::Arp),
        (19, "RARP", 0x8035, Reason::NotIp),
        (19, "LLDP", 0x88cc, Reason::NotIp),
        (19, "LACP", 0x8809, Reason::NotIp),
        (19, "EAPOL", 0x888e, Reason::NotIp),
        (19, "PTP", 0x88f7, Reason::NotIp),
        (19, "MPLS", 0x8847, Reason::NotIp),
        (19, "PPPoE", 0x8864, Reason::NotIp),
        (19, "MACsec", 0x88e5, Reason::NotIp),
        (19, "type 0xffff", 0xffff, Reason::NotIp),
        (19, "type 0x0801, one above IPv4", 0x0801, Reason::NotIp),
        (
            19,
            "type 0x0008, IPv4 the wrong way round",
            0x0008,
            Reason::NotIp,
        ),
        (20, "802.3 length 38", 38, Reason::NotIp),
        (20, "802.3 length 0", 0, Reason::NotIp),
        (20, "802.3 length 1500", 1500, Reason::NotIp),
    ] {
        scene.check([
            row(case, what, raw(ether_type, &zeros), up(reason)),
            row(
                case,
                format!("{what}, tagged"),
                raw(ether_type, &zeros).tags(&a),
                up(reason),
            ),
        ]);
    }
    // STP: an 802.3 frame with an LLC header, to its group address.
    let stp = Frame::raw([0x01, 0x80, 0xc2, 0, 0, 0], A.host_mac(), 38, &[0x42; 38]);
    // An IPv4 packet behind an 802.3 length is no IPv4 frame.
    let snap = raw(0x45, &A.v4_to(B).bytes()[18..]);
    scene.check([
        row(19, "STP", stp, up(Reason::NotIp)),
        row(20, "IPv4 behind a length", snap, up(Reason::NotIp)),
    ]);
}

/// Same network.
pub fn same_network<S: Stage>(scene: &mut S) {
    scene.ip(&format!(
        "route add 10.9.0.0/16 via {}\nroute add fd00:9::/64 via {}",
        A.v4(9),
        A.v6(9)
    ));
    let v4 = A.sends4(A.v4(10), A.v4(9));
    let v6 = A.sends6(A.v6(0x10), A.v6(9));
    let routed4 = A.sends4(A.v4(10), [10, 9, 0, 1].into());
    let routed6 = A.sends6(A.v6(0x10), "fd00:9::1".parse().expect("an address"));
    let back4 = B.sends4(B.v4(10), [10, 9, 0, 1].into());
    scene.check([
        row(22, "to a neighbour of its own", v4, up(Reason::SameNetwork)),
        row(
            22,
            "to a neighbour of its own, IPv6",
            v6,
            up(Reason::SameNetwork),
        ),
        row(
            22,
            "by a router of its own network",
            routed4,
            up(Reason::SameNetwork),
        ),
        row(
            22,
            "by a router of its own network, IPv6",
            routed6,
            up(Reason::SameNetwork),
        ),
        row(
            22,
            "from elsewhere by that router",
            back4,
            forward(B, A).by_router(),
        ),
    ]);
}

/// Every PCP and DEI.
fn priorities() -> impl Iterator<Item = (u8, bool)> {
    (0..8).flat_map(|pcp| [(pcp, false), (pcp, true)])
}

/// 9: PCP and DEI do not matter on the way in; 10: an empty map writes 0.
pub fn matched_by_vid_alone<S: Stage>(scene: &mut S) {
    for (pcp, dei) in priorities() {
        let what = format!("PCP {pcp} DEI {dei}: an empty map writes 0");
        let v4 = A.v4_to(B).priority(pcp, dei);
        let v6 = A.v6_to(B).priority(pcp, dei);
        let popped = A.v4_to(N).priority(pcp, dei);
        let other = A.v6_to(C).priority(pcp, dei);
        scene.check([
            row(9, what.clone(), v4, forward(A, B)),
            row(9, what.clone(), v6, forward(A, B)),
            row(9, what.clone(), popped, forward(A, N)),
            row(9, what, other, forward(A, C)),
        ]);
    }
}

/// 8: a sub-interface that is down.
pub fn ingress_down<S: Stage>(scene: &mut S) {
    scene.change_ingress(A, |entry| entry.flags &= !ingress_flags::UP);
    scene.ip("link set net-a down");
    scene.check([
        row(8, "ingress down, IPv4", A.v4_to(B), up(Reason::NetworkDown)).kernel_drops(),
        row(8, "ingress down, IPv6", A.v6_to(B), up(Reason::NetworkDown)).kernel_drops(),
        row(8, "the other network is up", B.v4_to(N), forward(B, N)),
    ]);
}

/// 7: no network has this VID.
pub fn unknown_vids<S: Stage>(scene: &mut S) {
    for (what, vid) in [
        ("unknown VID", 999),
        ("VID of another trunk", C.vid()),
        ("VID 101", 101),
        ("VID 3172, 100 in its low byte", 0xc64),
    ] {
        let unknown = up(Reason::UnknownVid);
        scene.check([
            row(7, what, A.v4_to(B).vlan(vid), unknown),
            row(7, format!("{what}, IPv6"), A.v6_to(B).vlan(vid), unknown),
        ]);
    }
    let reserved = A.v4_to(B).vlan(4095);
    scene.check([row(6, "VID 4095", reserved, up(Reason::UnknownVid))]);
}
