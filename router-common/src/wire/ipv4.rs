//! The IPv4 header without options (RFC 791 3.1).

use network_types::ip::Ipv4Hdr;

use super::IpProto;

/// Length of an IPv4 header without options, in bytes.
pub const IPV4_LEN: usize = Ipv4Hdr::LEN;

/// The first 20 bytes of an IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a>(pub &'a [u8; IPV4_LEN]);

impl Ipv4View<'_> {
    /// Offset of the TTL in the header; the checksum is two bytes behind it.
    pub const TTL_OFFSET: usize = 8;

    /// Version, 4 in a sound header.
    #[must_use]
    #[inline(always)]
    pub const fn version(&self) -> u8 {
        self.0[0] >> 4
    }

    /// Header length in 32-bit words, 5 without options.
    #[must_use]
    #[inline(always)]
    pub const fn header_words(&self) -> u8 {
        self.0[0] & 0x0f
    }

    /// Type of service: DSCP and ECN.
    #[must_use]
    #[inline(always)]
    pub const fn tos(&self) -> u8 {
        self.0[1]
    }

    /// Header and payload, bytes.
    #[must_use]
    #[inline(always)]
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Whether it is a fragment: more follow, or its offset is not 0.
    #[must_use]
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x3fff != 0
    }

    /// Time to live, hops.
    #[must_use]
    #[inline(always)]
    pub const fn ttl(&self) -> u8 {
        self.0[Self::TTL_OFFSET]
    }

    /// Protocol of the payload.
    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> IpProto {
        IpProto::new(self.0[9])
    }

    /// Source address, network order.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> [u8; 4] {
        [self.0[12], self.0[13], self.0[14], self.0[15]]
    }

    /// Destination address, network order.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> [u8; 4] {
        [self.0[16], self.0[17], self.0[18], self.0[19]]
    }
}
