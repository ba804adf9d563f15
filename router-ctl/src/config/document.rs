//! [`Config`] -> what the user would have written: as TOML, as JSON, and as
//! what two configurations are compared by.
//!
//! Every key of a file is named here once more; a test reads back what is
//! written.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Config, DirectLease, Network, PcpPolicy, StaticRoute, Trunk, XdpMode};

/// A configuration, key by key, in the order of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) top: Vec<Key>,
    /// Name of the section, and its entries.
    pub(super) sections: [(&'static str, Vec<Vec<Key>>); 3],
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// A string, a number or a list of strings.
    pub(super) value: Value,
    /// It would be the same if it were left out.
    pub(super) default: bool,
}

fn key(name: &'static str, value: impl Into<Value>) -> Key {
    Key {
        name,
        value: value.into(),
        default: false,
    }
}

impl Key {
    fn default_if(self, default: bool) -> Self {
        Self { default, ..self }
    }
}

impl Config {
    /// The text of a file that says the same; `effective`: with everything that
    /// may be left out.
    #[must_use]
    pub fn to_toml(&self, effective: bool) -> String {
        let document = Document::new(self);
        let mut text = String::new();
        write_keys(&document.top, effective, &mut text);
        for (section, entries) in &document.sections {
            for entry in entries {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[[{section}]]");
                write_keys(entry, effective, &mut text);
            }
        }
        text
    }

    /// The same as JSON, with the keys of the file.
    #[must_use]
    pub fn to_json(&self, effective: bool) -> Value {
        let document = Document::new(self);
        let object = |keys: &[Key]| {
            let kept = keys.iter().filter(|key| effective || !key.default);
            kept.map(|key| (key.name.to_owned(), key.value.clone()))
                .collect::<Map<_, _>>()
        };
        let mut json = object(&document.top);
        for (section, entries) in &document.sections {
            let entries = entries.iter().map(|entry| Value::Object(object(entry)));
            json.insert((*section).to_owned(), Value::Array(entries.collect()));
        }
        json.into()
    }
}

/// Names and addresses: what is escaped in JSON is escaped the same way in
/// TOML. Writing into a string does not fail.
fn write_keys(keys: &[Key], effective: bool, text: &mut String) {
    for key in keys.iter().filter(|key| effective || !key.default) {
        let _ = writeln!(text, "{} = {}", key.name, spaced(&key.value));
    }
}

/// A list with spaces, as people write it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

impl Document {
    pub(super) fn new(config: &Config) -> Self {
        let only = config.trunks.len() == 1;
        let trunks = config.trunks.iter().map(trunk);
        let networks = config.networks.iter().map(|entry| network(entry, only));
        Self {
            top: vec![
                key("policy_default", "accept").default_if(true),
                key("direct_lease", config.direct_lease.duration().as_secs())
                    .default_if(config.direct_lease == DirectLease::default()),
            ],
            sections: [
                ("trunk", trunks.collect()),
                ("network", networks.collect()),
                ("route", config.routes.iter().map(route).collect()),
            ],
        }
    }
}

fn trunk(trunk: &Trunk) -> Vec<Key> {
    vec![
        key("interface", trunk.interface.as_str()),
        key("xdp", trunk.xdp.name()).default_if(trunk.xdp == XdpMode::default()),
    ]
}

fn network(network: &Network, only_trunk: bool) -> Vec<Key> {
    let usual = if network.vlan.is_untagged() {
        network.trunk.clone()
    } else {
        format!("{}.{}", network.trunk, network.vlan)
    };
    let mut keys = vec![
        key("name", network.name.as_str()),
        key("trunk", network.trunk.as_str()).default_if(only_trunk),
    ];
    if !network.vlan.is_untagged() {
        keys.push(key("vlan", network.vlan.get()));
    }
    let gateways = network.gateways.iter().map(ToString::to_string);
    let pcp = match network.pcp {
        PcpPolicy::Map => "map",
        PcpPolicy::Keep => "keep",
    };
    keys.extend([
        key("interface", network.interface.as_str()).default_if(network.interface == usual),
        key("gateway", gateways.collect::<Vec<_>>()).default_if(network.gateways.is_empty()),
        key("pcp", pcp).default_if(network.pcp == PcpPolicy::default()),
    ]);
    keys
}

fn route(route: &StaticRoute) -> Vec<Key> {
    let mut keys = vec![key("to", route.to.to_string())];
    keys.extend(route.via.map(|via| key("via", via.to_string())));
    keys.extend(
        route
            .network
            .as_ref()
            .map(|network| key("network", network.as_str())),
    );
    let metric = route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
    keys.push(key("metric", metric).default_if(metric == StaticRoute::DEFAULT_METRIC));
    keys.extend(route.src.map(|src| key("src", src.to_string())));
    keys
}
