//! The maps and the constants that the loader sets. Keys, values, writers and
//! readers: the table in `router_common::abi`.
//!
//! BTF maps, so that bpftool too can load the object and dump the maps with
//! field names. Capacities of `INGRESS`, `NETWORKS` and `PAIRS` are the largest there can
//! be; the loader sets smaller ones.

use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, DevMapHash, HashMap, PerCpuArray},
    macros::btf_map,
};
use router_common::abi::{
    Control, Counter, Egress, Ingress, LocalAddress, MAX_DENSE_NETWORKS, MAX_LOCALS, MAX_NETWORKS,
    MAX_REASONS, MAX_TRUNKS, NetworkName, VIDS,
};

/// Hash elements are freed after a grace period: a reader never sees one that
/// has been reused for another key, and so never another network's VID.
const NO_REUSE: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
pub(crate) static INGRESS: Array<Ingress, { (MAX_TRUNKS * VIDS) as usize }> = Array::new();

#[btf_map]
pub(crate) static EGRESS: HashMap<u32, Egress, { MAX_NETWORKS as usize }, NO_REUSE> =
    HashMap::new();

#[btf_map]
pub(crate) static LOCALS: HashMap<LocalAddress, u8, { MAX_LOCALS as usize }, NO_REUSE> =
    HashMap::new();

#[btf_map]
pub(crate) static TX_PORTS: DevMapHash<{ MAX_TRUNKS as usize }> = DevMapHash::new();

#[btf_map]
pub(crate) static CONTROL: Array<Control, 1> = Array::new();

/// No program reads it: who restarts the daemon and who uses bpftool does.
#[btf_map]
pub(crate) static NETWORKS: Array<NetworkName, { MAX_NETWORKS as usize }> = Array::new();

#[btf_map]
pub(crate) static VERDICTS: PerCpuArray<Counter, { MAX_REASONS as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static PAIRS: PerCpuArray<
    Counter,
    { (MAX_DENSE_NETWORKS * MAX_DENSE_NETWORKS) as usize },
> = PerCpuArray::new();

/// Slot of the trunk that this copy of the program is attached to.
#[expect(unsafe_code, reason = "the loader finds it by this name")]
#[unsafe(no_mangle)]
pub(crate) static TRUNK_SLOT: Global<u32> = Global::new(0);

/// Networks in a row of `PAIRS`: `router_common::abi::pair_stride`.
#[expect(unsafe_code, reason = "the loader finds it by this name")]
#[unsafe(no_mangle)]
pub(crate) static PAIR_STRIDE: Global<u32> = Global::new(16);
