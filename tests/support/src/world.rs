//! A small world in an operator's words: networks, routes, neighbours,
//! addresses. The model reads it as it is; `tables` puts it into the maps'
//! layout for the packet path.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The state of everything that is not the frame.
#[derive(Clone, Debug)]
pub struct World {
    /// Trunk whose program is asked.
    pub trunk: u8,
    pub networks: Vec<Network>,
    /// The kernel's clock, and until when the daemon stands behind the maps.
    pub now: u64,
    pub lease: u64,
    /// Besides the connected ones.
    pub routes: Vec<Route>,
    /// Addresses of the namespace besides the gateways'.
    pub locals: BTreeSet<IpAddr>,
    /// More local addresses than the table holds.
    pub locals_overflow: bool,
    /// Next hops whose MAC the kernel does not know.
    pub silent: BTreeSet<IpAddr>,
    /// Next hops on devices that use no MAC (NOARP).
    pub without_mac: BTreeSet<IpAddr>,
    /// Trunks that frames can be redirected to.
    pub ports: BTreeSet<u8>,
    /// `net.ipv4.ip_forward_update_priority`.
    pub tos_sets_priority: bool,
    /// Bytes in front of the frame.
    pub headroom: usize,
}

/// One network and its sub-interface.
#[derive(Clone, Debug)]
pub struct Network {
    pub number: u16,
    pub trunk: u8,
    pub vid: Option<u16>,
    pub device: u32,
    pub mac: [u8; 6],
    pub up: bool,
    pub forwards4: bool,
    pub forwards6: bool,
    pub gateways4: Vec<(Ipv4Addr, u8)>,
    pub gateways6: Vec<(Ipv6Addr, u8)>,
    pub rp_filter: bool,
    pub keeps_pcp: bool,
    /// ingress-qos-map, PCP -> priority.
    pub priority_of_pcp: [u32; 8],
    /// egress-qos-map, priority -> PCP.
    pub pcp_of_priority: [u8; 16],
    pub mtu: u32,
    /// The kernel's choice among legs cannot be repeated.
    pub odd_hash4: bool,
    pub odd_hash6: bool,
    /// Is a leg of a multipath route.
    pub leg: bool,
}

/// A route of the kernel's table, by all that may choose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: (IpAddr, u8),
    pub only: Only,
    pub target: Target,
    /// The route's `mtu`, and whether it is locked.
    pub mtu: Option<(u32, bool)>,
}

