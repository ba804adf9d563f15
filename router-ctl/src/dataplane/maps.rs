//! The maps, with keys and values as bytes: `router_common::abi` converts.

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, xdp::DevMapHash},
};
use router_common::{
    abi::{Counter, Egress, Ingress, MapBytes as _, NetworkName, names, pair_index, pair_stride},
    datapath::Reason,
    wire::NetworkId,
};

use super::{Counters, Error, Sent};
use crate::reconcile::Operation;

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
    networks: u16,
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
    pub(super) fn take(ebpf: &mut Ebpf, networks: u16) -> Result<Self, Error> {
        Ok(Self {
            ingress: take(ebpf, names::INGRESS)?,
            egress: take(ebpf, names::EGRESS)?,
            locals: take(ebpf, names::LOCALS)?,
            ports: take(ebpf, names::TX_PORTS)?,
            names: take(ebpf, names::NETWORKS)?,
            verdicts: take(ebpf, names::VERDICTS)?,
            pairs: take(ebpf, names::PAIRS)?,
            networks,
        })
    }

    /// Counts networks with ids below `ids`, too.
    pub(super) fn know_networks(&mut self, ids: u16) {
        self.networks = self.networks.max(ids);
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

    fn set_name(&mut self, id: NetworkId, name: NetworkName) -> Result<(), Error> {
        let index = u32::from(id.get());
        let failed = failed(names::NETWORKS);
        let before = NetworkName::from_bytes(&self.names.get(&index, 0).map_err(&failed)?);
        if before.as_str().is_some() && before != name {
            self.forget_counters(id)?;
        }
        self.names.set(index, name.to_bytes(), 0).map_err(failed)
    }

    /// Begins the counters of a network anew.
    fn forget_counters(&mut self, id: NetworkId) -> Result<(), Error> {
        let stride = pair_stride(u32::from(self.networks));
        let mut records = vec![pair_index(stride, id, NetworkId::new(0))];
        if stride > 1 {
            let others = (0..self.networks).map(NetworkId::new);
            let pairs = others.flat_map(|other| [(id, other), (other, id)]);
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
        let stride = pair_stride(u32::from(self.networks));
        let dense = stride > 1;
        let column = if dense { network } else { NetworkId::new(0) };
        let mut packets = 0;
        for from in (0..self.networks).map(NetworkId::new) {
            packets += sum(&self.pairs, pair_index(stride, from, column), names::PAIRS)?.packets;
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
        let stride = pair_stride(u32::from(self.networks));
        let dense = stride > 1;
        let columns = if dense { self.networks } else { 1 };
        for from in (0..self.networks).map(NetworkId::new) {
            for to in (0..columns).map(NetworkId::new) {
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

fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, Error>
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

fn failed<E: std::fmt::Display>(map: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Map {
        map,
        reason: error.to_string(),
    }
}
