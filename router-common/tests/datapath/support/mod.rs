//! A frame and tables in plain memory, and a small world to route in.

pub(crate) mod frames;
pub(crate) mod tables;

use router_common::datapath::{NoHeadroom, Packet};

/// A frame in a buffer, with as much room in front of it as the test says.
#[derive(Clone, Debug)]
pub(crate) struct MemoryPacket {
    buffer: Vec<u8>,
    start: usize,
}

impl MemoryPacket {
    pub(crate) fn new(frame: &[u8]) -> Self {
        Self::with_headroom(frame, 32)
    }

    pub(crate) fn with_headroom(frame: &[u8], headroom: usize) -> Self {
        let mut buffer = vec![0xee; headroom];
        buffer.extend_from_slice(frame);
        Self {
            buffer,
            start: headroom,
        }
    }

    pub(crate) fn frame(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Packet for MemoryPacket {
    fn len(&self) -> usize {
        self.frame().len()
    }

    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.frame().get(offset..)?.first_chunk()
    }

    fn header_mut<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]> {
        let start = self.start;
        self.buffer[start..].get_mut(offset..)?.first_chunk_mut()
    }

    fn push_tag(&mut self) -> Result<(), NoHeadroom> {
        self.start = self.start.checked_sub(4).ok_or(NoHeadroom)?;
        Ok(())
    }

    fn pop_tag(&mut self) -> Result<(), NoHeadroom> {
        if self.frame().len() < 18 {
            return Err(NoHeadroom);
        }
        self.start += 4;
        Ok(())
    }
}
