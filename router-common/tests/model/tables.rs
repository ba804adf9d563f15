//! A world in the layout of the maps, as the daemon would write them: what the
//! packet path works on, besides the frame.

use std::{
    cell::{OnceCell, RefCell},
    net::IpAddr,
};

use router_common::{
    abi::{Control, Egress, Ingress, LocalAddress, Prefix4, Prefix6, egress_flags, ingress_flags},
    datapath::{FibQuery, NextHop, Reason, Tables},
    wire::{IfIndex, MacAddr, NetworkId, TrunkSlot, Vid},
};

use router_test_support::world::{Network, World, covers};

use crate::kernel::{self, Question};

/// The maps of a world, and its kernel behind the helper.
pub(crate) struct Maps<'w> {
    world: &'w World,
    /// The entry that was asked for: one frame sees no other.
    ingress: OnceCell<Option<Ingress>>,
    egress: OnceCell<Option<Egress>>,
    /// What the packet path asked the kernel.
    pub(crate) asked: RefCell<Vec<Question>>,
}

impl<'w> Maps<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        Self {
            world,
            ingress: OnceCell::new(),
            egress: OnceCell::new(),
            asked: RefCell::default(),
        }
    }

    fn ask(&self, question: Question) -> Result<NextHop, Reason> {
        self.asked.borrow_mut().push(question);
        let way = kernel::ask(self.world, &question).map_err(reason_named)?;
        Ok(NextHop {
            ifindex: IfIndex::new(way.device),
            source: MacAddr::new(way.source_mac),
            destination: MacAddr::new(way.next_mac),
        })
    }
}

fn reason_named(name: &str) -> Reason {
    let found = Reason::ALL.iter().find(|reason| reason.name() == name);
    *found.expect("a reason of the verdict table")
}

fn ingress(world: &World, net: &Network) -> Ingress {
    use ingress_flags::{
        CHECK_LOCALS, FORWARD_V4, FORWARD_V6, KEEP_PCP, KEEP_PRIORITY, LOCALS_INCOMPLETE,
        RP_FILTER, TRUST_PREFIXES, UP,
    };
    let own = net.gateways();
    let inside = |address: IpAddr| own.iter().any(|(ip, len)| covers(*ip, *len, address));
    let gateway = |address: IpAddr| own.iter().any(|(ip, _)| *ip == address);
    let detour = world.routes.iter().any(|route| {
        own.iter()
            .any(|(ip, len)| covers(*ip, *len, route.to.0) || covers(route.to.0, route.to.1, *ip))
    });
    let more_locals = world
        .locals
        .iter()
        .any(|local| inside(*local) && !gateway(*local));
    let flags = [
        (UP, net.up),
        (FORWARD_V4, net.forwards4),
        (FORWARD_V6, net.forwards6),
        (RP_FILTER, net.rp_filter),
        (TRUST_PREFIXES, !detour),
        (CHECK_LOCALS, more_locals),
        (LOCALS_INCOMPLETE, world.locals_overflow),
        (KEEP_PCP, net.keeps_pcp),
        (KEEP_PRIORITY, !world.tos_sets_priority),
    ];
    let mut entry = Ingress {
        ifindex: IfIndex::new(net.device),
        network: NetworkId::new(net.number),
        flags: flags
            .into_iter()
            .fold(0, |sum, (flag, on)| if on { sum | flag } else { sum }),
        mac: MacAddr::new(net.mac),
        priority: net
            .priority_of_pcp
            .map(|priority| match u8::try_from(priority) {
                Ok(fits @ 0..=15) => fits,
                _ => Ingress::PRIORITY_UNMAPPED,
            }),
        ..Ingress::default()
    };
    for (place, (ip, len)) in entry.prefixes4.iter_mut().zip(&net.gateways4) {
        *place = Prefix4::new(ip.octets(), *len);
        entry.prefixes4_len += 1;
    }
    for (place, (ip, len)) in entry.prefixes6.iter_mut().zip(&net.gateways6) {
        *place = Prefix6::new(ip.octets(), *len);
        entry.prefixes6_len += 1;
    }
    entry
}

