//! The networks of a [`Scene`](super::Scene), with everything about them that
//! does not change.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::packet::{Frame, Mac, Tag, Transport};

/// A network of the scene. Each has a gateway (.1, ::1), a host (.10, ::10)
/// and a second router (.9, ::9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// VLAN 100 on trunk 0.
    A,
    /// VLAN 200 on trunk 0.
    B,
    /// Untagged on trunk 0.
    N,
    /// VLAN 300 on trunk 1.
    C,
    /// Untagged on trunk 1: a plain NIC.
    U,
}

impl Network {
    /// All of them, by id.
    pub const ALL: [Self; 5] = [Self::A, Self::B, Self::N, Self::C, Self::U];

    /// Network id.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Slot of its trunk.
    #[must_use]
    pub const fn trunk(self) -> u8 {
        match self {
            Self::A | Self::B | Self::N => 0,
            Self::C | Self::U => 1,
        }
    }

    /// VID, 0 if untagged.
    #[must_use]
    pub const fn vid(self) -> u16 {
        match self {
            Self::A => 100,
            Self::B => 200,
            Self::C => 300,
            Self::N | Self::U => 0,
        }
    }

    /// The tag that its frames carry.
    #[must_use]
    pub const fn tag(self) -> Option<Tag> {
        match self.vid() {
            0 => None,
            vid => Some(Tag::dot1q(vid)),
        }
    }

    /// Its sub-interface, a veth that stands in for one.
    #[must_use]
    pub const fn device(self) -> &'static str {
        match self {
            Self::A => "net-a",
            Self::B => "net-b",
            Self::N => "net-n",
            Self::C => "net-c",
            Self::U => "net-u",
        }
    }

    /// The other end of [`Network::device`]: the network's wire.
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::A => "wire-a",
            Self::B => "wire-b",
            Self::N => "wire-n",
            Self::C => "wire-c",
            Self::U => "wire-u",
        }
    }

    /// Ifindex of [`Network::device`]: small, above 64 and above 1000 (case 107).
    #[must_use]
    pub const fn ifindex(self) -> u32 {
        match self {
            Self::A => 11,
            Self::B => 65,
            Self::N => 300,
            Self::C => 1025,
            Self::U => 70_000,
        }
    }

    /// An IPv4 address in it.
    #[must_use]
    pub const fn v4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 16, 10 * (self.id() + 1), host)
    }

    /// An IPv6 address in it.
    #[must_use]
    pub const fn v6(self, host: u16) -> Ipv6Addr {
        // 172.16.20.0/24 and fd00:20::/64 look alike in print.
        let net = 0x10 * (self.id() as u16 + 1);
        Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, host)
    }

    const fn mac(self, last: u8) -> Mac {
        [0x02, 0, 0, 0, self.id() + 1, last]
    }

    /// The gateway's MAC. Every network has its own, so that a source MAC of
    /// the wrong one shows.
    #[must_use]
    pub const fn gateway_mac(self) -> Mac {
        self.mac(0x01)
    }

    /// The host's MAC.
    #[must_use]
    pub const fn host_mac(self) -> Mac {
        self.mac(0x10)
    }

    /// The second router's MAC.
    #[must_use]
    pub const fn router_mac(self) -> Mac {
        self.mac(0x09)
    }

    /// A UDP datagram over IPv4 from this network's host to the other's.
    #[must_use]
    pub fn v4_to(self, to: Self) -> Frame {
        self.sends4(self.v4(10), to.v4(10))
    }

    /// The same between any addresses: from this network's host to its gateway.
    #[must_use]
    pub fn sends4(self, from: Ipv4Addr, to: Ipv4Addr) -> Frame {
        let udp = Transport::udp(64);
        Frame::ipv4(self.gateway_mac(), self.host_mac(), from, to, udp).vlan(self.vid())
    }

    /// A UDP datagram over IPv6 from this network's host to the other's.
    #[must_use]
    pub fn v6_to(self, to: Self) -> Frame {
        self.sends6(self.v6(0x10), to.v6(0x10))
    }

    /// The same between any addresses: from this network's host to its gateway.
    #[must_use]
    pub fn sends6(self, from: Ipv6Addr, to: Ipv6Addr) -> Frame {
        let udp = Transport::udp(64);
        Frame::ipv6(self.gateway_mac(), self.host_mac(), from, to, udp).vlan(self.vid())
    }
}
