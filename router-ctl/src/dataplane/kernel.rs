//! The packet path in the kernel.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    programs::{ProgramError, Xdp, XdpMode, links::FdLink, loaded_programs},
};
use router_common::{
    abi::{MapBytes as _, Renewal, VIDS, names, pair_stride},
    wire::{NetworkId, TrunkSlot},
};
use tracing::{debug, warn};

use super::{Attach, Attachment, Counters, Dataplane, Error, Layout, Sent, maps::Maps};
use crate::{reconcile::Operation, sys};

/// The XDP object, part of this binary.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/router.o"));

/// Frames of a larger MTU may not fit one buffer: a page, less headroom, the
/// shared info at its end and the L2 header. The exact limit is the driver's
/// (veth: 3498 bytes on 4 KiB pages); below this it is above no driver's.
const LINEAR_MTU: u32 = 3400;

/// Bytes of the frame that `renew_lease` is run with.
const SHORTEST_FRAME: usize = 64;

/// `enum xdp_action` (include/uapi/linux/bpf.h).
const XDP_PASS: u32 = 2;

/// Maps and programs in the kernel, as long as this lives.
#[derive(Debug)]
pub struct XdpDataplane {
    layout: Layout,
    maps: Maps,
    /// For `renew_lease`, which is attached to nothing.
    renewal: Ebpf,
    jiffy: Duration,
    trunks: BTreeMap<TrunkSlot, Trunk>,
}

/// The program of one trunk.
#[derive(Debug)]
struct Trunk {
    ebpf: Ebpf,
    /// The program that was chosen.
    program: Option<&'static str>,
    /// The link detaches the program when it is dropped: it is not pinned.
    link: Option<(FdLink, Attachment)>,
}

impl XdpDataplane {
    /// Makes the maps and pins them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open(layout: Layout) -> Result<Self, Error> {
        let mut renewal = load(&layout, TrunkSlot::new(0))?;
        let networks = u16::try_from(layout.networks).unwrap_or(u16::MAX);
        let maps = Maps::take(&mut renewal, networks)?;
        load_program(&mut renewal, names::PROGRAM_RENEW)?;
        let jiffy = sys::jiffy().map_err(|error| Error::Program {
            program: names::PROGRAM_RENEW,
            reason: error.to_string(),
        })?;
        Ok(Self {
            layout,
            maps,
            renewal,
            jiffy,
            trunks: BTreeMap::new(),
        })
    }

    /// The trunk's object, loaded if it is not.
    fn trunk(&mut self, slot: TrunkSlot) -> Result<&mut Trunk, Error> {
        use std::collections::btree_map::Entry;
        Ok(match self.trunks.entry(slot) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Trunk {
                ebpf: load(&self.layout, slot)?,
                program: None,
                link: None,
            }),
        })
    }
}

impl Dataplane for XdpDataplane {
    fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        self.maps.apply(operation)
    }

    fn renew_leases(&mut self, cache: Duration, direct: Duration) -> Result<(), Error> {
        const NAME: &str = names::PROGRAM_RENEW;
        let jiffies = |time: Duration| {
            let jiffies = time.as_nanos().div_ceil(self.jiffy.as_nanos());
            u64::try_from(jiffies).unwrap_or(u64::MAX / 2)
        };
        let renewal = Renewal {
            cache: jiffies(cache),
            direct: jiffies(direct),
        };
        // The kernel takes no frame that is shorter than Ethernet's shortest.
        let mut frame = [0; SHORTEST_FRAME];
        for (to, from) in frame.iter_mut().zip(renewal.to_bytes()) {
            *to = from;
        }
        let run = xdp(&mut self.renewal, NAME)?.test_run(TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        });
        match run.map_err(|error| refused(NAME, &error))?.return_value {
            XDP_PASS => Ok(()),
            action => Err(Error::Program {
                program: NAME,
                reason: format!("it answered {action}"),
            }),
        }
    }

    fn attach(&mut self, request: &Attach) -> Result<Attachment, Error> {
        let trunk = self.trunk(request.slot)?;
        trunk.link = None;
        let name = trunk.choose(request.mtu)?;
        let attachment = trunk.attach(name, request)?;
        debug!(?attachment, "attached");
        Ok(attachment)
    }

    fn detach(&mut self, slot: TrunkSlot) -> Result<(), Error> {
        // Its link goes with it, and with the link the program.
        self.trunks.remove(&slot);
        Ok(())
    }

    fn make_room(&mut self, slots: u32, ids: u32) -> Result<bool, Error> {
        if slots > ingress_slots(&self.layout) || ids > network_ids(&self.layout) {
            return Ok(false);
        }
        self.maps
            .know_networks(u16::try_from(ids).unwrap_or(u16::MAX));
        Ok(true)
    }

    fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment> {
        let (_, attachment) = self.trunks.get(&slot)?.link.as_ref()?;
        Some(attachment)
    }

    fn program(&self, slot: TrunkSlot) -> Option<BorrowedFd<'_>> {
        let trunk = self.trunks.get(&slot)?;
        let program: &Xdp = trunk.ebpf.program(trunk.program?)?.try_into().ok()?;
        Some(program.fd().ok()?.as_fd())
    }

    fn counters(&self) -> Result<Counters, Error> {
        self.maps.counters()
    }

    fn sent_to(&self, network: NetworkId) -> Result<Sent, Error> {
        self.maps.sent_to(network)
    }
}

