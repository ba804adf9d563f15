//! Frames read back: what a capture holds, in words.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use etherparse::{IpNumber, LinkExtHeader, LinkHeader, NetHeaders, PacketHeaders, TransportHeader};

use super::{Mac, Tag};

/// An IP frame as etherparse reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Destination MAC.
    pub destination: Mac,
    /// Source MAC.
    pub source: Mac,
    /// Tags, outermost first.
    pub tags: Vec<Tag>,
    /// IP source.
    pub from: IpAddr,
    /// IP destination.
    pub to: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Protocol of the payload behind all extension headers.
    pub protocol: u8,
    /// The IPv4 header checksum is right (IPv6 has none).
    pub header_checksum_ok: bool,
    /// The TCP, UDP or ICMP checksum is right (true where there is none to check).
    pub transport_checksum_ok: bool,
}

impl Decoded {
    /// Reads a frame; `None` where it is not Ethernet II with IP in it.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
        let Some(LinkHeader::Ethernet2(ethernet)) = &headers.link else {
            return None;
        };
        let mut tpid = ethernet.ether_type.0;
        let mut tags = Vec::new();
        for extension in &headers.link_exts {
            let LinkExtHeader::Vlan(vlan) = extension else {
                return None;
            };
            tags.push(Tag {
                tpid,
                pcp: vlan.pcp.value(),
                dei: vlan.drop_eligible_indicator,
                vid: vlan.vlan_id.value(),
            });
            tpid = vlan.ether_type.0;
        }
        let payload = headers.payload.slice();
        let transport = headers.transport.as_ref();
        let (from, to, ttl, protocol, header_checksum_ok, transport_checksum_ok) = match headers
            .net
            .as_ref()?
        {
            NetHeaders::Ipv4(ip, _) => (
                IpAddr::from(Ipv4Addr::from(ip.source)),
                IpAddr::from(Ipv4Addr::from(ip.destination)),
                ip.time_to_live,
                ip.protocol,
                ip.header_checksum == ip.calc_header_checksum(),
                checksum_ok(transport, |t| match t {
                    TransportHeader::Udp(udp) if udp.checksum == 0 => Some(0),
                    TransportHeader::Udp(udp) => udp.calc_checksum_ipv4(ip, payload).ok(),
                    TransportHeader::Tcp(tcp) => tcp.calc_checksum_ipv4(ip, payload).ok(),
                    TransportHeader::Icmpv4(icmp) => Some(icmp.icmp_type.calc_checksum(payload)),
                    TransportHeader::Icmpv6(_) | TransportHeader::Igmp(_) => None,
                }),
            ),
            NetHeaders::Ipv6(ip, extensions) => (
                IpAddr::from(Ipv6Addr::from(ip.source)),
                IpAddr::from(Ipv6Addr::from(ip.destination)),
                ip.hop_limit,
                extensions
                    .next_header(ip.next_header)
                    .unwrap_or(IpNumber(255)),
                true,
                checksum_ok(transport, |t| match t {
                    TransportHeader::Udp(udp) if udp.checksum == 0 => Some(0),
                    TransportHeader::Udp(udp) => udp.calc_checksum_ipv6(ip, payload).ok(),
                    TransportHeader::Tcp(tcp) => tcp.calc_checksum_ipv6(ip, payload).ok(),
                    TransportHeader::Icmpv6(icmp) => icmp
                        .icmp_type
                        .calc_checksum(ip.source, ip.destination, payload)
                        .ok(),
                    TransportHeader::Icmpv4(_) | TransportHeader::Igmp(_) => None,
                }),
            ),
            NetHeaders::Arp(_) => return None,
        };
        Some(Self {
            destination: ethernet.destination,
            source: ethernet.source,
            tags,
            from,
            to,
            ttl,
            protocol: protocol.0,
            header_checksum_ok,
            transport_checksum_ok,
        })
    }

    /// VID of the outermost tag; `None` if untagged.
    #[must_use]
    pub fn vid(&self) -> Option<u16> {
        self.tags.first().map(|tag| tag.vid)
    }
}

/// Whether a receiver takes the header's checksum; true without a header.
///
/// Of a sum of zero there are two forms. A sender that computes in software sends
/// 0xffff (`CSUM_MANGLED_0`, for UDP's sake, of TCP as well): one frame in 65,536.
fn checksum_ok(
    transport: Option<&TransportHeader>,
    compute: impl FnOnce(&TransportHeader) -> Option<u16>,
) -> bool {
    let Some(header) = transport else { return true };
    let found = match header {
        TransportHeader::Udp(header) => header.checksum,
        TransportHeader::Tcp(header) => header.checksum,
        TransportHeader::Icmpv4(header) => header.checksum,
        TransportHeader::Icmpv6(header) => header.checksum,
        TransportHeader::Igmp(_) => return true,
    };
    compute(header).is_some_and(|computed| computed == found || (computed, found) == (0, 0xffff))
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {}",
            MacText(self.source),
            MacText(self.destination)
        )?;
        for tag in &self.tags {
            write!(f, " vlan {}", tag.vid)?;
            if tag.pcp != 0 || tag.dei {
                write!(f, " pcp {} dei {}", tag.pcp, u8::from(tag.dei))?;
            }
        }
        write!(
            f,
            " {} > {} ttl {} proto {}",
            self.from, self.to, self.ttl, self.protocol
        )?;
        if !self.header_checksum_ok {
            write!(f, " BAD HEADER CHECKSUM")?;
        }
        if !self.transport_checksum_ok {
            write!(f, " BAD TRANSPORT CHECKSUM")?;
        }
        Ok(())
    }
}

struct MacText(Mac);

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packet::Transport,
        prog::Network::{A, B},
    };

    /// Of every segment that differs in two bytes alone, one has the sum of zero.
    #[test]
    fn a_receiver_takes_both_zeros() {
        // Behind the IP headers.
        const SUM: usize = 16;
        for (sound, header) in [(A.v4_to(B), 20), (A.v6_to(B), 40)] {
            let with = |word: u16| {
                sound.clone().transport(Transport::Tcp {
                    ports: (4000, 5000),
                    syn: false,
                    payload: word.to_be_bytes().to_vec(),
                })
            };
            let at = sound.network_offset() + header + SUM;
            let zero = (0..=u16::MAX)
                .map(with)
                .find(|frame| frame.bytes()[at..at + 2] == [0, 0])
                .expect("a sum of zero");
            let ok = |frame: &super::super::Frame| {
                Decoded::read(&frame.bytes())
                    .expect("IP")
                    .transport_checksum_ok
            };
            assert!(ok(&zero));
            assert!(ok(&zero.clone().patch(header + SUM, &[0xff, 0xff])));
            assert!(!ok(&zero.clone().patch(header + SUM, &[0xff, 0xfe])));
            // It stands for nothing else.
            assert!(!ok(&with(7).patch(header + SUM, &[0xff, 0xff])));
        }
    }
}
