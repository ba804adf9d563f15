//! The XDP program and its maps: the only place that knows aya.
//!
//! [`Dataplane`] is what the daemon asks for. [`XdpDataplane`] does it in the
//! kernel, [`MemoryDataplane`] keeps it in memory: for tests, and for instances
//! whose trunks are all `xdp = "off"`.

mod carry;
mod kernel;
mod links;
mod maps;
mod memory;
mod pins;
mod reason;
mod recover;
mod redirects;
mod shape;
mod trunk;

use std::{collections::BTreeMap, io, os::fd::BorrowedFd, path::PathBuf, time::Duration};

use router_common::{
    abi::Counter,
    datapath::Reason,
    wire::{IfIndex, NetworkId, TrunkSlot},
};

pub use self::{
    kernel::{OBJECT, XdpDataplane},
    links::Holder,
    memory::MemoryDataplane,
    pins::{LinkPin, Orphans, PinDir},
    recover::{Occupant, occupant, pinned_programs, recover},
};
use crate::reconcile::{Contents, Operation};

/// What the daemon asks of the packet path.
pub trait Dataplane: Send + std::fmt::Debug + 'static {
    /// What the maps hold: those that were taken over hold something.
    ///
    /// # Errors
    /// If a map cannot be read.
    fn contents(&self) -> Result<Contents, Error>;

    /// Changes one map.
    ///
    /// # Errors
    /// If the kernel refuses; the map is as it was.
    fn apply(&mut self, operation: &Operation) -> Result<(), Error>;

    /// Says that somebody stands behind what the maps hold: for `cache` from now
    /// on what is cached may be used, for `direct` frames may be forwarded at
    /// all.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn renew_leases(&mut self, cache: Duration, direct: Duration) -> Result<(), Error>;

    /// Has the kernel check the program of a trunk, and attaches nothing.
    ///
    /// # Errors
    /// If the kernel refuses the program.
    fn load(&mut self, slot: TrunkSlot, mtu: u32) -> Result<(), Error>;

    /// Attaches the program to a trunk. Where a program of ours is attached in
    /// the same mode, it is replaced without a gap. Done already is fine.
    ///
    /// # Errors
    /// If the program cannot be loaded, or the kernel refuses to attach it.
    fn attach(&mut self, request: &Attach) -> Result<Attachment, Error>;

    /// Detaches the program of a trunk, if there is one.
    ///
    /// # Errors
    /// If its pin cannot be removed.
    fn detach(&mut self, slot: TrunkSlot) -> Result<(), Error>;

    /// How the program is attached to a trunk; `None`: it is not.
    fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment>;

    /// The program of a trunk, once an attempt was made to attach it.
    fn program(&self, slot: TrunkSlot) -> Option<BorrowedFd<'_>>;

    /// What has been counted since the maps were made, by all CPUs together;
    /// zeros left out.
    ///
    /// # Errors
    /// If a map cannot be read.
    fn counters(&self) -> Result<Counters, Error>;

    /// Of the frames that were redirected to another trunk, those that the kernel
    /// lost since this daemon started, by error number (0: any other); `None`:
    /// not known.
    ///
    /// # Errors
    /// If a map cannot be read.
    fn redirect_errors(&self) -> Result<Option<BTreeMap<u32, u64>>, Error> {
        Ok(None)
    }

    /// Packets forwarded to a network since the maps were made. Reads as many
    /// counters as there are networks.
    ///
    /// # Errors
    /// If a map cannot be read.
    fn sent_to(&self, network: NetworkId) -> Result<Sent, Error>;

    /// Removes what the programs of the trunks do not use any more: all of them
    /// are attached.
    ///
    /// # Errors
    /// If a pin cannot be removed. It is tried again at the next start.
    fn settle(&mut self) -> Result<(), Error>;

    /// Leaves things as they were, as far as no trunk's program was replaced.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    fn give_up(&mut self) -> Result<(), Error>;

    /// Pins again what somebody has removed; the paths.
    ///
    /// # Errors
    /// If it cannot be pinned.
    fn mend_pins(&mut self) -> Result<Vec<PathBuf>, Error>;

    /// Whether a program is one of this instance: in a link that is pinned.
    ///
    /// # Errors
    /// If somebody else has pinned something there.
    fn is_ours(&self, program: u32) -> Result<bool, Error>;

    /// The maps were there before, and programs may use them.
    fn adopted(&self) -> bool;

    /// Whether the maps have room for as many slots of trunks and ids of networks.
    fn has_room(&self, slots: u32, ids: u32) -> bool;
}