/// What a policy rule or a TOS route asks for besides the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Always,
    /// Packets that came in on this device.
    From(u32),
    /// This TOS or traffic class.
    OfClass(u8),
    /// This flow label.
    OfLabel(u32),
    OfProtocol(u8),
    SourcePort(u16),
    DestinationPort(u16),
    /// Sources whose last byte is this.
    SourceHost(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// By this device, to this next hop.
    Via(u32, IpAddr),
    /// The reason's name.
    No(&'static str),
}

/// VID, trunk and device of the networks that every world starts with.
const NETWORKS: [(Option<u16>, u8, u32); 6] = [
    (Some(100), 0, 11),
    (Some(200), 0, 12),
    (None, 0, 10),
    (Some(300), 1, 21),
    (None, 1, 20),
    (Some(4094), 0, 1044),
];

/// How many networks there are.
pub const COUNT: u16 = 6;

/// A device that is no network of ours.
pub const STRANGER: u32 = 77;

impl World {
    /// Everything up. The last network differs from the others in every
    /// setting that does not keep its packets from being forwarded.
    pub fn everything_up() -> Self {
        let mut networks: Vec<Network> = NETWORKS
            .into_iter()
            .zip(0..)
            .map(|((vid, trunk, device), number)| Network::new(number, vid, trunk, device))
            .collect();
        let odd = &mut networks[5];
        odd.rp_filter = true;
        odd.mtu = 1400;
        odd.priority_of_pcp = [3, 0, 15, 2, 9, 6, 1, 7];
        odd.pcp_of_priority = [1, 7, 5, 2, 4, 6, 0, 3, 2, 5, 1, 0, 7, 6, 4, 3];
        odd.gateways4.push((Ipv4Addr::new(10, 4, 0, 1), 30));
        odd.gateways6
            .push((Ipv6Addr::new(0xfd00, 4, 4, 0, 0, 0, 0, 1), 112));
        Self {
            trunk: 0,
            networks,
            now: 1000,
            lease: 1001,
            routes: Vec::new(),
            locals: BTreeSet::new(),
            locals_overflow: false,
            silent: BTreeSet::new(),
            without_mac: BTreeSet::new(),
            ports: BTreeSet::from([0, 1]),
            tos_sets_priority: true,
            headroom: 64,
        }
    }

    pub fn network_of(&self, device: u32) -> Option<&Network> {
        self.networks.iter().find(|net| net.device == device)
    }

    /// Whether the namespace has this address.
    pub fn is_local(&self, address: IpAddr) -> bool {
        let gateways = self.networks.iter().flat_map(Network::gateways);
        self.locals.contains(&address)
            || gateways.into_iter().any(|(gateway, _)| gateway == address)
    }

    /// What packets through a network's device may measure at most: the
    /// smallest of the device's and its routes' MTUs (design.md 3, step 6).
    pub fn limit(&self, network: &Network, v6: bool) -> u32 {
        let routes = self.routes.iter().filter_map(|route| match route.target {
            Target::Via(device, _) if device == network.device && route.to.0.is_ipv6() == v6 => {
                route.mtu
            }
            _ => None,
        });
        routes.map(|(mtu, _)| mtu).fold(network.mtu, u32::min)
    }
}

impl Network {
    fn new(number: u16, vid: Option<u16>, trunk: u8, device: u32) -> Self {
        Self {
            number,
            trunk,
            vid,
            device,
            mac: gateway_mac(number),
            up: true,
            forwards4: true,
            forwards6: true,
            gateways4: vec![(host4(number, 1), 24)],
            gateways6: vec![(host6(number, 1), 64)],
            rp_filter: false,
            keeps_pcp: false,
            priority_of_pcp: [0; 8],
            pcp_of_priority: [0; 16],
            mtu: 1500,
            odd_hash4: false,
            odd_hash6: false,
            leg: false,
        }
    }

    pub fn gateways(&self) -> Vec<(IpAddr, u8)> {
        let four = self.gateways4.iter().map(|(ip, len)| ((*ip).into(), *len));
        let six = self.gateways6.iter().map(|(ip, len)| ((*ip).into(), *len));
        four.chain(six).collect()
    }
}

/// The sub-interface of network `number`.
pub fn device_of(number: u16) -> u32 {
    NETWORKS[usize::from(number)].2
}

/// The gateway's MAC on network `number`.
pub fn gateway_mac(number: u16) -> [u8; 6] {
    let [high, low] = (number + 1).to_be_bytes();
    [0x02, 0, 0, high, low, 0x01]
}

/// Host `host` of network `number`; the gateway is host 1.
pub fn host4(number: u16, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 16, 10 * number.to_be_bytes()[1] + 10, host)
}

/// Host `host` of network `number`; the gateway is host 1.
pub fn host6(number: u16, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10 * (number + 1), 0, 0, 0, 0, 0, host.into())
}

/// Every host has a MAC of its own on every device.
pub fn mac_of(device: u32, host: IpAddr) -> [u8; 6] {
    let (x, y, z) = match host {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            (b, c, d)
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            (octets[3], octets[14], octets[15])
        }
    };
    [0x06, 0xbb, device.to_be_bytes()[3], x, y, z]
}

/// Whether `address` is in `net`/`len`.
pub fn covers(net: IpAddr, len: u8, address: IpAddr) -> bool {
    let high_bits = |a: u128, b: u128, width: u32| {
        let shift = width - u32::from(len);
        a.checked_shr(shift) == b.checked_shr(shift)
    };
    match (net, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => high_bits(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => high_bits(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// The last address of `net`/`len`.
pub fn last_of(net: Ipv4Addr, len: u8) -> Ipv4Addr {
    let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    Ipv4Addr::from_bits(net.to_bits() | hosts)
}

/// The first address of `net`/`len`.
pub fn first_of(net: IpAddr, len: u8) -> IpAddr {
    match net {
        IpAddr::V4(ip) => {
            let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & !hosts).into()
        }
        IpAddr::V6(ip) => {
            let hosts = u128::MAX.checked_shr(len.into()).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & !hosts).into()
        }
    }
}
