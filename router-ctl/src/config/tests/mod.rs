//! Configurations that are right, and what people are told about wrong ones.
//!
//! The snapshots are what a terminal shows, without colour. To accept changes:
//! `INSTA_UPDATE=always cargo test -p router-ctl config`, then read the diff.

/// Without the expression, which is the whole table of cases.
macro_rules! assert_snapshot {
    ($text:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($text) })
    };
}

mod documents;
mod refused;
mod ways;

use std::{fs, path::Path};

use router_common::wire::Vid;

use super::{Config, PcpPolicy, StaticRoute, XdpMode};
use crate::error::{Error, Kind};

fn text_of(error: &Error) -> String {
    assert_eq!(error.kind, Kind::Usage);
    let report = error
        .report
        .as_ref()
        .expect("configuration errors have a report");
    for error in std::iter::once(error).chain(&report.more) {
        let help = error.help.as_deref().unwrap_or_default();
        assert!(!help.is_empty(), "no help: {error}");
    }
    anstream::adapter::strip_str(&report.rendered).to_string()
}

#[test]
fn the_example_is_what_it_says() {
    let config = Config::parse("example.toml", include_str!("../example.toml")).unwrap();
    assert_eq!(config.trunks[0].interface, "enp0s3");
    assert_eq!(config.trunks[0].xdp, XdpMode::Native);
    let [mac10, mac20, uplink] = config.networks.as_slice() else {
        panic!("three networks");
    };
    assert_eq!((mac10.name.as_str(), mac10.vlan.get()), ("mac10", 100));
    assert_eq!(mac10.interface, "enp0s3.100");
    assert_eq!(mac10.pcp, PcpPolicy::Map);
    assert_eq!(
        mac20.gateways,
        [
            "172.16.20.1/24".parse().unwrap(),
            "fd00:20::1/64".parse().unwrap()
        ]
    );
    assert_eq!(
        (uplink.vlan, uplink.interface.as_str()),
        (Vid::UNTAGGED, "enp0s3")
    );
    assert!(uplink.gateways.is_empty());
    assert_eq!(config.routes[0].via, Some("172.16.10.9".parse().unwrap()));
}

/// Whatever the documents show to users must be accepted.
#[test]
fn every_example_in_the_documents_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let Ok(text) = fs::read_to_string(root.join(name)) else {
            continue;
        };
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if block.contains("[[network]]") {
                Config::parse(name, block).unwrap_or_else(|error| panic!("{}", text_of(&error)));
            }
        }
    }
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(
        "router.toml",
        r#"
        policy_default = "accept"
        [[trunk]]
        interface = "eth0"
        xdp = "generic"
        [[trunk]]
        interface = "eth1"
        xdp = "off"
        [[network]]
        name = "a"
        trunk = "eth1"
        vlan = 0x64
        interface = "lan100"
        gateway = "10.0.0.1/31"
        pcp = "keep"
        [[network]]
        name = "b"
        trunk = "eth0"
        gateway = []
        [[route]]
        to = "default"
        via = "fe80::1"
        network = "b"
        metric = 7
        src = "fd00::1"
        [[route]]
        to = "192.0.2.1"
        network = "a"
        "#,
    )
    .unwrap();
    assert_eq!(
        config.trunks.iter().map(|t| t.xdp).collect::<Vec<_>>(),
        [XdpMode::Generic, XdpMode::Off]
    );
    assert_eq!(config.networks[0].interface, "lan100");
    assert_eq!(config.networks[0].pcp, PcpPolicy::Keep);
    assert_eq!(config.networks[1].interface, "eth0");
    assert_eq!(
        config.routes,
        [
            StaticRoute {
                to: "::/0".parse().unwrap(),
                via: Some("fe80::1".parse().unwrap()),
                network: Some("b".to_owned()),
                metric: Some(7),
                src: Some("fd00::1".parse().unwrap()),
            },
            StaticRoute {
                to: "192.0.2.1/32".parse().unwrap(),
                via: None,
                network: Some("a".to_owned()),
                metric: None,
                src: None,
            },
        ]
    );
}

#[test]
fn leases_are_a_minute_unless_said_otherwise() {
    let lease = |text: &str| {
        let text = format!("{text}[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"a\"\n");
        let config = Config::parse("router.toml", &text).unwrap();
        config.direct_lease.duration().as_secs()
    };
    assert_eq!(lease(""), 60);
    assert_eq!(lease("direct_lease = 5\n"), 5);
    assert_eq!(lease("direct_lease = 86400\n"), 86400);
}
