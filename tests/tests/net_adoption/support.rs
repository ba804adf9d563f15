//! A trunk in a namespace of the test's own, and a bpffs for its pins.

use std::path::PathBuf;

use aya::{
    maps::{Array, Map, MapData, MapInfo, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use router_common::{
    abi::{Control, Counter, Ingress, MapBytes as _, NetworkName, names},
    datapath::Reason,
    wire::{IfIndex, NetworkId, TrunkSlot},
};
use router_ctl::{
    dataplane::{Attach, Attachment, Dataplane as _, Layout, OBJECT, PinDir, XdpDataplane},
    reconcile::{Contents, Operation},
};
use router_tests::{
    netns::{self, Private},
    scratch::ScratchBpffs,
};

pub(crate) const TRUNK: &str = "trunk.0";
pub(crate) const SLOT: TrunkSlot = TrunkSlot::new(2);

/// Trunk and bpffs.
pub(crate) struct Bench {
    pub(crate) bpffs: ScratchBpffs,
    _namespace: Private,
}

impl Bench {
    /// `None`, with a SKIP line, where this user may not.
    pub(crate) fn open(test: &str) -> Option<Self> {
        let namespace = netns::private_or_skip(test)?;
        let bench = Self {
            bpffs: ScratchBpffs::mount().unwrap(),
            _namespace: namespace,
        };
        // No frame but those that a test sends.
        netns::sysctl("ipv6/conf/default/disable_ipv6", "1").unwrap();
        bench.plug();
        Some(bench)
    }

    /// Makes the trunk.
    pub(crate) fn plug(&self) {
        netns::ip_batch(&format!(
            "link add {TRUNK} type veth peer name switch\nlink set {TRUNK} up\nlink set switch up\n"
        ))
        .unwrap();
    }

    /// Deletes it.
    pub(crate) fn unplug(&self) {
        netns::ip(&format!("link del {TRUNK}")).unwrap();
    }

    pub(crate) fn pins(&self) -> PinDir {
        PinDir::new(&self.bpffs.path(), "lab.1")
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.pins().maps().join(name)
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout {
            trunks: 3,
            networks: 2,
            links: vec![(SLOT, TRUNK.to_owned())],
            pins: self.pins(),
            object: OBJECT,
        }
    }

    /// As a daemon that starts does.
    pub(crate) fn start(&self, layout: Layout) -> (XdpDataplane, Attachment) {
        let mut dataplane = XdpDataplane::open(layout).unwrap();
        let attachment = dataplane.attach(&self.request(false)).unwrap();
        dataplane.settle().unwrap();
        (dataplane, attachment)
    }

    pub(crate) fn request(&self, generic: bool) -> Attach {
        Attach {
            slot: SLOT,
            trunk: TRUNK.into(),
            ifindex: IfIndex::new(self.ifindex()),
            mtu: 1500,
            generic,
            present: self.present(),
        }
    }

    fn link(&self) -> serde_json::Value {
        let text = netns::ip(&format!("-j -d link show dev {TRUNK}")).unwrap();
        let links: serde_json::Value = serde_json::from_str(&text).unwrap();
        links[0].clone()
    }

    fn ifindex(&self) -> u32 {
        self.link()["ifindex"].as_u64().unwrap().try_into().unwrap()
    }

    /// The program on the trunk by the kernel's word, and whether on the skb.
    pub(crate) fn present(&self) -> Option<(u32, bool)> {
        let link = self.link();
        let id = link["xdp"]["prog"]["id"].as_u64()?;
        Some((id.try_into().unwrap(), link["xdp"]["mode"] == 2))
    }

    /// The leases.
    pub(crate) fn control(&self) -> Control {
        let map = MapData::from_pin(self.map(names::CONTROL)).unwrap();
        let map: Array<_, [u8; Control::SIZE]> = Map::Array(map).try_into().unwrap();
        Control::from_bytes(&map.get(&0, 0).unwrap())
    }

    /// Kernel ids of the pinned maps.
    pub(crate) fn map_ids(&self) -> Vec<u64> {
        let id = |name: &str| MapInfo::from_pin(self.map(name)).unwrap().id().into();
        names::MAPS.iter().map(|name| id(name)).collect()
    }

    /// Counts packets of this reason on every CPU, as the program would.
    pub(crate) fn count(&self, reason: Reason, packets: u64) {
        let map = MapData::from_pin(self.map(names::VERDICTS)).unwrap();
        let mut map: PerCpuArray<_, [u8; 16]> = Map::PerCpuArray(map).try_into().unwrap();
        let counter = Counter {
            packets,
            bytes: packets * 100,
        };
        let values = vec![counter.to_bytes(); cpus()];
        map.set(reason.index(), PerCpuValues::try_from(values).unwrap(), 0)
            .unwrap();
    }

    /// The same of a pair of networks, in maps for `stride`.
    pub(crate) fn count_pair(&self, index: u32, packets: u64) {
        let map = MapData::from_pin(self.map(names::PAIRS)).unwrap();
        let mut map: PerCpuArray<_, [u8; 16]> = Map::PerCpuArray(map).try_into().unwrap();
        let counter = Counter {
            packets,
            bytes: packets * 100,
        };
        let values = vec![counter.to_bytes(); cpus()];
        map.set(index, PerCpuValues::try_from(values).unwrap(), 0)
            .unwrap();
    }
}

pub(crate) fn cpus() -> usize {
    nr_cpus().unwrap_or_else(|(path, error)| panic!("{path}: {error}"))
}

pub(crate) fn name(text: &str) -> NetworkName {
    NetworkName::new(text).unwrap()
}

pub(crate) const A: NetworkId = NetworkId::new(0);
pub(crate) const B: NetworkId = NetworkId::new(1);

/// Something in every map that the daemon writes.
pub(crate) fn operations() -> Vec<Operation> {
    use router_common::abi::{Egress, LocalAddress};
    let device = IfIndex::new(7);
    vec![
        Operation::SetName(A, name("a")),
        Operation::SetName(B, name("b")),
        Operation::AddLocal(LocalAddress::v4([10, 0, 0, 1])),
        Operation::SetEgress(
            device,
            Egress {
                network: B,
                mtu4: 1500,
                ..Egress::default()
            },
        ),
        Operation::SetIngress(
            2 * 4096 + 100,
            Ingress {
                ifindex: device,
                network: A,
                ..Ingress::default()
            },
        ),
    ]
}

/// Writes them; what the maps hold then.
pub(crate) fn fill(dataplane: &mut XdpDataplane, bench: &Bench) -> Contents {
    let mut contents = Contents::default();
    let port = Operation::SetPort(SLOT, IfIndex::new(bench.ifindex()));
    for operation in operations().into_iter().chain([port]) {
        dataplane.apply(&operation).unwrap();
        contents.apply(&operation);
    }
    contents
}
