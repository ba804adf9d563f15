//! A namespace of its own with five networks, and the program in it.

use std::net::IpAddr;

use router_common::{
    abi::{Egress, Ingress, LocalAddress, Prefix4, Prefix6, egress_flags, ingress_flags},
    wire::{IfIndex, MacAddr, NetworkId, TrunkSlot, Vid},
};

use super::{Counters, Load, Network, Router, wire::Wires};
use crate::{
    netns::{self, Private},
    oracle::Tally,
};

/// Name of the trunk with this slot.
const fn trunk(slot: u8) -> &'static str {
    match slot {
        0 => "trunk0",
        _ => "trunk1",
    }
}

/// Its ifindex.
const fn trunk_ifindex(slot: u8) -> u32 {
    5 + slot as u32
}

/// Five networks on two trunks, and the program of one of them, trunk 0 unless
/// told otherwise.
///
/// Everything is real but the 802.1Q devices: addresses, routes, permanent
/// neighbours, sysctls. rp_filter is off, forwarding on. The maps are filled as
/// the daemon fills them; rows that need other flags set them by
/// [`Scene::change_ingress`] and [`Scene::change_egress`].
#[derive(Debug)]
pub struct Scene {
    /// The program.
    pub router: Router,
    pub(super) wires: Wires,
    pub(super) counted: Counters,
    pub(super) failures: Vec<String>,
    pub(super) rows: usize,
    pub(super) tally: Tally,
    pub(super) test: String,
    // Last: the namespace outlives what is in it.
    _namespace: Private,
}

impl Scene {
    /// Moves this thread into a new namespace and builds the scene; `None`,
    /// with a SKIP line, where this user may not.
    ///
    /// # Panics
    /// When anything but privileges is missing.
    #[must_use]
    pub fn open(test: &str) -> Option<Self> {
        Self::open_with(test, Load::default())
    }

    /// The same, with the object loaded in another way.
    ///
    /// # Panics
    /// As [`Scene::open`].
    #[must_use]
    pub fn open_with(test: &str, load: Load) -> Option<Self> {
        let namespace = netns::private_or_skip(test)?;
        build();
        let router = Router::load(load, (trunk(load.slot), trunk_ifindex(load.slot)))
            .unwrap_or_else(|e| panic!("{e:?}"));
        let mut scene = Self {
            counted: router.counters().unwrap_or_else(|e| panic!("{e:?}")),
            router,
            wires: Wires::open(),
            failures: Vec::new(),
            rows: 0,
            tally: Tally::default(),
            test: test.to_owned(),
            _namespace: namespace,
        };
        for network in Network::ALL {
            scene.change_ingress(network, |_| ());
            scene.change_egress(network, |_| ());
        }
        scene.set_port(0, true);
        scene.set_port(1, true);
        scene.sync_locals();
        Some(scene)
    }

    /// The `INGRESS` entry that the daemon would write.
    #[must_use]
    pub fn ingress(&self, network: Network) -> Ingress {
        ingress(network)
    }

