//! 161: a real capture through the router, with XDP and without.
//!
//! `tests/data/mixed.pcapng` was taken between two hosts and the router between
//! their networks: TCP, UDP of many sizes, fragments, ICMP, traceroute, options,
//! extension headers, ARP, ND, multicast and broadcast, in both families.

use std::path::Path;

use router_tests::{
    oracle::{
        Twin,
        replay::{self, Mapping, Pass},
    },
    pcap::Capture,
    prog::Network::{C, U},
};

fn sample() -> Capture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mixed.pcapng");
    Capture::open(&path).expect("the sample")
}

fn pass(passes: &[Pass], mapping: Mapping) -> &Pass {
    let found = passes.iter().find(|pass| pass.mapping == mapping);
    found.expect("every mapping is played")
}

#[test]
fn a_capture_is_replayed() {
    let Some(mut twin) = Twin::or_skip("a_capture_is_replayed", 1500) else {
        return;
    };
    let capture = sample();
    let passes = replay::replay(&mut twin, &capture, None);
    for pass in &passes {
        println!("{pass:?}");
        assert_eq!(pass.differences, [], "{}", pass.mapping.name());
        let all = pass.xdp + pass.kernel + pass.not + pass.left_out;
        assert_eq!(all, capture.frames.len(), "{pass:?}");
        assert_eq!(pass.left_out, 0, "{pass:?}");
    }
    // Nobody's MAC is ours.
    let untouched = pass(&passes, Mapping::None);
    assert_eq!((untouched.xdp, untouched.kernel), (0, 0));
    // Fragments, options and extension headers are the kernel's.
    let known = pass(&passes, Mapping::Network);
    assert!(
        known.xdp > 40 && known.kernel > 3 && known.not > 8,
        "{known:?}"
    );
    twin.finish();
}

/// Were the arms not alike, it would be told, with the frame.
#[test]
fn a_difference_is_told() {
    let Some(mut twin) = Twin::or_skip("a_difference_is_told", 1500) else {
        return;
    };
    let one_way = format!("route add 10.2.0.0/16 via {}", U.v4(9));
    twin.on.router.ip(&one_way).expect("a route");
    twin.touch();
    let passes = replay::replay(&mut twin, &sample(), None);
    assert_eq!(pass(&passes, Mapping::None).differences, []);
    let known = pass(&passes, Mapping::Network);
    let of = |arm: &str| {
        let lines = known.differences.iter();
        lines.filter(|(_, line)| line.contains(arm)).count()
    };
    let (on, off) = (of("only with XDP on"), of("only with XDP off"));
    assert!(on > 20 && on == off, "{on} and {off}: {known:#?}");
    let capture = sample();
    for (number, _) in &known.differences {
        let frame = &capture.frames[number - 1];
        assert_eq!(frame[12..14], [8, 0], "frame {number} is no IPv4");
    }
    twin.finish();
}

/// What differs only in company is told.
#[test]
fn a_difference_of_frames_that_go_in_together_is_told() {
    let test = "a_difference_of_frames_that_go_in_together_is_told";
    let Some(mut twin) = Twin::or_skip(test, 1500) else {
        return;
    };
    twin.off.narrow(&[C]);
    let passes = replay::replay(&mut twin, &sample(), None);
    let known = &pass(&passes, Mapping::Network).differences;
    let told = |text: &str| known.iter().any(|(_, line)| line.contains(text));
    assert!(told("no frame differs alone"), "{known:#?}");
    assert!(told("only with XDP on"), "{known:#?}");
    twin.finish();
}
