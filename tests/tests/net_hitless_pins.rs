//! What may happen to the state that outlives the daemon: pins that are deleted,
//! maps of another ABI, a trunk that is made anew.

use std::{fs, path::PathBuf, process::Command, thread, time::Instant};

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

/// It was found at the next start, which then refused (RC0406).
#[test]
fn another_object_in_the_place_of_a_pin_is_told_at_once() {
    let test = "another_object_in_the_place_of_a_pin_is_told_at_once";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let links = link_pins(&daemon);
    let other = links[1].with_file_name("other");
    let instead = |kind: &str, words: &[&str]| {
        let mut command = Command::new("bpftool");
        command.args([kind]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let path = other.to_str().unwrap();
    let link_id = daemon.attachments().unwrap()[1]
        .link_id
        .unwrap()
        .to_string();
    let problems = |daemon: &RouterDaemon| {
        let status = daemon.json(&["status"])?;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        Ok(problems)
    };
    for (pin, kind) in [
        (maps(&daemon).join("INGRESS"), "map"),
        (links[0].clone(), "link"),
    ] {
        match kind {
            "map" => instead(
                "map",
                &[
                    "create", path, "type", "array", "key", "4", "value", "4", "entries", "1",
                    "name", "other",
                ],
            ),
            _ => instead("link", &["pin", "id", &link_id, path]),
        }
        // In one step: what is missing for a moment is pinned again.
        fs::rename(&other, &pin).unwrap();
        let place = pin.to_str().unwrap().to_owned();
        until("status to tell of it", || {
            let problems: anyhow::Result<Vec<serde_json::Value>> = problems(&daemon);
            Ok(problems?.iter().any(|problem| {
                let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
                text("message").contains(&place) && text("help").contains(&format!("rm {place}"))
            }))
        });
        assert_eq!(
            daemon.json(&["status"]).unwrap()["state"],
            "degraded",
            "{kind}"
        );
        assert_by_xdp(&lab, &daemon);
        // As it says.
        fs::remove_file(&pin).unwrap();
        until("status to say that all is well", || {
            Ok(daemon.json(&["status"])?["state"] == "forwarding" && pin.exists())
        });
    }
    // What is pinned now is what is used: the next one takes it over.
    let outcome = hitless(&lab, &mut daemon, |daemon| {
        daemon.kill().unwrap();
        thread::sleep(WHILE);
        daemon.start().unwrap();
    });
    assert_new_programs(&outcome);
}
