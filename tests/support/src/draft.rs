//! A frame while it is being made up: sound at first, then changed.

use crate::{
    packet::{Packet4, Packet6},
    world::{World, host4, host6, mac_of},
};

/// The sound packet that a case starts from: host 10 of one network to host 11
/// of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skeleton {
    pub from: u16,
    pub to: u16,
    pub six: bool,
    pub protocol: u8,
    /// Bytes behind the IP header.
    pub payload: u16,
}

#[derive(Clone, Debug)]
pub struct Draft {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    /// TPID and TCI, outermost first.
    pub tags: Vec<(u16, u16)>,
    pub kind: u16,
    pub ip: Ip,
    /// Options or extension headers.
    pub between: Vec<u8>,
    pub payload: Vec<u8>,
    /// The length field, if it is to lie.
    pub length: Option<u16>,
    /// Laid over the checksum.
    pub sum_flip: u16,
    /// The checksum, for which an identification is chosen.
    pub sum: Option<u16>,
    pub trailer: Vec<u8>,
    /// Padded to this many bytes.
    pub pad_to: usize,
    /// Cut to this many bytes.
    pub cut: usize,
    /// Offset from the IP header, and bits to flip there.
    pub flips: Vec<(u16, u8)>,
}

#[derive(Clone, Debug)]
pub enum Ip {
    V4(Packet4),
    V6(Packet6),
}

impl Skeleton {
    pub fn draft(self, world: &World) -> Draft {
        let from = &world.networks[usize::from(self.from)];
        let source4 = host4(self.from, 10);
        let mut draft = Draft {
            destination: from.mac,
            source: mac_of(from.device, source4.into()),
            tags: from.vid.map(|vid| (0x8100, vid)).into_iter().collect(),
            kind: if self.six { 0x86dd } else { 0x0800 },
            ip: if self.six {
                Ip::V6(Packet6 {
                    version: 6,
                    class: 0,
                    label: 0xb_eef5,
                    payload_length: 0,
                    next_header: self.protocol,
                    hop_limit: 64,
                    source: host6(self.from, 10),
                    destination: host6(self.to, 11),
                    rest: Vec::new(),
                })
            } else {
                Ip::V4(Packet4 {
                    version: 4,
                    words: 5,
                    tos: 0,
                    length: 0,
                    id: 0x1234,
                    bits: 2,
                    offset: 0,
                    ttl: 64,
                    protocol: self.protocol,
                    sum: 0,
                    source: source4,
                    destination: host4(self.to, 11),
                    rest: Vec::new(),
                })
            },
            between: Vec::new(),
            payload: Vec::new(),
            length: None,
            sum_flip: 0,
            sum: None,
            trailer: Vec::new(),
            pad_to: 0,
            cut: usize::MAX,
            flips: Vec::new(),
        };
        draft.resize(self.payload.into());
        // An echo request, or ports 2048 -> 5432.
        let first = if self.protocol == 58 { 128 } else { 8 };
        draft.overwrite(&[first, 0, 0x15, 0x38]);
        draft
    }
}

impl Draft {
    pub fn resize(&mut self, payload: usize) {
        let old = self.payload.len();
        self.payload.resize(payload, 0);
        for (place, value) in self.payload.iter_mut().zip(0_u16..).skip(old) {
            *place = value.to_be_bytes()[1];
        }
    }

    /// Replaces the payload's first bytes, as far as it has them.
    pub fn overwrite(&mut self, bytes: &[u8]) {
        for (place, value) in self.payload.iter_mut().zip(bytes) {
            *place = *value;
        }
    }

    /// Length of the packet with its header, as it stands.
    pub fn header_length(&self) -> usize {
        let fixed = match self.ip {
            Ip::V4(_) => 20,
            Ip::V6(_) => 40,
        };
        fixed + self.between.len()
    }

    /// The bytes of the wire.
    pub fn build(&self) -> Vec<u8> {
        let behind = self.between.len() + self.payload.len();
        let rest = [&self.between[..], &self.payload, &self.trailer].concat();
        let mut packet = match &self.ip {
            Ip::V4(header) => {
                let mut packet = header.clone();
                packet.rest = rest;
                packet.length = self.length.unwrap_or_else(|| clamp(behind + 20));
                self.write4(packet)
            }
            Ip::V6(header) => {
                let mut packet = header.clone();
                packet.rest = rest;
                packet.payload_length = self.length.unwrap_or_else(|| clamp(behind));
                packet.write()
            }
        };
        for (offset, bits) in &self.flips {
            if let Some(byte) = packet.get_mut(usize::from(*offset)) {
                *byte ^= bits;
            }
        }
        let mut bytes = [self.destination, self.source].concat();
        for (tpid, tci) in &self.tags {
            bytes.extend([tpid.to_be_bytes(), tci.to_be_bytes()].concat());
        }
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(packet);
        if bytes.len() < self.pad_to {
            bytes.resize(self.pad_to, 0);
        }
        bytes.truncate(self.cut);
        bytes
    }

    fn write4(&self, mut packet: Packet4) -> Vec<u8> {
        let sum_of = |packet: &Packet4| {
            let bytes = packet.write();
            u16::from_be_bytes([bytes[10], bytes[11]])
        };
        if let Some(sum) = self.sum {
            // In one's complement: what the rest of the header lacks. 0 and 0xffff
            // are the same there, so the checksum is written as it was asked for.
            packet.id = 0;
            let lacking = (u32::from(!sum) + u32::from(sum_of(&packet))) % 0xffff;
            packet.id = u16::try_from(lacking).unwrap_or(0);
        }
        let sum = self.sum.unwrap_or_else(|| sum_of(&packet)) ^ self.sum_flip;
        let mut bytes = packet.write();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

fn clamp(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
