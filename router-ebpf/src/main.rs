//! The XDP program on the trunk NIC.
//!
//! Glue only: the packet path is `router_common::datapath::route`. Here the
//! frame ([`packet`]), the maps and the FIB ([`tables`]) are handed to it, its
//! verdict becomes an XDP action, and the frame is counted ([`stats`]).
//!
//! Invariant: every frame is counted exactly once, at the exit.
#![no_std]
#![no_main]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the target has 64 bits; sizes of headers and slots of trunks are small"
)]

mod maps;
mod packet;
mod stats;
mod tables;

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_PASS, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};
use router_common::{
    abi::{MapBytes as _, Renewal},
    datapath::{Packet as _, Verdict, route},
};

use crate::{
    packet::{Frame, Linear, MultiBuffer, Shape},
    tables::KernelTables,
};

/// For trunks whose MTU fits one buffer.
#[xdp]
fn router(ctx: XdpContext) -> u32 {
    run::<Linear>(ctx)
}

/// For trunks whose MTU does not (5.18 and later).
#[xdp(frags)]
fn router_frags(ctx: XdpContext) -> u32 {
    run::<MultiBuffer>(ctx)
}

/// Not on any trunk: the daemon runs it every second (BPF_PROG_TEST_RUN) with
/// two durations in place of a frame, because only here jiffies can be read.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the entries own their context"
)]
fn renew_lease(ctx: XdpContext) -> u32 {
    let frame = Frame::<Linear>::new(&ctx);
    let renewed = frame.header(0).is_some_and(|bytes| {
        let control = Renewal::from_bytes(bytes).at(tables::jiffies());
        maps::CONTROL.set(0, control, 0).is_ok()
    });
    if renewed { XDP_PASS } else { XDP_ABORTED }
}

#[inline(always)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the entries own their context"
)]
fn run<S: Shape>(ctx: XdpContext) -> u32 {
    let mut frame = Frame::<S>::new(&ctx);
    let bytes = frame.len();
    match route(&mut frame, &KernelTables::new(&ctx)) {
        Verdict::Transmit(pair) => {
            stats::count_forwarded(pair, bytes);
            XDP_TX
        }
        Verdict::Redirect(pair, trunk) => {
            stats::count_forwarded(pair, bytes);
            // The slot was there when the packet path looked. Where it has
            // gone in between, the frame is dropped: it is rewritten, and no
            // longer the kernel's.
            maps::TX_PORTS
                .redirect(u32::from(trunk.get()), u64::from(XDP_ABORTED))
                .unwrap_or_else(|action| action)
        }
        Verdict::Pass(reason) => {
            stats::count_kept(reason, bytes);
            XDP_PASS
        }
        Verdict::Abort(reason) => {
            stats::count_kept(reason, bytes);
            XDP_ABORTED
        }
    }
}

/// `bpf_fib_lookup` is for GPL-compatible programs only.
#[expect(unsafe_code, reason = "the kernel reads the licence from this section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier would refuse a program in which this could be reached.
    loop {}
}
