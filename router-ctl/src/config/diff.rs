//! What one configuration has and another has not.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{
    Config, Network,
    document::{Document, Key},
};
use crate::api::model::{ConfigChange, ConfigChangeKind, ConfigKeyChange};

/// Every change on the way from `before` to `after`, in the order of a file:
/// what goes first, then what is changed, then what is new. The order in which
/// entries stand is no change.
#[must_use]
pub fn diff(before: &Config, after: &Config) -> Vec<ConfigChange> {
    let (old, new) = (Document::new(before), Document::new(after));
    let mut changes = Vec::new();
    changes.extend(changed("file", String::new(), &old.top, &new.top));
    let renamed = renamed(before, after);
    for ((section, old), (_, new)) in old.sections.iter().zip(&new.sections) {
        section_changes(section, old, new, &renamed, &mut changes);
    }
    changes
}

/// Names, before and after, of networks that have another name and are the same
/// to the kernel.
fn renamed<'c>(before: &'c Config, after: &'c Config) -> Vec<(&'c str, &'c str)> {
    let names = |config: &'c Config| -> BTreeSet<&str> {
        let networks = config.networks.iter();
        networks.map(|network| network.name.as_str()).collect()
    };
    let (old, new) = (names(before), names(after));
    let place = |network: &'c Network| (&network.trunk, network.vlan, &network.interface);
    let gone = before
        .networks
        .iter()
        .filter(|network| !new.contains(network.name.as_str()));
    gone.filter_map(|gone| {
        let come = after.networks.iter().find(|network| {
            !old.contains(network.name.as_str()) && place(network) == place(gone)
        })?;
        Some((gone.name.as_str(), come.name.as_str()))
    })
    .collect()
}

fn section_changes(
    section: &str,
    old: &[Vec<Key>],
    new: &[Vec<Key>],
    renamed: &[(&str, &str)],
    changes: &mut Vec<ConfigChange>,
) {
    let counterpart = |name: String| -> String {
        let other = renamed.iter().find(|(before, _)| *before == name);
        match other {
            Some((_, after)) if section == "network" => (*after).to_owned(),
            _ => name,
        }
    };
    // There may be thousands.
    let mut places = HashMap::new();
    for (at, entry) in new.iter().enumerate() {
        places.entry(name(section, entry)).or_insert(at);
    }
    let mut kept = BTreeSet::new();
    let mut altered = Vec::new();
    for entry in old {
        let old_name = name(section, entry);
        let Some(&at) = places.get(&counterpart(old_name.clone())) else {
            changes.push(whole(section, ConfigChangeKind::Removed, old_name, entry));
            continue;
        };
        kept.insert(at);
        altered.extend(changed(section, old_name, entry, &new[at]));
    }
    changes.append(&mut altered);
    for (at, entry) in new.iter().enumerate() {
        if !kept.contains(&at) {
            let name = name(section, entry);
            changes.push(whole(section, ConfigChangeKind::Added, name, entry));
        }
    }
}

/// What an entry is known by.
fn name(section: &str, entry: &[Key]) -> String {
    let text = |wanted: &str| {
        let key = entry.iter().find(|key| key.name == wanted);
        key.map(|key| plain(&key.value)).unwrap_or_default()
    };
    match section {
        "trunk" => text("interface"),
        "network" => text("name"),
        _ => format!("{} metric {}", text("to"), text("metric")),
    }
}

fn whole(section: &str, change: ConfigChangeKind, name: String, entry: &[Key]) -> ConfigChange {
    let told = entry.iter().filter(|key| !key.default);
    let keys = told.flat_map(|key| {
        values(&key.value).into_iter().map(|value| {
            let (before, after) = match change {
                ConfigChangeKind::Removed => (Some(value), None),
                ConfigChangeKind::Added | ConfigChangeKind::Changed => (None, Some(value)),
            };
            ConfigKeyChange {
                key: key.name.to_owned(),
                before,
                after,
            }
        })
    });
    ConfigChange {
        change,
        section: section.to_owned(),
        name,
        keys: keys.collect(),
    }
}

/// `None`: nothing has.
fn changed(section: &str, name: String, old: &[Key], new: &[Key]) -> Option<ConfigChange> {
    let value_of = |entry: &[Key], wanted: &str| {
        let key = entry.iter().find(|key| key.name == wanted);
        key.map(|key| key.value.clone())
    };
    let added = new
        .iter()
        .filter(|key| value_of(old, key.name).is_none())
        .map(|key| key.name);
    let names: Vec<&str> = old.iter().map(|key| key.name).chain(added).collect();
    let keys: Vec<ConfigKeyChange> = names
        .into_iter()
        .flat_map(|key| key_changes(key, value_of(old, key), value_of(new, key)))
        .collect();
    (!keys.is_empty()).then(|| ConfigChange {
        change: ConfigChangeKind::Changed,
        section: section.to_owned(),
        name,
        keys,
    })
}

/// Of a list, each item that went or came; of anything else, the value.
fn key_changes(key: &str, old: Option<Value>, new: Option<Value>) -> Vec<ConfigKeyChange> {
    if old == new {
        return Vec::new();
    }
    let change = |before, after| ConfigKeyChange {
        key: key.to_owned(),
        before,
        after,
    };
    let all = |value: Option<Value>| value.map(|value| values(&value)).unwrap_or_default();
    let is_list = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_array);
    if !is_list(&old) && !is_list(&new) {
        return vec![change(all(old).pop(), all(new).pop())];
    }
    let (old, new) = (all(old), all(new));
    let went = old.iter().filter(|item| !new.contains(item));
    let came = new.iter().filter(|item| !old.contains(item));
    let went = went.map(|item| change(Some(item.clone()), None));
    let came = came.map(|item| change(None, Some(item.clone())));
    went.chain(came).collect()
}

fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        other => vec![plain(other)],
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
