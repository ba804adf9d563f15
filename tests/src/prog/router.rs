//! The object in the kernel: load, maps, test runs, counters.

use std::{
    env, fmt, fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, DevMap, HashMap, Map, MapInfo, PerCpuArray},
    programs::{Xdp, xdp::XdpMode},
};
use router_common::{
    abi::{
        Counter, Egress, Ingress, LocalAddress, MAX_REASONS, MapBytes as _, VIDS, ingress_index,
        names, pair_index,
    },
    datapath::Reason,
    wire::NetworkId,
};

/// `enum xdp_action`.
pub const XDP_PASS: u32 = 2;
/// Out by the device that the frame came in on.
pub const XDP_TX: u32 = 3;
/// Out by another device.
pub const XDP_REDIRECT: u32 = 4;

/// `PAIR_STRIDE` of a small instance.
const STRIDE: u32 = 16;
/// Trunks of a [`Scene`](super::Scene).
const TRUNKS: u32 = 2;
/// What the program may add in front, and then some.
const OUTPUT_SLACK: usize = 64;

/// What became of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `enum xdp_action`.
    pub action: u32,
    /// The frame after the program.
    pub bytes: Vec<u8>,
}

/// The bytes of the object that the daemon ships.
fn object() -> Result<Vec<u8>> {
    let path = env::var("ROUTER_EBPF_OBJECT").context("read ROUTER_EBPF_OBJECT")?;
    fs::read(&path).with_context(|| format!("read {path}"))
}

/// The loaded program of trunk 0 with its maps.
pub struct Router {
    bpf: Ebpf,
    program: &'static str,
    device: u32,
}

impl Router {
    /// Loads `program` and attaches it to `device`, so that the kernel has a
    /// receive queue to run test frames on.
    ///
    /// # Errors
    /// When the kernel refuses the object, with the verifier's words.
    pub fn load(program: &'static str, device: (&str, u32)) -> Result<Self> {
        let mut bpf = EbpfLoader::new()
            .btf(None)
            .override_global(names::TRUNK_SLOT, &0_u32, true)
            .override_global(names::PAIR_STRIDE, &STRIDE, true)
            .map_max_entries(names::INGRESS, TRUNKS * VIDS)
            .map_max_entries(names::PAIRS, STRIDE * STRIDE)
            .load(&object()?)
            .context("load the object")?;
        let xdp: &mut Xdp = bpf
            .program_mut(program)
            .with_context(|| format!("find program {program}"))?
            .try_into()?;
        xdp.load().context("verify the program")?;
        xdp.attach(device.0, XdpMode::Driver)
            .with_context(|| format!("attach to {}", device.0))?;
        Ok(Self {
            bpf,
            program,
            device: device.1,
        })
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
        let mut map: DevMap<_> = self.map(names::TX_PORTS)?.try_into()?;
        match ifindex {
            Some(ifindex) => map.set(slot, ifindex, None, 0),
            // An ifindex of 0 empties the slot.
            None => map.set(slot, 0, None, 0),
        }
        .context("write TX_PORTS")
    }

    fn xdp(&self) -> Result<&Xdp> {
        let program = self.bpf.program(self.program).context("find the program")?;
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

    /// What the verifier had to look at, and what it made of it: instructions
    /// verified, translated size in bytes.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn verifier_cost(&self) -> Result<(u32, u32)> {
        let info = self.xdp()?.info()?;
        Ok((
            info.verified_instruction_count()
                .context("5.16 and later")?,
            info.size_translated().context("the translated size")?,
        ))
    }

    /// Id of a map, for bpftool.
    ///
    /// # Errors
    /// When the map is not there.
    pub fn map_id(&self, name: &str) -> Result<u32> {
        Ok(self.map_info(name)?.id())
    }

    /// Memory of a map in bytes, as the kernel accounts it.
    ///
    /// # Errors
    /// When the map is not there.
    pub fn map_memory(&self, name: &str) -> Result<u64> {
        let id = self.map_id(name)?;
        let fd = MapInfo::from_id(id)?.fd()?;
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("memlock:"))
            .context("find memlock")?;
        Ok(line.trim().parse()?)
    }

    fn map_info(&self, name: &str) -> Result<MapInfo> {
        let map = self
            .bpf
            .map(name)
            .with_context(|| format!("find map {name}"))?;
        let (Map::Array(data) | Map::HashMap(data) | Map::DevMap(data) | Map::PerCpuArray(data)) =
            map
        else {
            bail!("{name} is of an unexpected kind");
        };
        Ok(data.info()?)
    }

    /// Every counter, summed over the CPUs.
    ///
    /// # Errors
    /// When a map is not there.
    pub fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            verdicts: self.records(names::VERDICTS, MAX_REASONS)?,
            pairs: self.records(names::PAIRS, STRIDE * STRIDE)?,
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
            .field("program", &self.program)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// Every counter at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    verdicts: Vec<Counter>,
    pairs: Vec<Counter>,
}

/// One counter of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A record of `VERDICTS`.
    Kept(Reason),
    /// A record of `PAIRS`: from, to.
    Forwarded(u16, u16),
    /// A record that belongs to nothing.
    Stray(&'static str, usize),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(reason) => write!(f, "pass {}", reason.name()),
            Self::Forwarded(from, to) => write!(f, "forward {from}->{to}"),
            Self::Stray(map, index) => write!(f, "{map}[{index}], which nothing uses"),
        }
    }
}

impl Counters {
    /// The records that moved since `before`, and by how much.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<(Record, Counter)> {
        let kept = moved(&before.verdicts, &self.verdicts).map(|(index, by)| {
            let reason = Reason::ALL
                .iter()
                .find(|reason| reason.index() as usize == index);
            let record = reason.map_or(Record::Stray("VERDICTS", index), |r| Record::Kept(*r));
            (record, by)
        });
        let forwarded = moved(&before.pairs, &self.pairs).map(|(index, by)| {
            let ids = (0..16).flat_map(|from| (0..16).map(move |to| (from, to)));
            let pair = ids.into_iter().find(|(from, to)| {
                pair_index(STRIDE, NetworkId::new(*from), NetworkId::new(*to)) as usize == index
            });
            let record = pair.map_or(Record::Stray("PAIRS", index), |(from, to)| {
                Record::Forwarded(from, to)
            });
            (record, by)
        });
        kept.chain(forwarded).collect()
    }
}

fn moved(before: &[Counter], after: &[Counter]) -> impl Iterator<Item = (usize, Counter)> {
    before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(_, (before, after))| before != after)
        .map(|(index, (before, after))| {
            let by = Counter {
                packets: after.packets.wrapping_sub(before.packets),
                bytes: after.bytes.wrapping_sub(before.bytes),
            };
            (index, by)
        })
}
