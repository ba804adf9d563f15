//! The first stage: Ethernet and at most one 802.1Q tag.
//!
//! Rules: 802.1ad (0x88a8) is not 802.1Q. A second tag of either kind passes
//! up and is never matched by its inner VID (VLAN hopping). VID 0 is a priority
//! tag: the untagged network (IEEE 802.1Q-2022 6.9.1).

use super::{Packet, Reason};
use crate::wire::{
    ETHERNET_LEN, EtherType, EthernetView, MacAddr, TAGGED_LEN, Tci, VLAN_TAG_LEN, Vid,
};

/// What layer 2 says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Destination MAC.
    pub(super) destination: MacAddr,
    /// The tag that is on the frame, if there is one (it may say VID 0).
    pub(super) tag: Option<Tci>,
    /// What follows.
    pub(super) layer3: Layer3,
    /// Length of the whole frame, bytes.
    pub(super) len: usize,
    /// It is in several buffers, which not every driver sends for XDP.
    pub(super) spans_buffers: bool,
}

/// The payload's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer3 {
    V4,
    V6,
}

impl Frame {
    /// Shortest frame with a tag that Ethernet carries, without FCS: what is
    /// shorter has been padded (IEEE 802.3 clause 3.2.8 and the tag).
    const MIN_LEN: usize = 64;

    /// VID of the network; untagged and priority-tagged are the same.
    #[inline(always)]
    pub(super) fn vid(&self) -> Vid {
        match self.tag {
            Some(tci) => tci.vid(),
            None => Vid::UNTAGGED,
        }
    }

    /// Offset of the IP header in bytes: 14 or 18.
    #[inline(always)]
    pub(super) fn l3_offset(&self) -> usize {
        match self.tag {
            Some(_) => TAGGED_LEN,
            None => ETHERNET_LEN,
        }
    }

    /// Checks the frame's length against an IP packet of `packet_len` bytes.
    ///
    /// Ethernet's padding may stay: receivers ignore it. A longer trailer the
    /// kernel would trim, so it passes up.
    #[inline(always)]
    pub(super) fn check_len(&self, packet_len: usize) -> Result<(), Reason> {
        let needed = self.l3_offset() + packet_len;
        if self.len < needed {
            return Err(Reason::BadIpHeader);
        }
        if self.len > needed && self.len > Self::MIN_LEN {
            return Err(Reason::Trailer);
        }
        Ok(())
    }
}

/// Reads the Ethernet header and the tag.
#[inline(always)]
pub(super) fn parse_frame<P: Packet>(packet: &P) -> Result<Frame, Reason> {
    let header = packet.header(0).ok_or(Reason::FrameTooShort)?;
    let ethernet = EthernetView(header);
    let (tag, ether_type) = match ethernet.ether_type() {
        EtherType::VLAN => {
            let [tci_0, tci_1, type_0, type_1] = *packet
                .header::<VLAN_TAG_LEN>(ETHERNET_LEN)
                .ok_or(Reason::FrameTooShort)?;
            (
                Some(Tci::from_wire([tci_0, tci_1])),
                EtherType::from_wire([type_0, type_1]),
            )
        }
        other => (None, other),
    };
    let layer3 = match ether_type {
        EtherType::IPV4 => Layer3::V4,
        EtherType::IPV6 => Layer3::V6,
        EtherType::ARP => return Err(Reason::Arp),
        other if other.is_tag() => return Err(Reason::StackedTags),
        _ => return Err(Reason::NotIp),
    };
    if ethernet.source().is_multicast() {
        return Err(Reason::BadSourceMac);
    }
    Ok(Frame {
        destination: ethernet.destination(),
        tag,
        layer3,
        len: packet.len(),
        spans_buffers: packet.spans_buffers(),
    })
}
