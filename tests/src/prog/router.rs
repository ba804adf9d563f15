//! The object in the kernel: load, maps, test runs, counters.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, DevMap, DevMapHash, HashMap, Map, PerCpuArray},
    programs::{Xdp, xdp::XdpMode},
};
use router_common::abi::{
    Control, Counter, Egress, Ingress, LocalAddress, MAX_REASONS, MapBytes as _, VIDS,
    ingress_index, names,
};
use router_ctl::dataplane::OBJECT;

use super::{
    counters::{Counters, Record},
    lease,
};

/// `enum xdp_action`.
pub const XDP_PASS: u32 = 2;
/// Out by the device that the frame came in on.
pub const XDP_TX: u32 = 3;
/// Out by another device.
pub const XDP_REDIRECT: u32 = 4;

/// Records of `PAIRS`.
const PAIRS: u32 = 256;
/// Trunks of a [`Scene`](super::Scene).
const TRUNKS: u32 = 2;
/// What the program may add in front, and then some.
const OUTPUT_SLACK: usize = 64;

/// How the object is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Program of the object.
    pub program: &'static str,
    /// Slot of the trunk that it serves.
    pub slot: u8,
    /// `PAIR_STRIDE`: 16 for a small instance.
    pub stride: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            program: names::PROGRAM,
            slot: 0,
            stride: 16,
        }
    }
}

/// What became of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `enum xdp_action`.
    pub action: u32,
    /// The frame after the program.
    pub bytes: Vec<u8>,
}

/// The loaded program of one trunk with its maps.
pub struct Router {
    bpf: Ebpf,
    load: Load,
    device: u32,
}

impl Router {
    /// Loads the object and attaches it to its trunk, so that the kernel has a
    /// receive queue to run test frames on.
    ///
    /// # Errors
    /// When the kernel refuses the object, with the verifier's words.
    pub fn load(load: Load, device: (&str, u32)) -> Result<Self> {
        let mut bpf = EbpfLoader::new()
            .btf(None)
            .override_global(names::TRUNK_SLOT, &u32::from(load.slot), true)
            .override_global(names::PAIR_STRIDE, &load.stride, true)
            .map_max_entries(names::INGRESS, TRUNKS * VIDS)
            .map_max_entries(names::PAIRS, PAIRS)
            .load(OBJECT)
            .context("load the object")?;
        lease::hold(&mut bpf)?;
        let xdp: &mut Xdp = bpf
            .program_mut(load.program)
            .with_context(|| format!("find program {}", load.program))?
            .try_into()?;
        xdp.load().context("verify the program")?;
        xdp.attach(device.0, XdpMode::Driver)
            .with_context(|| format!("attach to {}", device.0))?;
        Ok(Self {
            bpf,
            load,
            device: device.1,
        })
    }

    /// The counter of frames from one network to another.
    pub(super) fn record(&self, from: u16, to: u16) -> Record {
        // With stride 1 there is one record an ingress network.
        Record::Forwarded(from, if self.load.stride == 1 { 0 } else { to })
    }

    fn map(&mut self, name: &str) -> Result<&mut Map> {
        self.bpf
            .map_mut(name)
            .with_context(|| format!("find map {name}"))
    }

    /// Writes an entry of `INGRESS`.
    ///
    /// # Errors
    /// When the map is not there or refuses.
    pub fn set_ingress(&mut self, slot: u32, vid: u16, entry: &Ingress) -> Result<()> {
        let mut map: Array<_, [u8; Ingress::SIZE]> = self.map(names::INGRESS)?.try_into()?;
        map.set(ingress_index(slot, vid), entry.to_bytes(), 0)
            .context("write INGRESS")
    }

    /// Writes an entry of `EGRESS`, or removes it.
    ///
    /// # Errors
    /// When the map is not there or refuses.
    pub fn set_egress(&mut self, ifindex: u32, entry: Option<&Egress>) -> Result<()> {
        let mut map: HashMap<_, [u8; 4], [u8; Egress::SIZE]> =
            self.map(names::EGRESS)?.try_into()?;
        match entry {
            Some(entry) => map.insert(ifindex.to_ne_bytes(), entry.to_bytes(), 0),
            None => map.remove(&ifindex.to_ne_bytes()),
        }
        .context("write EGRESS")
    }

