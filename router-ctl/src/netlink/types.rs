//! The kernel's network configuration, in words of our own.
//!
//! Plain data: no type of the rtnetlink crates leaves [`netlink`](super), and
//! tests of what is decided from these need no kernel.

use std::net::IpAddr;

use ipnet::IpNet;
use router_common::wire::{IfIndex, MacAddr};

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number; a device that is made anew gets another.
    pub ifindex: IfIndex,
    /// Its name.
    pub name: String,
    /// `vlan`, `veth`, `macvlan`, ...; `None`: hardware.
    pub kind: Option<String>,
    /// Its MAC; all zero where it has none.
    pub mac: MacAddr,
    /// Bytes, IP header included.
    pub mtu: u32,
    /// `ip link set IF up`.
    pub up: bool,
    /// Whether the layer below is up (`LOWER_UP`).
    pub carrier: bool,
    /// Whether promiscuous mode was asked for by `ip link`.
    pub promiscuous: bool,
    /// Bridge, bond or VRF that it is a port of.
    pub master: Option<IfIndex>,
    /// Device that it stands on, in this network namespace.
    pub parent: Option<IfIndex>,
    /// It stands on a device of another network namespace.
    pub parent_elsewhere: bool,
    /// What a `vlan` device is told to do.
    pub vlan: Option<Vlan>,
    /// The XDP program that is attached to it.
    pub xdp: Option<Xdp>,
}

/// What a `vlan` device is told to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// 0 to 4095.
    pub vid: u16,
    /// EtherType of its tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub protocol: u16,
    /// (PCP, `skb->priority`); a PCP that is missing gives 0.
    pub ingress_qos: Vec<(u32, u32)>,
    /// (`skb->priority`, PCP); a priority that is missing gives 0.
    pub egress_qos: Vec<(u32, u32)>,
}

/// An attached XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Kernel id of the program.
    pub prog_id: u32,
    /// Where it runs.
    pub mode: XdpAttachment,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpAttachment {
    /// In the driver.
    Native,
    /// On the skb.
    Generic,
    /// In the NIC, or in more than one place.
    Other,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The device.
    pub ifindex: IfIndex,
    /// The address and the length of its prefix.
    pub address: IpNet,
    /// Point to point: the prefix is the other side's.
    pub peer: bool,
    /// Scope is global.
    pub global: bool,
    /// IPv6: not yet known to be the only one; nobody can use it.
    pub tentative: bool,
    /// IPv6: another host has it.
    pub duplicate: bool,
}

/// A route of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Routing table; see [`TABLE_MAIN`].
    pub table: u32,
    /// What it does.
    pub kind: RouteKind,
    /// Destination prefix; a length of 0 is the default.
    pub dst: IpNet,
    /// IPv6: for packets of these sources only.
    pub from: Option<IpNet>,
    /// IPv4: for packets with this TOS only.
    pub tos: u8,
    /// Who made it; see [`protocol_name`](super::protocol_name).
    pub protocol: u8,
    /// Smaller is preferred.
    pub metric: u32,
    /// Where it leads: more than one leg is multipath. Empty where it leads
    /// nowhere (`blackhole`), or where only [`nexthop_object`] knows.
    ///
    /// [`nexthop_object`]: Self::nexthop_object
    pub legs: Vec<Leg>,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// Its own MTU in bytes (`mtu`, with `lock` or without).
    pub mtu: Option<u32>,
    /// It leads where this `ip nexthop` object leads.
    pub nexthop_object: Option<u32>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Next hop; `None`: on link.
    pub via: Option<IpAddr>,
    /// Device that it leaves by.
    pub device: Option<IfIndex>,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Forwards.
    Unicast,
    /// Delivers here.
    Local,
    /// Delivers here, as broadcast.
    Broadcast,
    /// Delivers here.
    Anycast,
    /// Multicast.
    Multicast,
    /// Drops.
    Blackhole,
    /// Refuses.
    Unreachable,
    /// Refuses.
    Prohibit,
    /// Ends the search in this table.
    Throw,
    /// Another kind.
    Other,
}

impl RouteKind {
    /// The word of iproute2.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
            Self::Other => "other",
        }
    }
}

/// The table that `ip route` shows.
pub const TABLE_MAIN: u32 = 254;

