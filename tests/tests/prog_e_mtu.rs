//! Conformance section E, as far as no peer is needed: sizes, cases 80 to 88.

use router_common::{
    abi::{egress_flags, names},
    datapath::Reason,
};
use router_tests::{
    packet::Transport,
    prog::{
        Load,
        Network::{A, B, C},
        Scene, forward, play, row, up,
    },
    tables::e_mtu,
};

#[test]
fn device_mtu() {
    play("device_mtu", e_mtu::device_mtu);
}

#[test]
fn route_mtu() {
    play("route_mtu", e_mtu::route_mtu);
}

#[test]
fn tags_do_not_count() {
    play("tags_do_not_count", e_mtu::tags_do_not_count);
}

#[test]
fn jumbo_frames() {
    let load = Load {
        program: names::PROGRAM_FRAGS,
        ..Load::default()
    };
    let Some(mut scene) = Scene::open_with("jumbo_frames", load) else {
        return;
    };
    e_mtu::jumbo_frames(&mut scene);

    // A driver that sends one buffer for XDP, and no more.
    scene.change_egress(C, |entry| entry.flags &= !egress_flags::SENDS_BUFFERS);
    let of = |to, len: usize| A.v4_to(to).transport(Transport::udp(len - 28));
    scene.check([
        row(
            87,
            "to a driver of one buffer",
            of(C, 5000),
            up(Reason::SeveralBuffers),
        )
        .kernel_unasked()
        .by_hand(),
        row(87, "one buffer to it", of(C, 1500), forward(A, C)).kernel_unasked(),
        row(87, "back where it came from", of(B, 5000), forward(A, B)).kernel_unasked(),
    ]);
    scene.finish();
}