impl Trunk {
    /// Loads the program that fits the MTU, or takes the one that is loaded.
    fn choose(&mut self, mtu: u32) -> Result<&'static str, Error> {
        let fitting = if mtu > LINEAR_MTU {
            names::PROGRAM_FRAGS
        } else {
            names::PROGRAM
        };
        let chosen = match load_program(&mut self.ebpf, fitting) {
            Err(error) if fitting == names::PROGRAM_FRAGS => {
                // Before 5.18. Some drivers take large frames linear.
                warn!(%error, "no multi-buffer XDP for an MTU of {mtu}");
                load_program(&mut self.ebpf, names::PROGRAM)?;
                names::PROGRAM
            }
            result => result.map(|()| fitting)?,
        };
        self.program = Some(chosen);
        Ok(chosen)
    }

    fn attach(&mut self, name: &'static str, request: &Attach) -> Result<Attachment, Error> {
        let program = xdp(&mut self.ebpf, name)?;
        let mode = if request.generic {
            XdpMode::Skb
        } else {
            XdpMode::Driver
        };
        let id = program
            .attach_to_if_index(request.ifindex.get(), mode)
            .map_err(|error| Error::Attach {
                errno: match &error {
                    ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
                    _ => None,
                },
                reason: reason(&error),
            })?;
        let link = program
            .take_link(id)
            .map_err(|error| refused(name, &error))?;
        let link = FdLink::try_from(link).map_err(|_| Error::NotALink)?;
        let info = program.info().map_err(|error| refused(name, &error))?;
        let attachment = Attachment {
            ifindex: request.ifindex,
            generic: request.generic,
            program: name,
            prog_id: info.id(),
            prog_tag: info.tag(),
            link_id: link.info().map_or(0, |info| info.id()),
        };
        self.link = Some((link, attachment.clone()));
        Ok(attachment)
    }
}

/// Trunks that the maps have room for.
const fn ingress_slots(layout: &Layout) -> u32 {
    layout.trunks.next_power_of_two()
}

/// Networks that the maps have room for.
const fn network_ids(layout: &Layout) -> u32 {
    match pair_stride(layout.networks) {
        1 => layout.networks.next_power_of_two(),
        stride => stride,
    }
}

/// Loads a program of the object, if it is not loaded.
fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    match xdp(ebpf, name)?.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(refused(name, &error)),
    }
}

/// Loads the object for one trunk. The first makes the maps and pins them, the
/// others find them there.
fn load(layout: &Layout, slot: TrunkSlot) -> Result<Ebpf, Error> {
    let slot = u32::from(slot.get());
    let stride = pair_stride(layout.networks);
    // Arrays are as large as they are told: no more than there is use for.
    let ingress = ingress_slots(layout) * VIDS;
    let networks = network_ids(layout);
    let pairs = match stride {
        1 => networks,
        stride => stride * stride,
    };
    let mut loader = EbpfLoader::new();
    loader
        // No CO-RE here, and parsing the kernel's BTF takes its time.
        .btf(None)
        .override_global(names::TRUNK_SLOT, &slot, true)
        .override_global(names::PAIR_STRIDE, &stride, true)
        .map_max_entries(names::INGRESS, ingress)
        .map_max_entries(names::NETWORKS, networks)
        .map_max_entries(names::PAIRS, pairs);
    for name in names::MAPS {
        loader.map_pin_path(name, layout.pins.join(name));
    }
    loader
        .load(OBJECT)
        .map_err(|error| Error::Object(chain(&error)))
}

fn xdp<'e>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut Xdp, Error> {
    let program = ebpf.program_mut(name).ok_or_else(|| Error::Program {
        program: name,
        reason: "missing from the object".into(),
    })?;
    program.try_into().map_err(|error| refused(name, &error))
}

fn refused(program: &'static str, error: &ProgramError) -> Error {
    Error::Program {
        program,
        reason: reason(error),
    }
}

/// An error without the verifier's log, which may be very long.
fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            debug!(%log, "verifier");
            // Its verdict is the last line that is no statistics.
            let verdict = log
                .lines()
                .rev()
                .find(|line| !line.is_empty() && !line.starts_with("processed "));
            match verdict {
                Some(verdict) => format!("{io_error}: {verdict}"),
                None => io_error.to_string(),
            }
        }
        ProgramError::SyscallError(error) => error.io_error.to_string(),
        other => chain(other),
    }
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// The name of a loaded program, if it can be found out.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}
