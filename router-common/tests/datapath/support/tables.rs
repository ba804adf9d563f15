//! Tables in memory: networks A (VLAN 100) and B (VLAN 200) on trunk 0, N
//! (untagged) on trunk 0, C (VLAN 300) on trunk 1.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet};

use router_common::{
    abi::{Control, Egress, Ingress, LocalAddress, Prefix4, Prefix6, egress_flags, ingress_flags},
    datapath::{FibQuery, NextHop, Reason, Tables},
    wire::{IfIndex, MacAddr, NetworkId, TrunkSlot, Vid},
};

/// A network of the test's world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net {
    pub(crate) id: u16,
    pub(crate) vid: u16,
    pub(crate) ifindex: u32,
    pub(crate) trunk: u8,
}

pub(crate) const A: Net = Net {
    id: 0,
    vid: 100,
    ifindex: 11,
    trunk: 0,
};
pub(crate) const B: Net = Net {
    id: 1,
    vid: 200,
    ifindex: 12,
    trunk: 0,
};
pub(crate) const N: Net = Net {
    id: 2,
    vid: 0,
    ifindex: 10,
    trunk: 0,
};
pub(crate) const C: Net = Net {
    id: 3,
    vid: 300,
    ifindex: 21,
    trunk: 1,
};

impl Net {
    /// The gateway's MAC on this network.
    pub(crate) fn mac(self) -> [u8; 6] {
        [0x02, 0xaa, 0, 0, 0, self.ifindex.try_into().unwrap()]
    }

    /// The MAC of a host.
    pub(crate) fn host_mac(self, host: u8) -> [u8; 6] {
        [0x02, 0xbb, 0, 0, self.id.try_into().unwrap(), host]
    }

    /// The address of a host; the gateway is host 1.
    pub(crate) fn v4(self, host: u8) -> [u8; 4] {
        [172, 16, 10 + u8::try_from(self.id).unwrap() * 10, host]
    }

    /// The address of a host; the gateway is host 1.
    pub(crate) fn v6(self, host: u8) -> [u8; 16] {
        let mut address = [0; 16];
        address[0] = 0xfd;
        address[3] = u8::try_from(self.id).unwrap() + 1;
        address[15] = host;
        address
    }

    pub(crate) fn vid(self) -> Vid {
        Vid::new(self.vid).unwrap()
    }
}

/// What the packet path asked of the FIB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    V4(FibQuery<[u8; 4]>),
    V6(FibQuery<[u8; 16]>),
    Device(FibQuery<[u8; 4]>),
}

pub(crate) struct MemoryTables {
    pub(crate) trunk: u8,
    pub(crate) control: Control,
    pub(crate) now: u64,
    pub(crate) ingress: BTreeMap<u16, Ingress>,
    pub(crate) egress: BTreeMap<u32, Egress>,
    pub(crate) locals: BTreeSet<LocalAddress>,
    pub(crate) ports: BTreeSet<u8>,
    pub(crate) routes4: BTreeMap<[u8; 4], Result<NextHop, Reason>>,
    pub(crate) routes6: BTreeMap<[u8; 16], Result<NextHop, Reason>>,
    pub(crate) asked: RefCell<Vec<Asked>>,
}

impl MemoryTables {
    /// Everything up, everything forwards; host 11 of every network has a
    /// neighbour entry.
    pub(crate) fn new() -> Self {
        let mut tables = Self {
            trunk: 0,
            control: Control {
                cache_lease: 0,
                direct_lease: 1000,
            },
            now: 999,
            ingress: BTreeMap::new(),
            egress: BTreeMap::new(),
            locals: BTreeSet::new(),
            ports: BTreeSet::from([1]),
            routes4: BTreeMap::new(),
            routes6: BTreeMap::new(),
            asked: RefCell::default(),
        };
        for net in [A, B, N, C] {
            if net.trunk == 0 {
                tables.ingress.insert(net.vid, ingress(net));
            }
            tables.egress.insert(net.ifindex, egress(net));
            tables.locals.insert(LocalAddress::v4(net.v4(1)));
            tables.locals.insert(LocalAddress::v6(net.v6(1)));
            tables.routes4.insert(net.v4(11), Ok(hop(net, 11)));
            tables.routes6.insert(net.v6(11), Ok(hop(net, 11)));
        }
        tables
    }

    /// Changes A, where the tests' frames come in.
    pub(crate) fn on_a(&mut self, change: impl FnOnce(&mut Ingress)) {
        change(self.ingress.get_mut(&A.vid).unwrap());
    }

    /// Changes the way out by a network.
    pub(crate) fn out(&mut self, net: Net, change: impl FnOnce(&mut Egress)) {
        change(self.egress.get_mut(&net.ifindex).unwrap());
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }
}

pub(crate) fn hop(net: Net, host: u8) -> NextHop {
    NextHop {
        ifindex: IfIndex::new(net.ifindex),
        source: MacAddr::new(net.mac()),
        destination: MacAddr::new(net.host_mac(host)),
    }
}

fn ingress(net: Net) -> Ingress {
    use ingress_flags::{FORWARD_V4, FORWARD_V6, TRUST_PREFIXES, UP};
    Ingress {
        ifindex: IfIndex::new(net.ifindex),
        network: NetworkId::new(net.id),
        flags: UP | FORWARD_V4 | FORWARD_V6 | TRUST_PREFIXES,
        mac: MacAddr::new(net.mac()),
        prefixes4_len: 1,
        prefixes6_len: 1,
        priority: [0; 8],
        prefixes4: [Prefix4::new(net.v4(1), 24), Prefix4::default()],
        prefixes6: [Prefix6::new(net.v6(1), 64), Prefix6::default()],
    }
}

fn egress(net: Net) -> Egress {
    Egress {
        network: NetworkId::new(net.id),
        vid: net.vid(),
        trunk: TrunkSlot::new(net.trunk),
        flags: egress_flags::UP,
        mtu4: 1500,
        mtu6: 1500,
        ..Egress::default()
    }
}

impl Tables for MemoryTables {
    fn trunk(&self) -> TrunkSlot {
        TrunkSlot::new(self.trunk)
    }

    fn control(&self) -> Option<Control> {
        Some(self.control)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn ingress(&self, vid: Vid) -> Option<&Ingress> {
        self.ingress.get(&vid.get())
    }

    fn egress(&self, ifindex: IfIndex) -> Option<&Egress> {
        self.egress.get(&ifindex.get())
    }

    fn is_local(&self, address: &LocalAddress) -> bool {
        self.locals.contains(address)
    }

    fn can_redirect(&self, trunk: TrunkSlot) -> bool {
        self.ports.contains(&trunk.get())
    }

    fn fib_lookup_v4(&self, query: &FibQuery<[u8; 4]>) -> Result<NextHop, Reason> {
        self.asked.borrow_mut().push(Asked::V4(*query));
        let no_route = Err(Reason::NotForwarded);
        self.routes4
            .get(&query.destination)
            .copied()
            .unwrap_or(no_route)
    }

    fn fib_lookup_v6(&self, query: &FibQuery<[u8; 16]>) -> Result<NextHop, Reason> {
        self.asked.borrow_mut().push(Asked::V6(*query));
        let no_route = Err(Reason::NotForwarded);
        self.routes6
            .get(&query.destination)
            .copied()
            .unwrap_or(no_route)
    }

    fn fib_device_v4(&self, query: &FibQuery<[u8; 4]>) -> Option<IfIndex> {
        self.asked.borrow_mut().push(Asked::Device(*query));
        let hop = self.routes4.get(&query.destination)?.ok()?;
        Some(hop.ifindex)
    }
}
