//! A configuration that changes under traffic: networks that stay lose nothing,
//! whatever comes, goes or fails beside them. Some of it may take the kernel's
//! path while maps of another size take the place of those in use; afterwards
//! XDP forwards all of it.

use std::thread;

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};
use router_tests::{
    flow::Flow,
    hitless::{WHILE, assert_attached, assert_by_xdp, until},
    kernel_objects::KernelObjects,
    lab::{Kind, Lab},
    router_daemon::{Attachment, RouterDaemon},
};

/// Networks 0 and 1 are configured; 2 is on the wire only.
fn forwarding(test: &str) -> Option<(Lab, RouterDaemon)> {
    let lab = Lab::or_skip(test, 3)?;
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    Some((lab, daemon))
}

/// Does something while traffic flows between the networks that stay.
fn beside_traffic(lab: &Lab, daemon: &mut RouterDaemon, action: impl FnOnce(&mut RouterDaemon)) {
    let staying = |attachments: Vec<Attachment>| -> Vec<_> {
        let trunks = [&lab.networks()[0].trunk, &lab.networks()[1].trunk];
        let stays = |attachment: &Attachment| trunks.contains(&&attachment.interface);
        let links = attachments.into_iter().filter(stays);
        links.map(|attachment| attachment.link_id).collect()
    };
    let before = staying(daemon.attachments().unwrap());
    let flow = Flow::start(lab, 0, 1).unwrap();
    flow.run_for(WHILE);
    action(daemon);
    flow.run_for(WHILE);
    let report = flow.finish(lab).unwrap();
    report.assert_hitless();
    until("the daemon to be done", || {
        Ok(daemon.json(&["status"])?["state"] == "forwarding")
    });
    let attachments = daemon.attachments().unwrap();
    assert_attached(lab, &attachments);
    assert_eq!(staying(attachments), before, "links of networks that stay");
    assert_by_xdp(lab, daemon);
}

/// The names of the networks that the daemon has, all of them up.
fn networks(daemon: &RouterDaemon) -> anyhow::Result<Vec<String>> {
    let networks = daemon.json(&["networks"])?;
    let networks = networks.as_array().cloned().unwrap_or_default();
    let up = networks.iter().filter(|network| network["state"] == "up");
    Ok(up
        .filter_map(|network| network["name"].as_str().map(str::to_owned))
        .collect())
}

fn until_networks(daemon: &RouterDaemon, wanted: &[&str]) {
    until("the networks to be as configured", || {
        Ok(networks(daemon)? == wanted)
    });
}

/// Packets go both ways between two networks.
fn assert_connected(lab: &Lab, one: usize, other: usize) {
    let flow = Flow::start(lab, one, other).unwrap();
    flow.run_for(WHILE);
    flow.finish(lab).unwrap().assert_hitless();
}

#[test]
fn a_network_that_comes_and_goes_by_apply() {
    let Some((lab, mut daemon)) = forwarding("a_network_that_comes_and_goes_by_apply") else {
        return;
    };
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.write_config(&lab.config(&[0, 1, 2], "")).unwrap();
        daemon.call(&["config", "apply"]).unwrap();
        until_networks(daemon, &["net0", "net1", "net2"]);
    });
    assert_connected(&lab, 2, 0);
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.write_config(&lab.config(&[0, 1], "")).unwrap();
        daemon.call(&["config", "apply"]).unwrap();
        until_networks(daemon, &["net0", "net1"]);
    });
    // What was made for it is gone.
    let gateway = lab.networks()[2].gateway4.to_string();
    let addresses = lab.router().ip("address show").unwrap();
    assert!(!addresses.contains(&gateway), "{addresses}");
}

#[test]
fn a_network_that_comes_by_reload() {
    let Some((lab, mut daemon)) = forwarding("a_network_that_comes_by_reload") else {
        return;
    };
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.write_config(&lab.config(&[0, 1, 2], "")).unwrap();
        daemon.signal(Signal::SIGHUP).unwrap();
        until_networks(daemon, &["net0", "net1", "net2"]);
    });
    assert_connected(&lab, 1, 2);
}

