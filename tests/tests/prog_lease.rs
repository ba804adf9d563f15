//! The lease (design.md 4): without a living daemon behind the maps the kernel
//! takes everything, and gets it as it came.

use std::time::{Duration, Instant};

use router_common::{abi::names, datapath::Reason};
use router_tests::{
    packet::{Frame, Tag},
    prog::{
        Load,
        Network::{A, B, C, N},
        Row, Scene, XDP_PASS, XDP_TX, forward, row, up,
    },
};

/// Whatever would be forwarded, and what passes up anyway.
fn rows(expect_forward: bool) -> Vec<Row> {
    let fate = |from, to| {
        if expect_forward {
            forward(from, to)
        } else {
            up(Reason::LeaseExpired)
        }
    };
    vec![
        row(1, "IPv4 to a tagged network", A.v4_to(B), fate(A, B)),
        row(1, "IPv6 to a tagged network", B.v6_to(A), fate(B, A)).on(B),
        row(1, "to the untagged network", A.v4_to(N), fate(A, N)),
        row(1, "to the other trunk", A.v4_to(C), fate(A, C)),
    ]
}

#[test]
fn frames_are_forwarded_while_the_lease_lasts() {
    let test = "frames_are_forwarded_while_the_lease_lasts";
    for program in [names::PROGRAM, names::PROGRAM_FRAGS] {
        let load = Load {
            program,
            ..Load::default()
        };
        let Some(mut scene) = Scene::open_with(test, load) else {
            return;
        };
        scene.check(rows(true));
        // Its end is the moment of its renewal.
        scene.router.renew_lease(0).expect("renewed");
        scene.check(rows(false));
        scene.router.renew_lease(1_000_000).expect("renewed");
        scene.check(rows(true));
        scene.router.forget_lease().expect("emptied");
        scene.check(rows(false));
        scene.finish();
    }
}

/// It ends by itself, without anybody writing anything.
#[test]
fn a_lease_runs_out() {
    let Some(scene) = Scene::open("a_lease_runs_out") else {
        return;
    };
    let frame = A.v4_to(B).bytes();
    // 0.1 s at 1000 Hz, 1 s at 100 Hz.
    scene.router.renew_lease(100).expect("renewed");
    let outcome = scene.router.run(&frame).expect("a verdict");
    assert_eq!(outcome.action, XDP_TX, "the lease is young");
    let renewed = Instant::now();
    loop {
        let outcome = scene.router.run(&frame).expect("a verdict");
        if outcome.action == XDP_PASS {
            assert_eq!(outcome.bytes, frame, "it passes up as it came");
            break;
        }
        assert!(renewed.elapsed() < Duration::from_secs(5), "still there");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(renewed.elapsed() > Duration::from_millis(50), "too early");
}

/// What is not forwarded anyway keeps its reason: ARP is no sign of a dead
/// daemon. What would have been looked at in the maps does not.
#[test]
fn frames_that_are_not_ip_do_not_care() {
    let Some(mut scene) = Scene::open("frames_that_are_not_ip_do_not_care") else {
        return;
    };
    scene.router.renew_lease(0).expect("renewed");
    let raw = |kind| {
        Frame::raw(A.gateway_mac(), A.host_mac(), kind, &[0; 46]).tags(&[Tag::dot1q(A.vid())])
    };
    scene.check([
        row(1, "ARP", raw(0x0806), up(Reason::Arp)),
        row(1, "LLDP", raw(0x88cc), up(Reason::NotIp)),
        row(1, "TTL 1", A.v4_to(B).ttl(1), up(Reason::LeaseExpired)),
    ]);
    scene.finish();
}
