//! What the listings look like, for people and for scripts.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use router_ctl::api::model::{RouteVerb, State};
use serde_json::Value;

use crate::{said, twin::Daemon};

fn text(daemon: &Daemon, words: &str) -> String {
    let output = daemon.command(words).output().unwrap();
    let (stdout, stderr) = said(&output);
    assert_eq!(stderr, "", "{words}");
    stdout
}

#[test]
fn for_people() {
    let daemon = Daemon::start();
    let mut all = String::new();
    for words in [
        "",
        "-v status",
        "-o status",
        "networks",
        "-v -4 networks",
        "-o networks",
        "networks wan",
        "net show dev mac20",
        "routes",
        "-6 routes",
        "-q routes",
        "-o routes",
        "routes list dev mac10 proto router-ctl",
        "-4 r ls default",
        "routes get 10.9.0.1",
        "routes get 10.9.0.1 from 172.16.20.10",
        "neigh",
        "-6 nb",
        "neigh show dev mac10 nud failed",
        "-o neigh",
        "stats",
        "-o stats",
    ] {
        let prompt = format!("$ router-ctl {words}");
        all += &format!("{}\n{}\n", prompt.trim_end(), text(&daemon, words));
    }
    assert!(!all.contains('\x1b'), "no colour in a pipe");
    assert!(
        all.lines().all(|line| line == line.trim_end()),
        "no spaces at the ends of lines"
    );
    insta::assert_snapshot!(all);
}

#[test]
fn for_scripts() {
    let daemon = Daemon::start();
    let mut all = String::new();
    for words in [
        "status",
        "networks",
        "routes",
        "routes get 10.9.0.1",
        "neigh dev mac10 nud reachable",
        "stats",
    ] {
        let text = text(&daemon, &format!("-jp {words}"));
        all += &format!("$ router-ctl -jp {words}\n{text}\n");
    }
    insta::assert_snapshot!(all);
    // One document, one line, unless it is asked for otherwise.
    assert_eq!(text(&daemon, "-j stats").lines().count(), 1);
    assert!(text(&daemon, "-jp stats").lines().count() > 1);
}

#[test]
fn degraded_is_5_and_says_why() {
    let daemon = Daemon::start();
    assert_eq!(
        daemon.command("status").output().unwrap().status.code(),
        Some(0)
    );
    daemon.set(State::Degraded);
    let output = daemon.command("status").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let (stdout, _) = said(&output);
    let last = "Problem   IPv4 forwarding is off  help: sysctl -w net.ipv4.ip_forward=1\n\
                Warning   netfilter drops what it forwards  help: nft list chain ip filter FORWARD\n";
    assert!(stdout.ends_with(last), "{stdout}");
    daemon.set(State::Starting);
    assert_eq!(
        daemon.command("status").output().unwrap().status.code(),
        Some(5)
    );
}

#[test]
fn waiting_ends_when_it_forwards() {
    let daemon = Daemon::start();
    daemon.set(State::Starting);
    assert_eq!(
        daemon
            .command("status --wait 0.2")
            .output()
            .unwrap()
            .status
            .code(),
        Some(5)
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            daemon.set(State::Forwarding);
        });
        assert_eq!(
            daemon
                .command("status --wait 20")
                .output()
                .unwrap()
                .status
                .code(),
            Some(0)
        );
    });
}

#[test]
fn routes_are_changed_in_the_words_of_iproute2() {
    let daemon = Daemon::start();
    assert_eq!(
        text(
            &daemon,
            "routes add 10.9.0.0/16 via 172.16.10.9 dev mac10 metric 5"
        ),
        "added: 10.9.0.0/16\n"
    );
    assert_eq!(
        text(&daemon, "r replace default via fd00:10::9 src fd00:10::1"),
        "set: ::/0\n"
    );
    assert_eq!(text(&daemon, "-6 -q route delete default"), "");
    let changes = daemon.twin.changes.lock().unwrap();
    let [add, replace, del] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(add.verb, RouteVerb::Add);
    assert_eq!(add.via, Some("172.16.10.9".parse().unwrap()));
    assert_eq!(
        (add.network.as_deref(), add.metric),
        (Some("mac10"), Some(5))
    );
    assert_eq!(
        (replace.verb, replace.dst),
        (RouteVerb::Replace, "::/0".parse().unwrap())
    );
    assert_eq!(
        (del.verb, del.dst, del.via),
        (RouteVerb::Del, "::/0".parse().unwrap(), None)
    );
}

#[test]
fn flush_deletes_what_was_added_here_and_nothing_else() {
    let daemon = Daemon::start();
    assert_eq!(
        text(&daemon, "routes flush dev mac20"),
        "nothing to delete\n"
    );
    // That of `proto static` is not ours, and that of 10.9 is configured.
    assert_eq!(text(&daemon, "routes flush"), "deleted: 1 route\n");
    let changes = daemon.twin.changes.lock().unwrap();
    let [del] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(
        (del.verb, del.dst, del.metric, del.network.as_deref()),
        (
            RouteVerb::Del,
            "10.8.0.0/16".parse().unwrap(),
            Some(50),
            Some("mac10")
        )
    );
}

#[test]
fn a_network_that_is_not_there() {
    let daemon = Daemon::start();
    for words in ["networks mac30", "net mac10 mac30"] {
        let output = daemon.command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            said(&output).1,
            "error[RC0115]: there is no network mac30\n  help: `router-ctl networks` lists them\n"
        );
    }
}

#[test]
fn the_kernels_words_reach_the_user() {
    let daemon = Daemon::start();
    let output = daemon
        .command("routes add 10.9.0.0/16 via 172.16.10.9 metric 17")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output).1,
        "error[RC0399]: cannot add the route\n  cause: File exists (os error 17)\n"
    );
}

#[test]
fn down_through_the_daemon() {
    let daemon = Daemon::start();
    assert_eq!(
        text(&daemon, "down"),
        "down: detached, and what was changed is put back\n"
    );
    daemon.ended();
}

#[test]
fn a_watched_listing_is_one_document_a_line() {
    let daemon = Daemon::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_router-ctl"))
        .args(["-j", "-p", "stats", "--watch", "0.1"])
        .env("ROUTER_CTL_SOCKET", &daemon.socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.take(3) {
        let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(value["fast"]["packets"], 987);
    }
    // The pipe is closed now: it ends by itself at its next line.
    assert!(child.wait().unwrap().success());
}

/// As `ip route get` fails: scripts ask whether there is a way.
#[test]
fn a_way_to_nowhere_is_a_failure() {
    let daemon = Daemon::start();
    let output = daemon.command("routes get 9.9.9.9").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (stdout, stderr) = said(&output);
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("error[RC0307]: there is no way to 9.9.9.9: unreachable"),
        "{stderr}"
    );
    assert!(stderr.contains("help: "), "{stderr}");
    let output = daemon.command("-j routes get 9.9.9.9").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["kind"], "unreachable");
    assert!(json["network"].is_null());
}

/// A mistyped name chose nothing, with exit code 0.
#[test]
fn a_network_that_there_is_not_is_refused_by_routes() {
    let daemon = Daemon::start();
    for words in ["routes list dev zz", "routes flush dev zz"] {
        let output = daemon.command(&format!("-j {words}")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        let json: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(json["code"], "RC0115", "{words}");
    }
}
