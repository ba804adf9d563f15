//! What is written can be read again, and what is compared is told apart.

use std::fmt::Write as _;

use crate::{
    api::model::ConfigChangeKind,
    config::{Config, diff},
};

const FILE: &str = r#"
    [[trunk]]
    interface = "eth0"
    [[trunk]]
    interface = "et\"h1\\"
    xdp = "auto"
    [[network]]
    name = "a"
    trunk = "eth0"
    vlan = 100
    gateway = ["10.0.0.1/24", "fd00::1/64"]
    [[network]]
    name = "b"
    trunk = "et\"h1\\"
    vlan = 100
    interface = "lan100"
    pcp = "keep"
    [[network]]
    name = "up"
    trunk = "eth0"
    [[route]]
    to = "10.9.0.0/16"
    via = "10.0.0.9"
    [[route]]
    to = "default"
    via = "192.0.2.1"
    network = "up"
    metric = 7
    src = "192.0.2.7"
    "#;

fn parse(text: &str) -> Config {
    Config::parse("router.toml", text).unwrap_or_else(|error| panic!("{}", super::text_of(&error)))
}

#[test]
fn what_is_written_says_the_same() {
    for text in [FILE, include_str!("../example.toml")] {
        let config = parse(text);
        for effective in [false, true] {
            let written = config.to_toml(effective);
            let mut read = parse(&written);
            if effective {
                // They were left out.
                assert_eq!(read.routes[0].metric.take(), Some(50));
            }
            assert_eq!(read, config, "{written}");
        }
    }
}

#[test]
fn defaults_are_written_where_they_are_asked_for() {
    let example = parse(include_str!("../example.toml"));
    assert_snapshot!(format!(
        "{}# effective\n{}# JSON\n{:#}\n",
        example.to_toml(false),
        example.to_toml(true),
        example.to_json(false),
    ));
}

#[test]
fn the_same_is_no_change_in_whatever_order() {
    let config = parse(FILE);
    assert_eq!(diff(&config, &config), []);
    let mut turned = config.clone();
    turned.trunks.reverse();
    turned.networks.reverse();
    turned.routes.reverse();
    assert_eq!(diff(&config, &turned), []);
}

#[test]
fn every_change_is_told() {
    let before = parse(FILE);
    let mut all = String::new();
    for (what, from, to) in [
        ("mode of XDP", "xdp = \"auto\"", "xdp = \"off\""),
        ("vlan", "vlan = 100\n    gateway", "vlan = 101\n    gateway"),
        ("gateway", "fd00::1/64", "fd00::2/64"),
        (
            "no gateway",
            "[\"10.0.0.1/24\", \"fd00::1/64\"]",
            "\"10.0.0.1/24\"",
        ),
        ("interface", "lan100", "lan"),
        ("pcp", "pcp = \"keep\"", ""),
        ("another name", "name = \"b\"", "name = \"c\""),
        ("next hop", "10.0.0.9", "10.0.0.8"),
        ("metric", "metric = 7", "metric = 8"),
        ("no source", "src = \"192.0.2.7\"", ""),
    ] {
        assert!(FILE.contains(from), "{what}");
        let after = parse(&FILE.replacen(from, to, 1));
        let changes = diff(&before, &after);
        assert!(!changes.is_empty(), "{what}");
        writeln!(all, "## {what}").unwrap();
        for change in changes {
            writeln!(
                all,
                "{} {:?} {}",
                change.section, change.change, change.name
            )
            .unwrap();
            for key in change.keys {
                writeln!(all, "  {}: {:?} -> {:?}", key.key, key.before, key.after).unwrap();
            }
        }
    }
    assert_snapshot!(all);
}

#[test]
fn the_way_back_is_the_way_there_turned_round() {
    let before = parse(FILE);
    let after = parse(
        &FILE
            .replace("name = \"b\"", "name = \"c\"")
            .replace("vlan = 100", "vlan = 9"),
    );
    let (there, back) = (diff(&before, &after), diff(&after, &before));
    assert_eq!(there.len(), back.len());
    let count = |changes: &[crate::api::model::ConfigChange], kind| {
        changes
            .iter()
            .filter(|change| change.change == kind)
            .count()
    };
    assert_eq!(
        count(&there, ConfigChangeKind::Added),
        count(&back, ConfigChangeKind::Removed)
    );
    assert_eq!(
        count(&there, ConfigChangeKind::Changed),
        count(&back, ConfigChangeKind::Changed)
    );
}
