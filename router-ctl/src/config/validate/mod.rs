//! [`File`] -> [`Config`]: everything that can be known without asking the
//! kernel, before anything is done.
//!
//! Each check reports and goes on, so that one run finds what is wrong in the
//! whole file. What depends on something that was wrong is not reported again.

mod address;
mod names;
mod networks;
mod routes;
mod subnets;

use std::collections::HashMap;

use router_common::abi;
use toml::Spanned;

use super::{
    Config, DirectLease, Trunk, XdpMode,
    diagnostic::{Diagnostic, Diagnostics, Draft, Span},
    file::File,
    suggest::nearest,
};
use crate::codes;

pub(super) use routes::{METRIC, no_way, route, without_network};

/// What is sound of `file`; it is all of it if nothing went to `wrong`.
pub(super) fn validate(file: &File, wrong: &mut Diagnostics) -> Config {
    policy_default(file, wrong);
    let direct_lease = direct_lease(file, wrong);
    let trunks = trunks(file, wrong);
    let networks = networks::networks(file, &trunks, wrong);
    let routes = routes::routes(file, &networks, wrong);
    Config {
        source: None,
        trunks,
        networks,
        routes,
        direct_lease,
    }
}

fn policy_default(file: &File, wrong: &mut Diagnostics) {
    let Some(word) = &file.policy_default else {
        return;
    };
    let known = ["accept", "drop", "reject"];
    match one_of(word, "policy_default", &known, wrong) {
        Some("accept") | None => {}
        Some(other) => wrong.push(
            Draft::new(
                codes::NOT_YET,
                format!("`policy_default = \"{other}\"` is not built yet"),
            )
            .at(
                word.span(),
                "this version forwards between all its networks",
            )
            .help(super::WITHOUT_POLICY),
        ),
    }
}

fn direct_lease(file: &File, wrong: &mut Diagnostics) -> DirectLease {
    let Some(seconds) = &file.direct_lease else {
        return DirectLease::default();
    };
    let lease = DirectLease::from_seconds(*seconds.get_ref());
    if lease.is_none() {
        wrong.push(
            Draft::new(
                codes::BAD_VALUE,
                format!("`direct_lease` cannot be {} seconds", seconds.get_ref()),
            )
            .at(
                seconds.span(),
                format!("not {} to {}", DirectLease::SHORTEST, DirectLease::LONGEST),
            )
            .help(
                "it is how long XDP goes on when the daemon has died; after that the kernel \
                 forwards everything, and nothing is lost",
            ),
        );
    }
    lease.unwrap_or_default()
}

fn trunks(file: &File, wrong: &mut Diagnostics) -> Vec<Trunk> {
    let entries = file.trunks.as_deref();
    if entries.is_some_and(<[_]>::is_empty) {
        wrong.push(
            Draft::new(codes::NOTHING_TO_ROUTE, "no trunk is configured")
                .help("name the NIC that carries the VLANs: [[trunk]] interface = \"eth0\", or --trunk eth0"),
        );
    }
    let mut seen = Seen::default();
    let mut trunks = Vec::new();
    for trunk in entries.unwrap_or_default() {
        let xdp = trunk.xdp.as_ref().and_then(|word| xdp_mode(word, wrong));
        let Some(interface) = &trunk.interface else {
            continue;
        };
        if !names::interface(interface, wrong) {
            continue;
        }
        let name = interface.get_ref();
        if let Some(first) = seen.note(name, interface.span()) {
            wrong.push(
                Draft::new(codes::DUPLICATE, format!("trunk {name} is there twice"))
                    .at(interface.span(), "again here")
                    .see(first, "first here")
                    .help("take one of them out: all its networks can name the same [[trunk]]"),
            );
            continue;
        }
        if trunks.len() == abi::MAX_TRUNKS as usize {
            wrong.push(
                Draft::new(
                    codes::TOO_MANY,
                    format!("more than {} trunks", abi::MAX_TRUNKS),
                )
                .at(interface.span(), "one too many")
                .help("run a second instance for the others (--instance NAME)"),
            );
            break;
        }
        trunks.push(Trunk {
            interface: name.clone(),
            xdp: xdp.unwrap_or_default(),
        });
    }
    trunks
}

fn xdp_mode(word: &Spanned<String>, wrong: &mut Diagnostics) -> Option<XdpMode> {
    const MODES: [XdpMode; 4] = [
        XdpMode::Native,
        XdpMode::Generic,
        XdpMode::Auto,
        XdpMode::Off,
    ];
    let name = one_of(word, "xdp", &MODES.map(XdpMode::name), wrong)?;
    MODES.into_iter().find(|mode| mode.name() == name)
}

/// The word of `known` that `word` is.
fn one_of<'k>(
    word: &Spanned<String>,
    key: &str,
    known: &[&'k str],
    wrong: &mut Diagnostics,
) -> Option<&'k str> {
    let found = known
        .iter()
        .find(|known| **known == word.get_ref())
        .copied();
    if found.is_none() {
        let help = nearest(word.get_ref(), known.iter().copied()).map_or_else(
            || format!("{key} is one of {}", known.join(", ")),
            |meant| format!("did you mean \"{meant}\"?"),
        );
        wrong.push(
            Draft::new(
                codes::BAD_VALUE,
                format!("`{key}` cannot be \"{}\"", word.get_ref()),
            )
            .at(word.span(), format!("not one of {}", known.join(", ")))
            .help(help),
        );
    }
    found
}

/// What may occur once, and where it occurred first.
#[derive(Debug)]
struct Seen<K>(HashMap<K, Span>);

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + std::hash::Hash> Seen<K> {
    /// Where `key` was before, if it was.
    fn note(&mut self, key: K, span: Span) -> Option<Span> {
        if let Some(first) = self.0.get(&key) {
            return Some(first.clone());
        }
        self.0.insert(key, span);
        None
    }
}
