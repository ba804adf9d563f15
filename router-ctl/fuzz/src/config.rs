//! Configurations, as files and as words of the command line.

use std::collections::BTreeSet;

use router_ctl::{
    codes,
    config::{Config, Options, StaticRoute},
    error::Error,
};

/// The text of a configuration file.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    match Config::parse("router.toml", text) {
        Ok(config) => {
            assert_consistent(&config);
            true
        }
        Err(error) => {
            assert_explained(&error, text);
            false
        }
    }
}

/// Lines of the command line: `trunk`, `xdp`, `network` and `route` options; a
/// line of another kind is a route of `router-ctl routes add`.
pub fn words(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let mut options = Options::default();
    let mut accepted = false;
    for line in text.lines().take(20) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.to_owned();
        match kind {
            "trunk" => options.trunks.push(rest),
            "xdp" => options.xdp = Some(rest),
            "network" => options.networks.push(rest),
            "route" => options.routes.push(rest),
            _ => {
                let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                for (v6, way) in [(None, false), (Some(true), true)] {
                    match StaticRoute::from_words("routes add", &words, v6, way) {
                        Ok(_) => accepted = true,
                        Err(error) => assert_explained(&error, "routes add"),
                    }
                }
                let _ = codes::find(line);
            }
        }
    }
    match Config::from_options(&options) {
        Ok(config) => {
            assert_consistent(&config);
            accepted = true;
        }
        Err(error) => assert_explained(&error, text),
    }
    accepted
}

/// What `Config` promises.
fn assert_consistent(config: &Config) {
    let trunks: BTreeSet<_> = config.trunks.iter().map(|trunk| &trunk.interface).collect();
    assert_eq!(trunks.len(), config.trunks.len(), "trunks differ");
    let networks = &config.networks;
    let names: BTreeSet<_> = networks.iter().map(|net| &net.name).collect();
    assert_eq!(names.len(), networks.len(), "names differ");
    let devices: BTreeSet<_> = networks.iter().map(|net| &net.interface).collect();
    assert_eq!(devices.len(), networks.len(), "sub-interfaces differ");
    let tags: BTreeSet<_> = networks.iter().map(|net| (&net.trunk, net.vlan)).collect();
    assert_eq!(tags.len(), networks.len(), "(trunk, VID) differ");
    for net in networks {
        assert!(trunks.contains(&net.trunk), "a trunk for {net:?}");
        assert!(net.vlan.get() < 4095);
        assert!(!net.interface.is_empty() && net.interface.len() <= 15);
        assert!(!net.interface.contains(['/', ' ', '\0', '\n']));
        assert!(!net.name.is_empty());
    }
    let mut prefixes: Vec<_> = networks.iter().flat_map(|net| &net.gateways).collect();
    while let Some(one) = prefixes.pop() {
        for other in &prefixes {
            let apart = !one.contains(&other.trunc()) && !other.contains(&one.trunc());
            assert!(apart || one.trunc() == other.trunc(), "{one} and {other}");
        }
    }
    for route in &config.routes {
        if let Some(network) = &route.network {
            assert!(names.contains(network), "a network for {route:?}");
        }
        assert!(route.via.is_some() || route.network.is_some());
        assert_eq!(route.to, route.to.trunc(), "no host bits");
    }
}

/// An error that a user can do something with.
fn assert_explained(error: &Error, text: &str) {
    let body = error.body();
    let mut all = vec![&body];
    while let Some(one) = all.pop() {
        all.extend(&one.more);
        assert!(
            codes::find(&one.code).is_some(),
            "{} is explained",
            one.code
        );
        assert!(!one.message.is_empty());
        assert!(!one.message.contains('\n'), "one line: {:?}", one.message);
        if let Some(place) = &one.location {
            assert!(place.line >= 1 && place.column >= 1);
            // A line may be the one behind the last.
            assert!(place.line <= text.lines().count() + 1, "{place:?}");
        }
    }
    if let Some(report) = &error.report {
        assert!(!report.rendered.is_empty());
    }
}
