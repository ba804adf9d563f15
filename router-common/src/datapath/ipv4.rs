//! IPv4: the checks that a router makes before it forwards (RFC 1812 5.2.2,
//! 5.3.7), in the order in which they cost least.

use super::{
    Packet, Reason,
    l4::{Layer4, parse_l4},
    parse::Frame,
};
use crate::{
    checksum,
    wire::{IPV4_LEN, IpProto, Ipv4View},
};

/// An IPv4 packet that a router may forward, as far as its own bytes say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram4 {
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
    pub(super) tos: u8,
    pub(super) total_len: u16,
    pub(super) protocol: IpProto,
    pub(super) l4: Layer4,
}

impl Datagram4 {
    /// Whether it is an ICMP error, whose inner header the kernel hashes for
    /// multipath (`icmp_is_err`, include/linux/icmp.h).
    #[inline(always)]
    pub(super) fn is_icmp_error(&self) -> bool {
        self.protocol == IpProto::ICMP && matches!(self.l4.icmp_type, 3 | 4 | 5 | 11 | 12)
    }
}

/// Reads and checks the IPv4 header.
#[inline(always)]
pub(super) fn parse_datagram<P: Packet>(packet: &P, frame: &Frame) -> Result<Datagram4, Reason> {
    let offset = frame.l3_offset();
    let header = packet
        .header::<IPV4_LEN>(offset)
        .ok_or(Reason::BadIpHeader)?;
    let ip = Ipv4View(header);

    if ip.version() != 4 || ip.header_words() < 5 {
        return Err(Reason::BadIpHeader);
    }
    if ip.header_words() > 5 {
        return Err(Reason::IpOptions);
    }
    let total_len = ip.total_len();
    if usize::from(total_len) < IPV4_LEN {
        return Err(Reason::BadIpHeader);
    }
    frame.check_len(usize::from(total_len))?;
    if !checksum::verify_ipv4(header) {
        return Err(Reason::BadChecksum);
    }
    if ip.is_fragment() {
        return Err(Reason::Fragment);
    }
    if ip.ttl() <= 1 {
        return Err(Reason::TtlExceeded);
    }
    let (source, destination) = (ip.source(), ip.destination());
    check_addresses(source, destination)?;

    let protocol = ip.protocol();
    let payload_len = usize::from(total_len) - IPV4_LEN;
    Ok(Datagram4 {
        source,
        destination,
        tos: ip.tos(),
        total_len,
        protocol,
        l4: parse_l4(packet, offset + IPV4_LEN, protocol, payload_len),
    })
}

/// Addresses that are never routed, as `ip_route_input_slow` (net/ipv4/route.c)
/// sees it. Class E (240/4) and link-local (169.254/16) destinations are
/// routed by Linux, and so here.
#[inline(always)]
fn check_addresses(source: [u8; 4], destination: [u8; 4]) -> Result<(), Reason> {
    const LIMITED_BROADCAST: [u8; 4] = [255; 4];
    if destination[0] & 0xf0 == 0xe0 || destination == LIMITED_BROADCAST {
        return Err(Reason::Multicast);
    }
    let martian_source =
        matches!(source[0], 0 | 127) || source[0] & 0xf0 == 0xe0 || source == LIMITED_BROADCAST;
    if martian_source || matches!(destination[0], 0 | 127) {
        return Err(Reason::Martian);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 40 to 47 and 53.
    #[test]
    fn addresses_that_are_never_routed() {
        let host = [172, 16, 10, 10];
        let peer = [172, 16, 20, 11];
        for (source, destination, expected) in [
            (host, peer, Ok(())),
            ([127, 0, 0, 1], peer, Err(Reason::Martian)),
            (host, [127, 1, 2, 3], Err(Reason::Martian)),
            ([0, 0, 0, 0], peer, Err(Reason::Martian)),
            (host, [0, 1, 2, 3], Err(Reason::Martian)),
            ([224, 0, 0, 1], peer, Err(Reason::Martian)),
            ([239, 255, 255, 255], peer, Err(Reason::Martian)),
            ([255, 255, 255, 255], peer, Err(Reason::Martian)),
            (host, [255, 255, 255, 255], Err(Reason::Multicast)),
            (host, [224, 0, 0, 1], Err(Reason::Multicast)),
            (host, [240, 0, 0, 1], Ok(())),
            ([240, 0, 0, 1], peer, Ok(())),
            (host, [169, 254, 1, 1], Ok(())),
            (host, host, Ok(())),
        ] {
            assert_eq!(
                check_addresses(source, destination),
                expected,
                "{source:?} -> {destination:?}"
            );
        }
    }
}
