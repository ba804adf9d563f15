//! Command-line options -> [`File`].
//!
//! The options are written down as text, one a line, and their parts point
//! into it: so they meet the same checks as a file, and errors show them the
//! same way.

use toml::Spanned;

use super::{
    diagnostic::{Diagnostics, Draft, Span},
    file::{File, Network, Trunk, Vlan},
    words,
};
use crate::codes;

/// A configuration on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--trunk INTERFACE`
    pub trunks: Vec<String>,
    /// `--xdp MODE`, of all trunks.
    pub xdp: Option<String>,
    /// `--network NAME=VLAN[@TRUNK][:GATEWAY,...]`
    pub networks: Vec<String>,
    /// `--route "PREFIX via IP ..."`
    pub routes: Vec<String>,
}

const FORM: &str = "NAME=VLAN[@TRUNK][:ADDRESS/LENGTH,...], as in \
                    mac10=100:172.16.10.1/24,fd00:10::1/64; VLAN may be `untagged`";

/// Writes the options down, and reads what they say.
pub(super) fn read(options: &Options, wrong: &mut Diagnostics) -> (String, File) {
    let mut text = String::new();
    let mut spans = |name: &str, values: &[String]| -> Vec<Span> {
        values
            .iter()
            .map(|value| {
                text += name;
                text.push(' ');
                let start = text.len();
                text += value;
                text.push('\n');
                start..start + value.len()
            })
            .collect()
    };
    let trunks = spans("--trunk", &options.trunks);
    let xdp = spans("--xdp", options.xdp.as_slice());
    let networks = spans("--network", &options.networks);
    let routes = spans("--route", &options.routes);

    let word = |span: &Span| Spanned::new(span.clone(), text[span.clone()].to_owned());
    let trunks = trunks
        .iter()
        .map(|span| Trunk {
            interface: Some(word(span)),
            xdp: xdp.first().map(word),
        })
        .collect();
    let networks = networks
        .into_iter()
        .map(|span| network(&text, span, wrong))
        .collect();
    let file = File {
        policy_default: None,
        direct_lease: None,
        trunks: Some(trunks),
        networks: Some(networks),
        routes: routes
            .into_iter()
            .filter_map(|span| words::read(&text, span, wrong))
            .collect(),
    };
    (text, file)
}

fn network(text: &str, span: Span, wrong: &mut Diagnostics) -> Network {
    let word = |span: Span| Spanned::new(span.clone(), text[span].to_owned());
    // Where `mark` first stands in `span`, and the parts before and behind it.
    let cut = |span: &Span, mark: char| {
        let middle = span.start + text[span.clone()].find(mark)?;
        Some((span.start..middle, middle + mark.len_utf8()..span.end))
    };
    let Some((name, rest)) = cut(&span, '=') else {
        wrong.push(
            Draft::new(codes::USAGE, "a network without `=`")
                .at(span.clone(), "NAME=VLAN is the least")
                .help(FORM),
        );
        return Network {
            span,
            name: None,
            trunk: None,
            vlan: Vlan::Wrong,
            interface: None,
            gateways: Vec::new(),
            pcp: None,
        };
    };
    let (place, gateways) = cut(&rest, ':').unwrap_or((rest.clone(), rest.end..rest.end));
    let (vlan, trunk) = match cut(&place, '@') {
        Some((vlan, trunk)) => (vlan, Some(word(trunk))),
        None => (place, None),
    };
    let vlan = match &text[vlan.clone()] {
        "untagged" => Vlan::Untagged,
        number => match number.parse() {
            Ok(number) => Vlan::Tagged(Spanned::new(vlan, number)),
            Err(_) => {
                wrong.push(
                    Draft::new(codes::BAD_VALUE, format!("`{number}` is not a VLAN"))
                        .at(vlan, "1 to 4094, or `untagged`")
                        .help(FORM),
                );
                Vlan::Wrong
            }
        },
    };
    let mut addresses = Vec::new();
    let mut left = gateways;
    while !left.is_empty() {
        let (address, rest) = cut(&left, ',').unwrap_or((left.clone(), left.end..left.end));
        addresses.push(word(address));
        left = rest;
    }
    Network {
        span,
        name: Some(word(name)),
        trunk,
        vlan,
        interface: None,
        gateways: addresses,
        pcp: None,
    }
}
