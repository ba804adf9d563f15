//! What the keeper writes into the maps, and what it leaves alone.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use router_common::{
    abi::{LocalAddress, NetworkName},
    wire::{NetworkId, Vid},
};

use super::*;
use crate::{
    config::{Network, PcpPolicy, Trunk, XdpMode},
    daemon::apply::{self, Machine},
    dataplane::{self, Attach, Counters, MemoryDataplane, Sent},
    error::Error,
    netlink::{
        fixture::{address, device, route, unicast, vlan},
        types::{RouteKind, Tables},
    },
    sysctl::{Forwarding, InterfaceForwarding},
};

/// Refuses one kind of operation.
#[derive(Debug, Default)]
struct Stubborn {
    memory: MemoryDataplane,
    refuse: bool,
}

impl Dataplane for Stubborn {
    fn apply(&mut self, operation: &Operation) -> Result<(), dataplane::Error> {
        if self.refuse && matches!(operation, Operation::AddLocal(_)) {
            return Err(dataplane::Error::Map {
                map: "LOCALS",
                reason: "full".into(),
            });
        }
        self.memory.apply(operation)
    }

    fn renew_leases(&mut self, cache: Duration, direct: Duration) -> Result<(), dataplane::Error> {
        self.memory.renew_leases(cache, direct)
    }

    fn contents(&self) -> Result<Contents, dataplane::Error> {
        self.memory.contents()
    }

    fn load(&mut self, slot: TrunkSlot, mtu: u32) -> Result<(), dataplane::Error> {
        self.memory.load(slot, mtu)
    }

    fn settle(&mut self) -> Result<(), dataplane::Error> {
        self.memory.settle()
    }

    fn give_up(&mut self) -> Result<(), dataplane::Error> {
        self.memory.give_up()
    }

    fn mend_pins(&mut self) -> Result<Vec<std::path::PathBuf>, dataplane::Error> {
        self.memory.mend_pins()
    }

    fn is_ours(&self, program: u32) -> Result<bool, dataplane::Error> {
        self.memory.is_ours(program)
    }

    fn adopted(&self) -> bool {
        self.memory.adopted()
    }

    fn has_room(&self, slots: u32, ids: u32) -> bool {
        self.memory.has_room(slots, ids)
    }

    fn attach(&mut self, request: &Attach) -> Result<Attachment, dataplane::Error> {
        self.memory.attach(request)
    }

    fn detach(&mut self, slot: TrunkSlot) -> Result<(), dataplane::Error> {
        self.memory.detach(slot)
    }

    fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment> {
        self.memory.attachment(slot)
    }

    fn program(&self, slot: TrunkSlot) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.memory.program(slot)
    }

    fn counters(&self) -> Result<Counters, dataplane::Error> {
        self.memory.counters()
    }

    fn sent_to(&self, network: NetworkId) -> Result<Sent, dataplane::Error> {
        self.memory.sent_to(network)
    }
}

#[test]
fn a_failed_write_is_tried_again() {
    let mut desired = Contents::default();
    desired.locals.insert(LocalAddress::v4([10, 0, 0, 1]));
    desired.ports.insert(TrunkSlot::new(0), IfIndex::new(2));
    let mut keeper = Keeper::default();
    let mut dataplane = Stubborn {
        refuse: true,
        ..Stubborn::default()
    };
    let failure = keeper.write(&diff(&keeper.contents, &desired), &mut dataplane);
    assert_eq!(failure.as_deref(), Some("map LOCALS: full"));
    assert_eq!(dataplane.memory.contents, keeper.contents);
    assert_eq!(keeper.contents.ports, desired.ports, "the others are done");
    dataplane.refuse = false;
    let missing = diff(&keeper.contents, &desired);
    assert_eq!(keeper.write(&missing, &mut dataplane), None);
    assert_eq!(dataplane.memory.contents, desired);
}

const TRUNK: IfIndex = IfIndex::new(2);

/// The device of a network: what tells them apart is their VLAN.
fn device_of(network: &Network) -> IfIndex {
    IfIndex::new(1000 + u32::from(network.vlan.get()))
}

fn network(vlan: u16) -> Network {
    Network {
        name: format!("net{vlan}"),
        trunk: "eth0".into(),
        vlan: Vid::new(vlan).unwrap(),
        interface: format!("eth0.{vlan}"),
        gateways: vec![format!("10.0.{vlan}.1/24").parse().unwrap()],
        pcp: PcpPolicy::Map,
    }
}

fn config(networks: &[Network]) -> Config {
    Config {
        trunks: vec![Trunk {
            interface: "eth0".into(),
            xdp: XdpMode::Native,
        }],
        networks: networks.to_vec(),
        ..Config::default()
    }
}

/// What the kernel has of these networks.
fn kernel<'n>(networks: impl Iterator<Item = &'n Network>) -> Kernel {
    let trunk = device(TRUNK, "eth0");
    let mut kernel = Kernel {
        tables: Tables {
            links: vec![trunk.clone()],
            ..Tables::default()
        },
        forwarding: Forwarding {
            v4: true,
            v6: true,
            ..Forwarding::default()
        },
        ..Kernel::default()
    };
    for network in networks {
        let ifindex = device_of(network);
        let vid = network.vlan.get();
        kernel.tables.links.push(vlan(ifindex, &trunk, vid));
        for gateway in &network.gateways {
            let gateway = gateway.to_string();
            let address = address(ifindex, &gateway);
            let prefix = address.address.trunc().to_string();
            let own = IpNet::from(address.address.addr()).to_string();
            kernel.tables.routes.extend([
                unicast(&prefix, &[ifindex]),
                route(RouteKind::Local, 255, &own, &[ifindex]),
            ]);
            kernel.tables.addresses.push(address);
        }
        let interface = InterfaceForwarding {
            v4: true,
            v6_mtu: Some(1500),
            ..InterfaceForwarding::default()
        };
        kernel.forwarding.interfaces.insert(ifindex, interface);
    }
    kernel
}

