//! The configuration: what the daemon is asked to be.
//!
//! [`reader`] (a file) or [`options`] (the command line) gives [`file`], what
//! the user wrote; [`validate`] turns it into the types here or says what is
//! wrong and where. Nothing else in the crate sees the file.

mod diagnostic;
mod diff;
mod document;
mod edit;
mod file;
mod load;
mod look;
mod options;
mod places;
mod reader;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;
mod words;

use std::{fmt, path::PathBuf, time::Duration};

use ipnet::IpNet;
use router_common::wire::Vid;

pub(crate) use self::suggest::nearest;
pub use self::{
    diff::diff,
    edit::{Edited, RouteEdit},
    options::Options,
    places::{Loaded, Objection, Part},
};

/// What stands in for a policy until there is one.
const WITHOUT_POLICY: &str = "write the rules in nftables and set xdp = \"off\" on the trunk: the \
                              kernel forwards, and filters";

/// A validated configuration. Every cross reference holds: a network's trunk
/// exists, a route's network exists, no two networks share a (trunk, VID), a
/// sub-interface or an overlapping prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where it came from, for messages; `None`: from the command line.
    pub source: Option<PathBuf>,
    /// In the order of the file.
    pub trunks: Vec<Trunk>,
    /// In the order of the file.
    pub networks: Vec<Network>,
    /// Static routes, installed with `proto router-ctl`.
    pub routes: Vec<StaticRoute>,
    /// How long XDP goes on without a daemon.
    pub direct_lease: DirectLease,
}

/// For how long XDP believes what a daemon that has died or hangs once told it.
/// After that the kernel forwards everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectLease {
    seconds: u32,
}

impl DirectLease {
    /// Fewest seconds: it is renewed every second, and a machine under load may
    /// be late.
    pub const SHORTEST: u32 = 5;
    /// Most seconds: a day.
    pub const LONGEST: u32 = 86400;

    /// A lease of this many seconds; `None`: out of range.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        let seconds = u32::try_from(seconds).ok()?;
        (Self::SHORTEST..=Self::LONGEST)
            .contains(&seconds)
            .then_some(Self { seconds })
    }

    /// Its length.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

impl Default for DirectLease {
    fn default() -> Self {
        Self { seconds: 60 }
    }
}

/// A NIC that carries the networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Interface name, at most 15 characters.
    pub interface: String,
    /// How XDP is attached.
    pub xdp: XdpMode,
}

/// How XDP is attached to a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum XdpMode {
    /// In the driver, or not at all.
    #[default]
    Native,
    /// On the skb: slow, for drivers without XDP, and only when asked for.
    Generic,
    /// Native, else generic, and `status` says which.
    Auto,
    /// Not attached: the kernel forwards everything. For comparison.
    Off,
}

impl XdpMode {
    /// The word in the file and in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A network on a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The name that commands use.
    pub name: String,
    /// Interface name of its trunk.
    pub trunk: String,
    /// Its tag; [`Vid::UNTAGGED`]: the trunk itself.
    pub vlan: Vid,
    /// Sub-interface: `TRUNK.VID`, or the name given; untagged: the trunk.
    pub interface: String,
    /// The gateway's addresses, each with its prefix length. Empty: the
    /// interface keeps those it has (an uplink).
    pub gateways: Vec<IpNet>,
    /// What becomes of PCP and DEI.
    pub pcp: PcpPolicy,
}

/// What becomes of PCP and DEI of frames that come in on a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PcpPolicy {
    /// What the kernel's VLAN device writes: its egress-qos-map, DEI 0.
    #[default]
    Map,
    /// Kept as they came in.
    Keep,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// Destination prefix.
    pub to: IpNet,
    /// Next hop; `None`: on link, and then `network` is set.
    pub via: Option<std::net::IpAddr>,
    /// Name of the network it leaves by; `None`: the kernel finds it by `via`.
    pub network: Option<String>,
    /// Route metric; `None`: [`StaticRoute::DEFAULT_METRIC`].
    pub metric: Option<u32>,
    /// Preferred source address.
    pub src: Option<std::net::IpAddr>,
}

impl StaticRoute {
    /// Metric of routes that name none.
    pub const DEFAULT_METRIC: u32 = 50;

    /// What the kernel makes of a metric: for IPv6, 0 is `IP6_RT_PRIO_USER`
    /// (include/uapi/linux/ipv6_route.h).
    #[must_use]
    pub const fn kernel_metric(to: IpNet, metric: u32) -> u32 {
        match (to, metric) {
            (IpNet::V6(_), 0) => 1024,
            _ => metric,
        }
    }
}
