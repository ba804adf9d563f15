//! The fixed IPv6 header (RFC 8200 3).

use network_types::ip::Ipv6Hdr;

use super::IpProto;

/// Length of the fixed IPv6 header in bytes.
pub const IPV6_LEN: usize = Ipv6Hdr::LEN;

/// The first 40 bytes of an IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a>(pub &'a [u8; IPV6_LEN]);

impl Ipv6View<'_> {
    /// Offset of the hop limit in the header.
    pub const HOP_LIMIT_OFFSET: usize = 7;

    /// Version, 6 in a sound header.
    #[must_use]
    #[inline(always)]
    pub const fn version(&self) -> u8 {
        self.0[0] >> 4
    }

    /// Traffic class and flow label, the 28 bits behind the version, as
    /// the four bytes of the wire with the version cleared.
    #[must_use]
    #[inline(always)]
    pub const fn flow_info(&self) -> [u8; 4] {
        [self.0[0] & 0x0f, self.0[1], self.0[2], self.0[3]]
    }

    /// Bytes behind this header.
    #[must_use]
    #[inline(always)]
    pub const fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Protocol of the payload, or the first extension header.
    #[must_use]
    #[inline(always)]
    pub const fn next_header(&self) -> IpProto {
        IpProto::new(self.0[6])
    }

    /// Hop limit, hops.
    #[must_use]
    #[inline(always)]
    pub const fn hop_limit(&self) -> u8 {
        self.0[Self::HOP_LIMIT_OFFSET]
    }

    /// Source address, network order.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> [u8; 16] {
        address(self.0, 8)
    }

    /// Destination address, network order.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> [u8; 16] {
        address(self.0, 24)
    }
}

#[inline(always)]
const fn address(header: &[u8; IPV6_LEN], at: usize) -> [u8; 16] {
    let mut octets = [0; 16];
    let mut i = 0;
    while i < 16 {
        octets[i] = header[at + i];
        i += 1;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_reads_each_field() {
        let mut bytes = [0_u8; IPV6_LEN];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(i).unwrap();
        }
        bytes[0] = 0x6a;
        let view = Ipv6View(&bytes);
        assert_eq!(view.version(), 6);
        assert_eq!(view.flow_info(), [0x0a, 1, 2, 3]);
        assert_eq!(view.payload_len(), 0x0405);
        assert_eq!(view.next_header().get(), 6);
        assert_eq!(view.hop_limit(), 7);
        assert_eq!(view.source(), core::array::from_fn(|i| bytes[8 + i]));
        assert_eq!(view.destination(), core::array::from_fn(|i| bytes[24 + i]));
    }
}
