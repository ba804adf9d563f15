//! Where the two arms stand: networks, wires and devices, by the names, numbers
//! and addresses of [`Network`].
//!
//! ```text
//! Tagged: the kernel has 802.1Q         Untagged: it has not
//!
//!  router            wire                router          wire
//!   net-n ========== wire0 (A, B, N)      net-a ======== wire0
//!    |- net-a (100)                       net-b ======== wire1
//!    '- net-b (200)                       net-n ======== wire2
//!   net-u ========== wire1 (C, U)         net-c ======== wire3
//!    '- net-c (300)                       net-u ======== wire4
//! ```
//!
//! Hosts exist as permanent neighbours only: nothing is on a wire that a row did
//! not send, but for what the router itself says.

use std::fmt::Write as _;

use crate::{
    packet::{Frame, Tag},
    prog::Network,
    topology::mac_text,
};

/// How the networks reach the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two trunks with VLANs.
    Tagged,
    /// A trunk each: stand-ins for sub-interfaces.
    Untagged,
}

/// Kind and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// How the networks reach the router.
    pub kind: Kind,
    /// MTU of every trunk. The wires' ends take more.
    pub mtu: u16,
    /// VIDs of A, B and C; the tables write their own, which are put in their
    /// place.
    pub vids: [u16; 3],
}

/// Hosts in each network: last byte of the IPv4 address, last group of the IPv6
/// one.
const HOST: (u8, u16) = (10, 0x10);
const ROUTER: (u8, u16) = (9, 9);

impl World {
    /// With the VIDs of the tables.
    #[must_use]
    pub const fn new(kind: Kind, mtu: u16) -> Self {
        let vids = [Network::A.vid(), Network::B.vid(), Network::C.vid()];
        Self { kind, mtu, vids }
    }

    /// Number of wires.
    #[must_use]
    pub const fn wires(self) -> usize {
        match self.kind {
            Kind::Tagged => 2,
            Kind::Untagged => 5,
        }
    }

    /// The wire that a network is on.
    #[must_use]
    pub fn wire(self, network: Network) -> usize {
        match self.kind {
            Kind::Tagged => network.trunk().into(),
            Kind::Untagged => network.id().into(),
        }
    }

