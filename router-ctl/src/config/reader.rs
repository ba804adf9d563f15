//! TOML text -> [`File`].
//!
//! The tree is walked by hand and not derived: serde stops at the first key
//! that it does not know, and people who mend a file want all of them.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostics, Draft, Span},
    file::{File, Network, Route, Trunk, Vlan},
    suggest::nearest,
};
use crate::codes;

/// Reads `text`; what is wrong with it goes to `wrong`.
pub(super) fn read(text: &str, wrong: &mut Diagnostics) -> Option<File> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let syntax = Draft::new(
                codes::CONFIG_SYNTAX,
                format!("not TOML: {}", error.message()),
            );
            let syntax = match error.span() {
                Some(span) => syntax.at(span, ""),
                None => syntax,
            };
            wrong.push(syntax.help("`router-ctl config --help` shows a whole file"));
        }
        // What was recovered has holes that the user did not make.
        return None;
    }
    let span = tree.span();
    let mut top = Section::new(&TOP, tree.get_ref(), span, wrong);
    let policy_default = top.string("policy_default");
    let direct_lease = top.integer("direct_lease");
    top.not_yet();
    let trunks = top.list("trunk", &TRUNK, |entry| Trunk {
        interface: entry.required("interface"),
        xdp: entry.string("xdp"),
    });
    let networks = top.list("network", &NETWORK, |entry| Network {
        span: entry.span.clone(),
        name: entry.required("name"),
        trunk: entry.string("trunk"),
        vlan: match entry.get("vlan") {
            None => Vlan::Untagged,
            Some(value) => entry
                .as_integer("vlan", value)
                .map_or(Vlan::Wrong, Vlan::Tagged),
        },
        interface: entry.string("interface"),
        gateways: entry.strings("gateway"),
        pcp: entry.string("pcp"),
    });
    let routes = top.list("route", &ROUTE, |entry| Route {
        span: entry.span.clone(),
        to: entry.required("to"),
        via: entry.string("via"),
        network: entry.string("network"),
        metric: entry.integer("metric"),
        src: entry.string("src"),
    });
    Some(File {
        policy_default,
        direct_lease,
        trunks,
        networks,
        routes: routes.unwrap_or_default(),
    })
}

/// The keys of a section.
struct Keys {
    /// As the user writes it.
    section: &'static str,
    keys: &'static [&'static str],
    /// Words of other tools -> ours.
    others: &'static [(&'static str, &'static str)],
}

/// How a key is written.
fn example(section: &str, key: &str) -> &'static str {
    match (section, key) {
        ("[[trunk]]", "interface") => "interface = \"enp0s3\"",
        (_, "interface") => "interface = \"enp0s3.100\"",
        (_, "name") => "name = \"mac10\"",
        (_, "vlan") => "vlan = 100",
        (_, "gateway") => "gateway = \"172.16.10.1/24\"",
        (_, "to") => "to = \"10.9.0.0/16\"",
        (_, "via") => "via = \"172.16.10.9\"",
        (_, "metric") => "metric = 50",
        (_, "direct_lease") => "direct_lease = 60",
        (_, "policy_default") => "policy_default = \"accept\"",
        (_, "trunk") => "trunk = \"enp0s3\"",
        (_, "network") => "network = \"mac10\"",
        (_, "src") => "src = \"172.16.10.1\"",
        (_, "xdp") => "xdp = \"native\"",
        (_, "pcp") => "pcp = \"keep\"",
        _ => "see `router-ctl config --help`",
    }
}

const TOP: Keys = Keys {
    section: "the file",
    keys: &[
        "policy_default",
        "direct_lease",
        "trunk",
        "network",
        "route",
        "nat",
        "policy",
    ],
    others: &[("default_policy", "policy_default"), ("parent", "trunk")],
};
const TRUNK: Keys = Keys {
    section: "[[trunk]]",
    keys: &["interface", "xdp"],
    others: &[
        ("name", "interface"),
        ("dev", "interface"),
        ("device", "interface"),
        ("mode", "xdp"),
    ],
};
const NETWORK: Keys = Keys {
    section: "[[network]]",
    keys: &["name", "trunk", "vlan", "interface", "gateway", "pcp"],
    others: &[
        ("parent", "trunk"),
        ("vid", "vlan"),
        ("id", "vlan"),
        ("address", "gateway"),
        ("addresses", "gateway"),
        ("subnet", "gateway"),
        ("dev", "interface"),
    ],
};
const ROUTE: Keys = Keys {
    section: "[[route]]",
    keys: &["to", "via", "network", "metric", "src"],
    others: &[
        ("dst", "to"),
        ("destination", "to"),
        ("prefix", "to"),
        ("gateway", "via"),
        ("dev", "network"),
        ("interface", "network"),
        ("source", "src"),
    ],
};

/// A table that is being read.
struct Section<'t, 'w> {
    keys: &'static Keys,
    table: &'t DeTable<'t>,
    span: Span,
    wrong: &'w mut Diagnostics,
}

