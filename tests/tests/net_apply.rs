//! Another configuration under traffic: networks that stay lose nothing, and
//! what was applied can be taken back, by hand, by the clock and through a crash.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use router_tests::{
    flow::Flow,
    lab::{self, Kind, Lab},
    router_daemon::RouterDaemon,
    wait,
};
use serde_json::Value;

/// For the daemon to do what a signal or the clock asks of it.
const LIMIT: Duration = Duration::from_secs(60);

fn networks(daemon: &RouterDaemon) -> Vec<String> {
    let shown = daemon.json(&["networks"]).unwrap();
    let name = |network: &Value| network["name"].as_str().unwrap_or_default().to_owned();
    shown.as_array().unwrap().iter().map(name).collect()
}

fn config_state(daemon: &RouterDaemon) -> Value {
    daemon.json(&["status"]).unwrap()["config_state"].clone()
}

fn wait_for_networks(daemon: &RouterDaemon, expected: &[&str]) {
    wait::until(&format!("networks {expected:?}"), LIMIT, || {
        Ok((networks(daemon) == expected).then_some(()))
    })
    .unwrap();
}

/// A third network comes, goes, and is changed, while the first two carry
/// numbered packets.
#[test]
fn networks_that_stay_lose_nothing() {
    let Some(lab) = Lab::or_skip("networks_that_stay_lose_nothing", 3) else {
        return;
    };
    let (two, three) = (lab.config(&[0, 1], ""), lab.config(&[0, 1, 2], ""));
    let renamed = three.replace("net2", "dmz");
    let mut daemon = RouterDaemon::configure(&lab, &three).unwrap();
    daemon.start().unwrap();
    let programs = || {
        let all = daemon.attachments().unwrap();
        let kept = if lab.kind() == Kind::Tagged { 1 } else { 2 };
        all[..kept]
            .iter()
            .map(|at| (at.prog_id, at.link_id))
            .collect::<Vec<_>>()
    };
    let attached = programs();
    let before = daemon.forwarded_by_xdp().unwrap();
    let flow = Flow::start(&lab, 0, 1).unwrap();
    flow.run_for(Duration::from_millis(300));
    for (text, expected) in [
        (&two, &["net0", "net1"][..]),
        (&three, &["net0", "net1", "net2"]),
        (&renamed, &["net0", "net1", "dmz"]),
        (&two, &["net0", "net1"]),
        (&three, &["net0", "net1", "net2"]),
    ] {
        daemon.write_config(text).unwrap();
        daemon.call(&["config", "apply"]).unwrap();
        assert_eq!(networks(&daemon), expected);
        flow.run_for(Duration::from_millis(200));
    }
    // One that fails half-way goes back, and loses nothing either: the kernel
    // refuses a source that is none of its addresses.
    let route = "[[route]]\nto = \"10.77.0.0/16\"\nvia = \"172.16.10.7\"\n";
    let half = format!("{three}\n{route}src = \"192.0.2.1\"\n").replace("net2", "dmz");
    // One that cannot succeed is refused before anything is done.
    let never = format!("{three}\n{route}").replace("net2", "dmz");
    lab.router()
        .ip("route add 10.77.0.0/16 via 172.16.10.8 metric 50")
        .unwrap();
    for (config, codes) in [(never, &["RC0308"][..]), (half, &["RC0121", "RC0307"])] {
        daemon.write_config(&config).unwrap();
        let refused = daemon.output(&["config", "apply"]).unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(codes.iter().all(|code| told.contains(code)), "{told}");
        assert_eq!(told.contains("RC0121"), codes.len() > 1, "{told}");
        assert_eq!(networks(&daemon), ["net0", "net1", "net2"]);
        // It is not in the way of the second.
        let _ = lab.router().ip("route del 10.77.0.0/16 metric 50");
    }
    flow.run_for(Duration::from_millis(300));
    assert_eq!(programs(), attached, "nothing was attached anew");
    let report = flow.finish(&lab).unwrap();
    let by_xdp = daemon.forwarded_by_xdp().unwrap() - before;
    report.assert_hitless();
    println!("{by_xdp} of {} by XDP", report.sent());
    assert!(
        by_xdp >= report.sent(),
        "the two networks stayed XDP's all along"
    );
    assert_eq!(config_state(&daemon)["last_apply_successful"], false);
    daemon.down().unwrap();
}

