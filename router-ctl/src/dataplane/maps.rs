//! The maps, with keys and values as bytes: `router_common::abi` converts.

use std::collections::{BTreeMap, BTreeSet};

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, xdp::DevMapHash},
};
use router_common::{
    abi::{
        Counter, Egress, Ingress, LocalAddress, MAX_TRUNKS, MapBytes as _, NetworkName, names,
        pair_index, pair_stride,
    },
    datapath::Reason,
    wire::{IfIndex, NetworkId, TrunkSlot},
};

use super::{Counters, Error, Sent};
use crate::reconcile::{Contents, Operation};

/// Value of `LOCALS`: only the key counts.
const PRESENT: u8 = 1;

/// Open maps.
pub(super) struct Maps {
    ingress: Array<MapData, [u8; Ingress::SIZE]>,
    egress: HashMap<MapData, u32, [u8; Egress::SIZE]>,
    locals: HashMap<MapData, [u8; 16], u8>,
    ports: DevMapHash<MapData>,
    names: Array<MapData, [u8; NetworkName::SIZE]>,
    verdicts: PerCpuArray<MapData, [u8; 16]>,
    pairs: PerCpuArray<MapData, [u8; 16]>,
    /// Ids there is room for.
    networks: u32,
    /// Ids that have a name: nothing is counted of others.
    named: BTreeSet<NetworkId>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps")
            .field("networks", &self.networks)
            .finish_non_exhaustive()
    }
}

impl Maps {
    /// Takes the maps of a loaded object.
    pub(super) fn take(ebpf: &mut Ebpf, networks: u32) -> Result<Self, Error> {
        let mut maps = Self {
            ingress: take(ebpf, names::INGRESS)?,
            egress: take(ebpf, names::EGRESS)?,
            locals: take(ebpf, names::LOCALS)?,
            ports: take(ebpf, names::TX_PORTS)?,
            names: take(ebpf, names::NETWORKS)?,
            verdicts: take(ebpf, names::VERDICTS)?,
            pairs: take(ebpf, names::PAIRS)?,
            networks,
            named: BTreeSet::new(),
        };
        maps.named = maps.names()?.into_keys().collect();
        Ok(maps)
    }

