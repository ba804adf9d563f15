//! The maps that daemon and XDP program share: names, capacities, keys, values.
//!
//! Rules of this folder: `#[repr(C)]`, explicit padding, integers in host order
//! or byte arrays in network order, sizes asserted at compile time. Whoever
//! changes a layout here raises [`ABI_VERSION`], because pinned maps outlive
//! the process that made them.
//!
//! | map | kind | key | value | writer | reader |
//! |---|---|---|---|---|---|
//! | `INGRESS` | array | trunk slot x 4096 + VID | [`Ingress`] | daemon | XDP, every frame |
//! | `EGRESS` | hash | ifindex of a sub-interface | [`Egress`] | daemon | XDP, every lookup |
//! | `LOCALS` | hash | [`LocalAddress`] | `u8` (unused) | daemon | XDP, sources outside the network's prefixes |
//! | `TX_PORTS` | devmap hash | trunk slot | ifindex of the trunk | daemon | XDP, second trunk only |
//! | `CONTROL` | array | 0 | [`Control`] | `renew_lease`, run by the daemon | XDP, every IP frame |
//! | `NETWORKS` | array | network id | [`NetworkName`] | daemon | daemon after a restart, bpftool |
//! | `VERDICTS` | per-CPU array | [`Reason`](crate::datapath::Reason) number | [`Counter`] | XDP | daemon, bpftool |
//! | `PAIRS` | per-CPU array | [`pair_index`] | [`Counter`] | XDP | daemon, bpftool |

mod bytes;
mod control;
mod counter;
mod egress;
mod ingress;
mod local;
mod name;

pub use bytes::MapBytes;
pub use control::{Control, Renewal};
pub use counter::{Counter, pair_index, pair_stride};
pub use egress::{Egress, egress_flags};
pub use ingress::{Ingress, Prefix4, Prefix6, ingress_flags};
pub use local::LocalAddress;
pub use name::NetworkName;

/// Version of every layout in this folder. Part of the pin path.
pub const ABI_VERSION: u32 = 2;

/// Trunks of one instance, and so slots of `TX_PORTS`.
pub const MAX_TRUNKS: u32 = 8;

/// VIDs of one trunk in `INGRESS`, 0 (untagged) to 4095.
pub const VIDS: u32 = 4096;

/// Entries of `EGRESS`: one a network.
pub const MAX_NETWORKS: u32 = 4096;

/// Addresses of the namespace that `LOCALS` holds.
pub const MAX_LOCALS: u32 = 16384;

/// Entries of `VERDICTS`: room for reasons to come, so that adding one does
/// not change the map.
pub const MAX_REASONS: u32 = 64;

/// `PAIRS` counts every (ingress, egress) pair up to this many networks; with
/// more, one record an ingress network (see [`pair_index`]).
pub const MAX_DENSE_NETWORKS: u32 = 256;

/// Names of the maps and of the constants that the loader sets, as the object
/// spells them.
pub mod names {
    /// (trunk, VID) -> [`Ingress`](super::Ingress).
    pub const INGRESS: &str = "INGRESS";
    /// Sub-interface ifindex -> [`Egress`](super::Egress).
    pub const EGRESS: &str = "EGRESS";
    /// Local addresses of the namespace.
    pub const LOCALS: &str = "LOCALS";
    /// Trunk slot -> device, for `XDP_REDIRECT`.
    pub const TX_PORTS: &str = "TX_PORTS";
    /// The leases.
    pub const CONTROL: &str = "CONTROL";
    /// Network id -> name.
    pub const NETWORKS: &str = "NETWORKS";
    /// Frames that were not forwarded, by reason.
    pub const VERDICTS: &str = "VERDICTS";
    /// Frames that were forwarded, by network pair.
    pub const PAIRS: &str = "PAIRS";
    /// Every map of the object, in the order in which the daemon creates them.
    pub const MAPS: [&str; 8] = [
        INGRESS, EGRESS, LOCALS, TX_PORTS, CONTROL, NETWORKS, VERDICTS, PAIRS,
    ];

    /// `.rodata`, `u32`: the slot of the trunk this program is attached to.
    pub const TRUNK_SLOT: &str = "TRUNK_SLOT";
    /// `.rodata`, `u32`: see [`pair_stride`](super::pair_stride).
    pub const PAIR_STRIDE: &str = "PAIR_STRIDE";

    /// Program for linear frames (any kernel).
    pub const PROGRAM: &str = "router";
    /// Program for multi-buffer frames (5.18 and later), for trunks whose MTU
    /// does not fit one buffer.
    ///
    /// Both may use the same maps only because `TX_PORTS` is a devmap *hash*:
    /// the kernel refuses (EINVAL) an array devmap to programs that differ in
    /// `xdp.frags` (`map_type_contains_progs`, include/linux/bpf.h).
    pub const PROGRAM_FRAGS: &str = "router_frags";
    /// Renews the leases. Attached to nothing: the daemon runs it with a
    /// [`Renewal`](super::Renewal), because only the kernel knows the time in
    /// jiffies.
    pub const PROGRAM_RENEW: &str = "renew_lease";

    /// Counts what could not be redirected; an object of its own, whose maps are
    /// not pinned.
    pub const PROGRAM_REDIRECT_ERRORS: &str = "redirect_errors";
    /// Its array of one `u32`: the id of the `TX_PORTS` whose frames are counted.
    pub const REDIRECT_MAP: &str = "REDIRECT_MAP";
    /// Its counters, a `u64` for each CPU, by error number; 0: any other.
    pub const REDIRECT_ERRORS: &str = "REDIRECT_ERRORS";
}

/// The largest error number that is counted by itself (`EHWPOISON`,
/// include/uapi/asm-generic/errno.h).
pub const MAX_ERRNO: u32 = 133;

/// Index of (`slot`, `vid`) in `INGRESS`.
///
/// `slot` is the trunk's, below [`MAX_TRUNKS`]; `vid` is 0 (untagged) to 4095.
#[must_use]
#[inline(always)]
pub const fn ingress_index(slot: u32, vid: u16) -> u32 {
    slot * VIDS + (vid as u32 & (VIDS - 1))
}
