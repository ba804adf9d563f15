//! 802.1Q tag control information (IEEE 802.1Q-2022 clause 9.6):
//! PCP in bits 15 to 13, DEI in bit 12, VID in bits 11 to 0.

use core::fmt;

/// A VLAN identifier, 0 to 4095. 0 means untagged (in a tag: priority only),
/// 4095 is reserved.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vid(u16);

impl Vid {
    /// No tag, or a tag that carries priority only.
    pub const UNTAGGED: Self = Self(0);
    /// Reserved (IEEE 802.1Q table 9-2): never a network.
    pub const RESERVED: Self = Self(4095);

    /// `None` above 4095.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value <= 4095 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// 0 to 4095.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether frames of this network carry no VID.
    #[must_use]
    #[inline(always)]
    pub const fn is_untagged(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A priority code point, 0 to 7.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pcp(u8);

impl Pcp {
    /// The lowest three bits of `value`.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: u8) -> Self {
        Self(value & 7)
    }

    /// 0 to 7.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Tag control information: the two bytes after the TPID.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tci([u8; 2]);

impl Tci {
    /// Puts the three fields together.
    #[must_use]
    #[inline(always)]
    pub const fn new(pcp: Pcp, dei: bool, vid: Vid) -> Self {
        let value = (pcp.0 as u16) << 13 | (dei as u16) << 12 | (vid.0 & 0x0fff);
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

    /// VLAN identifier.
    #[must_use]
    #[inline(always)]
    pub const fn vid(self) -> Vid {
        Vid(u16::from_be_bytes(self.0) & 0x0fff)
    }

    /// Priority code point.
    #[must_use]
    #[inline(always)]
    pub const fn pcp(self) -> Pcp {
        Pcp(self.0[0] >> 5)
    }

    /// Drop eligible indicator.
    #[must_use]
    #[inline(always)]
    pub const fn dei(self) -> bool {
        self.0[0] & 0x10 != 0
    }

    /// The same priority and DEI on another VLAN.
    #[must_use]
    #[inline(always)]
    pub const fn with_vid(self, vid: Vid) -> Self {
        Self::new(self.pcp(), self.dei(), vid)
    }
}

impl fmt::Debug for Tci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pcp {} dei {} vid {}",
            self.pcp().get(),
            u8::from(self.dei()),
            self.vid()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vid_range() {
        assert!(Vid::new(4095).is_some());
        assert!(Vid::new(4096).is_none());
    }

    /// Every TCI there is: taken apart and put together again.
    #[test]
    fn tci_round_trips() {
        for value in 0..=u16::MAX {
            let tci = Tci::from_wire(value.to_be_bytes());
            assert_eq!(tci.pcp().get(), u8::try_from(value >> 13).unwrap());
            assert_eq!(tci.dei(), value & 0x1000 != 0);
            assert_eq!(tci.vid().get(), value & 0x0fff);
            assert_eq!(Tci::new(tci.pcp(), tci.dei(), tci.vid()), tci);
        }
    }

    #[test]
    fn with_vid_keeps_the_rest() {
        let tci = Tci::new(Pcp::new(5), true, Vid(100)).with_vid(Vid(200));
        assert_eq!(tci.to_wire(), 0xb0c8_u16.to_be_bytes());
    }
}
