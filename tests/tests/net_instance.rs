//! One daemon an instance, and what `down` does where something is in its way:
//! a lock that was removed, a journal that is lost, a pin that cannot go.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use router_tests::{
    footprint::Footprint,
    hitless::{assert_by_xdp, forwarding, programs, until},
    kernel_objects::KernelObjects,
    lab::Lab,
    pass::PassProgram,
    router_daemon::RouterDaemon,
};

fn journal(daemon: &RouterDaemon) -> PathBuf {
    Path::new("/var/lib/router-ctl").join(format!("{}.journal", daemon.instance()))
}

fn lock(daemon: &RouterDaemon) -> PathBuf {
    Path::new("/run/router-ctl").join(format!("{}.lock", daemon.instance()))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two daemons would have fought over maps and journal.
#[test]
fn a_lock_that_is_removed_lets_no_second_daemon_in() {
    let test = "a_lock_that_is_removed_lets_no_second_daemon_in";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let second = || {
        let (config, bpffs) = (daemon.config(), daemon.bpffs());
        let [config, bpffs] = [&config, &bpffs].map(|path| path.to_str().unwrap());
        daemon
            .output(&["run", "--config", config, "--bpffs", bpffs])
            .unwrap()
    };
    for removed in [false, true] {
        if removed {
            fs::remove_file(lock(&daemon)).unwrap();
        }
        let output = second();
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains("RC0203"), "{}", told(&output));
        // The first one still has its socket.
        assert_eq!(daemon.json(&["status"]).unwrap()["state"], "forwarding");
    }
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
    for path in [lock(&daemon), journal(&daemon)] {
        assert!(!path.exists(), "{} is left", path.display());
    }
}

/// Nobody could have asked the daemon for anything any more.
#[test]
fn a_socket_that_is_removed_comes_back() {
    let Some((_lab, mut daemon)) = forwarding("a_socket_that_is_removed_comes_back", "") else {
        return;
    };
    let socket = lock(&daemon).with_extension("sock");
    fs::remove_file(&socket).unwrap();
    until("the socket to come back", || Ok(socket.exists()));
    daemon.down().unwrap();
    assert!(!socket.exists());
}

/// What is not in the journal when the daemon dies is never put back.
#[test]
fn a_journal_that_is_emptied_is_whole_again_before_the_daemon_dies() {
    let test = "a_journal_that_is_emptied_is_whole_again_before_the_daemon_dies";
    let Some(lab) = Lab::or_skip(test, 2) else {
        return;
    };
    let untouched = Footprint::settled(lab.router()).unwrap();
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    let whole = fs::read(journal(&daemon)).unwrap();
    fs::write(journal(&daemon), "").unwrap();
    let config = journal(&daemon).with_extension("config.json");
    fs::remove_file(&config).unwrap();
    until("the journal to be written anew", || {
        Ok(config.exists() && fs::read(journal(&daemon))?.len() >= whole.len() / 2)
    });
    daemon.kill().unwrap();
    daemon.down().unwrap();
    untouched.is_restored(lab.router()).unwrap();
}

#[test]
fn down_without_a_journal_detaches_xdp() {
    let Some((lab, mut daemon)) = forwarding("down_without_a_journal_detaches_xdp", "") else {
        return;
    };
    let objects = KernelObjects::of(&daemon).unwrap();
    assert!(!objects.links.is_empty() && !objects.maps.is_empty());
    daemon.kill().unwrap();
    fs::remove_file(journal(&daemon)).unwrap();
    let bpffs = daemon.bpffs();
    let down = || {
        daemon
            .output(&["down", "--bpffs", bpffs.to_str().unwrap()])
            .unwrap()
    };
    let output = down();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let said = told(&output);
    let trunk = &lab.trunks()[0];
    for word in [
        "RC0506",
        "proto 117",
        &format!("ip link set {trunk} promisc off"),
    ] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(
        programs(&lab).iter().all(Option::is_none),
        "XDP is attached"
    );
    // Maps go a moment after their last user.
    until("maps, links and programs to go", || {
        Ok(objects.that_are_left()? == KernelObjects::default())
    });
    assert!(!daemon.pins().exists());
    // There is nothing more to be done.
    let output = down();
    assert!(output.status.success(), "{}", told(&output));
}

