//! Counts the frames that the kernel could not redirect for the XDP program:
//! the program has long returned by then, and nobody else is told.
//!
//! On the tracepoint `xdp:xdp_redirect_err` (include/trace/events/xdp.h), which
//! is passed for such frames only: what is redirected costs nothing more. What a
//! driver loses after it took a frame is in its own counters.
#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "writes map values in place, as stats.rs does for the XDP program"
)]

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::{btf_map, raw_tracepoint},
    programs::RawTracePointContext,
};
use router_common::abi::MAX_ERRNO;

/// Id of the device map whose frames are ours. 0: none.
#[btf_map]
static REDIRECT_MAP: Array<u32, 1> = Array::new();

/// Frames by error number; 0: any other.
#[btf_map]
static REDIRECT_ERRORS: PerCpuArray<u64, { MAX_ERRNO as usize + 1 }> = PerCpuArray::new();

/// Arguments of the tracepoint: device, program, target, error (negative), type
/// and id of the map, index in it. So since 5.14.
#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
#[expect(clippy::needless_pass_by_value, reason = "the entry owns its context")]
fn redirect_errors(ctx: RawTracePointContext) -> i32 {
    let ours = REDIRECT_MAP
        .get(0)
        .is_some_and(|id| *id == ctx.arg::<u32>(5));
    if !ours {
        return 0;
    }
    let error = ctx.arg::<i32>(3).unsigned_abs();
    let index = if error <= MAX_ERRNO { error } else { 0 };
    if let Some(count) = REDIRECT_ERRORS.get_ptr_mut(index) {
        // SAFETY: a valid, aligned pointer to this CPU's value; the tracepoint is
        // passed in NAPI context, which is not entered twice on a CPU.
        unsafe { *count += 1 };
    }
    0
}

/// The kernel reads the licence from this section.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier would refuse a program in which this could be reached.
    loop {}
}
