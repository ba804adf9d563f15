//! `router-ctl config`, against a daemon in memory.

use std::fmt::Write as _;

use crate::twin::Daemon;

fn stdout(daemon: &Daemon, words: &str) -> String {
    let output = daemon
        .command(words)
        .assert()
        .success()
        .get_output()
        .clone();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_people_see() {
    let daemon = Daemon::start();
    let mut all = String::new();
    for words in [
        "config show",
        "config show --effective",
        "config diff",
        "config apply",
        "config apply --confirm 120",
        "config apply --dry-run",
        "config confirm",
        "config rollback",
        "-q config apply",
    ] {
        writeln!(all, "$ router-ctl {words}\n{}", stdout(&daemon, words)).unwrap();
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(all) });
}

#[test]
fn what_scripts_see() {
    let daemon = Daemon::start();
    let mut all = String::new();
    for words in [
        "-jp config show",
        "-jp config diff",
        "-jp config apply --confirm 120",
        "-jp config apply --dry-run",
        "-jp config confirm",
    ] {
        writeln!(all, "$ router-ctl {words}\n{}", stdout(&daemon, words)).unwrap();
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(all) });
}

#[test]
fn a_file_is_compared_with_what_is_in_force() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router.toml");
    std::fs::write(&path, stdout(&daemon, "config show --effective")).unwrap();
    let words = format!("config diff {}", path.display());
    assert_eq!(stdout(&daemon, &words), "no changes\n");
    assert_eq!(stdout(&daemon, &format!("-j {words}")), "[]\n");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"map\"", "\"keep\"")).unwrap();
    let told = stdout(&daemon, &words);
    assert!(
        told.contains("~ network mac10\n    pcp map -> keep\n"),
        "{told}"
    );
    // Also what is no file.
    let mut piped = daemon.command("config diff -");
    piped
        .write_stdin(text)
        .assert()
        .success()
        .stdout("no changes\n");
}

/// Who asks may not read the daemon's file: the daemon shows the lines.
#[test]
fn what_is_wrong_with_the_daemons_file_is_shown_with_its_lines() {
    let daemon = Daemon::start();
    let output = daemon
        .command("config apply --confirm 1")
        .assert()
        .code(2)
        .get_output()
        .clone();
    let told = String::from_utf8(output.stderr).unwrap();
    for part in [
        "error[RC0108]: vlan 5000 does not exist",
        "--> /etc/router-ctl/router.toml:5:8",
        "5 | vlan = 5000\n  |        ^^^^ a VID has 12 bits",
        "help: VLANs are 1 to 4094",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    let output = daemon
        .command("-j config apply --confirm 1")
        .assert()
        .code(2)
        .get_output()
        .clone();
    let body: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(body["location"]["line"], 5);
    assert_eq!(body["rendered"], serde_json::Value::Null);
}

#[test]
fn times_to_confirm_are_a_day_at_most() {
    let daemon = Daemon::start();
    for words in [
        "config apply --confirm 0",
        "config apply --confirm 86401",
        "config apply --confirm soon",
        "config apply --dry-run --confirm 5",
    ] {
        daemon.command(words).assert().code(2);
    }
}
