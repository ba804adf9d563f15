//! The manual and the explanations.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{router_ctl, said, twin};

#[test]
fn codes_are_explained() {
    let output = router_ctl("explain RC0107").output().unwrap();
    assert!(output.status.success());
    let (text, _) = said(&output);
    insta::assert_snapshot!(text);
    for word in ["rc107", "107", "RC107"] {
        assert_eq!(
            said(&router_ctl(&format!("explain {word}")).output().unwrap()).0,
            text,
            "{word}"
        );
    }
    let output = router_ctl("-j explain 107").output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["code"], "RC0107");
    assert!(json["text"].as_str().unwrap().contains("\nMend:\n"));
}

#[test]
fn all_codes_are_listed() {
    let (text, _) = said(&router_ctl("explain").output().unwrap());
    assert!(text.starts_with("CODE    MEANING\nRC0001  "), "{text}");
    let (lines, _) = said(&router_ctl("-o explain").output().unwrap());
    assert_eq!(lines.lines().count() + 1, text.lines().count());
    let output = router_ctl("-j explain").output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), lines.lines().count());
}

#[test]
fn a_code_that_does_not_exist() {
    for word in ["RC9999", "x", "10700"] {
        let output = router_ctl(&format!("explain {word}")).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            said(&output).1,
            format!(
                "error[RC0004]: there is no error code {word}\n  help: `router-ctl explain` lists all of them\n"
            )
        );
    }
}

#[test]
fn the_manual_is_whole_and_sound() {
    let dir = tempfile::tempdir().unwrap();
    let output = router_ctl("man").arg(dir.path()).output().unwrap();
    assert!(output.status.success());
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        said(&output).0,
        format!("{} pages in {}\n", names.len(), dir.path().display())
    );
    let mut whole = String::new();
    for name in &names {
        whole += &fs::read_to_string(dir.path().join(name)).unwrap();
    }
    for word in [
        "RC0107",
        "/etc/router\\-ctl/router.toml",
        "degraded",
        "router\\-ctl routes add 10.9.0.0/16 via 172.16.10.9",
    ] {
        assert!(whole.contains(word), "{word} is missing");
    }
    // In a pipe: the same, one after the other.
    let (piped, _) = said(&router_ctl("man").output().unwrap());
    let titles = piped
        .lines()
        .filter(|line| line.starts_with(".TH "))
        .count();
    assert_eq!(titles, names.len());

    if !twin::has_program("man") {
        println!("SKIP the_manual_is_whole_and_sound: man is not installed");
        return;
    }
    for name in &names {
        let shown = Command::new("man")
            .args(["--warnings", "--local-file"])
            .arg(dir.path().join(name))
            .env("MANWIDTH", "120")
            .output()
            .unwrap();
        let (text, warnings) = said(&shown);
        assert_eq!(warnings, "", "{name}");
        assert!(text.contains("SYNOPSIS"), "{name}: {text}");
    }
}

#[test]
fn a_manual_without_a_place_to_go() {
    let output = router_ctl("man /no/such/directory").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output)
            .1
            .starts_with("error[RC0002]: cannot write /no/such/directory/router-ctl.1\n"),
        "{}",
        said(&output).1
    );
}
