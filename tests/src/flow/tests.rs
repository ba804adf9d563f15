//! Flows through a router that is the kernel alone.

use super::*;
use crate::lab::Network;
use crate::packet::{Frame, Transport};

/// The kernel alone is the router.
fn lab(test: &str) -> Option<Lab> {
    let lab = Lab::or_skip(test, 2)?;
    lab.router().sysctl("ipv4/ip_forward", "1").unwrap();
    lab.router()
        .sysctl("ipv6/conf/all/forwarding", "1")
        .unwrap();
    for trunk in 0..lab.trunks().len() {
        lab.address(trunk).unwrap();
    }
    Some(lab)
}

#[test]
fn a_flow_through_the_kernel_arrives_whole() {
    let Some(lab) = lab("a_flow_through_the_kernel_arrives_whole") else {
        return;
    };
    for family in Family::ALL {
        let flow = Flow::start_with(&lab, 0, 1, family).unwrap();
        flow.run_for(Duration::from_millis(200));
        let report = flow.finish(&lab).unwrap();
        report.assert_hitless();
        assert!(report.sent() > 100, "{report}");
        assert_eq!(report.by_kernel, report.sent(), "{report}");
    }
}

#[test]
fn what_a_router_loses_is_found_and_when() {
    let Some(lab) = lab("what_a_router_loses_is_found_and_when") else {
        return;
    };
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(Duration::from_millis(100));
    lab.router().sysctl("ipv4/ip_forward", "0").unwrap();
    flow.run_for(Duration::from_millis(100));
    lab.router().sysctl("ipv4/ip_forward", "1").unwrap();
    let mended = Instant::now();
    flow.run_for(Duration::from_millis(100));
    let report = flow.finish(&lab).unwrap();
    assert!(report.lost() > 50, "{report}");
    assert_eq!(report.lost_since(mended), 0, "{report}");
    report.assert_hitless_since(mended);
    assert!(std::panic::catch_unwind(|| report.assert_hitless()).is_err());
}

#[test]
fn a_trunk_that_is_made_anew_is_used_at_once() {
    let Some(mut lab) = lab("a_trunk_that_is_made_anew_is_used_at_once") else {
        return;
    };
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(Duration::from_millis(100));
    lab.unplug(0).unwrap();
    lab.plug(0).unwrap();
    lab.address(0).unwrap();
    let back = Instant::now();
    flow.run_for(Duration::from_millis(300));
    let report = flow.finish(&lab).unwrap();
    report.assert_hitless_since(back);
    assert!(report.lost() > 0, "nothing was unplugged\n{report}");
}

#[test]
fn a_frame_that_was_routed_wrongly_is_found() {
    let network = Network::new_for_tests;
    let template = Template::new(&network(0), &network(1), Family::V4, 9);
    let mut arrived = template.arriving.clone();
    number(&mut arrived, 5);
    assert_eq!(template.number_of(&arrived), Some(5));
    let mut wanted = Vec::new();
    assert_eq!(template.check(&mut wanted, &arrived, 5), None);
    // MACs, VID, TTL, header checksum, UDP checksum.
    for at in [0, 6, 15, 26, 28, 44] {
        let mut spoilt = arrived.clone();
        spoilt[at] ^= 1;
        assert!(
            template.check(&mut wanted, &spoilt, 5).is_some(),
            "byte {at}"
        );
    }
    // As sent: the router did nothing.
    let mut sent = template.sent.clone();
    number(&mut sent, 5);
    assert!(template.check(&mut wanted, &sent, 5).is_some());
    assert_eq!(template.number_of(&sent), Some(5));
    // The error that quotes it is not it.
    let error = Transport::icmp(3, 0, &sent[14..]);
    let from = network(0);
    let error = Frame::ipv4([0; 6], [0; 6], from.gateway4, from.host4, error);
    assert_eq!(template.number_of(&error.bytes()), None);
}

#[test]
fn arrivals_are_judged_by_their_numbers() {
    let mut arrivals = Arrivals::default();
    for number in [WARM_UP, 0, 2, 1, 2, 4] {
        arrivals.record(number);
    }
    assert!(arrivals.warm);
    let start = Instant::now();
    let sent = Sent {
        times: (0..6).map(|at| start + Duration::from_millis(at)).collect(),
        absent: Duration::from_millis(500),
    };
    let report = arrivals.judge("a".into(), &sent, start, start + Duration::from_secs(1));
    let lost: Vec<_> = report.lost.iter().map(|lost| lost.number).collect();
    assert_eq!(lost, [3, 5]);
    assert_eq!(report.lost[1].at, Duration::from_millis(5));
    assert_eq!((report.duplicated, report.reordered), (1, 1));
    assert_eq!(report.wrong, None);
    // Six in the half second in which there was an interface.
    assert!((report.rate - 12.0).abs() < 1e-6, "{}", report.rate);
    arrivals.record(6);
    let report = arrivals.judge("a".into(), &sent, start, start + Duration::from_secs(1));
    assert!(report.wrong.is_some());
}
