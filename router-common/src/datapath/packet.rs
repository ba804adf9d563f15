//! The frame, as the packet path sees it.

/// The driver left no room in front of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeadroom;

/// A frame in memory.
///
/// Header references are of fixed size and borrow the packet, so that none
/// survives [`Packet::push_tag`] or [`Packet::pop_tag`], which move the first
/// byte.
pub trait Packet {
    /// Length of the whole frame in bytes, Ethernet header to last byte.
    fn len(&self) -> usize;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether not all of it is in one buffer of the driver's.
    fn spans_buffers(&self) -> bool {
        false
    }

    /// `N` bytes at `offset`; `None` if the (linear part of the) frame ends
    /// before.
    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;

    /// The same, to write.
    fn header_mut<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]>;

    /// Makes the frame 4 bytes longer at its front. The new bytes are
    /// undefined, and the frame is otherwise unchanged.
    ///
    /// # Errors
    /// No room, and nothing has changed.
    fn push_tag(&mut self) -> Result<(), NoHeadroom>;

    /// Makes the frame 4 bytes shorter at its front.
    ///
    /// # Errors
    /// The driver refused, and nothing has changed.
    fn pop_tag(&mut self) -> Result<(), NoHeadroom>;
}
