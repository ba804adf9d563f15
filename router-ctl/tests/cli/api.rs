//! The API on the wire: paths, status codes, limits.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use router_ctl::api::model::{ErrorBody, State, Status};

use crate::twin::Daemon;

const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana.json");

/// Sends `request` as it is; status code and body of the answer.
fn ask(daemon: &Daemon, request: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn get(daemon: &Daemon, path: &str) -> (u16, String) {
    ask(daemon, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn post(daemon: &Daemon, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    ask(
        daemon,
        &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
}

fn code_of(body: &str) -> String {
    serde_json::from_str::<ErrorBody>(body).unwrap().code
}

#[test]
fn status_is_json() {
    let daemon = Daemon::start();
    let (status, body) = get(&daemon, "/v1/status");
    assert_eq!(status, 200);
    let status: Status = serde_json::from_str(&body).unwrap();
    assert_eq!(status.state, State::Forwarding);
    assert_eq!(status.networks.len(), 3);
}

#[test]
fn routes_by_family() {
    let daemon = Daemon::start();
    let count = |path: &str| {
        let (status, body) = get(&daemon, path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Vec<serde_json::Value>>(&body)
            .unwrap()
            .len()
    };
    assert_eq!(count("/v1/routes"), 5);
    assert_eq!(count("/v1/routes?family=4"), 4);
    assert_eq!(count("/v1/routes?family=6"), 1);
}

#[test]
fn neighbours_by_family_and_network() {
    let daemon = Daemon::start();
    let count = |query: &str| {
        let (status, body) = get(&daemon, &format!("/v1/neighbours{query}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Vec<serde_json::Value>>(&body)
            .unwrap()
            .len()
    };
    assert_eq!(count(""), 4);
    assert_eq!(count("?family=6"), 1);
    assert_eq!(count("?network=mac10"), 3);
    assert_eq!(count("?family=4&network=mac10"), 2);
    let (status, body) = get(&daemon, "/v1/neighbours?network=nowhere");
    assert_eq!((status, code_of(&body).as_str()), (422, "RC0115"));
}

#[test]
fn bad_requests_are_refused_as_json() {
    let daemon = Daemon::start();
    for (path, status) in [
        ("/v1/routes?family=5", 400),
        ("/v1/routes?famly=4", 400),
        ("/v1/neighbours?family=5", 400),
        ("/v1/neighbours?net=a", 400),
        ("/v1/routes/get", 400),
        ("/v1/routes/get?dst=x", 400),
        ("/v1/nothing", 404),
        ("/v1/down", 405),
    ] {
        let (found, body) = get(&daemon, path);
        assert_eq!(
            (found, code_of(&body).as_str()),
            (status, "RC0206"),
            "{path}: {body}"
        );
    }
    for body in ["", "{", "{\"verb\":\"burn\"}"] {
        assert_eq!(post(&daemon, "/v1/routes", body).0, 400);
    }
    assert!(daemon.twin.changes.lock().unwrap().is_empty());
}

/// What no command of ours asks for, and the kernel would do.
#[test]
fn routes_are_checked_as_the_commands_check_them() {
    let daemon = Daemon::start();
    let change = |verb: &str, rest: &str| {
        let body = format!("{{\"verb\":\"{verb}\",\"network\":\"mac10\",{rest}}}");
        post(&daemon, "/v1/routes", &body)
    };
    for (rest, code) in [
        (r#""dst":"224.0.0.0/4""#, "RC0119"),
        (r#""dst":"127.0.0.0/8""#, "RC0119"),
        (r#""dst":"10.1.2.3/16""#, "RC0119"),
        (r#""dst":"ff00::/8""#, "RC0119"),
        (r#""dst":"10.1.0.0/16","via":"fe80::1""#, "RC0116"),
        (r#""dst":"10.1.0.0/16","via":"224.0.0.5""#, "RC0114"),
        (r#""dst":"10.1.0.0/16","src":"0.0.0.0""#, "RC0114"),
    ] {
        for verb in ["add", "replace"] {
            let (status, body) = change(verb, rest);
            assert_eq!(
                (status, code_of(&body).as_str()),
                (400, code),
                "{rest}: {body}"
            );
        }
    }
    for (body, code) in [
        (r#"{"verb":"add","dst":"10.1.0.0/16"}"#, "RC0106"),
        (
            r#"{"verb":"add","dst":"fd00::/16","via":"fe80::1"}"#,
            "RC0114",
        ),
    ] {
        let (status, answer) = post(&daemon, "/v1/routes", body);
        assert_eq!((status, code_of(&answer).as_str()), (400, code), "{answer}");
    }
    assert!(daemon.twin.changes.lock().unwrap().is_empty());
    let whole = r#""dst":"10.1.0.0/16","via":"172.16.10.9","metric":7,"src":"172.16.10.1""#;
    assert_eq!(change("add", whole).0, 200);
    assert_eq!(change("add", r#""dst":"0.0.0.0/0""#).0, 200);
    // What is to go need not make sense.
    assert_eq!(change("del", r#""dst":"224.0.0.0/4""#).0, 200);
    assert_eq!(daemon.twin.changes.lock().unwrap().len(), 3);
}

#[test]
fn a_list_is_no_request() {
    let daemon = Daemon::start();
    for (path, body) in [
        ("/v1/config/apply", "[]"),
        ("/v1/config/apply", " [true]"),
        ("/v1/config/apply", "null"),
        ("/v1/routes", r#"["del","10.0.0.0/8",null,null,null,null]"#),
    ] {
        let (status, answer) = post(&daemon, path, body);
        assert_eq!(
            (status, code_of(&answer).as_str()),
            (400, "RC0206"),
            "{body}: {answer}"
        );
    }
    assert!(daemon.twin.changes.lock().unwrap().is_empty());
    assert_eq!(post(&daemon, "/v1/config/apply", " {}").0, 200);
}

#[test]
fn bodies_are_bounded() {
    let daemon = Daemon::start();
    let (status, body) = post(&daemon, "/v1/routes", &" ".repeat(65 * 1024));
    assert_eq!((status, code_of(&body).as_str()), (400, "RC0206"));
}

#[test]
fn what_the_kernel_refuses_is_not_a_bad_request() {
    let daemon = Daemon::start();
    let (status, body) = get(&daemon, "/v1/routes/get?dst=10.66.0.1");
    assert_eq!(status, 422);
    let error: ErrorBody = serde_json::from_str(&body).unwrap();
    assert_eq!(
        error.cause.as_deref(),
        Some("Network is unreachable (os error 101)")
    );
}

#[test]
fn a_header_that_does_not_come_costs_nobody_else_anything() {
    let daemon = Daemon::start();
    // As many as there are places: the next one has to wait for the time limit.
    let started = Instant::now();
    let mut silent: Vec<UnixStream> = (0..64)
        .map(|_| {
            let mut stream = UnixStream::connect(&daemon.socket).unwrap();
            stream.write_all(b"GET /v1/st").unwrap();
            stream
        })
        .collect();
    assert_eq!(get(&daemon, "/healthz").0, 200);
    assert!(started.elapsed() < Duration::from_secs(30));
    let mut rest = Vec::new();
    // Closed by the server.
    silent[0].read_to_end(&mut rest).unwrap();
}

#[test]
fn health_follows_the_state() {
    let daemon = Daemon::start();
    assert_eq!(get(&daemon, "/healthz"), (200, "\"forwarding\"".to_owned()));
    daemon.set(State::Degraded);
    assert_eq!(get(&daemon, "/healthz"), (503, "\"degraded\"".to_owned()));
}

#[test]
fn metrics() {
    let daemon = Daemon::start();
    let (status, body) = get(&daemon, "/metrics");
    assert_eq!(status, 200);
    insta::assert_snapshot!(body);
}

/// The dashboard asks for all that there is, and for nothing else.
#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let daemon = Daemon::start();
    let (_, body) = get(&daemon, "/metrics");
    let there: BTreeSet<&str> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let text = fs::read_to_string(DASHBOARD).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap());
    let asked: BTreeSet<&str> = expressions
        .flat_map(|expression| expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("routerctl_"))
        .collect();
    assert_eq!(asked, there);
}

#[test]
fn the_answer_to_down_arrives_before_the_daemon_ends() {
    let daemon = Daemon::start();
    let slow = UnixStream::connect(&daemon.socket).unwrap();
    assert_eq!(post(&daemon, "/v1/down", ""), (200, "null".to_owned()));
    thread::sleep(Duration::from_millis(100));
    // A connection without a request must not hold the daemon up for ever.
    daemon.ended();
    drop(slow);
}