#[test]
fn sighup_applies_the_file() {
    let Some(lab) = Lab::or_skip("sighup_applies_the_file", 2) else {
        return;
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    daemon.write_config(&lab.config(&[0], "")).unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_for_networks(&daemon, &["net0"]);
    // A wrong file changes nothing, and is told.
    daemon.write_config("[[trunk]]\n").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    let note = wait::until("the failure to be told", LIMIT, || {
        let state = config_state(&daemon);
        Ok((state["last_apply_successful"] == false).then_some(state["note"].clone()))
    });
    let note = note.unwrap().to_string();
    assert!(note.contains("config apply"), "{note}");
    assert_eq!(networks(&daemon), ["net0"]);
    assert_eq!(daemon.json(&["status"]).unwrap()["state"], "forwarding");
    daemon.down().unwrap();
}

#[test]
fn what_nobody_confirms_goes_back() {
    let Some(lab) = Lab::or_skip("what_nobody_confirms_goes_back", 2) else {
        return;
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    let apply = |daemon: &RouterDaemon, seconds: &str| {
        daemon.write_config(&lab.config(&[0], "")).unwrap();
        daemon
            .call(&["config", "apply", "--confirm", seconds])
            .unwrap();
        assert_eq!(networks(daemon), ["net0"]);
    };
    // By the clock.
    apply(&daemon, "2");
    assert!(config_state(&daemon)["confirm_seconds"].as_u64().unwrap() <= 2);
    // Whoever applies it once more is told that it still has to be confirmed.
    let again = daemon
        .json(&["config", "apply", "--confirm", "99"])
        .unwrap();
    assert!(again["confirm_seconds"].as_u64().unwrap() <= 2, "{again}");
    wait_for_networks(&daemon, &["net0", "net1"]);
    assert_eq!(config_state(&daemon)["confirm_seconds"], Value::Null);
    let diff = daemon.call(&["config", "diff"]).unwrap();
    assert!(diff.contains("- network net1"), "{diff}");
    // By a crash, and still after the next restart.
    apply(&daemon, "600");
    daemon.kill().unwrap();
    daemon.start().unwrap();
    assert_eq!(networks(&daemon), ["net0", "net1"]);
    let note = config_state(&daemon)["note"]["message"].to_string();
    assert!(
        note.contains("not confirmed before the daemon restarted"),
        "{note}"
    );
    daemon.terminate().unwrap();
    daemon.start().unwrap();
    assert_eq!(networks(&daemon), ["net0", "net1"]);
    // Unless it is confirmed.
    apply(&daemon, "2");
    daemon.call(&["config", "confirm"]).unwrap();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(networks(&daemon), ["net0"]);
    let again = daemon.output(&["config", "confirm"]).unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("RC0123"));
    daemon.kill().unwrap();
    daemon.start().unwrap();
    assert_eq!(networks(&daemon), ["net0"]);
    // By hand.
    daemon.call(&["config", "rollback"]).unwrap();
    assert_eq!(networks(&daemon), ["net0", "net1"]);
    daemon.down().unwrap();
}

#[test]
fn a_rehearsal_does_nothing() {
    let Some(lab) = Lab::or_skip("a_rehearsal_does_nothing", 2) else {
        return;
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    let before = router_tests::footprint::Footprint::settled(lab.router()).unwrap();
    let text = lab
        .config(&[0, 1], "")
        .replace("172.16.11.1/24", "172.16.11.254/24");
    daemon.write_config(&text).unwrap();
    let steps = daemon.call(&["config", "apply", "--dry-run"]).unwrap();
    let interface = &lab.networks()[1].interface;
    for step in [
        "let the kernel alone forward for net1".to_owned(),
        format!("take 172.16.11.1/24 from {interface}"),
        format!("give 172.16.11.254/24 to {interface}"),
        "let XDP forward for net1".to_owned(),
    ] {
        assert!(steps.contains(&step), "{step} in\n{steps}");
    }
    assert_eq!(steps.lines().count(), 4, "{steps}");
    before.is_restored(lab.router()).unwrap();
    daemon.down().unwrap();
}

#[test]
fn routes_are_written_into_the_file() {
    let Some(lab) = Lab::or_skip("routes_are_written_into_the_file", 2) else {
        return;
    };
    let text = format!("# mine\n{}", lab.config(&[0, 1], ""));
    let mut daemon = RouterDaemon::configure(&lab, &text).unwrap();
    daemon.start().unwrap();
    let file = || std::fs::read_to_string(daemon.config()).unwrap();
    let route = |words: &str| lab.router().ip(&format!("route show {words}")).unwrap();
    let routes = |words: &str| {
        let words: Vec<&str> = ["routes"].into_iter().chain(words.split(' ')).collect();
        daemon.call(&words).unwrap()
    };
    routes("add --persist 10.77.0.0/16 via 172.16.10.7");
    assert!(
        file().starts_with("# mine\n") && file().contains("10.77.0.0/16"),
        "{}",
        file()
    );
    assert!(route("10.77.0.0/16").contains("via 172.16.10.7"));
    assert_eq!(daemon.call(&["config", "diff"]).unwrap(), "no changes\n");
    routes("replace --persist 10.77.0.0/16 via 172.16.11.7");
    assert!(route("10.77.0.0/16").contains("via 172.16.11.7"));
    assert_eq!(daemon.call(&["config", "diff"]).unwrap(), "no changes\n");
    // It is the file's now: what is taken out there goes.
    let kept = file();
    daemon.write_config(&text).unwrap();
    daemon.call(&["config", "apply"]).unwrap();
    assert_eq!(route("10.77.0.0/16"), "");
    daemon.write_config(&kept).unwrap();
    daemon.call(&["config", "apply"]).unwrap();
    routes("del --persist 10.77.0.0/16");
    assert_eq!(route("10.77.0.0/16"), "");
    assert!(!file().contains("10.77.0.0/16"), "{}", file());
    assert_eq!(daemon.json(&["status"]).unwrap()["state"], "forwarding");
    // A refusal leaves the file as it is.
    let before = file();
    let refused = daemon.output(&[
        "routes",
        "add",
        "--persist",
        "10.78.0.0/16",
        "via",
        "10.55.0.1",
    ]);
    assert!(!refused.unwrap().status.success());
    assert_eq!(file(), before);
    daemon.down().unwrap();
}

/// Each route waited for the disk twice, and lease and watchdog for all of them.
#[test]
fn thousands_of_routes_come_and_go_in_a_moment() {
    const ROUTES: usize = 2000;
    let Some(lab) = Lab::or_skip("thousands_of_routes_come_and_go_in_a_moment", 2) else {
        return;
    };
    let few = lab.config(&[0, 1], "");
    let mut many = few.clone();
    for number in 0..ROUTES {
        let (high, low) = (number / 250, number % 250);
        many += &format!(
            "[[route]]\nto = \"10.{high}.{low}.0/24\"\nvia = \"{}\"\n",
            lab.networks()[0].host4
        );
    }
    let mut daemon = RouterDaemon::configure(&lab, &few).unwrap();
    daemon.start().unwrap();
    let apply = |daemon: &RouterDaemon, text: &str, routes: usize| {
        daemon.write_config(text).unwrap();
        let begun = Instant::now();
        daemon.call(&["config", "apply"]).unwrap();
        let took = begun.elapsed();
        let there = lab.router().ip("route show proto 117").unwrap();
        assert_eq!(there.lines().count(), routes);
        took
    };
    // Without a change: what the command itself takes.
    let nothing = apply(&daemon, &few, 0);
    let added = apply(&daemon, &many, ROUTES);
    let kept = apply(&daemon, &many, ROUTES);
    let removed = apply(&daemon, &few, 0);
    apply(&daemon, &many, ROUTES);
    let begun = Instant::now();
    daemon.down().unwrap();
    let down = begun.elapsed();
    println!(
        "{ROUTES} routes: {added:?} to add, {kept:?} to leave, {removed:?} to remove, \
         {down:?} for down; {nothing:?} for nothing"
    );
    // What is cached may be used for 5 s without a sign of life. A wait for the
    // disk for each of them took that long.
    if !lab::slow() {
        for took in [added, kept, removed, down] {
            assert!(took < Duration::from_secs(3), "{took:?}");
        }
    }
}

/// As with `ip route del`: the one that the kernel would choose, and never one of
/// somebody else's.
#[test]
fn a_route_without_metric_is_the_first_of_ours() {
    let Some(lab) = Lab::or_skip("a_route_without_metric_is_the_first_of_ours", 2) else {
        return;
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    let [via4, via6] = [
        lab.networks()[0].host4.to_string(),
        lab.networks()[0].host6.to_string(),
    ];
    for (family, dst, via) in [("-4", "10.77.0.0/16", via4), ("-6", "fd77::/64", via6)] {
        let metrics = || -> Vec<u32> {
            let shown = lab.router().ip(&format!("{family} route show {dst}"));
            let shown = shown.unwrap();
            let mut metrics: Vec<u32> = shown
                .lines()
                .filter_map(|line| {
                    line.split(" metric ")
                        .nth(1)?
                        .split(' ')
                        .next()?
                        .parse()
                        .ok()
                })
                .collect();
            metrics.sort_unstable();
            metrics
        };
        // Somebody else's would be the kernel's choice.
        lab.router()
            .ip(&format!("{family} route add {dst} via {via} metric 7"))
            .unwrap();
        for metric in ["70", "20", "300"] {
            let words = ["routes", "add", dst, "via", &via, "metric", metric];
            daemon.call(&words).unwrap();
        }
        for left in [&[7, 70, 300][..], &[7, 300], &[7]] {
            daemon.call(&["routes", "del", dst]).unwrap();
            assert_eq!(metrics(), left, "{dst}");
        }
        let output = daemon.output(&["routes", "del", dst]).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(metrics(), [7], "{dst}");
    }
}
