//! Counting: one record a frame, on this CPU.
#![expect(
    unsafe_code,
    reason = "writes map values in place; conventions.md 7 names this file"
)]

use router_common::{
    abi::{Counter, pair_index},
    datapath::{Pair, Reason},
};

use crate::maps::{PAIR_STRIDE, PAIRS, VERDICTS};

/// Counts a frame that XDP forwards.
#[inline(always)]
pub(crate) fn count_forwarded(pair: Pair, bytes: usize) {
    let index = pair_index(PAIR_STRIDE.load(), pair.from, pair.to);
    add(PAIRS.get_ptr_mut(index), bytes);
}

/// Counts a frame that XDP does not forward.
#[inline(always)]
pub(crate) fn count_kept(reason: Reason, bytes: usize) {
    add(VERDICTS.get_ptr_mut(reason.index()), bytes);
}

#[inline(always)]
fn add(record: Option<*mut Counter>, bytes: usize) {
    let Some(record) = record else { return };
    // SAFETY: the kernel gave a valid, aligned pointer to this CPU's record,
    // and an XDP program is not interrupted by another on its CPU.
    unsafe {
        (*record).packets += 1;
        (*record).bytes += bytes as u64;
    }
}