    /// The router's NIC at a wire.
    #[must_use]
    pub fn trunk(self, wire: usize) -> &'static str {
        match self.kind {
            Kind::Tagged => [Network::N, Network::U][wire].device(),
            Kind::Untagged => Network::ALL[wire].device(),
        }
    }

    /// The tag of a network's frames.
    #[must_use]
    pub const fn tag(self, network: Network) -> Option<Tag> {
        let [a, b, c] = self.vids;
        match (self.kind, network) {
            (Kind::Untagged, _) | (_, Network::N | Network::U) => None,
            (Kind::Tagged, Network::A) => Some(Tag::dot1q(a)),
            (Kind::Tagged, Network::B) => Some(Tag::dot1q(b)),
            (Kind::Tagged, Network::C) => Some(Tag::dot1q(c)),
        }
    }

    /// A tag of the tables as it is here: of one of their networks, with the VID
    /// that it has in this world.
    #[must_use]
    pub fn tag_here(self, tag: Tag) -> Tag {
        let of_tables = |network: &Network| network.tag().is_some_and(|own| own.vid == tag.vid);
        let network = Network::ALL.into_iter().find(of_tables);
        let here = network.and_then(|network| self.tag(network));
        Tag {
            vid: here.map_or(tag.vid, |here| here.vid),
            ..tag
        }
    }

    /// VIDs that frames on this wire may have; 0: none.
    #[must_use]
    pub fn vids(self, wire: usize) -> Vec<u16> {
        let on_it = Network::ALL.into_iter().filter(|n| self.wire(*n) == wire);
        on_it
            .map(|network| self.tag(network).map_or(0, |tag| tag.vid))
            .collect()
    }

    /// A frame of a table, as it is on this world's wire; `None`: it is about
    /// tags, and there are none here.
    #[must_use]
    pub fn on_wire(self, network: Network, frame: &Frame) -> Option<Frame> {
        match self.kind {
            Kind::Tagged => {
                let tags: Vec<_> = frame
                    .tag_list()
                    .iter()
                    .map(|tag| self.tag_here(*tag))
                    .collect();
                Some(frame.clone().tags(&tags))
            }
            Kind::Untagged if frame.tag_list() == network.tag().as_slice() => {
                Some(frame.clone().without_tags())
            }
            Kind::Untagged => None,
        }
    }

    /// Lines of `ip` that make the router's devices, up and addressed, with the
    /// wires' ends in a namespace of this name.
    #[must_use]
    pub fn devices(self, wire_netns: &str) -> String {
        let mut lines = String::new();
        for wire in 0..self.wires() {
            let trunk = self.trunk(wire);
            let network = self.network_of_device(trunk);
            let _ = writeln!(
                lines,
                "link add {trunk} index {} address {} mtu {} type veth peer name wire{wire} mtu {} \
                 netns {wire_netns}\n\
                 link set {trunk} addrgenmode none",
                network.ifindex(),
                mac_text(network.gateway_mac()),
                self.mtu,
                self.far_mtu(),
            );
        }
        for network in Network::ALL {
            let (device, tag) = (network.device(), self.tag(network));
            if let Some(tag) = tag {
                let parent = self.trunk(self.wire(network));
                let _ = writeln!(
                    lines,
                    "link add link {parent} name {device} index {} address {} type vlan id {}\n\
                     link set {device} addrgenmode none",
                    network.ifindex(),
                    mac_text(network.gateway_mac()),
                    tag.vid
                );
            }
        }
        // Trunks first: a sub-interface cannot be up before its parent is.
        for network in [Network::N, Network::U, Network::A, Network::B, Network::C] {
            let _ = writeln!(lines, "link set {} up", network.device());
        }
        lines
    }

    /// Lines of `ip` that give the devices their addresses and their neighbours,
    /// as a table may have found them.
    #[must_use]
    pub fn addresses(self) -> String {
        let mut lines = String::new();
        for network in Network::ALL {
            let device = network.device();
            let _ = writeln!(
                lines,
                "address replace {}/24 dev {device}\naddress replace {}/64 dev {device} nodad",
                network.v4(1),
                network.v6(1)
            );
            for ((v4, v6), mac) in [(HOST, network.host_mac()), (ROUTER, network.router_mac())] {
                let mac = mac_text(mac);
                let _ = writeln!(
                    lines,
                    "neigh replace {} lladdr {mac} nud permanent dev {device}\n\
                     neigh replace {} lladdr {mac} nud permanent dev {device}",
                    network.v4(v4),
                    network.v6(v6)
                );
            }
        }
        lines
    }

    /// The daemon's configuration, with XDP or without.
    #[must_use]
    pub fn config(self, xdp: bool) -> String {
        let mut text = String::new();
        for wire in 0..self.wires() {
            let trunk = self.trunk(wire);
            let xdp = if xdp { "native" } else { "off" };
            let _ = writeln!(
                text,
                "[[trunk]]\ninterface = \"{trunk}\"\nxdp = \"{xdp}\"\n"
            );
        }
        for network in Network::ALL {
            let vlan = match self.tag(network) {
                Some(tag) => format!("vlan = {}\ninterface = \"{}\"\n", tag.vid, network.device()),
                None => String::new(),
            };
            let _ = writeln!(
                text,
                "[[network]]\nname = \"{network:?}\"\ntrunk = \"{}\"\n{vlan}\
                 gateway = [\"{}/24\", \"{}/64\"]\n",
                self.trunk(self.wire(network)),
                network.v4(1),
                network.v6(1)
            );
        }
        text
    }

    /// A wire's end takes frames that the router must not send: a veth with
    /// native XDP allows its peer a good 3,500 bytes in one buffer.
    fn far_mtu(self) -> u16 {
        if self.mtu <= 1500 {
            2000
        } else {
            self.mtu + 200
        }
    }

    fn network_of_device(self, device: &str) -> Network {
        let found = Network::ALL.into_iter().find(|n| n.device() == device);
        found.unwrap_or(Network::A)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Network::{A, B, N};

    #[test]
    fn frames_have_the_vids_of_their_world() {
        let usual = World::new(Kind::Tagged, 1500);
        let other = World {
            vids: [1, 4094, 7],
            ..usual
        };
        for (world, vid_a, vid_b) in [(usual, 100, 200), (other, 1, 4094)] {
            let sent = A.v4_to(B).priority(5, true);
            let here = world.on_wire(A, &sent).expect("a frame");
            let expected = Tag::dot1q(vid_a).priority(5, true);
            assert_eq!(here.tag_list(), [expected]);
            assert_eq!(world.vids(0), [vid_a, vid_b, 0]);
            assert!(world.config(true).contains(&format!("vlan = {vid_b}\n")));
            assert!(
                world
                    .devices("w")
                    .contains(&format!("type vlan id {vid_b}\n"))
            );
            // What is no network's stays.
            assert_eq!(world.tag_here(Tag::dot1q(999)), Tag::dot1q(999));
            assert_eq!(world.tag(N), None);
        }
        let untagged = World::new(Kind::Untagged, 1500);
        let here = untagged.on_wire(A, &A.v4_to(B)).expect("a frame");
        assert_eq!(here.tag_list(), []);
    }
}