/// A router whose kernel and maps are plain data.
struct Twin {
    keeper: Keeper,
    memory: MemoryDataplane,
    config: Config,
    numbering: Numbering,
    kernel: BTreeMap<String, Network>,
}

impl Twin {
    fn running(config: &Config) -> Self {
        let mut twin = Self {
            keeper: Keeper::default(),
            memory: MemoryDataplane::default(),
            config: config.clone(),
            numbering: Numbering::default(),
            kernel: BTreeMap::new(),
        };
        twin.make(config);
        twin.memory
            .attach(&Attach {
                slot: TrunkSlot::new(0),
                trunk: "eth0".into(),
                ifindex: TRUNK,
                mtu: 1500,
                generic: false,
                present: None,
            })
            .unwrap();
        twin.keep();
        assert_eq!(twin.memory.contents.ingress.len(), config.networks.len());
        twin.memory.operations.clear();
        twin
    }

    fn make(&mut self, config: &Config) {
        for network in &config.networks {
            self.kernel.insert(network.name.clone(), network.clone());
        }
    }

    fn keep(&mut self) {
        self.numbering = self.numbering.adapted(&self.config);
        let known = self.keeper.keep(
            Arc::new(self.config.clone()),
            self.numbering.clone(),
            kernel(self.kernel.values()),
            Some(&mut self.memory),
        );
        assert_eq!(known.map_failure, None);
    }
}

/// As the engine does it.
impl Machine for Twin {
    async fn leave_out(&mut self, networks: &BTreeSet<String>) -> Result<(), Error> {
        self.keeper.without.clone_from(networks);
        self.keep();
        Ok(())
    }

    async fn detach(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn retire(&mut self, config: &Config) -> Result<(), Error> {
        self.kernel
            .retain(|_, network| config.networks.contains(network));
        self.keep();
        Ok(())
    }

    async fn bring_up(&mut self, config: &Config) -> Result<(), Error> {
        self.make(config);
        self.keep();
        Ok(())
    }

    async fn put_in_force(&mut self, config: &Config) -> Result<(), Error> {
        self.config = config.clone();
        self.keeper.without.clear();
        self.keep();
        Ok(())
    }

    async fn attach(&mut self, _: &Trunk) -> Result<(), Error> {
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Error> {
        self.keep();
        Ok(())
    }
}

/// The VLAN of the network that an operation is about; `None`: of all of them.
fn vlan_of(operation: &Operation) -> Option<u16> {
    let number = |number: u32| u16::try_from(number).ok();
    let known = || (1..=60_u8).map(|vlan| (u16::from(vlan), vlan));
    match operation {
        Operation::SetIngress(index, _) | Operation::ClearIngress(index) => number(*index),
        Operation::SetEgress(device, _) | Operation::RemoveEgress(device) => {
            number(device.get() - 1000)
        }
        Operation::AddLocal(local) | Operation::RemoveLocal(local) => {
            let is_of = |third| [1, 254].map(|last| LocalAddress::v4([10, 0, third, last]));
            let mut found = known().filter(|(_, third)| is_of(*third).contains(local));
            found.next().map(|(vlan, _)| vlan)
        }
        Operation::SetName(_, name) => {
            let is_of = |vlan: u16| NetworkName::new(&format!("net{vlan}"));
            let mut found = known().filter(|(vlan, _)| is_of(*vlan) == Some(*name));
            found.next().map(|(vlan, _)| vlan)
        }
        Operation::SetPort(..) | Operation::ClearPort(_) => None,
    }
}

/// What both configurations have is not written at all: neither taken out nor
/// written again.
#[test]
fn entries_of_networks_that_stay_are_not_touched() {
    let stay = [network(10), network(20), network(30)];
    let changed = Network {
        gateways: vec!["10.0.40.254/24".parse().unwrap()],
        ..network(40)
    };
    let with = |more: &[Network]| config(&[&stay[..], more].concat());
    for (what, old, new, least) in [
        ("a network more", with(&[]), with(&[network(40)]), 4),
        ("a network less", with(&[network(40)]), with(&[]), 3),
        ("another gateway", with(&[network(40)]), with(&[changed]), 6),
        (
            "one for another",
            with(&[network(40)]),
            with(&[network(50)]),
            7,
        ),
        (
            "another order",
            with(&[]),
            config(&[network(30), network(10), network(20)]),
            0,
        ),
        ("nothing", with(&[]), with(&[]), 0),
    ] {
        let mut twin = Twin::running(&old);
        let before = twin.memory.contents.clone();
        let applied = apply::apply(&old, &new, &mut twin);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(applied).unwrap();
        let operations = &twin.memory.operations;
        for operation in operations {
            let vlan = vlan_of(operation);
            assert!(
                matches!(vlan, Some(40 | 50)),
                "{what}: {operation:?} is about VLAN {vlan:?}"
            );
        }
        assert!(
            (least..=least + 2).contains(&operations.len()),
            "{what}: {operations:?}"
        );
        for network in &stay {
            let row = u32::from(network.vlan.get());
            assert_eq!(before.ingress[&row], twin.memory.contents.ingress[&row]);
        }
    }
}
