//! Tables of wrong files, and what is said about them.

use std::fmt::Write as _;

use router_common::abi::{MAX_NETWORKS, MAX_TRUNKS};

use super::text_of;
use crate::{codes, config::Config};

const TRUNK: &str = "[[trunk]]\ninterface = \"eth0\"\n";
const LAN: &str = "[[network]]\nname = \"lan\"\nvlan = 100\ngateway = \"10.0.0.1/24\"\n";

/// What the user is told about each case; every case must be refused.
fn refusals(cases: &[(&str, String)]) -> String {
    let mut all = String::new();
    for (what, text) in cases {
        let error = Config::parse("router.toml", text).expect_err(what);
        writeln!(all, "## {what}\n{}\n", text_of(&error)).unwrap();
    }
    all
}

/// `text` behind a sound trunk.
fn trunk_and(text: &str) -> String {
    format!("{TRUNK}{text}")
}

/// `text` behind a sound trunk and network.
fn lan_and(text: &str) -> String {
    format!("{TRUNK}{LAN}{text}")
}

/// A network with this gateway.
fn gateway(value: &str) -> String {
    trunk_and(&format!(
        "[[network]]\nname = \"a\"\nvlan = 1\ngateway = {value}\n"
    ))
}

#[test]
fn shape() {
    assert_snapshot!(refusals(&[
        ("not TOML", "[[trunk]\ninterface = \"eth0\"\n".to_owned()),
        ("two syntax errors", "a = \nb = 1979-\n".to_owned()),
        ("the same key twice", trunk_and("interface = \"eth1\"\n")),
        ("nothing", String::new()),
        ("unknown keys", lan_and("gatway = \"x\"\ncolour = 1\n[[networks]]\nname = \"x\"\n")),
        ("words of other tools", "[[trunk]]\nname = \"eth0\"\n[[network]]\nname = \"a\"\nvid = 1\n".to_owned()),
        ("wrong types", "[[trunk]]\ninterface = 7\n[[network]]\nname = true\nvlan = \"100\"\ngateway = [1, \"10.0.0.1/24\"]\n".to_owned()),
        ("one bracket", "[trunk]\ninterface = \"eth0\"\n[network]\nname = \"a\"\n".to_owned()),
        ("missing keys", "[[trunk]]\n[[network]]\nvlan = 5\n[[route]]\nvia = \"10.0.0.2\"\n".to_owned()),
        ("not yet", format!("policy_default = \"drop\"\n{}[nat]\nmasquerade = [\"lan\"]\n[[policy]]\naction = \"drop\"\n", lan_and(""))),
        ("not yet: reject", format!("policy_default = \"reject\"\n{}", lan_and(""))),
        ("leases", format!("direct_lease = 4\n{}", lan_and(""))),
        ("a lease of more than a day", format!("direct_lease = 86401\n{}", lan_and(""))),
        ("a lease in words", format!("direct_lease = \"60\"\n{}", lan_and(""))),
        ("no such policy", format!("policy_default = \"acept\"\n{}", lan_and(""))),
    ]));
}

#[test]
fn names() {
    assert_snapshot!(refusals(&[
        (
            "trunk: 16 characters",
            format!("[[trunk]]\ninterface = \"enp0s31f6longer1\"\n{LAN}")
        ),
        (
            "trunk: slash",
            format!("[[trunk]]\ninterface = \"eth/0\"\n{LAN}")
        ),
        (
            "trunk: space",
            format!("[[trunk]]\ninterface = \"eth 0\"\n{LAN}")
        ),
        (
            "trunk: dots",
            format!("[[trunk]]\ninterface = \"..\"\n{LAN}")
        ),
        (
            "trunk: sysctl's word",
            format!("[[trunk]]\ninterface = \"all\"\n{LAN}")
        ),
        (
            "trunk: empty",
            format!("[[trunk]]\ninterface = \"\"\n{LAN}")
        ),
        (
            "interface: percent",
            trunk_and("[[network]]\nname = \"a\"\nvlan = 1\ninterface = \"lan%d\"\n")
        ),
        (
            "network: characters",
            trunk_and("[[network]]\nname = \"büro 1\"\nvlan = 1\n")
        ),
        (
            "network: option",
            trunk_and("[[network]]\nname = \"-j\"\nvlan = 1\n")
        ),
        (
            "network: too long",
            trunk_and(&format!(
                "[[network]]\nname = \"{}\"\nvlan = 1\n",
                "a".repeat(64)
            ))
        ),
        (
            "default name too long",
            "[[trunk]]\ninterface = \"enp0s31f6np0\"\n[[network]]\nname = \"a\"\nvlan = 4000\n"
                .to_owned()
        ),
    ]));
}

