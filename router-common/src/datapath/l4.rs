//! The little of layer 4 that routing may look at: ports for policy rules and
//! multipath, and the type of an ICMP message.

use super::Packet;
use crate::wire::IpProto;

/// What layer 4 says; all 0 where the protocol has no such field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layer4 {
    /// Host order.
    pub(super) source_port: u16,
    /// Host order.
    pub(super) destination_port: u16,
    /// ICMP or ICMPv6 type; 0 for every other protocol.
    pub(super) icmp_type: u8,
}

/// Reads the four bytes behind the IP header that say it. A payload that is too
/// short reads as 0: the kernel forwards such packets, too.
#[inline(always)]
pub(super) fn parse_l4<P: Packet>(
    packet: &P,
    offset: usize,
    protocol: IpProto,
    payload_len: usize,
) -> Layer4 {
    let skip = protocol.ports_offset();
    if payload_len < skip + 4 {
        return Layer4::default();
    }
    let Some([a, b, c, d]) = packet.header::<4>(offset + skip) else {
        return Layer4::default();
    };
    if protocol.has_ports() {
        Layer4 {
            source_port: u16::from_be_bytes([*a, *b]),
            destination_port: u16::from_be_bytes([*c, *d]),
            icmp_type: 0,
        }
    } else if protocol == IpProto::ICMP || protocol == IpProto::ICMPV6 {
        Layer4 {
            icmp_type: *a,
            ..Layer4::default()
        }
    } else {
        Layer4::default()
    }
}
