//! What needs no daemon: help, usage, configuration files, and its absence.

use std::fs;

use serde_json::Value;

use crate::{router_ctl, said};

#[test]
fn help_names_every_command_and_shows_examples() {
    let output = router_ctl("--help").output().unwrap();
    assert!(output.status.success());
    let (help, _) = said(&output);
    for word in [
        "run",
        "status",
        "networks",
        "routes",
        "stats",
        "down",
        "config",
        "version",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    insta::assert_snapshot!(help);
}

#[test]
fn help_of_commands() {
    for command in [
        "run",
        "status",
        "networks",
        "routes",
        "neigh",
        "stats",
        "monitor",
        "down",
        "config",
        "explain",
        "completions",
        "man",
        "version",
    ] {
        let output = router_ctl(&format!("{command} --help")).output().unwrap();
        assert!(output.status.success());
        insta::assert_snapshot!(format!("help_{command}"), said(&output).0);
    }
}

#[test]
fn version() {
    let version = env!("CARGO_PKG_VERSION");
    router_ctl("version")
        .assert()
        .success()
        .stdout(format!("router-ctl {version}\n"));
    router_ctl("--version")
        .assert()
        .success()
        .stdout(format!("router-ctl {version}\n"));
    let output = router_ctl("-j version").output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["version"], version);
}

#[test]
fn unknown_words_are_usage_errors_with_a_suggestion() {
    let output = router_ctl("statsu").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output).1;
    assert!(text.contains("tip: "), "{text}");
    assert!(text.starts_with("error[RC0001]: "), "{text}");
    // Those that are not for people are not proposed.
    for word in ["s", "c", "schemas", "complete"] {
        let output = router_ctl(word).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{word}");
        let text = said(&output).1;
        assert!(!text.contains("__"), "{text}");
    }

    let output = router_ctl("-j statsu").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let json: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(json["code"], "RC0001");
    assert_eq!(json["message"], "unrecognized subcommand 'statsu'");
}

