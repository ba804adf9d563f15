//! What the daemon and its clients say to each other, as JSON.
//!
//! These shapes are what scripts rely on (`router-ctl -j ...` prints them):
//! fields are added, never renamed or removed.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use super::configuration::{
    ConfigApplied, ConfigApply, ConfigChange, ConfigChangeKind, ConfigKeyChange, ConfigState,
    RunningConfig,
};

/// `router-ctl status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Instance name.
    pub instance: String,
    /// Whether packets go through.
    pub state: State,
    /// Why the state is not `forwarding`, each with what mends it.
    pub problems: Vec<Problem>,
    /// What does not keep packets from going through, and should be known: chains
    /// of netfilter that XDP goes around.
    #[serde(default)]
    pub warnings: Vec<Problem>,
    /// Process id of the daemon.
    pub pid: u32,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// Configuration file; `None`: from the command line.
    pub config: Option<String>,
    /// What there is to say of it.
    #[serde(default)]
    pub config_state: ConfigState,
    /// One entry a trunk, in the order of the configuration.
    pub trunks: Vec<TrunkStatus>,
    /// One entry a network, in the order of the configuration.
    pub networks: Vec<NetworkStatus>,
    /// How the daemon keeps up with the kernel.
    #[serde(default)]
    pub following: Following,
    /// Counters, as `router-ctl stats` gives them.
    pub stats: Stats,
}

/// How the daemon keeps up with the kernel, counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Following {
    /// Tables that were read from the kernel.
    pub dumps: u64,
    /// Times that all of them were: at the start, each five minutes, and after
    /// an overrun.
    pub resyncs: u64,
    /// Times that the kernel announced more than could be heard.
    pub overruns: u64,
}

/// The daemon's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Bring-up is not finished.
    Starting,
    /// Every trunk and network is as configured.
    Forwarding,
    /// Something is not; `problems` says what.
    Degraded,
}

/// Something that keeps the daemon from being healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What mends it: a command, mostly. Empty only where a daemon of an
    /// earlier version had none.
    #[serde(deserialize_with = "null_is_empty")]
    pub help: String,
}

/// A daemon of a version before this may not know what mends something.
fn null_is_empty<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}

/// A trunk, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrunkStatus {
    /// Interface name.
    pub interface: String,
    /// `None`: there is no such device now.
    pub ifindex: Option<u32>,
    /// `native`, `generic` or `off`: as attached, not as asked for.
    pub xdp_mode: String,
    /// Kernel id of the attached program; `None`: none.
    pub prog_id: Option<u32>,
    /// Tag of the attached program, 16 hex digits: the same in every process
    /// that loaded the same instructions; `None`: none.
    pub prog_tag: Option<String>,
    /// Kernel id of the bpf_link; `None`: none.
    pub link_id: Option<u32>,
    /// Whether forwarding outlives the daemon.
    pub pinned: bool,
    /// Whether the NIC hides VLAN tags from XDP; `None`: it cannot say.
    pub rx_vlan_offload: Option<bool>,
}

/// A network, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkStatus {
    /// The network's name.
    pub name: String,
    /// Its trunk's interface name.
    pub trunk: String,
    /// 1 to 4094; `None`: untagged.
    pub vlan: Option<u16>,
    /// Sub-interface.
    pub interface: String,
    /// `None`: there is no such device now.
    pub ifindex: Option<u32>,
    /// The interface's addresses, with prefix length; link-local ones left out.
    #[schemars(with = "Vec<String>")]
    pub gateways: Vec<IpNet>,
    /// The gateway's MAC.
    pub mac: Option<String>,
    /// Bytes, IP header included.
    pub mtu: Option<u32>,
    /// `up`, `down`, `missing`, or why XDP does not forward for it.
    pub state: String,
}

/// `router-ctl routes`: one route of the kernel's tables that concerns the
/// networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Destination prefix; `0.0.0.0/0` and `::/0` for the default.
    #[schemars(with = "String")]
    pub dst: IpNet,
    /// Next hop; `None`: on link.
    pub via: Option<IpAddr>,
    /// Network it leaves by; for a device that is none of ours, the device's
    /// name behind `dev:`.
    pub network: String,
    /// 1 to 4094; `None`: untagged or not a network.
    pub vlan: Option<u16>,
    /// Who made it: `kernel`, `static`, `bgp`, `router-ctl`, or a number.
    pub proto: String,
    /// Route metric (IPv6's default is 1024).
    pub metric: u32,
}