fn egress(world: &World, net: &Network) -> Egress {
    use egress_flags::{MULTIPATH_LEG, MULTIPATH_V4_UNREPEATABLE, MULTIPATH_V6_UNREPEATABLE, UP};
    let flags = [
        (UP, net.up),
        (MULTIPATH_V4_UNREPEATABLE, net.odd_hash4),
        (MULTIPATH_V6_UNREPEATABLE, net.odd_hash6),
        (MULTIPATH_LEG, net.leg),
    ];
    Egress {
        network: NetworkId::new(net.number),
        vid: Vid::new(net.vid.unwrap_or(0)).expect("a VID"),
        trunk: TrunkSlot::new(net.trunk),
        flags: flags
            .into_iter()
            .fold(0, |sum, (flag, on)| if on { sum | flag } else { sum }),
        mtu4: world.limit(net, false),
        mtu6: world.limit(net, true),
        pcp: net.pcp_of_priority,
        ..Egress::default()
    }
}

/// A query in the kernel's words.
fn question<A: Into<IpAddr> + Copy>(query: &FibQuery<A>) -> Question {
    let destination: IpAddr = query.destination.into();
    let bits = u32::from_be_bytes(query.class);
    let (class, label) = if destination.is_ipv4() {
        assert_eq!(bits & 0x00ff_ffff, 0, "TOS is the first byte alone");
        (query.class[0], 0)
    } else {
        assert_eq!(bits >> 28, 0, "the version is cleared");
        ((bits >> 20).to_be_bytes()[3], bits & 0xf_ffff)
    };
    Question {
        device: query.ifindex.get(),
        source: query.source.into(),
        destination,
        class,
        label,
        protocol: query.protocol.get(),
        source_port: query.source_port,
        destination_port: query.destination_port,
        length: query.length,
    }
}

impl Tables for Maps<'_> {
    fn trunk(&self) -> TrunkSlot {
        TrunkSlot::new(self.world.trunk)
    }

    fn control(&self) -> Option<Control> {
        Some(Control {
            cache_lease: 0,
            direct_lease: self.world.lease,
        })
    }

    fn now(&self) -> u64 {
        self.world.now
    }

    fn ingress(&self, vid: Vid) -> Option<&Ingress> {
        let entry = self.ingress.get_or_init(|| {
            let networks = self.world.networks.iter();
            networks
                .filter(|net| net.trunk == self.world.trunk)
                .find(|net| net.vid.unwrap_or(0) == vid.get())
                .map(|net| ingress(self.world, net))
        });
        entry.as_ref()
    }

    fn egress(&self, ifindex: IfIndex) -> Option<&Egress> {
        let entry = self.egress.get_or_init(|| {
            let net = self.world.network_of(ifindex.get());
            net.map(|net| egress(self.world, net))
        });
        entry.as_ref()
    }

    fn is_local(&self, address: &LocalAddress) -> bool {
        let [.., a, b, c, d] = address.octets;
        let four = IpAddr::from([a, b, c, d]);
        if LocalAddress::v4([a, b, c, d]) == *address {
            self.world.is_local(four)
        } else {
            self.world.is_local(address.octets.into())
        }
    }

    fn can_redirect(&self, trunk: TrunkSlot) -> bool {
        self.world.ports.contains(&trunk.get())
    }

    fn fib_lookup_v4(&self, query: &FibQuery<[u8; 4]>) -> Result<NextHop, Reason> {
        self.ask(question(query))
    }

    fn fib_lookup_v6(&self, query: &FibQuery<[u8; 16]>) -> Result<NextHop, Reason> {
        self.ask(question(query))
    }

    fn fib_device_v4(&self, query: &FibQuery<[u8; 4]>) -> Option<IfIndex> {
        let question = question(query);
        self.asked.borrow_mut().push(question);
        kernel::ask_device(self.world, &question).map(IfIndex::new)
    }
}
