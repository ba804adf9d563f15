//! What the user wrote, with the place of each value; nothing is checked yet
//! but shape: keys and types.
//!
//! A required value that is `None` was missing or of the wrong type, and has
//! been reported: what depends on it is not reported again.

use toml::Spanned;

use super::diagnostic::Span;

/// A configuration file, or the options that stand for one.
#[derive(Debug)]
pub(super) struct File {
    pub(super) policy_default: Option<Spanned<String>>,
    /// Seconds.
    pub(super) direct_lease: Option<Spanned<i64>>,
    /// `None`: not a list, which has been reported.
    pub(super) trunks: Option<Vec<Trunk>>,
    /// `None`: not a list, which has been reported.
    pub(super) networks: Option<Vec<Network>>,
    pub(super) routes: Vec<Route>,
}

/// `[[trunk]]`
#[derive(Debug)]
pub(super) struct Trunk {
    /// Required.
    pub(super) interface: Option<Spanned<String>>,
    pub(super) xdp: Option<Spanned<String>>,
}

/// `[[network]]`
#[derive(Debug)]
pub(super) struct Network {
    /// The entry, for what is about all of it.
    pub(super) span: Span,
    /// Required.
    pub(super) name: Option<Spanned<String>>,
    pub(super) trunk: Option<Spanned<String>>,
    pub(super) vlan: Vlan,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) gateways: Vec<Spanned<String>>,
    pub(super) pcp: Option<Spanned<String>>,
}

/// `vlan` of a network.
#[derive(Debug)]
pub(super) enum Vlan {
    /// Left out.
    Untagged,
    /// Not an integer, which has been reported.
    Wrong,
    /// Any integer.
    Tagged(Spanned<i64>),
}

/// `[[route]]`
#[derive(Debug)]
pub(super) struct Route {
    /// The entry, for what is about all of it.
    pub(super) span: Span,
    /// Required.
    pub(super) to: Option<Spanned<String>>,
    pub(super) via: Option<Spanned<String>>,
    pub(super) network: Option<Spanned<String>>,
    pub(super) metric: Option<Spanned<i64>>,
    pub(super) src: Option<Spanned<String>>,
}