/// `status` named a command that could not mend it, and an apply of something
/// else was undone half-way.
#[test]
fn a_program_in_the_place_of_ours_is_told_before_anything_is_done() {
    let test = "a_program_in_the_place_of_ours_is_told_before_anything_is_done";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let trunk = lab.trunks()[0].clone();
    let link = daemon.attachments().unwrap()[0].link_id.unwrap();
    let detached = Command::new("bpftool")
        .args(["link", "detach", "id", &link.to_string()])
        .status()
        .unwrap();
    assert!(detached.success());
    let other = PassProgram::attach(lab.router(), &trunk).unwrap();
    let (program, _) = other.ids().unwrap();
    let told_of = format!("another XDP program is attached to {trunk} in place of ours");
    until("the status to tell", || {
        let problems = daemon.json(&["status"])?["problems"].to_string();
        Ok(problems.contains(&told_of) && problems.contains(&format!("id {program}")))
    });
    daemon
        .write_config(&lab.config(&[0, 1], "direct_lease = 50"))
        .unwrap();
    let output = daemon.output(&["config", "apply"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("RC0404"), "{}", told(&output));
    // Gone again: the command that `status` names mends it.
    drop(other);
    daemon.call(&["config", "apply"]).unwrap();
    until("our program to be back", || {
        Ok(daemon.json(&["status"])?["state"] == "forwarding")
    });
    daemon.down().unwrap();
}

/// The daemon ended with 1, and systemd started it again: everything was set up
/// anew.
#[test]
fn a_down_that_fails_half_way_is_not_undone_by_a_restart() {
    let test = "a_down_that_fails_half_way_is_not_undone_by_a_restart";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    // What is mounted there cannot be removed.
    let stuck = daemon.pins().join("stuck");
    fs::create_dir(&stuck).unwrap();
    mount(
        Some("bpf"),
        &stuck,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    let output = daemon.output(&["down"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("RC0502"), "{}", told(&output));
    let status = daemon.wait_ended().unwrap();
    assert_eq!(status.code(), Some(6), "the unit restarts it for any other");
    let unit =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../router-ctl/systemd/router-ctl@.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(
        unit.lines()
            .any(|line| line == "RestartPreventExitStatus=6")
    );
    // What could be undone is; what could not is still in the journal.
    assert!(
        programs(&lab).iter().all(Option::is_none),
        "XDP is attached"
    );
    assert!(journal(&daemon).exists());
    umount2(&stuck, MntFlags::empty()).unwrap();
    daemon.down().unwrap();
    assert!(!daemon.pins().exists() && !journal(&daemon).exists());
}

/// It had undone what its file does not name, and left it so.
#[test]
fn what_a_start_that_fails_has_retired_is_put_back() {
    let test = "what_a_start_that_fails_has_retired_is_put_back";
    let Some(lab) = Lab::or_skip(test, 2) else {
        return;
    };
    let untouched = Footprint::settled(lab.router()).unwrap();
    let both = lab.config(&[0, 1], "");
    let mut daemon = RouterDaemon::configure(&lab, &both).unwrap();
    daemon.start().unwrap();
    daemon.kill().unwrap();
    let networks = lab.networks();
    // Somebody else's, where a route of the next file would be.
    lab.router()
        .ip(&format!(
            "route add 10.77.0.0/16 via {} metric 50 proto static",
            networks[0].host4
        ))
        .unwrap();
    let before = Footprint::settled(lab.router()).unwrap();
    let fewer = format!(
        "{}[[route]]\nto = \"10.77.0.0/16\"\nvia = \"{}\"\n",
        lab.config(&[0], ""),
        networks[0].host4
    );
    daemon.write_config(&fewer).unwrap();
    daemon.spawn().unwrap();
    let status = daemon.wait_ended().unwrap();
    assert_eq!(status.code(), Some(1), "{}", daemon.log_text());
    let log = daemon.log_text();
    assert!(log.contains("no longer configured: undoing"), "{log}");
    before.is_restored(lab.router()).unwrap();
    // And it is still in the journal.
    lab.router().ip("route del 10.77.0.0/16").unwrap();
    daemon.down().unwrap();
    untouched.is_restored(lab.router()).unwrap();
}
