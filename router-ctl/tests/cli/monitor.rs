//! `monitor`: what is said while things change.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use router_ctl::api::{
    event::What,
    model::{Neighbour, NetworkStatus, Problem, Route, State, TrunkStatus, VerdictCount},
};
use serde_json::Value;

use crate::{said, schema, twin::Daemon};

struct Monitor {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Monitor {
    /// Returns when the daemon has a listener.
    fn start(daemon: &Daemon, words: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_router-ctl"))
            .args(words.split_whitespace())
            .env("ROUTER_CTL_SOCKET", &daemon.socket)
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        until(|| daemon.twin.hub.is_heard());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it has ended: {line}");
        line
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came");
        thread::sleep(Duration::from_millis(10));
    }
}

fn problem(message: &str, gone: bool) -> What {
    What::Problem {
        gone,
        problem: Problem {
            message: message.to_owned(),
            help: "ip link set enp0s3.100 up".to_owned(),
        },
    }
}

/// One of each kind.
fn everything() -> Vec<What> {
    let route = Route {
        dst: "10.9.0.0/16".parse().unwrap(),
        via: Some("172.16.10.9".parse().unwrap()),
        network: "mac10".to_owned(),
        vlan: Some(100),
        proto: "bird".to_owned(),
        metric: 32,
    };
    let neighbour = Neighbour {
        ip: "172.16.10.10".parse().unwrap(),
        mac: Some("02:00:00:00:10:10".to_owned()),
        network: "mac10".to_owned(),
        vlan: Some(100),
        state: "REACHABLE".to_owned(),
        router: false,
    };
    let network = NetworkStatus {
        name: "mac10".to_owned(),
        trunk: "enp0s3".to_owned(),
        vlan: Some(100),
        interface: "enp0s3.100".to_owned(),
        ifindex: Some(7),
        gateways: vec!["172.16.10.1/24".parse().unwrap()],
        mac: None,
        mtu: Some(1500),
        state: "down".to_owned(),
    };
    let trunk = TrunkStatus {
        interface: "enp0s3".to_owned(),
        ifindex: Some(2),
        xdp_mode: "native".to_owned(),
        prog_id: Some(413),
        prog_tag: None,
        link_id: Some(7),
        pinned: true,
        rx_vlan_offload: None,
    };
    vec![
        What::Trunk { trunk },
        What::Network {
            gone: false,
            network,
        },
        problem("sub-interface enp0s3.100 is down", false),
        What::State {
            state: State::Degraded,
        },
        problem("sub-interface enp0s3.100 is down", true),
        What::Route {
            gone: false,
            route: route.clone(),
        },
        What::Route { gone: true, route },
        What::Neighbour {
            gone: false,
            neighbour: neighbour.clone(),
        },
        What::Neighbour {
            gone: true,
            neighbour,
        },
        What::Verdicts {
            milliseconds: 500,
            verdicts: vec![VerdictCount {
                reason: "arp".to_owned(),
                action: "pass".to_owned(),
                packets: 7,
                bytes: 420,
            }],
        },
    ]
}

/// The line without its time, which has the right shape.
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once("  ").unwrap();
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "00:00:00.000", "{line}");
    rest
}