#[test]
fn networks() {
    let two = "[[trunk]]\ninterface = \"eth0\"\n[[trunk]]\ninterface = \"eth1\"\n";
    assert_snapshot!(refusals(&[
        ("no trunk", LAN.to_owned()),
        ("no network", TRUNK.to_owned()),
        ("trunk twice", format!("{TRUNK}{TRUNK}{LAN}")),
        (
            "mode of XDP",
            "[[trunk]]\ninterface = \"eth0\"\nxdp = \"Native\"\n".to_owned() + LAN
        ),
        ("vlan 0", trunk_and("[[network]]\nname = \"a\"\nvlan = 0\n")),
        (
            "vlan 4095",
            trunk_and("[[network]]\nname = \"a\"\nvlan = 4095\n")
        ),
        (
            "vlan 4096 and -1",
            trunk_and(
                "[[network]]\nname = \"a\"\nvlan = 4096\n[[network]]\nname = \"b\"\nvlan = -1\n"
            )
        ),
        (
            "unknown trunk",
            trunk_and("[[network]]\nname = \"a\"\ntrunk = \"eht0\"\nvlan = 1\n")
        ),
        ("which trunk", format!("{two}{LAN}")),
        (
            "same name",
            lan_and("[[network]]\nname = \"lan\"\nvlan = 5\n")
        ),
        (
            "same vlan",
            lan_and("[[network]]\nname = \"b\"\nvlan = 100\n")
        ),
        (
            "same interface",
            lan_and("[[network]]\nname = \"b\"\nvlan = 5\ninterface = \"eth0.100\"\n")
        ),
        (
            "a trunk as interface",
            lan_and("[[network]]\nname = \"b\"\nvlan = 5\ninterface = \"eth0\"\n")
        ),
        (
            "two untagged",
            trunk_and("[[network]]\nname = \"a\"\n[[network]]\nname = \"b\"\n")
        ),
        (
            "untagged with an interface",
            trunk_and("[[network]]\nname = \"a\"\ninterface = \"eth0.1\"\n")
        ),
        (
            "pcp",
            trunk_and("[[network]]\nname = \"a\"\nvlan = 1\npcp = \"keeep\"\n")
        ),
    ]));
}

#[test]
fn gateways() {
    let second = |gateways: &str| {
        lan_and(&format!(
            "[[network]]\nname = \"b\"\nvlan = 5\ngateway = {gateways}\n"
        ))
    };
    assert_snapshot!(refusals(&[
        ("no length", gateway("\"172.16.10.1\"")),
        ("no length, IPv6", gateway("\"fd00::1\"")),
        ("not an address", gateway("\"172.16.10.300/24\"")),
        ("length 33", gateway("\"172.16.10.1/33\"")),
        ("length 0", gateway("\"172.16.10.1/0\"")),
        ("the network's address", gateway("\"172.16.10.0/24\"")),
        ("the broadcast address", gateway("\"172.16.10.255/24\"")),
        ("anycast", gateway("\"fd00:10::/64\"")),
        ("multicast", gateway("[\"224.0.0.1/24\", \"ff02::1/64\"]")),
        ("loopback", gateway("[\"127.0.0.1/8\", \"::1/64\"]")),
        (
            "reserved",
            gateway(
                "[\"0.1.2.3/24\", \"240.0.0.1/24\", \"255.255.255.255/32\", \"::/64\", \"::ffff:10.0.0.1/120\"]"
            )
        ),
        ("link-local", gateway("\"fe80::1/64\"")),
        (
            "the same twice",
            gateway("[\"10.0.0.1/24\", \"10.0.0.1/16\"]")
        ),
        ("of another network", second("\"10.0.0.1/24\"")),
        ("inside another network", second("\"10.0.0.129/25\"")),
        (
            "around another network",
            second("[\"fd00::1/64\", \"10.1.2.3/8\"]")
        ),
    ]));
}