    pub(super) fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::SetIngress(index, entry) => self
                .ingress
                .set(*index, entry.to_bytes(), 0)
                .map_err(failed(names::INGRESS)),
            Operation::ClearIngress(index) => self
                .ingress
                .set(*index, Ingress::default().to_bytes(), 0)
                .map_err(failed(names::INGRESS)),
            Operation::SetEgress(device, entry) => self
                .egress
                .insert(device.get(), entry.to_bytes(), 0)
                .map_err(failed(names::EGRESS)),
            Operation::RemoveEgress(device) => {
                removed(self.egress.remove(&device.get()), names::EGRESS)
            }
            Operation::AddLocal(address) => self
                .locals
                .insert(address.to_bytes(), PRESENT, 0)
                .map_err(failed(names::LOCALS)),
            Operation::RemoveLocal(address) => {
                removed(self.locals.remove(&address.to_bytes()), names::LOCALS)
            }
            Operation::SetPort(slot, device) => self
                .ports
                .insert(u32::from(slot.get()), device.get(), None, 0)
                .map_err(failed(names::TX_PORTS)),
            Operation::ClearPort(slot) => {
                removed(self.ports.remove(u32::from(slot.get())), names::TX_PORTS)
            }
            Operation::SetName(id, name) => self.set_name(*id, *name),
        }
    }

    /// Everything that they hold.
    pub(super) fn contents(&self) -> Result<Contents, Error> {
        let mut contents = Contents {
            names: self.names()?,
            ..Contents::default()
        };
        for index in 0..self.ingress.len() {
            let bytes = self.ingress.get(&index, 0);
            let entry = Ingress::from_bytes(&bytes.map_err(failed(names::INGRESS))?);
            if entry != Ingress::default() {
                contents.ingress.insert(index, entry);
            }
        }
        for element in &self.egress {
            let (device, bytes) = element.map_err(failed(names::EGRESS))?;
            let entry = Egress::from_bytes(&bytes);
            contents.egress.insert(IfIndex::new(device), entry);
        }
        for key in self.locals.keys() {
            let bytes = key.map_err(failed(names::LOCALS))?;
            contents.locals.insert(LocalAddress::from_bytes(&bytes));
        }
        for slot in 0..MAX_TRUNKS {
            let port = match self.ports.get(slot, 0) {
                Err(MapError::KeyNotFound) => continue,
                other => other.map_err(failed(names::TX_PORTS))?,
            };
            if let Ok(slot) = u8::try_from(slot) {
                let device = IfIndex::new(port.if_index);
                contents.ports.insert(TrunkSlot::new(slot), device);
            }
        }
        Ok(contents)
    }

    fn names(&self) -> Result<BTreeMap<NetworkId, NetworkName>, Error> {
        let mut named = BTreeMap::new();
        for index in 0..self.names.len() {
            let bytes = self.names.get(&index, 0);
            let name = NetworkName::from_bytes(&bytes.map_err(failed(names::NETWORKS))?);
            if let Ok(id) = u16::try_from(index)
                && name.as_str().is_some()
            {
                named.insert(NetworkId::new(id), name);
            }
        }
        Ok(named)
    }

    /// Whether there is room for this network.
    pub(super) fn has_room(&self, id: NetworkId) -> bool {
        u32::from(id.get()) < self.networks
    }

    /// Whether pairs are counted, and not ingress networks only.
    pub(super) fn counts_pairs(&self) -> bool {
        pair_stride(self.networks) > 1
    }

    /// Names a network.
    pub(super) fn resume(&mut self, id: NetworkId, name: NetworkName) -> Result<(), Error> {
        self.set_name(id, name)
    }

    /// Adds to a record of `VERDICTS`.
    pub(super) fn resume_verdict(&mut self, index: u32, cpus: &[[u8; 16]]) -> Result<(), Error> {
        add(&mut self.verdicts, index, cpus, names::VERDICTS)
    }

    /// Adds to the record of a pair.
    pub(super) fn resume_pair(
        &mut self,
        from: NetworkId,
        to: NetworkId,
        cpus: &[[u8; 16]],
    ) -> Result<(), Error> {
        let index = pair_index(pair_stride(self.networks), from, to);
        add(&mut self.pairs, index, cpus, names::PAIRS)
    }

    fn set_name(&mut self, id: NetworkId, name: NetworkName) -> Result<(), Error> {
        let index = u32::from(id.get());
        let failed = failed(names::NETWORKS);
        let before = NetworkName::from_bytes(&self.names.get(&index, 0).map_err(&failed)?);
        if before.as_str().is_some() && before != name {
            self.forget_counters(id)?;
        }
        self.names.set(index, name.to_bytes(), 0).map_err(failed)?;
        self.named.insert(id);
        Ok(())
    }

    /// Begins the counters of a network anew.
    fn forget_counters(&mut self, id: NetworkId) -> Result<(), Error> {
        let stride = pair_stride(self.networks);
        let mut records = vec![pair_index(stride, id, NetworkId::new(0))];
        if stride > 1 {
            let others = self.named.iter();
            let pairs = others.flat_map(|other| [(id, *other), (*other, id)]);
            records = pairs
                .map(|(from, to)| pair_index(stride, from, to))
                .collect();
        }
        for record in records {
            let cpus = self.pairs.get(&record, 0).map_err(failed(names::PAIRS))?;
            if cpus.iter().all(|bytes| *bytes == [0; 16]) {
                continue;
            }
            let zeros = vec![[0; 16]; cpus.len()];
            let zeros = PerCpuValues::try_from(zeros).map_err(failed(names::PAIRS))?;
            self.pairs
                .set(record, zeros, 0)
                .map_err(failed(names::PAIRS))?;
        }
        Ok(())
    }

    pub(super) fn sent_to(&self, network: NetworkId) -> Result<Sent, Error> {
        let stride = pair_stride(self.networks);
        let dense = stride > 1;
        let column = if dense { network } else { NetworkId::new(0) };
        let mut packets = 0;
        for from in &self.named {
            packets += sum(&self.pairs, pair_index(stride, *from, column), names::PAIRS)?.packets;
        }
        Ok(if dense {
            Sent::There(packets)
        } else {
            Sent::Anywhere(packets)
        })
    }

    pub(super) fn counters(&self) -> Result<Counters, Error> {
        let mut counters = Counters::default();
        for reason in Reason::ALL {
            let counter = sum(&self.verdicts, reason.index(), names::VERDICTS)?;
            if counter.packets != 0 {
                counters.kept.push((*reason, counter));
            }
        }
        let stride = pair_stride(self.networks);
        let dense = stride > 1;
        let alone = BTreeSet::from([NetworkId::new(0)]);
        for &from in &self.named {
            for &to in if dense { &self.named } else { &alone } {
                let counter = sum(&self.pairs, pair_index(stride, from, to), names::PAIRS)?;
                if counter.packets != 0 {
                    counters
                        .forwarded
                        .push((from, dense.then_some(to), counter));
                }
            }
        }
        Ok(counters)
    }
}

/// Adds to a record, CPU by CPU.
fn add(
    map: &mut PerCpuArray<MapData, [u8; 16]>,
    index: u32,
    cpus: &[[u8; 16]],
    name: &'static str,
) -> Result<(), Error> {
    let here = map.get(&index, 0).map_err(failed(name))?;
    let sums: Vec<[u8; 16]> = here
        .iter()
        .zip(cpus)
        .map(|(a, b)| {
            Counter::from_bytes(a)
                .merge(Counter::from_bytes(b))
                .to_bytes()
        })
        .collect();
    let sums = PerCpuValues::try_from(sums).map_err(failed(name))?;
    map.set(index, sums, 0).map_err(failed(name))
}

/// All CPUs together.
fn sum(
    map: &PerCpuArray<MapData, [u8; 16]>,
    index: u32,
    name: &'static str,
) -> Result<Counter, Error> {
    let cpus = map.get(&index, 0).map_err(failed(name))?;
    Ok(cpus
        .iter()
        .map(Counter::from_bytes)
        .fold(Counter::default(), Counter::merge))
}

pub(super) fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, Error>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| Error::Map {
        map: name,
        reason: "missing from the object".into(),
    })?;
    M::try_from(map).map_err(failed(name))
}

/// That a removed element was not there does not matter.
fn removed(result: Result<(), MapError>, name: &'static str) -> Result<(), Error> {
    match result {
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other.map_err(failed(name)),
    }
}

pub(super) fn failed<E: std::fmt::Display>(map: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Map {
        map,
        reason: error.to_string(),
    }
}
