//! The maps and `bpf_fib_lookup`, as the packet path asks them.
//!
//! Rules: in/out parameters of the helper are read once, right after it
//! returns, and never used for anything else: a gateway overwrites `ipv4_dst`,
//! the family may become IPv6 (RFC 5549), MACs share a union with `mark`.
#![expect(
    unsafe_code,
    reason = "calls helpers and reads map values; conventions.md 7 names this file"
)]

use core::mem::size_of;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED,
        BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNREACHABLE, BPF_FIB_LKUP_RET_UNSUPP_LWT,
        bpf_fib_lookup as FibParams, bpf_fib_lookup__bindgen_ty_1 as Length,
        bpf_fib_lookup__bindgen_ty_2 as Class, bpf_fib_lookup__bindgen_ty_3 as Source,
        bpf_fib_lookup__bindgen_ty_4 as Destination, bpf_fib_lookup__bindgen_ty_5 as Table,
    },
    helpers::{bpf_fib_lookup, bpf_jiffies64},
    programs::XdpContext,
};
use router_common::{
    abi::{Control, Egress, Ingress, LocalAddress, ingress_index},
    datapath::{FibQuery, NextHop, Reason, Tables},
    wire::{IfIndex, MacAddr, TrunkSlot, Vid},
};

use crate::maps::{CONTROL, EGRESS, INGRESS, LOCALS, TRUNK_SLOT, TX_PORTS};

/// include/linux/socket.h
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The kernel's tables, asked in the name of one packet.
pub(crate) struct KernelTables<'a> {
    ctx: &'a XdpContext,
}

impl<'a> KernelTables<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self { ctx }
    }

    /// Calls the helper; its answer is in `params`.
    #[inline(always)]
    fn lookup(&self, params: &mut FibParams) -> i64 {
        // SAFETY: the context is the kernel's, and `params` is initialised and
        // of the size given. Flags 0: a forwarding lookup with policy rules.
        unsafe { bpf_fib_lookup(self.ctx.as_ptr(), params, size_of::<FibParams>() as i32, 0) }
    }

    #[inline(always)]
    fn next_hop(&self, mut params: FibParams) -> Result<NextHop, Reason> {
        let code = self.lookup(&mut params);
        if code == i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
            Ok(NextHop {
                ifindex: IfIndex::new(params.ifindex),
                source: MacAddr::new(params.smac),
                destination: MacAddr::new(params.dmac),
            })
        } else {
            Err(refusal(code))
        }
    }
}

impl Tables for KernelTables<'_> {
    #[inline(always)]
    fn trunk(&self) -> TrunkSlot {
        TrunkSlot::new(TRUNK_SLOT.load() as u8)
    }

    #[inline(always)]
    fn control(&self) -> Option<Control> {
        CONTROL.get(0).copied()
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        jiffies()
    }

    #[inline(always)]
    fn ingress(&self, vid: Vid) -> Option<&Ingress> {
        INGRESS.get(ingress_index(TRUNK_SLOT.load(), vid.get()))
    }

    #[inline(always)]
    fn egress(&self, ifindex: IfIndex) -> Option<&Egress> {
        // SAFETY: the program never writes this map, and elements are not
        // reused within a grace period (see maps.rs).
        unsafe { EGRESS.get(ifindex.get()) }
    }

    #[inline(always)]
    fn is_local(&self, address: &LocalAddress) -> bool {
        // SAFETY: as above; only the presence is of interest.
        unsafe { LOCALS.get(address) }.is_some()
    }

    #[inline(always)]
    fn can_redirect(&self, trunk: TrunkSlot) -> bool {
        TX_PORTS.get_ifindex(u32::from(trunk.get())).is_some()
    }

    #[inline(always)]
    fn fib_lookup_v4(&self, query: &FibQuery<[u8; 4]>) -> Result<NextHop, Reason> {
        self.next_hop(params_v4(query))
    }

    #[inline(always)]
    fn fib_lookup_v6(&self, query: &FibQuery<[u8; 16]>) -> Result<NextHop, Reason> {
        self.next_hop(params_v6(query))
    }

    #[inline(always)]
    fn fib_device_v4(&self, query: &FibQuery<[u8; 4]>) -> Option<IfIndex> {
        let mut params = params_v4(query);
        let code = self.lookup(&mut params);
        // Without a neighbour the device is answered all the same (5.10 and
        // later).
        let known = code == i64::from(BPF_FIB_LKUP_RET_SUCCESS)
            || code == i64::from(BPF_FIB_LKUP_RET_NO_NEIGH);
        known.then_some(IfIndex::new(params.ifindex))
    }
}

/// The kernel's clock. The JIT puts a load of `jiffies` in place of the call.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: takes nothing, changes nothing.
    unsafe { bpf_jiffies64() }
}

/// What the helper's return code says (net/core/filter.c).
#[inline(always)]
fn refusal(code: i64) -> Reason {
    let Ok(code) = u32::try_from(code) else {
        return Reason::HelperError;
    };
    match code {
        BPF_FIB_LKUP_RET_BLACKHOLE => Reason::Blackhole,
        BPF_FIB_LKUP_RET_UNREACHABLE => Reason::Unreachable,
        BPF_FIB_LKUP_RET_PROHIBIT => Reason::Prohibit,
        BPF_FIB_LKUP_RET_NOT_FWDED => Reason::NotForwarded,
        BPF_FIB_LKUP_RET_FWD_DISABLED => Reason::HelperForwardingOff,
        BPF_FIB_LKUP_RET_UNSUPP_LWT => Reason::LightweightTunnel,
        BPF_FIB_LKUP_RET_NO_NEIGH => Reason::NoNeighbour,
        BPF_FIB_LKUP_RET_FRAG_NEEDED => Reason::FragmentationNeeded,
        _ => Reason::HelperError,
    }
}

#[inline(always)]
fn params_v4(query: &FibQuery<[u8; 4]>) -> FibParams {
    let [tos, ..] = query.class;
    params(
        query,
        AF_INET,
        Class { tos },
        [u32::from_ne_bytes(query.source), 0, 0, 0],
        [u32::from_ne_bytes(query.destination), 0, 0, 0],
    )
}

#[inline(always)]
fn params_v6(query: &FibQuery<[u8; 16]>) -> FibParams {
    let flowinfo = u32::from_ne_bytes(query.class);
    params(
        query,
        AF_INET6,
        Class { flowinfo },
        words(&query.source),
        words(&query.destination),
    )
}

/// Every field is written out, so that none is zeroed first and set again.
#[inline(always)]
fn params<A>(
    query: &FibQuery<A>,
    family: u8,
    class: Class,
    source: [u32; 4],
    destination: [u32; 4],
) -> FibParams {
    FibParams {
        family,
        l4_protocol: query.protocol.get(),
        sport: query.source_port.to_be(),
        dport: query.destination_port.to_be(),
        __bindgen_anon_1: Length {
            tot_len: query.length,
        },
        ifindex: query.ifindex.get(),
        __bindgen_anon_2: class,
        __bindgen_anon_3: Source { ipv6_src: source },
        __bindgen_anon_4: Destination {
            ipv6_dst: destination,
        },
        __bindgen_anon_5: Table { tbid: 0 },
        smac: [0; 6],
        dmac: [0; 6],
    }
}

/// Four words that keep the order of the wire.
#[inline(always)]
fn words(address: &[u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}
