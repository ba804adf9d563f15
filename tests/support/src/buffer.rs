//! A frame in plain memory.

use router_common::datapath::{NoHeadroom, Packet};

/// A frame with room in front of it, and not a byte behind it.
#[derive(Clone, Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    several: bool,
}

impl Buffer {
    /// With room for more than any tag.
    #[must_use]
    pub fn new(frame: &[u8]) -> Self {
        Self::with_headroom(frame, 32)
    }

    /// With so many bytes in front.
    #[must_use]
    pub fn with_headroom(frame: &[u8], headroom: usize) -> Self {
        let mut bytes = vec![0xee; headroom];
        bytes.extend_from_slice(frame);
        Self {
            bytes,
            start: headroom,
            several: false,
        }
    }

    /// As if a driver had it in several buffers, the headers in the first.
    #[must_use]
    pub fn in_several(mut self) -> Self {
        self.several = true;
        self
    }

    /// The frame as it stands.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Packet for Buffer {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn spans_buffers(&self) -> bool {
        self.several
    }

    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.frame().get(offset..)?.first_chunk()
    }

    fn header_mut<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]> {
        let start = self.start;
        self.bytes[start..].get_mut(offset..)?.first_chunk_mut()
    }

    fn push_tag(&mut self) -> Result<(), NoHeadroom> {
        self.start = self.start.checked_sub(4).ok_or(NoHeadroom)?;
        Ok(())
    }

    fn pop_tag(&mut self) -> Result<(), NoHeadroom> {
        // The kernel leaves an Ethernet header.
        if self.len() < 4 + 14 {
            return Err(NoHeadroom);
        }
        self.start += 4;
        Ok(())
    }
}
