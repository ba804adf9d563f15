//! The frame in the driver's buffer.
//!
//! Invariant: the one bounds check of the whole tree is [`Frame::pointer`].
//! Pointers are derived anew for every access, so that none is stale after
//! `bpf_xdp_adjust_head`.
#![expect(
    unsafe_code,
    reason = "reads the driver's buffer; conventions.md 7 names this file"
)]

use core::marker::PhantomData;

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use router_common::{
    datapath::{NoHeadroom, Packet},
    wire::VLAN_TAG_LEN,
};

/// How the driver lays frames out.
pub(crate) trait Shape {
    /// Length of the whole frame in bytes.
    fn len(ctx: &XdpContext) -> usize;

    /// Whether that is more than the first buffer holds.
    fn spans_buffers(ctx: &XdpContext) -> bool;
}

/// All bytes in one buffer.
pub(crate) enum Linear {}

/// Headers in the first buffer, more bytes in others.
pub(crate) enum MultiBuffer {}

impl Shape for Linear {
    #[inline(always)]
    fn len(ctx: &XdpContext) -> usize {
        ctx.data_end() - ctx.data()
    }

    #[inline(always)]
    fn spans_buffers(_: &XdpContext) -> bool {
        false
    }
}

impl Shape for MultiBuffer {
    #[inline(always)]
    fn len(ctx: &XdpContext) -> usize {
        // SAFETY: the context is the one the kernel gave to this program.
        unsafe { bpf_xdp_get_buff_len(ctx.ctx) as usize }
    }

    #[inline(always)]
    fn spans_buffers(ctx: &XdpContext) -> bool {
        Self::len(ctx) > Linear::len(ctx)
    }
}

/// A frame.
pub(crate) struct Frame<'a, S> {
    ctx: &'a XdpContext,
    shape: PhantomData<S>,
}

impl<'a, S: Shape> Frame<'a, S> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self {
            ctx,
            shape: PhantomData,
        }
    }

    /// Where `N` bytes at `offset` are, if the first buffer holds them.
    #[inline(always)]
    fn pointer<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        let start = self.ctx.data() + offset;
        if start + N > self.ctx.data_end() {
            return None;
        }
        Some(start as *mut [u8; N])
    }

    /// Moves the first byte: forward with a positive `delta`.
    #[inline(always)]
    fn adjust_head(&mut self, delta: i32) -> Result<(), NoHeadroom> {
        let md: *mut xdp_md = self.ctx.as_ptr().cast();
        // SAFETY: the context is the kernel's. References into the frame borrow
        // `self`, so none is alive here.
        match unsafe { bpf_xdp_adjust_head(md, delta) } {
            0 => Ok(()),
            _ => Err(NoHeadroom),
        }
    }
}

const TAG: i32 = VLAN_TAG_LEN as i32;

impl<S: Shape> Packet for Frame<'_, S> {
    #[inline(always)]
    fn len(&self) -> usize {
        S::len(self.ctx)
    }

    #[inline(always)]
    fn spans_buffers(&self) -> bool {
        S::spans_buffers(self.ctx)
    }

    #[inline(always)]
    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        // SAFETY: in bounds (checked), alignment 1, and the program has the
        // frame to itself; no write while `self` is borrowed.
        self.pointer(offset).map(|bytes| unsafe { &*bytes })
    }

    #[inline(always)]
    fn header_mut<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]> {
        // SAFETY: as above, and `self` is borrowed mutably.
        self.pointer(offset).map(|bytes| unsafe { &mut *bytes })
    }

    #[inline(always)]
    fn push_tag(&mut self) -> Result<(), NoHeadroom> {
        self.adjust_head(-TAG)
    }

    #[inline(always)]
    fn pop_tag(&mut self) -> Result<(), NoHeadroom> {
        self.adjust_head(TAG)
    }
}
