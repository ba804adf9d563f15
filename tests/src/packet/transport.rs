//! Payloads of IP packets, with checksums over the pseudo header.

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header,
    Ipv6Header, TcpHeader, UdpHeader,
};

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub enum Transport {
    /// UDP, checksum computed.
    Udp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// UDP without a checksum (RFC 768; RFC 6935 for IPv6).
    UdpNoChecksum {
        /// Source and destination port.
        ports: (u16, u16),
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// A TCP segment with ACK set, checksum computed.
    Tcp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Also set SYN.
        syn: bool,
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// An ICMP or ICMPv6 echo request, by the packet's family.
    Echo {
        /// Identifier and sequence number.
        id: (u16, u16),
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// An ICMP or ICMPv6 message, its checksum computed.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four bytes behind the checksum.
        rest: [u8; 4],
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// Any protocol number and bytes.
    Raw(u8, Vec<u8>),
}

impl Transport {
    /// `len` bytes over UDP, from port 4000 to 5000.
    #[must_use]
    pub fn udp(len: usize) -> Self {
        Self::Udp {
            ports: (4000, 5000),
            payload: pattern(len),
        }
    }

    /// `len` bytes over TCP, from port 4000 to 5432.
    #[must_use]
    pub fn tcp(len: usize) -> Self {
        Self::Tcp {
            ports: (4000, 5432),
            syn: false,
            payload: pattern(len),
        }
    }

    /// An echo request with `len` bytes.
    #[must_use]
    pub fn echo(len: usize) -> Self {
        Self::Echo {
            id: (7, 1),
            payload: pattern(len),
        }
    }

    /// An ICMP or ICMPv6 message with a rest of zeros.
    #[must_use]
    pub fn icmp(kind: u8, code: u8, payload: &[u8]) -> Self {
        Self::Icmp {
            kind,
            code,
            rest: [0; 4],
            payload: payload.to_vec(),
        }
    }

    /// Protocol number in a packet of this family.
    pub(super) fn number(&self, v6: bool) -> IpNumber {
        match self {
            Self::Udp { .. } | Self::UdpNoChecksum { .. } => IpNumber::UDP,
            Self::Tcp { .. } => IpNumber::TCP,
            Self::Echo { .. } | Self::Icmp { .. } if v6 => IpNumber::IPV6_ICMP,
            Self::Echo { .. } | Self::Icmp { .. } => IpNumber::ICMP,
            Self::Raw(number, _) => IpNumber(*number),
        }
    }

    /// Header and payload inside this IPv4 packet.
    pub(super) fn bytes4(&self, ip: &Ipv4Header) -> Vec<u8> {
        match self {
            Self::Udp { ports, payload } => {
                let header = UdpHeader::with_ipv4_checksum(ports.0, ports.1, ip, payload)
                    .expect("fits a datagram");
                joined(&header.to_bytes(), payload)
            }
            Self::Tcp {
                ports,
                syn,
                payload,
            } => {
                let mut header = tcp(*ports, *syn);
                header.checksum = header.calc_checksum_ipv4(ip, payload).expect("fits");
                joined(&header.to_bytes(), payload)
            }
            Self::Echo { id, payload } => {
                let kind = Icmpv4Type::EchoRequest(echo(*id));
                let header = Icmpv4Header::with_checksum(kind, payload);
                joined(&header.to_bytes(), payload)
            }
            Self::Icmp {
                kind,
                code,
                rest,
                payload,
            } => {
                let kind = Icmpv4Type::Unknown {
                    type_u8: *kind,
                    code_u8: *code,
                    bytes5to8: *rest,
                };
                let header = Icmpv4Header::with_checksum(kind, payload);
                joined(&header.to_bytes(), payload)
            }
            Self::UdpNoChecksum { .. } | Self::Raw(..) => self.plain(),
        }
    }

    /// Header and payload inside this IPv6 packet.
    pub(super) fn bytes6(&self, ip: &Ipv6Header) -> Vec<u8> {
        match self {
            Self::Udp { ports, payload } => {
                let header = UdpHeader::with_ipv6_checksum(ports.0, ports.1, ip, payload)
                    .expect("fits a datagram");
                joined(&header.to_bytes(), payload)
            }
            Self::Tcp {
                ports,
                syn,
                payload,
            } => {
                let mut header = tcp(*ports, *syn);
                header.checksum = header.calc_checksum_ipv6(ip, payload).expect("fits");
                joined(&header.to_bytes(), payload)
            }
            Self::Echo { id, payload } => {
                let kind = Icmpv6Type::EchoRequest(echo(*id));
                let header = Icmpv6Header::with_checksum(kind, ip.source, ip.destination, payload)
                    .expect("fits");
                joined(&header.to_bytes(), payload)
            }
            Self::Icmp {
                kind,
                code,
                rest,
                payload,
            } => {
                let kind = Icmpv6Type::Unknown {
                    type_u8: *kind,
                    code_u8: *code,
                    bytes5to8: *rest,
                };
                let header = Icmpv6Header::with_checksum(kind, ip.source, ip.destination, payload)
                    .expect("fits");
                joined(&header.to_bytes(), payload)
            }
            Self::UdpNoChecksum { .. } | Self::Raw(..) => self.plain(),
        }
    }

    /// What does not depend on the IP header.
    fn plain(&self) -> Vec<u8> {
        match self {
            Self::UdpNoChecksum { ports, payload } => {
                let header = UdpHeader::without_ipv4_checksum(ports.0, ports.1, payload.len())
                    .expect("fits a datagram");
                joined(&header.to_bytes(), payload)
            }
            Self::Raw(_, bytes) => bytes.clone(),
            other => unreachable!("{other:?} has a checksum"),
        }
    }
}

fn tcp(ports: (u16, u16), syn: bool) -> TcpHeader {
    let mut header = TcpHeader::new(ports.0, ports.1, 0x0102_0304, 64240);
    header.acknowledgment_number = 0x0506_0708;
    header.ack = true;
    header.syn = syn;
    header
}

fn echo((id, seq): (u16, u16)) -> IcmpEchoHeader {
    IcmpEchoHeader { id, seq }
}

fn joined(header: &[u8], payload: &[u8]) -> Vec<u8> {
    [header, payload].concat()
}

/// Bytes that differ from their neighbours, so that a shift shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(len).collect()
}