#[test]
fn a_configuration_that_is_refused_changes_nothing() {
    let test = "a_configuration_that_is_refused_changes_nothing";
    let Some((lab, mut daemon)) = forwarding(test) else {
        return;
    };
    // Sound as a file, but not on this host: found when half is done.
    let impossible = lab.config(&[0, 1, 2], "")
        + "\n[[trunk]]\ninterface = \"absent0\"\n\
           \n[[network]]\nname = \"absent\"\ntrunk = \"absent0\"\ngateway = \"10.99.0.1/24\"\n";
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.write_config(&impossible).unwrap();
        let output = daemon.output(&["config", "apply"]).unwrap();
        assert!(!output.status.success(), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("absent0"), "{words}");
    });
    until_networks(&daemon, &["net0", "net1"]);
    let gateway = lab.networks()[2].gateway4.to_string();
    let addresses = lab.router().ip("address show").unwrap();
    assert!(!addresses.contains(&gateway), "{addresses}");
}

#[test]
fn a_change_that_nobody_confirms_goes_back() {
    let Some((lab, mut daemon)) = forwarding("a_change_that_nobody_confirms_goes_back") else {
        return;
    };
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.write_config(&lab.config(&[0, 1, 2], "")).unwrap();
        daemon.call(&["config", "apply", "--confirm", "3"]).unwrap();
        until_networks(daemon, &["net0", "net1", "net2"]);
        until_networks(daemon, &["net0", "net1"]);
    });
}

#[test]
fn a_file_that_changed_while_no_daemon_lived() {
    let Some((lab, mut daemon)) = forwarding("a_file_that_changed_while_no_daemon_lived") else {
        return;
    };
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.kill().unwrap();
        daemon.write_config(&lab.config(&[0, 1, 2], "")).unwrap();
        thread::sleep(WHILE);
        daemon.start().unwrap();
        until_networks(daemon, &["net0", "net1", "net2"]);
    });
    assert_connected(&lab, 2, 1);
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.terminate().unwrap();
        daemon.write_config(&lab.config(&[0, 1], "")).unwrap();
        daemon.start().unwrap();
        until_networks(daemon, &["net0", "net1"]);
    });
}

/// The maps of before were let go of first: with no others to be had, nothing
/// renewed their lease, and there was no way back.
#[test]
fn maps_that_cannot_grow_leave_those_that_there_are() {
    let test = "maps_that_cannot_grow_leave_those_that_there_are";
    let Some((lab, mut daemon)) = forwarding(test) else {
        return;
    };
    // More than there is room for: trunks, or networks where one trunk has all.
    let mut more = lab.config(&[0, 1, 2], "");
    if lab.kind() == Kind::Tagged {
        let trunk = &lab.trunks()[0];
        for vlan in 301..=316 {
            more +=
                &format!("[[network]]\nname = \"v{vlan}\"\ntrunk = \"{trunk}\"\nvlan = {vlan}\n");
        }
    }
    let before = KernelObjects::of(&daemon).unwrap();
    // Where the new maps would be made, nothing can be.
    let version = router_common::abi::ABI_VERSION;
    let blocked = daemon.pins().join(format!("abi-{version}-new"));
    std::fs::create_dir(&blocked).unwrap();
    mount(
        Some("bpf"),
        &blocked,
        Some("bpf"),
        MsFlags::empty(),
        Some("mode=0700"),
    )
    .unwrap();
    daemon.write_config(&more).unwrap();
    beside_traffic(&lab, &mut daemon, |daemon| {
        let output = daemon.output(&["config", "apply"]).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("the one before is in force"), "{told}");
        until_networks(daemon, &["net0", "net1"]);
    });
    let after = KernelObjects::of(&daemon).unwrap();
    assert_eq!(before.maps, after.maps, "the maps are those of before");
    assert_eq!(before.programs, after.programs);
    assert!(daemon.attachments().unwrap().iter().all(|at| at.pinned));
    umount2(&blocked, MntFlags::empty()).unwrap();
    beside_traffic(&lab, &mut daemon, |daemon| {
        daemon.call(&["config", "apply"]).unwrap();
    });
    let after = KernelObjects::of(&daemon).unwrap();
    assert!(
        before.maps.is_disjoint(&after.maps),
        "there is more room now"
    );
    assert_connected(&lab, 2, 0);
}
