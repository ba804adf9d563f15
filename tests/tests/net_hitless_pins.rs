//! What may happen to the state that outlives the daemon: pins that are deleted,
//! maps of another ABI, a trunk that is made anew.

use std::{fs, path::PathBuf, thread, time::Instant};

use router_tests::{
    flow::Flow,
    hitless::{
        WHILE, assert_attached, assert_by_xdp, assert_new_programs, forwarding, hitless, programs,
        until,
    },
    kernel_objects::KernelObjects,
    router_daemon::RouterDaemon,
};

/// The folder of the pinned maps.
fn maps(daemon: &RouterDaemon) -> PathBuf {
    let version = router_common::abi::ABI_VERSION;
    daemon.pins().join(format!("abi-{version}"))
}

fn link_pins(daemon: &RouterDaemon) -> Vec<PathBuf> {
    let entries = fs::read_dir(daemon.pins().join("links")).unwrap();
    let mut pins: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    pins.sort();
    pins
}

#[test]
fn a_link_pin_that_is_deleted_comes_back() {
    let Some((lab, mut daemon)) = forwarding("a_link_pin_that_is_deleted_comes_back", "") else {
        return;
    };
    let pins = link_pins(&daemon);
    assert_eq!(pins.len(), lab.trunks().len());
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        fs::remove_file(&pins[0]).unwrap();
        until("the pin to come back", || Ok(pins[0].exists()));
        // It is one that outlives the daemon.
        daemon.kill().unwrap();
        thread::sleep(WHILE);
        daemon.start().unwrap();
    });
    assert_new_programs(&outcome);
    assert_eq!(outcome.report.by_kernel, 0, "{}", outcome.report);
}

#[test]
fn a_link_pin_that_is_deleted_while_no_daemon_lives() {
    let test = "a_link_pin_that_is_deleted_while_no_daemon_lives";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    daemon.kill().unwrap();
    for pin in link_pins(&daemon) {
        fs::remove_file(pin).unwrap();
    }
    // Nobody holds the links: the kernel forwards alone.
    until("XDP to be detached", || {
        Ok(programs(&lab).iter().all(Option::is_none))
    });
    thread::sleep(WHILE);
    daemon.start().unwrap();
    flow.run_for(WHILE);
    let report = flow.finish(&lab).unwrap();
    report.assert_hitless();
    assert!(report.by_kernel > 0, "{report}");
    assert_attached(&lab, &daemon.attachments().unwrap());
    assert_by_xdp(&lab, &daemon);
}

#[test]
fn a_map_pin_that_is_deleted() {
    let Some((lab, mut daemon)) = forwarding("a_map_pin_that_is_deleted", "") else {
        return;
    };
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        fs::remove_file(maps(daemon).join("INGRESS")).unwrap();
        daemon.kill().unwrap();
        thread::sleep(WHILE);
        daemon.start().unwrap();
    });
    assert_new_programs(&outcome);
    assert!(maps(&daemon).join("INGRESS").exists());
    assert_by_xdp(&lab, &daemon);
}

#[test]
fn maps_of_another_abi_are_left_behind() {
    let Some((lab, mut daemon)) = forwarding("maps_of_another_abi_are_left_behind", "") else {
        return;
    };
    let old = daemon.pins().join("abi-1");
    let before = KernelObjects::of(&daemon).unwrap();
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.kill().unwrap();
        fs::rename(maps(daemon), &old).unwrap();
        thread::sleep(WHILE);
        daemon.start().unwrap();
    });
    assert_new_programs(&outcome);
    assert!(!old.exists(), "the old maps are still pinned");
    let after = KernelObjects::of(&daemon).unwrap();
    assert!(before.maps.is_disjoint(&after.maps), "old maps are in use");
    until("the old maps and programs to be gone", || {
        let left = before.that_are_left()?;
        Ok(left.maps.is_empty() && left.programs.is_empty())
    });
    assert_by_xdp(&lab, &daemon);
}

#[test]
fn a_trunk_that_is_made_anew() {
    let Some((mut lab, daemon)) = forwarding("a_trunk_that_is_made_anew", "") else {
        return;
    };
    let before = daemon.attachments().unwrap();
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    lab.unplug(0).unwrap();
    thread::sleep(WHILE);
    lab.plug(0).unwrap();
    lab.address(0).unwrap();
    let back = Instant::now();
    until("XDP to be back", || {
        let attachments = daemon.attachments()?;
        Ok(attachments[0].link_id != before[0].link_id && attachments[0].prog_id.is_some())
    });
    flow.run_for(WHILE);
    let report = flow.finish(&lab).unwrap();
    report.assert_hitless_since(back);
    assert_attached(&lab, &daemon.attachments().unwrap());
    until("status to say that all is well", || {
        Ok(daemon.json(&["status"])?["state"] == "forwarding")
    });
    assert_by_xdp(&lab, &daemon);
    // And the new link outlives the daemon, too.
    assert!(daemon.attachments().unwrap().iter().all(|at| at.pinned));
}