    /// Writes this network's `INGRESS` entry: the daemon's, with a change.
    ///
    /// # Panics
    /// When the map refuses.
    pub fn change_ingress(&mut self, network: Network, change: impl FnOnce(&mut Ingress)) {
        let mut entry = self.ingress(network);
        change(&mut entry);
        self.router
            .set_ingress(network.trunk().into(), network.vid(), &entry)
            .unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// Writes this network's `EGRESS` entry: the daemon's, with a change.
    ///
    /// # Panics
    /// When the map refuses.
    pub fn change_egress(&mut self, network: Network, change: impl FnOnce(&mut Egress)) {
        let mut entry = egress(network);
        change(&mut entry);
        self.router
            .set_egress(network.ifindex(), Some(&entry))
            .unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// Removes this network's `EGRESS` entry: the device is none of ours.
    ///
    /// # Panics
    /// When the map refuses.
    pub fn forget_egress(&mut self, network: Network) {
        self.router
            .set_egress(network.ifindex(), None)
            .unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// Puts the trunk of `slot` into `TX_PORTS`, or takes it out.
    ///
    /// # Panics
    /// When the map refuses.
    pub fn set_port(&mut self, slot: u8, present: bool) {
        let device = present.then(|| trunk_ifindex(slot));
        self.router
            .set_port(slot.into(), device)
            .unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// Fills `LOCALS` as the daemon does: with every single address of the
    /// kernel's local tables, broadcast addresses among them.
    ///
    /// # Panics
    /// When `ip` or the map refuses.
    pub fn sync_locals(&mut self) {
        let locals: Vec<LocalAddress> = ["-4", "-6"]
            .iter()
            .flat_map(|family| list(&format!("-j {family} route show table local")))
            .filter(|route| matches!(route["type"].as_str(), Some("local" | "broadcast")))
            .filter_map(|route| route["dst"].as_str()?.parse().ok())
            .map(|address| match address {
                IpAddr::V4(address) => LocalAddress::v4(address.octets()),
                IpAddr::V6(address) => LocalAddress::v6(address.octets()),
            })
            .collect();
        assert!(locals.len() > 10, "ten gateways at least: {locals:?}");
        self.set_locals(&locals);
    }

    /// Makes `LOCALS` hold exactly these.
    ///
    /// # Panics
    /// When the map refuses.
    pub fn set_locals(&mut self, locals: &[LocalAddress]) {
        self.router
            .set_locals(locals)
            .unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// The counters as they were when the last row, or the scene, was done.
    #[must_use]
    pub fn counted(&self) -> &Counters {
        &self.counted
    }

    /// The failures so far, which are forgotten.
    pub fn take_failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    /// Runs lines of `ip`; a line that is empty is ignored.
    ///
    /// # Panics
    /// When `ip` refuses one.
    pub fn ip(&self, lines: &str) {
        ip(lines);
    }

    /// Runs `ip -6` with these words: a batch cannot change the family, and
    /// rules do not tell it by their addresses.
    ///
    /// # Panics
    /// When `ip` refuses.
    pub fn ip6(&self, words: &str) {
        netns::ip(&format!("-6 {words}")).unwrap_or_else(|e| panic!("{e:?}"));
    }

    /// Writes `/proc/sys/net/KEY` of this namespace.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn sysctl(&self, key: &str, value: &str) {
        sysctl(key, value);
    }
}

/// Devices, addresses, neighbours, sysctls.
fn build() {
    sysctl("ipv4/conf/all/rp_filter", "0");
    sysctl("ipv4/conf/default/rp_filter", "0");
    sysctl("ipv4/ip_forward", "1");
    sysctl("ipv6/conf/all/forwarding", "1");
    sysctl("ipv6/conf/default/forwarding", "1");
    // Every error is answered, however many rows cause one. By the mask: before
    // 6.18 a rate limit of 0 empties the bucket that routes of type unreachable
    // take their errors from.
    sysctl("ipv4/icmp_ratemask", "0");
    sysctl("ipv6/icmp/ratelimit", "0");

    // Nothing moves that a row did not send: no link-local addresses, no ARP and
    // no IPv6 on the far ends.
    let gateway = |network: Network| {
        let mac = MacAddr::new(network.gateway_mac());
        format!("index {} address {mac}", network.ifindex())
    };
    let pairs: Vec<(&str, &str, String)> = [
        (trunk(0), "switch0", format!("index {}", trunk_ifindex(0))),
        (trunk(1), "switch1", format!("index {}", trunk_ifindex(1))),
    ]
    .into_iter()
    .chain(Network::ALL.map(|network| (network.device(), network.wire(), gateway(network))))
    .collect();
    let mut lines = String::new();
    for (near, far, options) in &pairs {
        lines += &format!(
            "link add {near} {options} type veth peer name {far}\n\
             link set {near} addrgenmode none\n\
             link set {far} addrgenmode none arp off\n"
        );
    }
    ip(&lines);
    for (near, far, _) in &pairs {
        sysctl(&format!("ipv6/conf/{far}/disable_ipv6"), "1");
        // Neither does an answer for a host that nobody found, seconds later.
        for family in ["ipv4", "ipv6"] {
            sysctl(&format!("{family}/neigh/{near}/retrans_time_ms"), "1000000");
        }
    }

    let mut lines = String::new();
    for (near, far, _) in &pairs {
        lines += &format!("link set {near} up\nlink set {far} up\n");
    }
    for network in Network::ALL {
        let device = network.device();
        lines += &format!(
            "address add {}/24 dev {device}\naddress add {}/64 dev {device} nodad\n",
            network.v4(1),
            network.v6(1)
        );
        for (v4, v6, mac) in [
            (10, 0x10, network.host_mac()),
            (9, 0x9, network.router_mac()),
        ] {
            let mac = MacAddr::new(mac);
            lines += &format!(
                "neigh add {} lladdr {mac} nud permanent dev {device}\n\
                 neigh add {} lladdr {mac} nud permanent dev {device}\n",
                network.v4(v4),
                network.v6(v6)
            );
        }
    }
    ip(&lines);
}

/// The `INGRESS` entry that the daemon would write.
fn ingress(network: Network) -> Ingress {
    Ingress {
        ifindex: IfIndex::new(network.ifindex()),
        network: NetworkId::new(network.id().into()),
        flags: ingress_flags::UP
            | ingress_flags::FORWARD_V4
            | ingress_flags::FORWARD_V6
            | ingress_flags::TRUST_PREFIXES,
        mac: MacAddr::new(network.gateway_mac()),
        prefixes4_len: 1,
        prefixes6_len: 1,
        priority: [0; 8],
        prefixes4: [Prefix4::new(network.v4(1).octets(), 24), Prefix4::default()],
        prefixes6: [Prefix6::new(network.v6(1).octets(), 64), Prefix6::default()],
    }
}

/// The `EGRESS` entry that the daemon would write.
fn egress(network: Network) -> Egress {
    Egress {
        network: NetworkId::new(network.id().into()),
        vid: Vid::new(network.vid()).expect("a VID"),
        trunk: TrunkSlot::new(network.trunk()),
        flags: egress_flags::UP,
        mtu4: 1500,
        mtu6: 1500,
        ..Egress::default()
    }
}

fn ip(lines: &str) {
    netns::ip_batch(lines).unwrap_or_else(|e| panic!("{e:?}"));
}

fn sysctl(key: &str, value: &str) {
    netns::sysctl(key, value).unwrap_or_else(|e| panic!("{e:?}"));
}

/// What `ip -j` prints: a list.
fn list(words: &str) -> Vec<serde_json::Value> {
    let text = netns::ip(words).unwrap_or_else(|e| panic!("{e:?}"));
    serde_json::from_str(&text).expect("JSON of ip")
}
