//! The packet path in the kernel.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    programs::{ProgramError, Xdp},
};
use router_common::{
    abi::{MapBytes as _, Renewal, names, pair_stride},
    wire::{NetworkId, TrunkSlot},
};
use tracing::{info, warn};

use super::{
    Attach, Attachment, Counters, Dataplane, Error, Layout, Sent,
    carry::carry_over,
    links,
    maps::Maps,
    pins::{self, LinkPin},
    reason::{chain, reason},
    recover::pinned_programs,
    redirects::RedirectErrors,
    shape,
    trunk::Trunk,
};
use crate::{
    reconcile::{Contents, Operation},
    sys,
};

/// The XDP object, part of this binary.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/router.o"));

/// Bytes of the frame that `renew_lease` is run with.
const SHORTEST_FRAME: usize = 64;

/// `enum xdp_action` (include/uapi/linux/bpf.h).
const XDP_PASS: u32 = 2;

/// Maps and programs in the kernel. They outlive this: see [`pins`].
#[derive(Debug)]
pub struct XdpDataplane {
    layout: Layout,
    /// Where the maps are pinned.
    folder: PathBuf,
    maps: Maps,
    /// The same once more, to pin them again.
    pinned: BTreeMap<&'static str, OwnedFd>,
    /// For `renew_lease`, which is attached to nothing.
    renewal: Ebpf,
    /// `None`: this kernel does not let us count them.
    redirect_errors: Option<RedirectErrors>,
    jiffy: Duration,
    trunks: BTreeMap<TrunkSlot, Trunk>,
    /// The maps were there before.
    adopted: bool,
    /// A link has a program that uses these maps.
    in_use: bool,
}

impl XdpDataplane {
    /// Takes over the maps that are pinned, or makes new ones, and detaches the
    /// links of trunks that `layout` does not have.
    ///
    /// # Errors
    /// If the kernel refuses, or somebody else has pinned something there.
    pub fn open(mut layout: Layout) -> Result<Self, Error> {
        layout.pins.provide()?;
        for LinkPin { slot, trunk, path } in layout.pins.links()? {
            if links::open(&path)?.is_some() && !layout.links.contains(&(slot, trunk.clone())) {
                info!("{trunk} is no trunk any more: detaching its program");
                pins::discard_link(&path)?;
            }
        }
        let maps = layout.pins.maps();
        layout.make_room(&maps);
        let adopted = match shape::misfit(&maps, &layout) {
            None => true,
            Some(why) => {
                if maps.exists() {
                    warn!("making new maps: {why}");
                }
                false
            }
        };
        let folder = if adopted { maps } else { layout.pins.begin()? };
        let pins = layout.pins.clone();
        let opened = Self::open_in(layout, folder, adopted);
        if opened.is_err() && !adopted {
            pins.give_up()?;
        }
        opened
    }

    fn open_in(layout: Layout, folder: PathBuf, adopted: bool) -> Result<Self, Error> {
        let mut renewal = load(&layout, &folder, TrunkSlot::new(0))?;
        let mut maps = Maps::take(&mut renewal, layout.networks)?;
        if !adopted && let Some(before) = layout.pins.predecessor()? {
            carry_over(&before, &mut maps)?;
        }
        load_program(&mut renewal, names::PROGRAM_RENEW)?;
        let jiffy = sys::jiffy().map_err(|error| Error::Program {
            program: names::PROGRAM_RENEW,
            reason: error.to_string(),
        })?;
        // Forwarding does not depend on it.
        let redirect_errors = RedirectErrors::watch(&folder.join(names::TX_PORTS))
            .inspect_err(|error| warn!(%error, "failed redirects are not counted"))
            .ok();
        let pinned = names::MAPS.map(|name| {
            let path = folder.join(name);
            let map = sys::open_pin(&path).map_err(|error| pins::failed(&path, error))?;
            Ok((name, map))
        });
        Ok(Self {
            layout,
            folder,
            maps,
            pinned: pinned.into_iter().collect::<Result<_, Error>>()?,
            renewal,
            redirect_errors,
            jiffy,
            trunks: BTreeMap::new(),
            adopted,
            in_use: adopted,
        })
    }

    /// The trunk's object, loaded if it is not.
    fn trunk(&mut self, slot: TrunkSlot) -> Result<&mut Trunk, Error> {
        use std::collections::btree_map::Entry;
        Ok(match self.trunks.entry(slot) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Trunk::new(load(&self.layout, &self.folder, slot)?))
            }
        })
    }
}

impl Dataplane for XdpDataplane {
    fn contents(&self) -> Result<Contents, Error> {
        if self.adopted {
            self.maps.contents()
        } else {
            Ok(Contents {
                names: self.maps.contents()?.names,
                ..Contents::default()
            })
        }
    }

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
        // The kernel takes no frame that is shorter than Ethernet's header.
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

    fn load(&mut self, slot: TrunkSlot, mtu: u32) -> Result<(), Error> {
        self.trunk(slot)?.choose(mtu).map(|_| ())
    }

    fn attach(&mut self, request: &Attach) -> Result<Attachment, Error> {
        let pin = self.layout.pins.link(request.slot, &request.trunk);
        let attachment = self.trunk(request.slot)?.attach(request, &pin)?;
        self.in_use = true;
        Ok(attachment)
    }