#[test]
fn routes() {
    let uplink = "[[network]]\nname = \"wan\"\n";
    let dmz = "[[network]]\nname = \"dmz\"\nvlan = 7\ngateway = \"10.7.0.1/24\"\n";
    let route = |body: &str| lan_and(&format!("[[route]]\n{body}\n"));
    assert_snapshot!(refusals(&[
        (
            "not a prefix",
            route("to = \"10.9.0.0/33\"\nvia = \"10.0.0.2\"")
        ),
        (
            "host bits",
            route("to = \"10.9.0.1/16\"\nvia = \"10.0.0.2\"")
        ),
        (
            "never routed",
            route("to = \"224.0.0.0/4\"\nvia = \"10.0.0.2\"")
        ),
        ("no way", route("to = \"10.9.0.0/16\"")),
        (
            "via is a prefix",
            route("to = \"10.9.0.0/16\"\nvia = \"10.0.0.2/24\"")
        ),
        (
            "via is multicast",
            route("to = \"10.9.0.0/16\"\nvia = \"224.0.0.1\"")
        ),
        (
            "via outside",
            route("to = \"10.9.0.0/16\"\nvia = \"10.0.1.2\"")
        ),
        (
            "via in another network",
            format!(
                "{}{dmz}[[route]]\nto = \"10.9.0.0/16\"\nvia = \"10.7.0.9\"\nnetwork = \"lan\"\n",
                lan_and("")
            )
        ),
        (
            "via outside every network",
            format!(
                "{}{dmz}[[route]]\nto = \"10.9.0.0/16\"\nvia = \"10.8.0.9\"\n",
                lan_and("")
            )
        ),
        (
            "via is a gateway",
            route("to = \"10.9.0.0/16\"\nvia = \"10.0.0.1\"")
        ),
        (
            "via is link-local",
            route("to = \"fd00:9::/48\"\nvia = \"fe80::1\"")
        ),
        (
            "families",
            route("to = \"10.9.0.0/16\"\nvia = \"fd00::2\"\nnetwork = \"lan\"")
        ),
        (
            "family of src",
            route("to = \"default\"\nvia = \"10.0.0.2\"\nsrc = \"fd00::2\"")
        ),
        (
            "unknown network",
            route("to = \"10.9.0.0/16\"\nvia = \"10.0.0.2\"\nnetwork = \"lam\"")
        ),
        (
            "an interface as network",
            route("to = \"10.9.0.0/16\"\nnetwork = \"eth0.100\"")
        ),
        (
            "metric",
            route("to = \"10.9.0.0/16\"\nvia = \"10.0.0.2\"\nmetric = -1")
        ),
        (
            "twice",
            format!(
                "{}{}",
                route("to = \"10.9.0.0/16\"\nvia = \"10.0.0.2\""),
                "[[route]]\nto = \"10.9.0.0/16\"\nvia = \"10.0.0.3\"\nmetric = 50\n"
            )
        ),
    ]));
    // What only the kernel knows is left to it.
    for text in [
        format!(
            "{}{uplink}[[route]]\nto = \"default\"\nvia = \"192.0.2.1\"\n",
            lan_and("")
        ),
        route("to = \"fd00:9::/48\"\nvia = \"fe80::1\"\nnetwork = \"lan\""),
    ] {
        Config::parse("router.toml", &text).unwrap_or_else(|error| panic!("{}", text_of(&error)));
    }
}