/// How large the maps are, and where they are pinned.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Slots there must be room for.
    pub trunks: u32,
    /// Ids there must be room for.
    pub networks: u32,
    /// The trunks. Links of others are detached.
    pub links: Vec<(TrunkSlot, String)>,
    /// Where to pin.
    pub pins: PinDir,
    /// The XDP object: [`OBJECT`].
    pub object: &'static [u8],
}

/// What to attach where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The trunk's slot.
    pub slot: TrunkSlot,
    /// The trunk's name.
    pub trunk: String,
    /// The trunk.
    pub ifindex: IfIndex,
    /// Its MTU in bytes: decides which program fits.
    pub mtu: u32,
    /// On the skb instead of in the driver.
    pub generic: bool,
    /// The program that is on the trunk now, and whether on the skb.
    pub present: Option<(u32, bool)>,
}

impl Attach {
    /// Whether `program` is on the trunk in the mode that is asked for.
    fn has(&self, program: u32) -> bool {
        self.present == Some((program, self.generic))
    }
}

/// An attached program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The trunk.
    pub ifindex: IfIndex,
    /// On the skb instead of in the driver.
    pub generic: bool,
    /// Name of the program.
    pub program: &'static str,
    /// Kernel id of the program.
    pub prog_id: u32,
    /// Tag of the program: the same for the same instructions.
    pub prog_tag: u64,
    /// Kernel id of the bpf_link.
    pub link_id: u32,
    /// It outlives the daemon.
    pub pinned: bool,
    /// The trunk sends frames in several buffers that are redirected to it.
    pub sends_buffers: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were not forwarded.
    pub kept: Vec<(Reason, Counter)>,
    /// Frames that were forwarded, by ingress and egress network; `None`: there
    /// are too many networks to count pairs.
    pub forwarded: Vec<(NetworkId, Option<NetworkId>, Counter)>,
    /// See [`Dataplane::redirect_errors`].
    pub redirect_errors: Option<BTreeMap<u32, u64>>,
}

/// How many packets were forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// To the network that was asked about.
    There(u64),
    /// To all of them together: there are too many to count pairs.
    Anywhere(u64),
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded object, or the maps that it asks for.
    #[error("the kernel refuses the maps of the XDP object: {0}")]
    Object(String),
    /// The verifier, mostly.
    #[error("the kernel refuses the program {program}: {reason}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// The verifier's last words, or the error.
        reason: String,
    },
    /// The driver or the kernel.
    #[error("the kernel refuses to attach the program: {reason}")]
    Attach {
        /// Its number.
        errno: Option<i32>,
        /// The error in words.
        reason: String,
    },
    /// A program that is attached cannot be replaced: it stays.
    #[error("the kernel refuses to replace the program that is attached: {0}")]
    Replace(String),
    /// aya has attached the program over netlink instead of by a link. It is
    /// still attached, and the caller's to detach.
    #[error("the kernel attaches XDP programs, but gives no bpf_link")]
    NotALink,
    /// A map operation.
    #[error("map {map}: {reason}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// The error in words.
        reason: String,
    },
    /// Something in the place of a pin that is not ours.
    #[error("{} {why}", path.display())]
    ForeignPin {
        /// The pin or the folder.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// A folder of pins.
    #[error("{}: {source}", path.display())]
    Pins {
        /// The folder.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}