    fn detach(&mut self, slot: TrunkSlot) -> Result<(), Error> {
        self.trunks.remove(&slot);
        for link in self.layout.pins.links()? {
            if link.slot == slot {
                pins::discard_link(&link.path)?;
            }
        }
        Ok(())
    }

    fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment> {
        self.trunks.get(&slot)?.attachment()
    }

    fn program(&self, slot: TrunkSlot) -> Option<BorrowedFd<'_>> {
        self.trunks.get(&slot)?.program_fd()
    }

    fn counters(&self) -> Result<Counters, Error> {
        let mut counters = self.maps.counters()?;
        counters.redirect_errors = self.redirect_errors()?;
        Ok(counters)
    }

    fn redirect_errors(&self) -> Result<Option<BTreeMap<u32, u64>>, Error> {
        let errors = self.redirect_errors.as_ref();
        errors.map(RedirectErrors::counts).transpose()
    }

    fn sent_to(&self, network: NetworkId) -> Result<Sent, Error> {
        self.maps.sent_to(network)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.folder = self.layout.pins.settle(&self.folder)?;
        self.adopted = true;
        Ok(())
    }

    fn give_up(&mut self) -> Result<(), Error> {
        if self.in_use {
            // Some links were moved already: what they use must stay in reach.
            return self.settle();
        }
        self.layout.pins.give_up()
    }

    fn mend_pins(&mut self) -> Result<Vec<PathBuf>, Error> {
        let missing = |path: &Path| !path.exists();
        let lost_link = |trunk: &Trunk| trunk.pin().is_some_and(missing);
        let folders = if self
            .pinned
            .keys()
            .any(|name| missing(&self.folder.join(name)))
            || self.trunks.values().any(lost_link)
        {
            let made = self.layout.pins.provide();
            made.and_then(|()| pins::make_folder(&self.folder))
        } else {
            Ok(())
        };
        let mut failure = folders.err();
        let mut mended = Vec::new();
        for (name, map) in &self.pinned {
            let path = self.folder.join(name);
            match pins::mend(map.as_fd(), &path) {
                Ok(false) => {}
                Ok(true) => mended.push(path),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        // Each says of its own whether it is pinned.
        for trunk in self.trunks.values_mut() {
            match trunk.mend_pin() {
                Ok(pin) => mended.extend(pin),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(mended),
        }
    }

    fn is_ours(&self, program: u32) -> Result<bool, Error> {
        let mut held = self.trunks.values().filter_map(Trunk::attachment);
        if held.any(|attachment| attachment.prog_id == program) {
            return Ok(true);
        }
        Ok(pinned_programs(&self.layout.pins)?.contains(&program))
    }

    fn adopted(&self) -> bool {
        self.adopted
    }

    fn has_room(&self, slots: u32, ids: u32) -> bool {
        slots <= self.layout.trunks && ids <= self.layout.networks
    }
}

impl Layout {
    /// Rounds up, and keeps the room that the maps in `folder` have: giving it
    /// back would need new maps.
    fn make_room(&mut self, folder: &Path) {
        let entries = |name| {
            let shape = shape::of_pin(name, &folder.join(name));
            shape.map_or(0, |shape| shape.entries)
        };
        let trunks = entries(names::INGRESS) / shape::ingress(1);
        self.trunks = self
            .trunks
            .max(trunks.min(shape::TRUNKS))
            .next_power_of_two();
        let networks = entries(names::NETWORKS).min(shape::NETWORKS);
        self.networks = shape::networks(self.networks.max(networks));
    }
}

/// Loads a program of the object, if it is not loaded.
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    match xdp(ebpf, name)?.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(refused(name, &error)),
    }
}

/// Loads the object for one trunk. Its maps are those pinned in `folder`; the
/// first load makes those that are not.
fn load(layout: &Layout, folder: &Path, slot: TrunkSlot) -> Result<Ebpf, Error> {
    let slot = u32::from(slot.get());
    let stride = pair_stride(layout.networks);
    let mut loader = EbpfLoader::new();
    loader
        // No CO-RE here, and parsing the kernel's BTF takes its time.
        .btf(None)
        .override_global(names::TRUNK_SLOT, &slot, true)
        .override_global(names::PAIR_STRIDE, &stride, true);
    for (name, shape) in shape::wanted(layout) {
        loader
            .map_max_entries(name, shape.entries)
            .map_pin_path(name, folder.join(name));
    }
    loader
        .load(layout.object)
        .map_err(|error| Error::Object(chain(&error)))
}

pub(super) fn xdp<'e>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut Xdp, Error> {
    let program = ebpf.program_mut(name).ok_or_else(|| Error::Program {
        program: name,
        reason: "missing from the object".into(),
    })?;
    program.try_into().map_err(|error| refused(name, &error))
}

pub(super) fn refused(program: &'static str, error: &ProgramError) -> Error {
    Error::Program {
        program,
        reason: reason(error),
    }
}

/// The descriptor of a loaded program.
pub(super) fn fd<'e>(ebpf: &'e Ebpf, name: &str) -> Option<BorrowedFd<'e>> {
    let program: &Xdp = ebpf.program(name)?.try_into().ok()?;
    Some(program.fd().ok()?.as_fd())
}