/// `router-ctl routes get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteAnswer {
    /// The address asked for.
    pub dst: IpAddr,
    /// The route the kernel chose.
    pub via: Option<IpAddr>,
    /// As in [`Route`]; `None`: it is delivered here, or goes nowhere.
    pub network: Option<String>,
    /// As in [`Route`].
    pub vlan: Option<u16>,
    /// Source address the kernel would use.
    pub src: Option<IpAddr>,
    /// `unicast`, `local`, `broadcast`, `unreachable`, ...
    pub kind: String,
}

/// `routes add|replace|del`: what to do with which route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteChange {
    /// What to do.
    pub verb: RouteVerb,
    /// Destination prefix.
    #[schemars(with = "String")]
    pub dst: IpNet,
    /// Next hop.
    pub via: Option<IpAddr>,
    /// Network name (or interface name).
    pub network: Option<String>,
    /// Route metric.
    pub metric: Option<u32>,
    /// Preferred source address.
    pub src: Option<IpAddr>,
    /// It is one of the configuration: whoever asks writes it into the file.
    #[serde(default)]
    pub persist: bool,
}

/// As `ip route`: `add` refuses an existing route, `replace` does not, `del`
/// refuses a missing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteVerb {
    /// Refuses a route that exists.
    Add,
    /// Adds or changes.
    Replace,
    /// Refuses a route that does not exist, or that is not `proto router-ctl`.
    Del,
}

/// `router-ctl neigh`: who has which address on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// `None`: not found yet, or silent.
    pub mac: Option<String>,
    /// The network that it is on.
    pub network: String,
    /// 1 to 4094; `None`: untagged.
    pub vlan: Option<u16>,
    /// The kernel's word, as `ip neigh` has it: `REACHABLE`, `STALE`, `FAILED`, ...
    pub state: String,
    /// It says that it is a router (IPv6).
    pub router: bool,
}

/// `router-ctl stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Everything XDP forwarded itself.
    pub fast: Count,
    /// Every verdict that was given at least once, and always `forwarded`; the
    /// sum is the number of frames that XDP saw.
    pub verdicts: Vec<VerdictCount>,
    /// Every pair of networks with traffic.
    pub pairs: Vec<PairCount>,
    /// Frames that XDP redirected to another trunk and the kernel lost, since
    /// the daemon started: forwarded by the counters above. `null`: not known.
    #[serde(default)]
    pub redirect_errors: Option<Vec<RedirectError>>,
}

/// Frames that could not be redirected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedirectError {
    /// Why, by the kernel's name: `EOPNOTSUPP`.
    pub errno: String,
    /// Frames.
    pub packets: u64,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Bytes as received, Ethernet header included.
    pub bytes: u64,
}

/// One line of the verdict table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictCount {
    /// `forwarded`, or a name of `router_common::datapath::Reason`.
    pub reason: String,
    /// `tx`, `redirect`, `pass` or `abort`.
    pub action: String,
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What XDP forwarded from one network to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairCount {
    /// Ingress network.
    pub from: String,
    /// Egress network; `*` where there are too many networks to count pairs.
    pub to: String,
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// An error as the API and `-j` give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// `RC` and four digits.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The kernel's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The exact command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Where in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The error and those in `more` with their source lines, for terminals: the
    /// API gives it, `-j` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
    /// Further errors found in the same go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<ErrorBody>,
}

/// `router-ctl config check`: what is in a file that is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigCheck {
    /// `true`: what is wrong comes as an error.
    pub ok: bool,
    /// How many trunks.
    pub trunks: usize,
    /// How many networks.
    pub networks: usize,
    /// How many routes.
    pub routes: usize,
}

/// `router-ctl version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// Of this binary.
    pub version: String,
    /// Of the layouts of the program's maps.
    pub abi: u32,
}

/// `router-ctl explain`: an error code in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// `RC` and four digits.
    pub code: String,
    /// What it means, one or two sentences.
    pub meaning: String,
    /// All of it: meaning, causes, how to mend it; several lines.
    pub text: String,
}

/// A place in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// The file, or `command line`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Characters, from 1.
    pub column: usize,
}
