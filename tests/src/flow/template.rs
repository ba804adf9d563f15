//! One frame for all: as it is sent, and as it must arrive.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Family;
use crate::{
    lab::Network,
    packet::{Frame, Tag, Transport},
};

/// Bytes of a payload.
const PAYLOAD: usize = 64;

/// The number of the packet that is sent until one has arrived.
pub(super) const WARM_UP: u64 = u64::MAX;

/// The frame as it is sent and as it must arrive, but for the number.
#[derive(Clone, Debug)]
pub(super) struct Template {
    magic: [u8; 8],
    pub(super) sent: Vec<u8>,
    pub(super) arriving: Vec<u8>,
}

impl Template {
    pub(super) fn new(from: &Network, to: &Network, family: Family, port: u16) -> Self {
        static FLOWS: AtomicU32 = AtomicU32::new(0);
        let [a, b, c, d] = FLOWS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let magic = [b'f', b'l', b'o', b'w', a, b, c, d];
        let mut payload: Vec<u8> = (0..PAYLOAD).map(|byte| byte.to_le_bytes()[0]).collect();
        payload[..8].copy_from_slice(&magic);
        number(&mut payload, 0);
        let transport = Transport::Udp {
            ports: (4000, port),
            payload,
        };
        let (gateway, host) = (from.gateway_mac, from.host_mac);
        let frame = match family {
            Family::V4 => Frame::ipv4(gateway, host, from.host4, to.host4, transport),
            Family::V6 => Frame::ipv6(gateway, host, from.host6, to.host6, transport),
        };
        let tag = to.vid.map(Tag::dot1q);
        Self {
            magic,
            sent: frame.bytes(),
            arriving: frame.routed(to.host_mac, to.gateway_mac, tag).bytes(),
        }
    }

    /// The number in a packet of this flow, wherever and however it was routed.
    /// `None` for all else, and for the ICMP error that quotes one.
    pub(super) fn number_of(&self, frame: &[u8]) -> Option<u64> {
        let payload = frame.len().checked_sub(PAYLOAD)?;
        let (magic, rest) = frame[payload..].split_first_chunk::<8>()?;
        if *magic != self.magic || !is_udp(frame) {
            return None;
        }
        Some(u64::from_be_bytes(*rest.first_chunk()?))
    }

    /// Why a frame of this number is not as it should be.
    pub(super) fn check(
        &self,
        wanted: &mut Vec<u8>,
        frame: &[u8],
        sequence: u64,
    ) -> Option<String> {
        wanted.clone_from(&self.arriving);
        number(wanted, sequence);
        (wanted != frame).then(|| format!("packet {sequence}: {frame:02x?}, not {wanted:02x?}"))
    }
}

/// Whether a frame, with tags or without, is UDP.
fn is_udp(frame: &[u8]) -> bool {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let protocol = match frame.get(at..at + 2) {
        Some([0x08, 0x00]) => frame.get(at + 2 + 9),
        Some([0x86, 0xdd]) => frame.get(at + 2 + 6),
        _ => None,
    };
    protocol == Some(&17)
}

/// Writes a packet's number into the payload at the end of `frame`: and its
/// complement behind it, so that the checksum is that of every number.
pub(super) fn number(frame: &mut [u8], number: u64) {
    let at = frame.len() - PAYLOAD + 8;
    frame[at..at + 8].copy_from_slice(&number.to_be_bytes());
    frame[at + 8..at + 16].copy_from_slice(&(!number).to_be_bytes());
}