impl<'t, 'w> Section<'t, 'w> {
    /// Reports the keys that the section does not have.
    fn new(
        keys: &'static Keys,
        table: &'t DeTable<'t>,
        span: Span,
        wrong: &'w mut Diagnostics,
    ) -> Self {
        for (key, _) in table {
            let word: &str = key.get_ref();
            if keys.keys.contains(&word) {
                continue;
            }
            let other = keys.others.iter().find(|(other, _)| *other == word);
            let meant = other
                .map(|(_, ours)| *ours)
                .or_else(|| nearest(word, keys.keys.iter().copied()));
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("{} has {}", keys.section, keys.keys.join(", ")),
            };
            wrong.push(
                Draft::new(
                    codes::UNKNOWN_KEY,
                    format!("unknown key `{word}` in {}", keys.section),
                )
                .at(key.span(), "no such key")
                .help(help),
            );
        }
        Self {
            keys,
            table,
            span,
            wrong,
        }
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    fn string(&mut self, key: &str) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        self.as_string(key, value)
    }

    fn required(&mut self, key: &str) -> Option<Spanned<String>> {
        if self.get(key).is_none() {
            self.wrong.push(
                Draft::new(
                    codes::MISSING_KEY,
                    format!("{} without `{key}`", self.keys.section),
                )
                .at(self.span.clone(), format!("`{key}` is missing here"))
                .help(format!("give it: {}", example(self.keys.section, key))),
            );
        }
        self.string(key)
    }

    fn integer(&mut self, key: &str) -> Option<Spanned<i64>> {
        let value = self.get(key)?;
        self.as_integer(key, value)
    }

    /// A string, or an array of strings.
    fn strings(&mut self, key: &str) -> Vec<Spanned<String>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.as_string(key, item))
                .collect(),
            _ => self.as_string(key, value).into_iter().collect(),
        }
    }

    /// The entries of `[[key]]`; `None`: not a list.
    fn list<T>(
        &mut self,
        key: &str,
        keys: &'static Keys,
        mut read: impl FnMut(&mut Section<'t, '_>) -> T,
    ) -> Option<Vec<T>> {
        let Some(value) = self.get(key) else {
            return Some(Vec::new());
        };
        let DeValue::Array(items) = value.get_ref() else {
            let help = format!("write [[{key}]], with two brackets: there may be several");
            self.wrong_type(key, value, "an array of tables", Some(help));
            return None;
        };
        let mut entries = Vec::new();
        for item in items {
            if let DeValue::Table(table) = item.get_ref() {
                let mut entry = Section::new(keys, table, item.span(), self.wrong);
                entries.push(read(&mut entry));
            } else {
                let help = format!("write each as a [[{key}]] of its own");
                self.wrong_type(key, item, "a table", Some(help));
            }
        }
        Some(entries)
    }

    /// Sections that are planned, and would be ignored: saying so is better.
    fn not_yet(&mut self) {
        let span_of = |key: &str| {
            let (key, _) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
            Some(key.span())
        };
        if let Some(span) = span_of("nat") {
            self.wrong.push(
                Draft::new(codes::NOT_YET, "`nat` is not built yet")
                    .at(span, "this version does not translate addresses")
                    .help(
                        "leave the uplink out of this file and masquerade on it with nftables: \
                         what leaves by an interface that is no network here goes through the \
                         kernel, which translates it",
                    ),
            );
        }
        if let Some(span) = span_of("policy") {
            self.wrong.push(
                Draft::new(codes::NOT_YET, "`policy` is not built yet")
                    .at(span, "this version forwards between all its networks")
                    .help(super::WITHOUT_POLICY),
            );
        }
    }

    fn as_string(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<String>> {
        if let DeValue::String(text) = value.get_ref() {
            Some(Spanned::new(value.span(), text.clone().into_owned()))
        } else {
            self.wrong_type(key, value, "a string", None);
            None
        }
    }

    fn as_integer(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<i64>> {
        let number = match value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        if let (None, DeValue::Integer(digits)) = (number, value.get_ref()) {
            self.wrong.push(
                Draft::new(
                    codes::BAD_VALUE,
                    format!("`{key}` {} is too large", digits.as_str()),
                )
                .at(value.span(), "no such number")
                .help(format!("as in {}", example(self.keys.section, key))),
            );
            return None;
        }
        if number.is_none() {
            let help = match value.get_ref() {
                DeValue::String(text) if text.parse::<i64>().is_ok() => {
                    Some(format!("write {key} = {text}, without quotes"))
                }
                _ => None,
            };
            self.wrong_type(key, value, "an integer", help);
        }
        number.map(|number| Spanned::new(value.span(), number))
    }

    fn wrong_type(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        help: Option<String>,
    ) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let help = help.unwrap_or_else(|| format!("as in {}", example(self.keys.section, key)));
        self.wrong.push(
            Draft::new(
                codes::WRONG_TYPE,
                format!("`{key}` must be {wanted}, not {found}"),
            )
            .at(value.span(), found)
            .help(help),
        );
    }
}
