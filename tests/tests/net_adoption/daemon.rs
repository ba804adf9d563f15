//! The daemon: programs of others on its trunks, mounts that nobody else sees,
//! what is removed under it, and its numbers.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use router_tests::{
    hitless::{assert_by_xdp, forwarding, until},
    kernel_objects::{KernelObjects, xdp_on},
    lab::Lab,
    netns,
    pass::PassProgram,
    router_daemon::{self, RouterDaemon},
};

/// For what is looked at each second, with time to ask for it.
const SOON: Duration = Duration::from_secs(3);

/// A daemon that does not run yet.
fn configured(test: &str) -> Option<(Lab, RouterDaemon)> {
    let lab = Lab::or_skip(test, 2)?;
    let daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    Some((lab, daemon))
}

/// What it says when it does not come up.
fn refusal(daemon: &mut RouterDaemon) -> String {
    daemon.spawn().unwrap();
    let status = daemon.wait_ended().unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
    daemon.log_text()
}

fn problems(daemon: &RouterDaemon) -> Result<Vec<(String, String)>> {
    let status = daemon.json(&["status"])?;
    let word = |problem: &serde_json::Value, key: &str| {
        problem[key].as_str().unwrap_or_default().to_owned()
    };
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    Ok(problems
        .iter()
        .map(|problem| (word(problem, "message"), word(problem, "help")))
        .collect())
}

/// Held by a bpf_link: named with the command that detaches it, never detached
/// unasked, and detached when asked.
#[test]
fn a_program_that_a_link_holds() {
    let Some((lab, mut daemon)) = configured("a_program_that_a_link_holds") else {
        return;
    };
    let trunk = lab.trunks().remove(0);
    let theirs = PassProgram::attach(lab.router(), &trunk).unwrap();
    let (program, link) = theirs.ids().unwrap();
    let said = refusal(&mut daemon);
    assert!(said.contains("error[RC0404]"), "{said}");
    assert!(said.contains(&format!("pass, id {program}")), "{said}");
    let command = format!("bpftool link detach id {link}");
    assert!(said.contains(&command), "{said}");
    let present = || xdp_on(lab.router(), &trunk).unwrap();
    assert_eq!(present(), Some(program.into()), "left alone");

    daemon.options(["--takeover"]);
    daemon.start().unwrap();
    let ours = daemon.attachments().unwrap().remove(0);
    assert_eq!(present(), ours.prog_id);
    assert_ne!(present(), Some(program.into()));
    let log = daemon.log_text();
    assert!(
        log.contains(&format!("--takeover: detaching pass, id {program}")),
        "{log}"
    );
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
    assert_eq!(present(), None);
}

/// Attached over netlink, where `bpftool link detach` knows nothing of it. The
/// command that is named is run, and works.
#[test]
fn a_program_that_no_link_holds() {
    let Some((lab, mut daemon)) = configured("a_program_that_no_link_holds") else {
        return;
    };
    let trunk = lab.trunks().remove(0);
    let present = || xdp_on(lab.router(), &trunk).unwrap();
    lab.router()
        .ip("link add spare type veth peer name other")
        .unwrap();
    let theirs = PassProgram::attach(lab.router(), "spare").unwrap();
    let (program, _) = theirs.ids().unwrap();
    for mode in ["xdpdrv", "xdpgeneric"] {
        let attach = || {
            let id = program.to_string();
            let mut command = lab.router().command("bpftool");
            command.args(["net", "attach", mode, "id", &id, "dev", &trunk]);
            netns::run(&mut command).unwrap();
        };
        // One of a link is found by its program, so this one must be another's.
        attach();
        assert_eq!(present(), Some(program.into()), "{mode}");
        let said = refusal(&mut daemon);
        assert!(said.contains(&format!("pass, id {program}")), "{said}");
        assert_eq!(present(), Some(program.into()), "{mode}: left alone");
        let words = format!("link set {trunk} {mode} off");
        assert!(said.contains(&format!("ip {words}")), "{said}");
        lab.router().ip(&words).unwrap();
        assert_eq!(present(), None, "{mode}: the command that is named");
        attach();
        daemon.options(["--takeover"]);
        daemon.start().unwrap();
        assert_eq!(present(), daemon.attachments().unwrap()[0].prog_id);
        daemon.down().unwrap();
        daemon.options([] as [&str; 0]);
    }
}

