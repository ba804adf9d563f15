//! The model's own packets: read off the wire into owned fields, and written
//! to it again from nothing, checksum included. Written from RFC 791, RFC 8200,
//! IEEE 802.3 and 802.1Q, and shares no code with the packet path.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Takes fields off the front of a frame.
struct Cursor<'f>(&'f [u8]);

impl Cursor<'_> {
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (field, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(
            field
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    fn byte(&mut self) -> Option<u8> {
        self.number(1)?.try_into().ok()
    }

    fn half(&mut self) -> Option<u16> {
        self.number(2)?.try_into().ok()
    }

    fn mac(&mut self) -> Option<[u8; 6]> {
        let (mac, rest) = self.0.split_at_checked(6)?;
        self.0 = rest;
        mac.try_into().ok()
    }

    fn address6(&mut self) -> Option<Ipv6Addr> {
        let high = self.number(8)?;
        let low = self.number(8)?;
        Some(Ipv6Addr::from_bits(
            u128::from(high) << 64 | u128::from(low),
        ))
    }
}

/// Layer 2, and what it carries.
#[derive(Clone, Debug)]
pub struct Frame {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    /// The outermost 802.1Q tag's control information.
    pub tci: Option<u16>,
    /// The type behind that tag.
    pub kind: u16,
    /// All bytes behind that type.
    pub body: Vec<u8>,
}

impl Frame {
    /// `None`: shorter than its own headers.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let destination = cursor.mac()?;
        let source = cursor.mac()?;
        let mut kind = cursor.half()?;
        let mut tci = None;
        if kind == 0x8100 {
            tci = Some(cursor.half()?);
            kind = cursor.half()?;
        }
        Some(Self {
            destination,
            source,
            tci,
            kind,
            body: cursor.0.to_vec(),
        })
    }

    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(18 + self.body.len());
        out.extend(self.destination);
        out.extend(self.source);
        if let Some(tci) = self.tci {
            out.extend(0x8100_u16.to_be_bytes());
            out.extend(tci.to_be_bytes());
        }
        out.extend(self.kind.to_be_bytes());
        out.extend(&self.body);
        out
    }
}

/// An IPv4 packet, and what follows it in the frame.
#[derive(Clone, Debug)]
pub struct Packet4 {
    pub version: u8,
    /// Of the header, in words of four bytes.
    pub words: u8,
    pub tos: u8,
    pub length: u16,
    pub id: u16,
    /// Evil bit, don't fragment, more fragments.
    pub bits: u8,
    /// In units of eight bytes.
    pub offset: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub sum: u16,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// Everything behind the fixed header, trailer included.
    pub rest: Vec<u8>,
}

impl Packet4 {
    /// `None`: shorter than the fixed header.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let first = cursor.byte()?;
        let tos = cursor.byte()?;
        let length = cursor.half()?;
        let id = cursor.half()?;
        let fragment = cursor.half()?;
        Some(Self {
            version: first / 16,
            words: first % 16,
            tos,
            length,
            id,
            bits: u8::try_from(fragment / 0x2000).ok()?,
            offset: fragment % 0x2000,
            ttl: cursor.byte()?,
            protocol: cursor.byte()?,
            sum: cursor.half()?,
            source: Ipv4Addr::from_bits(cursor.number(4)?.try_into().ok()?),
            destination: Ipv4Addr::from_bits(cursor.number(4)?.try_into().ok()?),
            rest: cursor.0.to_vec(),
        })
    }

    /// The packet with its checksum made anew.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.rest.len());
        out.extend([self.version * 16 + self.words, self.tos]);
        out.extend(self.length.to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend((u16::from(self.bits) * 0x2000 + self.offset).to_be_bytes());
        out.extend([self.ttl, self.protocol, 0, 0]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        let header = [&out[..], self.options()].concat();
        out[10..12].copy_from_slice(&internet_checksum(&header).to_be_bytes());
        out.extend(&self.rest);
        out
    }

    /// The options, as far as they are there.
    pub fn options(&self) -> &[u8] {
        let bytes = usize::from(self.words).saturating_sub(5) * 4;
        self.rest.get(..bytes).unwrap_or(&self.rest)
    }

    /// Whether the checksum holds: made anew it is the same, where 0xffff is
    /// another way to write 0 (RFC 1071).
    pub fn is_sound(&self) -> bool {
        let anew = self.write();
        let anew = u16::from_be_bytes([anew[10], anew[11]]);
        anew == self.sum || (anew == 0 && self.sum == 0xffff)
    }
}

/// An IPv6 packet, and what follows it in the frame.
#[derive(Clone, Debug)]
pub struct Packet6 {
    pub version: u8,
    pub class: u8,
    pub label: u32,
    pub payload_length: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    /// Everything behind the fixed header, trailer included.
    pub rest: Vec<u8>,
}

impl Packet6 {
    /// `None`: shorter than the fixed header.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let first = u32::try_from(cursor.number(4)?).ok()?;
        Some(Self {
            version: u8::try_from(first >> 28).ok()?,
            class: u8::try_from(first >> 20 & 0xff).ok()?,
            label: first & 0xf_ffff,
            payload_length: cursor.half()?,
            next_header: cursor.byte()?,
            hop_limit: cursor.byte()?,
            source: cursor.address6()?,
            destination: cursor.address6()?,
            rest: cursor.0.to_vec(),
        })
    }

    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + self.rest.len());
        let first =
            u32::from(self.version) << 28 | u32::from(self.class) << 20 | (self.label & 0xf_ffff);
        out.extend(first.to_be_bytes());
        out.extend(self.payload_length.to_be_bytes());
        out.extend([self.next_header, self.hop_limit]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        out.extend(&self.rest);
        out
    }
}

/// RFC 1071: the complement of the ones' complement sum. That sum is the
/// remainder of the plain sum by 65535, with 65535 for 0 (of what is not 0).
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u64::from(*high) * 256 + u64::from(*low),
        odd => u64::from(odd[0]) * 256,
    });
    let sum: u64 = words.sum();
    let folded = match sum % 65535 {
        0 if sum > 0 => 65535,
        remainder => remainder,
    };
    65535 - u16::try_from(folded).expect("a remainder by 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model's own arithmetic against etherparse's.
    #[test]
    fn the_models_checksum_is_etherparses() {
        for id in 0..=u16::MAX {
            let header = etherparse::Ipv4Header {
                identification: id,
                time_to_live: 64,
                total_len: 100,
                source: [172, 16, 10, 10],
                destination: [172, 16, 20, 11],
                ..Default::default()
            };
            let mut bytes = Vec::new();
            header.write(&mut bytes).expect("a sound header");
            let packet = Packet4::read(&bytes).expect("whole");
            assert!(packet.is_sound(), "id {id}");
            assert_eq!(packet.write(), bytes, "id {id}");
        }
    }
}
