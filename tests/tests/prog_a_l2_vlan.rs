//! Conformance section A: Ethernet and VLAN, cases 1 to 23.
//!
//! Case 21 (rx-vlan-offload) is the daemon's and not here.

use router_common::{
    abi::{Ingress, egress_flags},
    datapath::Reason,
    wire::Vid,
};
use router_tests::{
    packet::Tag,
    prog::{
        Network::{A, B, C, N, U},
        Scene, forward, play, row, up,
    },
    tables::a_l2_vlan,
};

#[test]
fn networks_reach_each_other() {
    play(
        "networks_reach_each_other",
        a_l2_vlan::networks_reach_each_other,
    );
}

#[test]
fn vids() {
    let Some(mut scene) = Scene::open("vids") else {
        return;
    };
    for vid in [1, 2, 10, 50, 100, 1000, 2000, 4000, 4094] {
        let entry = scene.ingress(A);
        scene.router.set_ingress(0, vid, &entry).expect("a VID");
        scene.change_egress(A, |egress| egress.vid = vid_of(vid));
        let to = A.v4_to(B).vlan(vid);
        scene.check([
            row(2, format!("in on VID {vid}"), to, forward(A, B)),
            row(
                2,
                format!("out on VID {vid}"),
                B.v4_to(A),
                forward(B, A).vid(vid),
            ),
        ]);
    }
    scene.change_egress(A, |_| ());
    // An entry that must not be there: VID 4095 is reserved all the same.
    let entry = scene.ingress(A);
    scene.router.set_ingress(0, 4095, &entry).expect("a VID");
    scene.check([row(
        6,
        "VID 4095",
        A.v4_to(B).vlan(4095),
        up(Reason::UnknownVid),
    )]);
    scene.finish();
}

fn vid_of(vid: u16) -> Vid {
    Vid::new(vid).expect("12 bits")
}

#[test]
fn no_untagged_network() {
    let Some(mut scene) = Scene::open("no_untagged_network") else {
        return;
    };
    let none = Ingress::default();
    scene.router.set_ingress(0, 0, &none).expect("VID 0");
    let priority = N.v4_to(B).tags(&[Tag::dot1q(0).priority(5, false)]);
    scene.check([
        row(
            7,
            "untagged, and no such network",
            N.v4_to(B),
            up(Reason::UnknownVid),
        ),
        row(
            7,
            "priority tag, and no untagged network",
            priority,
            up(Reason::UnknownVid),
        ),
        row(
            1,
            "tagged ones are none the worse",
            A.v4_to(B),
            forward(A, B),
        ),
    ]);
    scene.finish();
}

#[test]
fn priority_tags() {
    play("priority_tags", a_l2_vlan::priority_tags);
}

#[test]
fn ingress_down() {
    play("ingress_down", a_l2_vlan::ingress_down);
}

#[test]
fn unknown_vids() {
    play("unknown_vids", a_l2_vlan::unknown_vids);
}

#[test]
fn networks_that_are_down() {
    let Some(mut scene) = Scene::open("networks_that_are_down") else {
        return;
    };
    scene.change_egress(B, |entry| entry.flags &= !egress_flags::UP);
    scene.check([
        row(8, "egress down, IPv4", A.v4_to(B), up(Reason::EgressDown)),
        row(8, "egress down, IPv6", A.v6_to(B), up(Reason::EgressDown)),
        row(8, "another egress is up", A.v4_to(N), forward(A, N)),
    ]);
    scene.change_egress(B, |_| ());

    scene.set_port(1, false);
    scene.check([
        row(
            23,
            "second trunk not in the devmap",
            A.v4_to(C),
            up(Reason::EgressDown),
        ),
        row(
            23,
            "second trunk not in the devmap, IPv6",
            A.v6_to(U),
            up(Reason::EgressDown),
        ),
        row(23, "own trunk all the same", A.v4_to(B), forward(A, B)),
    ]);
    scene.set_port(1, true);
    // The own trunk is reached by XDP_TX, whatever the devmap says.
    scene.set_port(0, false);
    scene.check([
        row(1, "own trunk not in the devmap", A.v4_to(B), forward(A, B)),
        row(23, "second trunk", A.v4_to(C), forward(A, C)),
    ]);
    scene.set_port(0, true);

    for network in [B, C] {
        scene.forget_egress(network);
        scene.check([
            row(
                13,
                "egress is no network of ours",
                A.v4_to(network),
                up(Reason::EgressUnknown),
            )
            .kernel_forwards(network),
            row(
                13,
                "egress is no network of ours",
                A.v6_to(network),
                up(Reason::EgressUnknown),
            )
            .kernel_forwards(network),
        ]);
    }
    scene.finish();
}

#[test]
fn stacked_tags() {
    play("stacked_tags", a_l2_vlan::stacked_tags);
}

#[test]
fn macs() {
    play("macs", a_l2_vlan::macs);
}

#[test]
fn other_protocols() {
    play("other_protocols", a_l2_vlan::other_protocols);
}

#[test]
fn same_network() {
    play("same_network", a_l2_vlan::same_network);
}
