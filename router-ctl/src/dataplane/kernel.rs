//! The packet path in the kernel.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, Xdp, XdpMode, links::FdLink, loaded_programs},
};
use router_common::{
    abi::{VIDS, names, pair_stride},
    wire::TrunkSlot,
};
use tracing::{debug, warn};

use super::{Attach, Attachment, Counters, Dataplane, Error, Layout, maps::Maps};
use crate::reconcile::Operation;

/// The XDP object, part of this binary.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/router.o"));

/// Frames of a larger MTU may not fit one buffer: a page, less headroom, the
/// shared info at its end and the L2 header. The exact limit is the driver's
/// (veth: 3498 bytes on 4 KiB pages); below this it is above no driver's.
const LINEAR_MTU: u32 = 3400;

/// Maps and programs in the kernel, as long as this lives.
#[derive(Debug)]
pub struct XdpDataplane {
    layout: Layout,
    maps: Maps,
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
        let slot = TrunkSlot::new(0);
        let mut first = load(&layout, slot)?;
        let networks = u16::try_from(layout.networks).unwrap_or(u16::MAX);
        let maps = Maps::take(&mut first.ebpf, networks)?;
        Ok(Self {
            layout,
            maps,
            trunks: [(slot, first)].into(),
        })
    }

    /// The trunk's object, loaded if it is not.
    fn trunk(&mut self, slot: TrunkSlot) -> Result<&mut Trunk, Error> {
        use std::collections::btree_map::Entry;
        Ok(match self.trunks.entry(slot) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(load(&self.layout, slot)?),
        })
    }
}

impl Dataplane for XdpDataplane {
    fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        self.maps.apply(operation)
    }

    fn attach(&mut self, request: &Attach) -> Result<Attachment, Error> {
        let trunk = self.trunk(request.slot)?;
        trunk.link = None;
        let name = trunk.choose(request.mtu)?;
        let attachment = trunk.attach(name, request)?;
        debug!(?attachment, "attached");
        Ok(attachment)
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
}

impl Trunk {
    /// Loads the program that fits the MTU, or takes the one that is loaded.
    fn choose(&mut self, mtu: u32) -> Result<&'static str, Error> {
        let fitting = if mtu > LINEAR_MTU {
            names::PROGRAM_FRAGS
        } else {
            names::PROGRAM
        };
        let chosen = match self.load_program(fitting) {
            Err(error) if fitting == names::PROGRAM_FRAGS => {
                // Before 5.18. Some drivers take large frames linear.
                warn!(%error, "no multi-buffer XDP for an MTU of {mtu}");
                self.load_program(names::PROGRAM)?;
                names::PROGRAM
            }
            result => result.map(|()| fitting)?,
        };
        self.program = Some(chosen);
        Ok(chosen)
    }

    fn load_program(&mut self, name: &'static str) -> Result<(), Error> {
        match xdp(&mut self.ebpf, name)?.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
            Err(error) => Err(refused(name, &error)),
        }
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

/// Loads the object for one trunk. The first makes the maps and pins them, the
/// others find them there.
fn load(layout: &Layout, slot: TrunkSlot) -> Result<Trunk, Error> {
    let slot = u32::from(slot.get());
    let stride = pair_stride(layout.networks);
    // Arrays are as large as they are told: no more than there is use for.
    let ingress = layout.trunks.next_power_of_two() * VIDS;
    let pairs = match stride {
        1 => layout.networks.next_power_of_two(),
        stride => stride * stride,
    };
    let mut loader = EbpfLoader::new();
    loader
        // No CO-RE here, and parsing the kernel's BTF takes its time.
        .btf(None)
        .override_global(names::TRUNK_SLOT, &slot, true)
        .override_global(names::PAIR_STRIDE, &stride, true)
        .map_max_entries(names::INGRESS, ingress)
        .map_max_entries(names::PAIRS, pairs);
    for name in names::MAPS {
        loader.map_pin_path(name, layout.pins.join(name));
    }
    let ebpf = loader
        .load(OBJECT)
        .map_err(|error| Error::Object(chain(&error)))?;
    Ok(Trunk {
        ebpf,
        program: None,
        link: None,
    })
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