/// A route to install or to remove, in the main table and with our protocol
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Destination prefix.
    pub dst: IpNet,
    /// Next hop; `None`: on link, and then `device` is set.
    pub via: Option<IpAddr>,
    /// Device; `None`: the kernel finds it by `via`.
    pub device: Option<IfIndex>,
    /// Route metric.
    pub metric: u32,
    /// Preferred source.
    pub source: Option<IpAddr>,
}

/// What to do with a [`RouteSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteChange {
    /// Refuses a route with the same prefix and metric.
    Add,
    /// Takes the place of a route with the same prefix and metric.
    Replace,
    /// Refuses a route that is not there, or not of our protocol number.
    Delete,
}

/// What `ip route get` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What becomes of a packet.
    pub kind: RouteKind,
    /// Next hop.
    pub via: Option<IpAddr>,
    /// Device that it leaves by.
    pub device: Option<IfIndex>,
    /// Source that the kernel would use.
    pub source: Option<IpAddr>,
}

/// A neighbour: who has an address on the link of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device that it is reached by.
    pub ifindex: IfIndex,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC; `None`: not found yet, or found to be silent.
    pub mac: Option<MacAddr>,
    /// What the kernel believes of it.
    pub state: NeighbourState,
    /// What it is told about it.
    pub flags: NeighbourFlags,
}

/// What the kernel believes of a neighbour (`NUD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighbourState {
    /// Nothing yet.
    None,
    /// Asked for, and no answer yet.
    Incomplete,
    /// Heard of lately.
    Reachable,
    /// Not heard of lately: used as it is, and probed when the kernel itself
    /// sends to it. Packets that XDP forwards do not count.
    Stale,
    /// Used while stale: probed in some seconds, unless it is heard of.
    Delay,
    /// Being probed.
    Probe,
    /// It did not answer.
    Failed,
    /// Needs no resolution (multicast, point to point).
    NoArp,
    /// An administrator's word.
    Permanent,
    /// Another state.
    Other,
}

impl NeighbourState {
    /// Those that the kernel has.
    pub const NAMED: [Self; 9] = [
        Self::None,
        Self::Incomplete,
        Self::Reachable,
        Self::Stale,
        Self::Delay,
        Self::Probe,
        Self::Failed,
        Self::NoArp,
        Self::Permanent,
    ];

    /// The word of iproute2, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::NoArp => "noarp",
            Self::Permanent => "permanent",
            Self::Other => "other",
        }
    }
}

/// What the kernel is told about a neighbour (`NTF_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags, and independent of each other"
)]
pub struct NeighbourFlags {
    /// It says that it is a router (IPv6).
    pub router: bool,
    /// This host answers for it.
    pub proxy: bool,
    /// A control plane has learnt it and looks after it (EVPN).
    pub ext_learned: bool,
    /// The kernel itself keeps it alive.
    pub managed: bool,
}

/// What the policy rules of one family ask, as far as XDP must know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// There are some besides the three that every namespace starts with.
    pub custom: bool,
    /// One passes over routes that its table has found (`suppress_prefixlength`,
    /// `suppress_ifgroup`).
    pub suppressing: bool,
    /// One asks for the protocol or for ports: the kernel takes every packet apart
    /// before it looks for a route.
    pub dissecting: bool,
}

impl Rules {
    /// What these and others ask together.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self {
            custom: self.custom || others.custom,
            suppressing: self.suppressing || others.suppressing,
            dissecting: self.dissecting || others.dissecting,
        }
    }
}

/// All that is dumped at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Every device of this network namespace.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// Every route of every table, IPv4 and IPv6.
    pub routes: Vec<Route>,
    /// What the IPv4 rules ask.
    pub rules_v4: Rules,
    /// What the IPv6 rules ask.
    pub rules_v6: Rules,
}

impl Tables {
    /// The device of this name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The device of this number.
    #[must_use]
    pub fn link_of(&self, ifindex: IfIndex) -> Option<&Link> {
        self.links.iter().find(|link| link.ifindex == ifindex)
    }

    /// The addresses of a device.
    pub fn addresses_of(&self, ifindex: IfIndex) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |address| address.ifindex == ifindex)
    }
}