    /// Makes `LOCALS` hold exactly these.
    ///
    /// # Errors
    /// When the map is not there or refuses.
    pub fn set_locals(&mut self, addresses: &[LocalAddress]) -> Result<()> {
        let mut map: HashMap<_, [u8; 16], [u8; 1]> = self.map(names::LOCALS)?.try_into()?;
        let old: Vec<[u8; 16]> = map.keys().collect::<Result<_, _>>()?;
        for key in old {
            map.remove(&key).context("clear LOCALS")?;
        }
        for address in addresses {
            map.insert(address.to_bytes(), [0], 0)
                .context("write LOCALS")?;
        }
        Ok(())
    }

    /// Writes an entry of `TX_PORTS`, or removes it.
    ///
    /// # Errors
    /// When the map is not there or refuses.
    pub fn set_port(&mut self, slot: u32, ifindex: Option<u32>) -> Result<()> {
        let map = self.map(names::TX_PORTS)?;
        if matches!(map, Map::DevMapHash(_)) {
            let mut ports: DevMapHash<_> = map.try_into()?;
            match ifindex {
                Some(ifindex) => ports.insert(slot, ifindex, None, 0)?,
                None => ports.remove(slot)?,
            }
        } else {
            let mut ports: DevMap<_> = map.try_into()?;
            // An ifindex of 0 empties the slot.
            ports.set(slot, ifindex.unwrap_or(0), None, 0)?;
        }
        Ok(())
    }

    /// Gives the program a lease of this many jiffies from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn renew_lease(&self, jiffies: u64) -> Result<()> {
        lease::renew(&self.bpf, jiffies)
    }

    /// Writes `CONTROL` as it is when it was made: nobody has ever given a lease.
    ///
    /// # Errors
    /// When the map is not there or refuses.
    pub fn forget_lease(&mut self) -> Result<()> {
        let mut map: Array<_, [u8; Control::SIZE]> = self.map(names::CONTROL)?.try_into()?;
        map.set(0, Control::default().to_bytes(), 0)
            .context("write CONTROL")
    }

    fn xdp(&self) -> Result<&Xdp> {
        let program = self
            .bpf
            .program(self.load.program)
            .context("find the program")?;
        Ok(program.try_into()?)
    }

    /// Runs one frame that came in on the trunk.
    ///
    /// # Errors
    /// When the kernel refuses to: it does so for frames below 14 bytes.
    pub fn run(&self, frame: &[u8]) -> Result<Outcome> {
        let len = u32::try_from(frame.len())?;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex,
        // rx_queue_index, egress_ifindex.
        let context: Vec<u8> = [0, len, 0, self.device, 0, 0]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        let mut bytes = vec![0; frame.len() + OUTPUT_SLACK];
        let result = self
            .xdp()?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut bytes),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .with_context(|| format!("run a frame of {len} bytes"))?;
        bytes.truncate(usize::try_from(result.data_size_out)?);
        Ok(Outcome {
            action: result.return_value,
            bytes,
        })
    }

    /// Every counter, summed over the CPUs.
    ///
    /// # Errors
    /// When a map is not there.
    pub fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            verdicts: self.records(names::VERDICTS, MAX_REASONS)?,
            pairs: self.records(names::PAIRS, PAIRS)?,
            stride: self.load.stride,
        })
    }

    fn records(&self, name: &str, expected: u32) -> Result<Vec<Counter>> {
        let map = self
            .bpf
            .map(name)
            .with_context(|| format!("find map {name}"))?;
        let map: PerCpuArray<_, [u8; 16]> = map.try_into()?;
        ensure!(map.len() == expected, "{name} has {} records", map.len());
        map.iter()
            .map(|values| {
                Ok(values?
                    .iter()
                    .map(Counter::from_bytes)
                    .fold(Counter::default(), Counter::merge))
            })
            .collect()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("load", &self.load)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}
