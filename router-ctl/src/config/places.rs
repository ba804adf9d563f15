//! Where in the text each part of a configuration stands: for what only the
//! kernel can object to, once the text itself is found right.

use super::{
    Config,
    diagnostic::{Diagnostics, Draft, Source, Span},
    file::{File, Network, Vlan},
};
use crate::error::Error;

/// A configuration with the text that it was read from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    name: String,
    text: String,
    trunks: Vec<Span>,
    networks: Vec<Span>,
}

/// A part of a configuration, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A trunk.
    Trunk(usize),
    /// A network.
    Network(usize),
}

/// What this system has against a part of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The part.
    pub part: Part,
    /// A constant of [`codes`](crate::codes).
    pub code: &'static str,
    /// One line, no full stop.
    pub message: String,
    /// What stands behind the carets.
    pub label: String,
    /// How to mend it.
    pub help: String,
}

impl Loaded {
    pub(super) fn new(config: Config, file: &File, name: &str, text: &str) -> Self {
        let trunks = file.trunks.iter().flatten();
        let networks = file.networks.iter().flatten();
        Self {
            config,
            name: name.to_owned(),
            text: text.to_owned(),
            trunks: trunks
                .filter_map(|trunk| Some(trunk.interface.as_ref()?.span()))
                .collect(),
            networks: networks.map(telling).collect(),
        }
    }

    /// All of them as one error, each with its line.
    ///
    /// # Errors
    /// If there are any.
    pub fn refuse(&self, objections: Vec<Objection>) -> Result<(), Error> {
        let mut wrong = Diagnostics::default();
        for objection in objections {
            let span = match objection.part {
                Part::Trunk(at) => self.trunks.get(at),
                Part::Network(at) => self.networks.get(at),
            };
            let diagnostic = Draft::new(objection.code, objection.message);
            let diagnostic = match span {
                Some(span) => diagnostic.at(span.clone(), objection.label),
                None => diagnostic,
            };
            wrong.push(diagnostic.help(objection.help));
        }
        let source = Source {
            name: &self.name,
            text: &self.text,
        };
        wrong.into_result((), source)
    }
}

/// What of an entry tells where the network is.
fn telling(entry: &Network) -> Span {
    match (&entry.interface, &entry.vlan, &entry.name) {
        (Some(interface), ..) => interface.span(),
        (None, Vlan::Tagged(vlan), _) => vlan.span(),
        (None, _, Some(name)) => name.span(),
        _ => entry.span.clone(),
    }
}
