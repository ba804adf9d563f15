//! The only stage that writes: tag, MACs, TTL and checksum.
//!
//! Rules: RFC 1812 5.3.1 and RFC 8200 3 (TTL and hop limit one less), RFC 1624
//! (incremental checksum), IEEE 802.1Q 6.9 (tag in front of the EtherType).

use super::{Packet, Pair, Reason, Verdict, parse::Layer3};
use crate::{
    checksum,
    wire::{
        ETHERNET_LEN, EtherType, IfIndex, Ipv4View, Ipv6View, MacAddr, TAGGED_LEN, Tci, TrunkSlot,
    },
};

/// A decision to forward.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// Networks, for the counter.
    pub pair: Pair,
    /// Sub-interface that the packet leaves by.
    pub device: IfIndex,
    /// Trunk that the frame leaves by.
    pub trunk: TrunkSlot,
    /// Next hop's MAC.
    pub destination: MacAddr,
    /// Egress gateway's MAC.
    pub source: MacAddr,
    /// What becomes of the tag.
    pub tag: TagChange,
    /// Which header carries the TTL.
    pub(super) layer3: Layer3,
}

/// What becomes of the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// Untagged in, untagged out.
    None,
    /// Tagged in, tagged out.
    Replace(Tci),
    /// Untagged in, tagged out: the frame grows by 4 bytes.
    Push(Tci),
    /// Tagged in, untagged out: the frame shrinks by 4 bytes.
    Pop,
}

/// Carries the decision out.
///
/// # Errors
/// `Pass` if the frame could not grow or shrink, and nothing was written;
/// `Abort` if a bounds check failed that had held before, which cannot happen.
#[inline(always)]
pub(super) fn rewrite<P: Packet>(packet: &mut P, forward: &Forward) -> Result<(), Verdict> {
    // What can fail comes first, before the first byte is written.
    match forward.tag {
        TagChange::Push(_) => packet.push_tag(),
        TagChange::Pop => packet.pop_tag(),
        TagChange::None | TagChange::Replace(_) => Ok(()),
    }
    .map_err(|_| Verdict::Pass(Reason::NoHeadroom))?;
    write(packet, forward).ok_or(Verdict::Abort(Reason::Internal))
}

/// Writes the frame, whose length is right by now.
#[inline(always)]
fn write<P: Packet>(packet: &mut P, forward: &Forward) -> Option<()> {
    match forward.tag {
        TagChange::None | TagChange::Pop => {
            *packet.header_mut::<ETHERNET_LEN>(0)? = untagged_header(forward);
            write_ttl(packet, ETHERNET_LEN, forward.layer3)
        }
        TagChange::Replace(tci) | TagChange::Push(tci) => {
            *packet.header_mut::<TAGGED_LEN>(0)? = tagged_header(forward, tci);
            write_ttl(packet, TAGGED_LEN, forward.layer3)
        }
    }
}

#[inline(always)]
fn write_ttl<P: Packet>(packet: &mut P, l3_offset: usize, layer3: Layer3) -> Option<()> {
    match layer3 {
        Layer3::V4 => {
            let [ttl, _protocol, sum_0, sum_1] =
                packet.header_mut::<4>(l3_offset + Ipv4View::TTL_OFFSET)?;
            *ttl -= 1;
            [*sum_0, *sum_1] = checksum::after_ttl_decrement([*sum_0, *sum_1]);
        }
        Layer3::V6 => {
            let [hop_limit] = packet.header_mut::<1>(l3_offset + Ipv6View::HOP_LIMIT_OFFSET)?;
            *hop_limit -= 1;
        }
    }
    Some(())
}

#[inline(always)]
fn untagged_header(forward: &Forward) -> [u8; ETHERNET_LEN] {
    let [d0, d1, d2, d3, d4, d5] = forward.destination.octets();
    let [s0, s1, s2, s3, s4, s5] = forward.source.octets();
    let [t0, t1] = ether_type(forward.layer3).to_wire();
    [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]
}

#[inline(always)]
fn tagged_header(forward: &Forward, tci: Tci) -> [u8; TAGGED_LEN] {
    let [d0, d1, d2, d3, d4, d5] = forward.destination.octets();
    let [s0, s1, s2, s3, s4, s5] = forward.source.octets();
    let [p0, p1] = EtherType::VLAN.to_wire();
    let [c0, c1] = tci.to_wire();
    let [t0, t1] = ether_type(forward.layer3).to_wire();
    [
        d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, p0, p1, c0, c1, t0, t1,
    ]
}

#[inline(always)]
fn ether_type(layer3: Layer3) -> EtherType {
    match layer3 {
        Layer3::V4 => EtherType::IPV4,
        Layer3::V6 => EtherType::IPV6,
    }
}
