//! Conformance section E, as far as no peer is needed: sizes, cases 80 to 88.

use router_common::abi::names;
use router_tests::{
    prog::{Load, Scene, play},
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
    scene.finish();
}
