//! Protocol numbers, shared by IPv4 and IPv6 (IANA "Protocol Numbers").

use network_types::ip::IpProto as Known;

/// Protocol (IPv4) or next header (IPv6).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpProto(u8);

impl IpProto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(Known::HopOpt as u8);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(Known::Icmp as u8);
    /// TCP.
    pub const TCP: Self = Self(Known::Tcp as u8);
    /// UDP.
    pub const UDP: Self = Self(Known::Udp as u8);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(Known::Ipv6Route as u8);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(Known::Ipv6Frag as u8);
    /// IP encapsulating security payload.
    pub const ESP: Self = Self(50);
    /// IP authentication header, an extension header in IPv6.
    pub const AUTHENTICATION: Self = Self(51);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(Known::Ipv6Icmp as u8);
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: Self = Self(Known::Ipv6Opts as u8);
    /// SCTP.
    pub const SCTP: Self = Self(Known::Sctp as u8);
    /// IPv6 mobility header.
    pub const MOBILITY: Self = Self(135);
    /// UDP-Lite.
    pub const UDP_LITE: Self = Self(136);
    /// Host Identity Protocol, an extension header in IPv6.
    pub const HIP: Self = Self(139);
    /// Shim6, an extension header in IPv6.
    pub const SHIM6: Self = Self(140);

    /// Wraps the number.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether there are four bytes in its header that the kernel takes for the ports
    /// (`proto_ports_offset`, include/linux/netdevice.h): IPsec's SPI is among them.
    #[must_use]
    #[inline(always)]
    pub const fn has_ports(self) -> bool {
        matches!(
            self,
            Self::TCP
                | Self::UDP
                | Self::DCCP
                | Self::ESP
                | Self::AUTHENTICATION
                | Self::SCTP
                | Self::UDP_LITE
        )
    }

    /// Where in its header they are: 4 for AH, else 0. Without a branch, of which the
    /// verifier would walk both sides to the end of the program.
    #[must_use]
    #[inline(always)]
    pub const fn ports_offset(self) -> usize {
        let other = (self.0 ^ Self::AUTHENTICATION.0) as usize;
        (other.wrapping_sub(1) >> 8) & 4
    }

    /// Whether it is an IPv6 extension header (RFC 8200 4, IANA's list),
    /// other than "no next header", which nothing follows.
    #[must_use]
    #[inline(always)]
    pub const fn is_extension(self) -> bool {
        matches!(
            self,
            Self::HOP_BY_HOP
                | Self::ROUTING
                | Self::FRAGMENT
                | Self::AUTHENTICATION
                | Self::DESTINATION_OPTIONS
                | Self::MOBILITY
                | Self::HIP
                | Self::SHIM6
        )
    }
}
