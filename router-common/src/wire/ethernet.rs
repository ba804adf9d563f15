//! Ethernet II (IEEE 802.3 clause 3) with at most one 802.1Q tag.

use core::fmt;

use network_types::eth::{EthHdr, EtherType as Known};

/// Length of an untagged Ethernet header in bytes.
pub const ETHERNET_LEN: usize = EthHdr::LEN;
/// Length of an 802.1Q tag in bytes: TPID and TCI.
pub const VLAN_TAG_LEN: usize = 4;
/// Length of an Ethernet header with one tag in bytes.
pub const TAGGED_LEN: usize = ETHERNET_LEN + VLAN_TAG_LEN;

/// A MAC address.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// Wraps six bytes in the order of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Six bytes in the order of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the group bit is set: multicast or broadcast.
    #[must_use]
    #[inline(always)]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all six bytes are 0, as of a device without addresses.
    #[must_use]
    #[inline(always)]
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type field of an Ethernet header or of a tag.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EtherType([u8; 2]);

impl EtherType {
    /// IPv4, 0x0800.
    pub const IPV4: Self = Self::known(Known::Ipv4);
    /// ARP, 0x0806.
    pub const ARP: Self = Self::known(Known::Arp);
    /// IPv6, 0x86dd.
    pub const IPV6: Self = Self::known(Known::Ipv6);
    /// 802.1Q customer tag, 0x8100.
    pub const VLAN: Self = Self::known(Known::Ieee8021q);
    /// 802.1ad service tag, 0x88a8.
    pub const SERVICE_VLAN: Self = Self::known(Known::Ieee8021ad);

    /// `network-types` keeps its values in network order.
    const fn known(value: Known) -> Self {
        Self((value as u16).to_ne_bytes())
    }

    /// From its value in host order.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be_bytes())
    }

    /// From the two bytes of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn from_wire(bytes: [u8; 2]) -> Self {
        Self(bytes)
    }

    /// The two bytes of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn to_wire(self) -> [u8; 2] {
        self.0
    }

    /// Its value in host order.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// Whether a tag of either kind follows.
    #[must_use]
    #[inline(always)]
    pub fn is_tag(self) -> bool {
        self == Self::VLAN || self == Self::SERVICE_VLAN
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.get())
    }
}

/// The first 14 bytes of a frame.
#[derive(Clone, Copy, Debug)]
pub struct EthernetView<'a>(pub &'a [u8; ETHERNET_LEN]);

impl EthernetView<'_> {
    /// Destination MAC.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.0;
        MacAddr::new([a, b, c, d, e, f])
    }

    /// Source MAC.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> MacAddr {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.0;
        MacAddr::new([a, b, c, d, e, f])
    }

    /// Type field: of the payload, or the TPID of a tag.
    #[must_use]
    #[inline(always)]
    pub const fn ether_type(&self) -> EtherType {
        EtherType::from_wire([self.0[12], self.0[13]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ether_types_have_their_registered_values() {
        assert_eq!(EtherType::IPV4.get(), 0x0800);
        assert_eq!(EtherType::ARP.get(), 0x0806);
        assert_eq!(EtherType::IPV6.get(), 0x86dd);
        assert_eq!(EtherType::VLAN.get(), 0x8100);
        assert_eq!(EtherType::SERVICE_VLAN.get(), 0x88a8);
        assert_eq!(EtherType::VLAN.to_wire(), [0x81, 0x00]);
    }

    #[test]
    fn view_reads_each_field() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd];
        let view = EthernetView(&bytes);
        assert_eq!(view.destination().octets(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(view.source().octets(), [7, 8, 9, 10, 11, 12]);
        assert_eq!(view.ether_type(), EtherType::IPV6);
    }
}
