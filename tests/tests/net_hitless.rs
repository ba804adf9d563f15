//! Whatever happens to the daemon, traffic goes on.

use std::time::Duration;

use router_tests::{flow::Flow, lab::Lab, router_daemon::RouterDaemon};

#[test]
fn xdp_forwards_what_is_sent() {
    let Some(lab) = Lab::or_skip("xdp_forwards_what_is_sent", 2) else {
        return;
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    let took = daemon.start().unwrap();
    println!("ready after {took:?}");
    let before = daemon.forwarded_by_xdp().unwrap();
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(Duration::from_millis(500));
    let report = flow.finish(&lab).unwrap();
    let by_xdp = daemon.forwarded_by_xdp().unwrap() - before;
    println!("{by_xdp} by XDP");
    report.assert_hitless();
    assert!(by_xdp >= report.sent());
    daemon.down().unwrap();
}