#[test]
fn words_of_routes_are_checked_before_the_daemon_is_asked() {
    for (words, code) in [
        ("routes add 10.9.0.0/16 va 10.0.0.1", "RC0001"),
        ("routes add 10.9.0.0/16", "RC0106"),
        ("routes add 10.9.0.1/16 via 10.0.0.1", "RC0119"),
        ("routes add fd00::/8 via 10.0.0.1", "RC0116"),
        ("routes get nowhere", "RC0119"),
        ("routes get 10.0.0.1 form 10.0.0.2", "RC0001"),
        ("routes list proto bogus", "RC0001"),
        ("routes flush proto bogus", "RC0001"),
        ("neigh dev", "RC0001"),
        ("neigh nud bogus", "RC0001"),
        ("networks dev", "RC0001"),
        ("networks list dev", "RC0001"),
        ("neigh mac10 mac20", "RC0001"),
        ("--watch down", "RC0001"),
        ("--watch routes del 10.9.0.0/16", "RC0001"),
    ] {
        let output = router_ctl(&format!("-j --instance none {words}"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
        let json: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(json["code"], code, "{words}");
    }
}

#[test]
fn options_that_exclude_each_other() {
    for words in [
        "-4 -6 routes",
        "-v -q status",
        "run --config a --trunk eth0",
        "run --xdp off",
        "--instance ../x status",
        "--watch=0 stats",
        "status --wait -1",
    ] {
        assert_eq!(
            router_ctl(words).output().unwrap().status.code(),
            Some(2),
            "{words}"
        );
    }
}

#[test]
fn without_a_daemon() {
    for words in [
        "",
        "status",
        "networks",
        "routes",
        "n",
        "r ls",
        "neigh",
        "stats",
        "routes get 10.0.0.1",
    ] {
        let output = router_ctl(&format!("--instance no-such {words}"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{words}");
        let (stdout, stderr) = said(&output);
        assert_eq!(stdout, "");
        assert!(
            stderr.starts_with("error[RC0201]: router-ctl is not running (instance no-such)\n"),
            "{stderr}"
        );
        assert!(
            stderr.contains("help: start it with `router-ctl run --instance no-such"),
            "{stderr}"
        );
    }
    let output = router_ctl("-j --instance no-such status").output().unwrap();
    let json: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(json["code"], "RC0201");
    assert!(
        json["cause"]
            .as_str()
            .unwrap()
            .contains("/run/router-ctl/no-such.sock")
    );
}

#[test]
fn waiting_for_a_daemon_that_does_not_come_is_degraded() {
    let output = router_ctl("--instance no-such status --wait 0.3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
}

/// A configuration that was made a moment ago need not be a file.
#[test]
fn configurations_out_of_pipes() {
    let example = include_str!("../../src/config/example.toml");
    let check = |path: &str, text: &str| {
        let output = router_ctl("config check")
            .arg(path)
            .write_stdin(text)
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    };
    for (path, name) in [("-", "standard input"), ("/dev/stdin", "/dev/stdin")] {
        let (code, (stdout, stderr)) = check(path, example);
        assert_eq!(code, Some(0), "{stderr}");
        let told = format!("{name} is ok: 1 trunk, 3 networks, 1 route\n");
        assert_eq!(stdout, told);
        let (code, (_, stderr)) = check(path, "[[trunk]]\n");
        assert_eq!(code, Some(2));
        assert!(stderr.contains(&format!("--> {name}:1:1")), "{stderr}");
        let long = "#\n".repeat(9 << 20);
        let (code, (_, stderr)) = check(path, &long);
        assert_eq!(code, Some(2));
        assert!(stderr.contains("longer than any"), "{stderr}");
    }
    // A daemon takes files only, which stay what they are.
    let output = router_ctl("run --config /dev/stdin")
        .write_stdin(example)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (_, stderr) = said(&output);
    assert!(stderr.contains("not a regular file"), "{stderr}");
}

/// As scripts set them: `ROUTER_CTL_INSTANCE=$1`.
#[test]
fn empty_variables_are_as_good_as_none() {
    let mut command = router_ctl("status");
    command
        .env("ROUTER_CTL_INSTANCE", "")
        .env("ROUTER_CTL_SOCKET", "");
    command.args(["--socket", "/no/such.sock"]);
    let (_, stderr) = said(&command.output().unwrap());
    let told = "error[RC0201]: router-ctl is not running (instance default)\n";
    assert!(stderr.starts_with(told), "{stderr}");
    // Without one the usual socket is asked, whoever listens there.
    let mut command = router_ctl("--instance no-such status");
    let output = command.env("ROUTER_CTL_SOCKET", "").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // What is said in words is said.
    for words in [["--instance", ""], ["--socket", ""]] {
        let output = router_ctl("status").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good.toml");
    let bad = dir.path().join("bad.toml");
    fs::write(&good, include_str!("../../src/config/example.toml")).unwrap();
    fs::write(&bad, "[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"a\"\nvlan = 1\ngateway = \"10.0.0.0/24\"\n").unwrap();

    let check = |options: &str, file: &std::path::Path| {
        router_ctl(&format!("{options} config check"))
            .arg(file)
            .output()
            .unwrap()
    };
    let output = check("", &good);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        said(&output).0,
        format!("{} is ok: 1 trunk, 3 networks, 1 route\n", good.display())
    );
    assert_eq!(said(&check("-q", &good)).0, "");
    let json: Value = serde_json::from_slice(&check("-j", &good).stdout).unwrap();
    assert_eq!(json["networks"], 3);

    let output = check("", &bad);
    assert_eq!(output.status.code(), Some(2));
    let (stdout, stderr) = said(&output);
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("error[RC0107]: gateway 10.0.0.0/24"),
        "{stderr}"
    );
    assert!(
        stderr.contains(&format!(" --> {}:6:11", bad.display())),
        "{stderr}"
    );
    assert!(!stderr.contains('\x1b'), "no colour in a pipe");
    assert!(said(&check("--color always", &bad)).1.contains('\x1b'));

    let output = check("-j", &bad);
    let json: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(json["code"], "RC0107");
    assert_eq!(
        (
            json["location"]["line"].as_u64(),
            json["location"]["column"].as_u64()
        ),
        (Some(6), Some(11))
    );
}

#[test]
fn run_checks_before_it_acts() {
    let output = router_ctl("run --config /no/such/file.toml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output)
            .1
            .starts_with("error[RC0101]: cannot read /no/such/file.toml\n")
    );

    let output = router_ctl("run --trunk eth0 --network mac10=100:172.16.10.255/24")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).1.contains(" --> command line:2:21"),
        "{}",
        said(&output).1
    );
}
