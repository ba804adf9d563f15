//! Completion in the real shells, with names from the twin.

use std::{path::Path, process::Command};

use crate::{
    router_ctl, said,
    twin::{self, Daemon},
};

/// The real bash completes the last of these words.
fn bash(daemon: &Path, words: &[&str]) -> Vec<String> {
    let script = said(&router_ctl("completions bash").output().unwrap()).0;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let text = format!(
        "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_router_ctl '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        env!("CARGO_BIN_EXE_router-ctl"),
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &text])
        .env("ROUTER_CTL_SOCKET", daemon)
        .env_remove("ROUTER_CTL_INSTANCE")
        .output()
        .unwrap();
    let (stdout, stderr) = said(&output);
    assert_eq!(stderr, "", "{words:?}");
    stdout
        .lines()
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn bash_completes_commands_options_and_live_names() {
    let daemon = Daemon::start();
    let complete = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        bash(&daemon.socket, &words)
    };
    assert_eq!(complete("router-ctl st"), ["status", "stats"]);
    assert_eq!(complete("router-ctl r re"), ["replace"]);
    assert_eq!(complete("router-ctl rou del --ins"), ["--instance"]);
    assert_eq!(complete("router-ctl --color = al"), ["always"]);
    assert_eq!(complete("router-ctl --color ne"), ["never"]);
    assert_eq!(
        complete("router-ctl routes add 10.9.0.0/16 "),
        ["via", "dev", "metric", "src"]
    );
    assert_eq!(
        complete("router-ctl routes add 10.9.0.0/16 dev "),
        ["mac10", "mac20", "wan"]
    );
    assert_eq!(
        complete("router-ctl routes replace fd00 :: /8 via fd00 : 10 :: 9 dev mac1"),
        ["mac10"]
    );
    assert_eq!(complete("router-ctl routes list "), ["dev", "via", "proto"]);
    assert_eq!(complete("router-ctl r flush dev w"), ["wan"]);
    assert_eq!(complete("router-ctl net mac2"), ["mac20"]);
    assert_eq!(complete("router-ctl neigh "), ["mac10", "mac20", "wan"]);
    assert_eq!(complete("router-ctl nb dev mac10 nud st"), ["stale"]);
    assert_eq!(complete("router-ctl routes get 10.9.0.1 "), ["from"]);
    assert_eq!(complete("router-ctl explain RC0107"), ["RC0107"]);
    assert_eq!(complete("router-ctl completions "), ["bash", "zsh", "fish"]);
    assert_eq!(complete("router-ctl nothing of this "), [""; 0]);
    assert!(complete("router-ctl ").contains(&"routes".to_owned()));
    assert!(
        !complete("router-ctl ")
            .iter()
            .any(|word| word.contains("__"))
    );
}

#[test]
fn bash_completes_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lab.toml"), "").unwrap();
    let begun = format!("{}/la", dir.path().display());
    let file = format!("{}/lab.toml", dir.path().display());
    let none = Path::new("/no/such.sock");
    assert_eq!(
        bash(none, &["router-ctl", "config", "check", &begun]),
        [file]
    );
}

#[test]
fn without_a_daemon_there_are_no_names_and_no_words_about_it() {
    let started = std::time::Instant::now();
    let none = Path::new("/no/such.sock");
    assert_eq!(
        bash(none, &["router-ctl", "routes", "add", "default", "dev", ""]),
        [""; 0]
    );
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
    for words in [
        "__complete fish -- routes add default dev m",
        "__complete fish -- --instance no-such neigh dev m",
    ] {
        let output = router_ctl(words).output().unwrap();
        assert!(output.status.success());
        assert_eq!(said(&output), (String::new(), String::new()));
    }
}

#[test]
fn fish_completes_live_names_with_what_they_are() {
    if !twin::has_program("fish") {
        println!("SKIP fish_completes_live_names_with_what_they_are: fish is not installed");
        return;
    }
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script.fish");
    std::fs::write(
        &script,
        said(&router_ctl("completions fish").output().unwrap()).0,
    )
    .unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_router-ctl"));
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let complete = |line: &str| {
        let output = Command::new("fish")
            .args(["--no-config", "-c"])
            .arg(format!("source {}; complete -C '{line}'", script.display()))
            .env("HOME", dir.path())
            .env("PATH", &path)
            .env("ROUTER_CTL_SOCKET", &daemon.socket)
            .output()
            .unwrap();
        let (stdout, stderr) = said(&output);
        assert_eq!(stderr, "", "{line}");
        stdout
    };
    assert_eq!(
        complete("router-ctl routes add default dev mac"),
        "mac10\tvlan 100 172.16.10.1/24 fd00:10::1/64\nmac20\tvlan 200 172.16.20.1/24\n"
    );
    assert_eq!(
        complete("router-ctl vers"),
        "version\tShow the version; with -v the version of the map layouts too\n"
    );
    assert_eq!(complete("router-ctl --color=nev"), "--color=never\n");
}