/// `ip netns exec` and the like: a bpffs that ends with the shell would take the
/// pins along.
#[test]
fn a_bpffs_that_nobody_else_sees_is_refused() {
    let Some((lab, daemon)) = configured("a_bpffs_that_nobody_else_sees_is_refused") else {
        return;
    };
    let program = router_daemon::program().unwrap();
    let config = daemon.config();
    // If it is not refused, it would run for ever.
    let run = format!(
        "exec timeout 60 {} --instance {} --color never run --config {}",
        program.display(),
        daemon.instance(),
        config.display()
    );
    let in_netns_exec = || {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", lab.router().name()]);
        command
    };
    let in_own_mounts = || {
        let mut command = lab.router().command("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    let cases: [(Command, &str); 2] = [
        // There the daemon mounts one.
        (in_netns_exec(), ""),
        (in_own_mounts(), "mount -t bpf bpf /sys/fs/bpf && "),
    ];
    for (mut command, first) in cases {
        let output = command
            .args(["sh", "-c", &format!("{first}{run}")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("error[RC0401]"), "{said}");
        assert!(said.contains("nsenter --net=/run/netns/NAME"), "{said}");
        for trunk in lab.trunks() {
            assert_eq!(xdp_on(lab.router(), &trunk).unwrap(), None);
        }
    }
}

/// Nobody announces it: the daemon looks.
#[test]
fn a_program_that_somebody_detached_is_a_problem_at_once() {
    let test = "a_program_that_somebody_detached_is_a_problem_at_once";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let ours = daemon.attachments().unwrap().remove(0);
    let id = ours.link_id.unwrap().to_string();
    netns::run(Command::new("bpftool").args(["link", "detach", "id", &id])).unwrap();
    let detached = Instant::now();
    let mend = format!("router-ctl --instance {} config apply", daemon.instance());
    until("the problem to be said", || {
        let said = problems(&daemon)?;
        Ok(said
            .iter()
            .any(|(message, help)| message.contains("is not attached to") && help.contains(&mend)))
    });
    println!("said after {:?}", detached.elapsed());
    assert!(router_tests::lab::slow() || detached.elapsed() < SOON);
    // The command mends it.
    daemon.call(&["config", "apply"]).unwrap();
    until("nothing to be wrong", || Ok(problems(&daemon)?.is_empty()));
    assert_eq!(problems(&daemon).unwrap(), []);
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
}

/// Names keep their numbers over a restart with another order in the file, so
/// that counters go on and no frame meets another network's row.
#[test]
fn numbers_and_counters_outlive_a_file_in_another_order() {
    let test = "numbers_and_counters_outlive_a_file_in_another_order";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    assert_by_xdp(&lab, &daemon);
    let links = |daemon: &RouterDaemon| -> Vec<_> {
        let mut links: Vec<_> = daemon
            .attachments()
            .unwrap()
            .into_iter()
            .map(|attachment| (attachment.interface, attachment.link_id))
            .collect();
        links.sort();
        links
    };
    let pairs = |daemon: &RouterDaemon| {
        let stats = daemon.json(&["stats"]).unwrap();
        let mut pairs: Vec<_> = stats["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let word = |key: &str| pair[key].as_str().unwrap().to_owned();
                (word("from"), word("to"), pair["packets"].as_u64().unwrap())
            })
            .collect();
        pairs.sort();
        pairs
    };
    let (linked, counted) = (links(&daemon), pairs(&daemon));
    assert_eq!(counted.len(), 2, "{counted:?}");
    daemon.kill().unwrap();
    daemon.write_config(&lab.config(&[1, 0], "")).unwrap();
    daemon.start().unwrap();
    assert_eq!(links(&daemon), linked);
    for (before, after) in counted.iter().zip(pairs(&daemon)) {
        assert_eq!((&before.0, &before.1), (&after.0, &after.1));
        assert!(after.2 >= before.2, "{before:?} {after:?}");
    }
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
}

/// Without the daemon, from the journal alone, after it was killed.
#[test]
fn down_leaves_nothing_of_a_dead_daemon() {
    let Some((lab, mut daemon)) = forwarding("down_leaves_nothing_of_a_dead_daemon", "") else {
        return;
    };
    let objects = KernelObjects::of(&daemon).unwrap();
    assert!(!objects.links.is_empty() && !objects.programs.is_empty());
    daemon.kill().unwrap();
    let left = objects.that_are_left().unwrap();
    assert_eq!(left.links, objects.links, "they outlive it");
    daemon.down().unwrap();
    for trunk in lab.trunks() {
        assert_eq!(xdp_on(lab.router(), &trunk).unwrap(), None);
    }
    until("everything to be gone", || {
        Ok(objects.that_are_left()? == KernelObjects::default())
    });
    assert!(!daemon.pins().exists());
    assert!(!daemon.bpffs().join("router-ctl").exists());
}