#[test]
fn many_errors_are_found_in_one_go() {
    let text = "polcy_default = \"accept\"\n[[trunk]]\ninterface = \"eth0\"\n\
                [[network]]\nname = \"a\"\nvlan = 5000\ngateway = \"10.0.0.0/24\"\n\
                [[route]]\nto = \"10.9.0.0/99\"\nvia = \"x\"\n";
    let error = Config::parse("router.toml", text).unwrap_err();
    let more = &error.report.as_ref().unwrap().more;
    let codes: Vec<&str> = [&*error.code]
        .into_iter()
        .chain(more.iter().map(|e| &*e.code))
        .collect();
    assert_eq!(
        codes,
        [
            codes::UNKNOWN_KEY,
            codes::BAD_VALUE,
            codes::GATEWAY_INVALID,
            codes::BAD_ADDRESS,
            codes::BAD_ADDRESS
        ]
    );
    assert!(text_of(&error).ends_with("5 errors"));
    assert_snapshot!(serde_json::to_string_pretty(&error.body()).unwrap());
}

#[test]
fn the_maps_bound_what_is_accepted() {
    let mut text = String::new();
    for i in 0..MAX_TRUNKS {
        writeln!(text, "[[trunk]]\ninterface = \"eth{i}\"").unwrap();
    }
    let mut networks = String::new();
    for i in 0..MAX_NETWORKS {
        let (trunk, vlan) = (i / 4094, i % 4094 + 1);
        writeln!(
            networks,
            "[[network]]\nname = \"n{i}\"\ntrunk = \"eth{trunk}\"\nvlan = {vlan}\ngateway = \"10.{}.{}.1/24\"",
            i / 256,
            i % 256
        )
        .unwrap();
    }
    let config = Config::parse("router.toml", &format!("{text}{networks}")).unwrap();
    assert_eq!(config.networks.len(), MAX_NETWORKS as usize);

    let more = "[[network]]\nname = \"more\"\ntrunk = \"eth7\"\nvlan = 1\n";
    let error = Config::parse("router.toml", &format!("{text}{networks}{more}")).unwrap_err();
    assert_eq!(error.code, codes::TOO_MANY);
    let error = Config::parse(
        "router.toml",
        &format!("{text}[[trunk]]\ninterface = \"eth9\"\n{networks}"),
    )
    .unwrap_err();
    assert_eq!(error.code, codes::TOO_MANY);
}

/// What the kernel would refuse, with words that help nobody.
#[test]
fn a_subnets_own_addresses_are_no_next_hops() {
    let route = |via: &str| {
        lan_and(&format!(
            "[[route]]\nto = \"10.9.0.0/16\"\nvia = \"{via}\"\n"
        ))
    };
    for via in ["10.0.0.255", "10.0.0.0"] {
        let error = Config::parse("router.toml", &route(via)).unwrap_err();
        assert_eq!(error.code, crate::codes::NEXT_HOP_INVALID, "{via}");
        let text = text_of(&error);
        assert!(text.contains("10.0.0.0/24 has it for all"), "{text}");
    }
    Config::parse("router.toml", &route("10.0.0.254")).unwrap();
}

/// "must be an integer, not an integer"
#[test]
fn a_number_that_is_too_large_is_called_so() {
    let text =
        "[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"a\"\nvlan = 99999999999999999999\n";
    let error = Config::parse("router.toml", text).unwrap_err();
    assert_eq!(error.code, crate::codes::BAD_VALUE);
    assert_eq!(error.message, "`vlan` 99999999999999999999 is too large");
}
