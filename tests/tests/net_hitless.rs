//! Whatever happens to the daemon, traffic goes on: stopped, killed, started
//! anew with another program, refused by the kernel.
//!
//! Each under numbered packets both ways: none lost, none through the kernel
//! where XDP has no reason to stop, the same links, no carrier lost.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use router_tests::{
    flow::{Family, Flow},
    hitless::{WHILE, assert_new_programs, forwarding, hitless, programs},
    lab,
};

/// From its start to forwarding; on a machine that is not emulated.
const READY: Duration = Duration::from_secs(2);

#[test]
fn xdp_forwards_what_is_sent() {
    let Some((lab, daemon)) = forwarding("xdp_forwards_what_is_sent", "") else {
        return;
    };
    for family in Family::ALL {
        let before = daemon.forwarded_by_xdp().unwrap();
        let flow = Flow::start_with(&lab, 0, 1, family).unwrap();
        flow.run_for(WHILE);
        let report = flow.finish(&lab).unwrap();
        report.assert_hitless();
        let by_xdp = daemon.forwarded_by_xdp().unwrap() - before;
        assert_eq!(report.by_kernel, 0, "{report}");
        assert!(by_xdp >= report.sent(), "{by_xdp} by XDP\n{report}");
    }
}

#[test]
fn a_daemon_that_is_stopped_and_started_again() {
    let test = "a_daemon_that_is_stopped_and_started_again";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.terminate().unwrap();
        thread::sleep(WHILE);
        let took = daemon.start().unwrap();
        assert!(lab::slow() || took < READY, "ready after {took:?}");
    });
    assert_new_programs(&outcome);
    assert_eq!(outcome.report.by_kernel, 0, "{}", outcome.report);
}

#[test]
fn a_daemon_that_is_killed_and_started_again() {
    let test = "a_daemon_that_is_killed_and_started_again";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let before = daemon.forwarded_by_xdp().unwrap();
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.kill().unwrap();
        thread::sleep(WHILE);
        let took = daemon.start().unwrap();
        assert!(lab::slow() || took < READY, "ready after {took:?}");
    });
    assert_new_programs(&outcome);
    let report = outcome.report;
    assert_eq!(report.by_kernel, 0, "{report}");
    // Counters are in the maps: they go on where they were.
    let by_xdp = daemon.forwarded_by_xdp().unwrap() - before;
    assert!(by_xdp >= report.sent(), "{by_xdp} by XDP\n{report}");
}

#[test]
fn a_daemon_whose_program_is_rejected_leaves_the_old_one() {
    let test = "a_daemon_whose_program_is_rejected_leaves_the_old_one";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let before = programs(&lab);
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.kill().unwrap();
        // To this process the kernel is one that takes no program of ours.
        daemon.without_capabilities(&["bpf", "sys_admin"]);
        daemon.spawn().unwrap();
        let status = daemon.wait_ended().unwrap();
        assert!(!status.success(), "it may not load a program, and started");
        assert_eq!(programs(&lab), before, "the old program is gone");
        thread::sleep(WHILE);
        daemon.without_capabilities(&[]);
        daemon.start().unwrap();
    });
    assert_eq!(outcome.report.by_kernel, 0, "{}", outcome.report);
}

#[test]
fn a_daemon_that_stands_still_and_goes_on() {
    let Some((lab, mut daemon)) = forwarding("a_daemon_that_stands_still_and_goes_on", "") else {
        return;
    };
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.signal(Signal::SIGSTOP).unwrap();
        thread::sleep(WHILE);
        daemon.signal(Signal::SIGCONT).unwrap();
    });
    assert_eq!(outcome.before, outcome.after);
    assert_eq!(outcome.report.by_kernel, 0, "{}", outcome.report);
}
