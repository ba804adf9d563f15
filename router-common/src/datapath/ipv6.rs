//! IPv6: the checks that a router makes before it forwards (RFC 8200 3 and 4,
//! RFC 4291 2.5, 2.7, RFC 4443 2.4).

use super::{
    Packet, Reason,
    l4::{Layer4, parse_l4},
    parse::Frame,
};
use crate::wire::{IPV6_LEN, IpProto, Ipv6View};

/// An IPv6 packet that a router may forward, as far as its own bytes say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram6 {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) flow_info: [u8; 4],
    /// Header and payload, bytes.
    pub(super) total_len: usize,
    pub(super) protocol: IpProto,
    pub(super) l4: Layer4,
}

impl Datagram6 {
    /// Whether it is an ICMPv6 error (types below 128), whose inner header the
    /// kernel hashes for multipath.
    #[inline(always)]
    pub(super) fn is_icmp_error(&self) -> bool {
        self.protocol == IpProto::ICMPV6 && self.l4.icmp_type < 128
    }
}

/// Reads and checks the IPv6 header.
#[inline(always)]
pub(super) fn parse_datagram<P: Packet>(packet: &P, frame: &Frame) -> Result<Datagram6, Reason> {
    let offset = frame.l3_offset();
    let header = packet
        .header::<IPV6_LEN>(offset)
        .ok_or(Reason::BadIpHeader)?;
    let ip = Ipv6View(header);

    if ip.version() != 6 {
        return Err(Reason::BadIpHeader);
    }
    let payload_len = usize::from(ip.payload_len());
    let total_len = payload_len + IPV6_LEN;
    frame.check_len(total_len)?;
    let protocol = ip.next_header();
    if protocol == IpProto::FRAGMENT {
        return Err(Reason::Fragment);
    }
    if protocol.is_extension() {
        return Err(Reason::IpOptions);
    }
    if ip.hop_limit() <= 1 {
        return Err(Reason::TtlExceeded);
    }
    let (source, destination) = (ip.source(), ip.destination());
    check_addresses(&source, &destination)?;

    let l4 = parse_l4(packet, offset + IPV6_LEN, protocol, payload_len);
    if protocol == IpProto::ICMPV6 && matches!(l4.icmp_type, 133..=137) {
        return Err(Reason::NeighbourDiscovery);
    }
    Ok(Datagram6 {
        source,
        destination,
        flow_info: ip.flow_info(),
        total_len,
        protocol,
        l4,
    })
}

/// Addresses that are never routed, or only within their link.
#[inline(always)]
fn check_addresses(source: &[u8; 16], destination: &[u8; 16]) -> Result<(), Reason> {
    if destination[0] == 0xff {
        return Err(Reason::Multicast);
    }
    if source[0] == 0xff || has_no_prefix(source) || has_no_prefix(destination) {
        return Err(Reason::Martian);
    }
    if is_link_local(source) || is_link_local(destination) {
        return Err(Reason::LinkLocal);
    }
    Ok(())
}

/// Whether the first 80 bits are 0: unspecified, loopback, IPv4-mapped and
/// IPv4-compatible addresses (RFC 4291 2.5).
#[inline(always)]
fn has_no_prefix(address: &[u8; 16]) -> bool {
    let [a, b, c, d, e, f, g, h, i, j, ..] = *address;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h]) | u64::from(u16::from_ne_bytes([i, j])) == 0
}

/// fe80::/10.
#[inline(always)]
fn is_link_local(address: &[u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;

    /// Cases 57 to 62.
    #[test]
    fn addresses_that_are_never_routed() {
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let (host, peer) = ("fd00:10::10", "fd00:20::11");
        for (source, destination, expected) in [
            (host, peer, Ok(())),
            ("fe80::1", peer, Err(Reason::LinkLocal)),
            (host, "fe80::1", Err(Reason::LinkLocal)),
            (host, "febf::1", Err(Reason::LinkLocal)),
            (host, "fec0::1", Ok(())),
            ("::1", peer, Err(Reason::Martian)),
            (host, "::1", Err(Reason::Martian)),
            ("::", peer, Err(Reason::Martian)),
            (host, "::", Err(Reason::Martian)),
            ("::ffff:10.0.0.1", peer, Err(Reason::Martian)),
            (host, "::ffff:10.0.0.1", Err(Reason::Martian)),
            ("ff02::1", peer, Err(Reason::Martian)),
            (host, "ff02::1", Err(Reason::Multicast)),
            (host, "ff0e::1", Err(Reason::Multicast)),
            (host, "64:ff9b::a00:1", Ok(())),
        ] {
            assert_eq!(
                check_addresses(&address(source), &address(destination)),
                expected,
                "{source} -> {destination}"
            );
        }
    }
}