#[test]
fn for_people_a_line_each_in_the_words_of_ip() {
    let daemon = Daemon::start();
    let mut monitor = Monitor::start(&daemon, "monitor");
    let mut text = without_time(&monitor.line()).to_owned();
    let all = everything();
    for what in &all {
        daemon.twin.hub.say(what.clone());
    }
    // Verdicts are for those who ask for them.
    for _ in 0..all.len() - 1 {
        text += without_time(&monitor.line());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn for_scripts_a_document_each() {
    let daemon = Daemon::start();
    let mut monitor = Monitor::start(&daemon, "-jp monitor");
    let first: Value = serde_json::from_str(&monitor.line()).unwrap();
    assert_eq!(
        (&first["event"], &first["state"]),
        (&"state".into(), &"forwarding".into())
    );
    for what in everything() {
        if matches!(what, What::Verdicts { .. }) {
            continue;
        }
        daemon.twin.hub.say(what);
        let line = monitor.line();
        schema::fits("monitor", "monitor", line.as_bytes());
        let time = serde_json::from_str::<Value>(&line).unwrap()["time_ms"].as_u64();
        assert!(time.unwrap() > 1_600_000_000_000, "{line}");
    }
}

#[test]
fn readers_choose() {
    let daemon = Daemon::start();
    let mut monitor = Monitor::start(&daemon, "-o -4 monitor --neigh");
    monitor.line();
    for what in everything() {
        daemon.twin.hub.say(what);
    }
    let lines: Vec<String> = (0..5).map(|_| monitor.line()).collect();
    let kinds: Vec<&str> = lines
        .iter()
        .map(|line| without_time(line).split(' ').next().unwrap())
        .collect();
    assert_eq!(kinds, ["problem", "state", "problem", "neigh", "neigh"]);
}

#[test]
fn drops_are_counted_each_second() {
    let daemon = Daemon::start();
    let mut monitor = Monitor::start(&daemon, "-j monitor --drops");
    monitor.line();
    daemon.arp(7);
    let line = monitor.line();
    schema::fits("monitor", "monitor --drops", line.as_bytes());
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["event"], "verdicts");
    assert_eq!(event["verdicts"].as_array().unwrap().len(), 1, "{line}");
    assert_eq!(event["verdicts"][0]["reason"], "arp");
    assert_eq!(event["verdicts"][0]["packets"], 7);
    let length = event["milliseconds"].as_u64().unwrap();
    assert!((500..5000).contains(&length), "{length}");
}

#[test]
fn it_ends_with_the_daemon_at_once() {
    let daemon = Daemon::start();
    let mut monitor = Monitor::start(&daemon, "monitor");
    monitor.line();
    let started = Instant::now();
    assert!(daemon.command("down").output().unwrap().status.success());
    daemon.ended();
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "readers hold nobody up"
    );
    let status = monitor.child.wait().unwrap();
    assert_eq!(status.code(), Some(3));
    let mut error = String::new();
    monitor
        .child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut error)
        .unwrap();
    assert_eq!(error, "error[RC0201]: the daemon has ended\n");
}

fn raw_reader(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream
        .write_all(b"GET /v1/monitor HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream
}

#[test]
fn a_reader_that_does_not_read_costs_no_memory_and_is_told_what_it_missed() {
    let daemon = Daemon::start();
    let stream = raw_reader(&daemon);
    until(|| daemon.twin.hub.is_heard());
    // 60 MB, if they were kept.
    let long = "x".repeat(300);
    for _ in 0..200_000 {
        daemon.twin.hub.say(problem(&long, false));
    }
    let before = resident();
    for _ in 0..200_000 {
        daemon.twin.hub.say(problem(&long, false));
    }
    assert!(resident() < before + (20 << 20), "{before} {}", resident());
    // Others are served meanwhile.
    assert!(daemon.command("stats").output().unwrap().status.success());
    // What it gets and what it is told that it missed is everything.
    let (mut got, mut missed) = (0, 0);
    for line in BufReader::new(stream).lines() {
        let Ok(event) = serde_json::from_str::<Value>(&line.unwrap()) else {
            continue;
        };
        // The sizes of chunks are numbers.
        match event["event"].as_str() {
            Some("problem") => got += 1,
            Some("missed") => missed += event["events"].as_u64().unwrap(),
            _ => {}
        }
        if got + missed >= 400_000 {
            break;
        }
    }
    assert_eq!(got + missed, 400_000);
    assert!(missed > 100_000, "{missed}");
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn readers_leave_connections_for_the_others() {
    let daemon = Daemon::start();
    let readers: Vec<BufReader<UnixStream>> = (0..16)
        .map(|_| {
            let mut reader = BufReader::new(raw_reader(&daemon));
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, "HTTP/1.1 200 OK\r\n");
            reader
        })
        .collect();
    let output = daemon.command("monitor").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output)
            .1
            .starts_with("error[RC0208]: 16 readers follow the daemon already\n"),
        "{}",
        said(&output).1
    );
    assert!(daemon.command("status").output().unwrap().status.success());
    // One that has gone makes room, even if nothing happens that it would be
    // told.
    drop(readers);
    until(|| {
        let mut reader = BufReader::new(raw_reader(&daemon));
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line == "HTTP/1.1 200 OK\r\n"
    });
}
