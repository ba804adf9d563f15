//! The XDP program of a switch port: everything passes.
//!
//! A veth transmits what XDP sends back (`XDP_TX`) only to a peer that has an
//! XDP program of its own: this one. In place of the router's program it shows
//! what the kernel does alone.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Up to the stack, untouched. `frags`: a port may have jumbo frames.
#[xdp(frags)]
fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The same for kernels before 5.18, which know no `frags`.
#[xdp]
fn pass_linear(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// No helper that needs it, but every program of ours has one.
#[expect(unsafe_code, reason = "the kernel reads the licence from this section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
