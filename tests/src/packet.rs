//! Frames, built and read by etherparse: an opinion about bytes that owes
//! nothing to router-common.
//!
//! A [`Frame`] is a description; [`Frame::bytes`] writes it, with every length
//! and checksum computed from scratch. What a router must make of it is
//! another description ([`Frame::routed`]), written the same way: no expected
//! byte comes from the code under test, or from an incremental update.
//! Malformed frames are sound ones with [`Frame::patch`]es on top.

mod decode;
mod transport;

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6Header, SingleVlanHeader, VlanId, VlanPcp,
};

pub use decode::Decoded;
pub use transport::Transport;

/// A MAC address, in the order of the wire.
pub type Mac = [u8; 6];

/// TPID of an 802.1Q tag.
pub const DOT1Q: u16 = 0x8100;
/// TPID of an 802.1ad tag.
pub const DOT1AD: u16 = 0x88a8;

/// One tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// [`DOT1Q`], [`DOT1AD`] or something that is no tag.
    pub tpid: u16,
    /// 0 to 7.
    pub pcp: u8,
    /// Drop eligible.
    pub dei: bool,
    /// 0 to 4095.
    pub vid: u16,
}

impl Tag {
    /// An 802.1Q tag of priority 0.
    #[must_use]
    pub const fn dot1q(vid: u16) -> Self {
        Self {
            tpid: DOT1Q,
            pcp: 0,
            dei: false,
            vid,
        }
    }

    /// An 802.1ad tag of priority 0.
    #[must_use]
    pub const fn dot1ad(vid: u16) -> Self {
        Self {
            tpid: DOT1AD,
            ..Self::dot1q(vid)
        }
    }

    /// The same tag with this priority.
    #[must_use]
    pub const fn priority(self, pcp: u8, dei: bool) -> Self {
        Self { pcp, dei, ..self }
    }
}

/// What follows the Ethernet header and its tags.
#[derive(Clone, Debug)]
enum Body {
    /// Checksum and total length of the header are computed.
    Ipv4(Ipv4Header, Transport),
    /// Extension headers as (number, bytes); their next-header fields and the
    /// payload length are computed.
    Ipv6(Ipv6Header, Vec<(u8, Vec<u8>)>, Transport),
    /// Type (or 802.3 length) and bytes.
    Raw(u16, Vec<u8>),
}

/// A frame, described.
#[derive(Clone, Debug)]
pub struct Frame {
    destination: Mac,
    source: Mac,
    tags: Vec<Tag>,
    body: Body,
    trailer: Vec<u8>,
    patches: Vec<(usize, Vec<u8>)>,
    cut: Option<usize>,
}

impl Frame {
    fn new(destination: Mac, source: Mac, body: Body) -> Self {
        Self {
            destination,
            source,
            tags: Vec::new(),
            body,
            trailer: Vec::new(),
            patches: Vec::new(),
            cut: None,
        }
    }

    /// An untagged IPv4 frame: TTL 64, don't-fragment set, id 0x1234.
    #[must_use]
    pub fn ipv4(
        destination: Mac,
        source: Mac,
        from: Ipv4Addr,
        to: Ipv4Addr,
        transport: Transport,
    ) -> Self {
        let header = Ipv4Header {
            identification: 0x1234,
            dont_fragment: true,
            time_to_live: 64,
            source: from.octets(),
            destination: to.octets(),
            ..Ipv4Header::default()
        };
        Self::new(destination, source, Body::Ipv4(header, transport))
    }

    /// An untagged IPv6 frame: hop limit 64, class and flow label 0.
    #[must_use]
    pub fn ipv6(
        destination: Mac,
        source: Mac,
        from: Ipv6Addr,
        to: Ipv6Addr,
        transport: Transport,
    ) -> Self {
        let header = Ipv6Header {
            hop_limit: 64,
            source: from.octets(),
            destination: to.octets(),
            ..Ipv6Header::default()
        };
        Self::new(
            destination,
            source,
            Body::Ipv6(header, Vec::new(), transport),
        )
    }

    /// An untagged frame of any type (up to 1500: an 802.3 length).
    #[must_use]
    pub fn raw(destination: Mac, source: Mac, ether_type: u16, payload: &[u8]) -> Self {
        Self::new(destination, source, Body::Raw(ether_type, payload.to_vec()))
    }

    /// With these tags, outermost first.
    #[must_use]
    pub fn tags(mut self, tags: &[Tag]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// With one 802.1Q tag; VID 0: untagged.
    #[must_use]
    pub fn vlan(self, vid: u16) -> Self {
        match vid {
            0 => self.tags(&[]),
            _ => self.tags(&[Tag::dot1q(vid)]),
        }
    }

    /// The same packet without tags. What was padded stays as long as it was;
    /// what was cut off stays cut off at the same place of the packet.
    #[must_use]
    pub fn without_tags(mut self) -> Self {
        let shorter = self.network_offset() - Ethernet2Header::LEN;
        self.tags.clear();
        self.cut = self
            .cut
            .map(|len| len.saturating_sub(shorter).max(Ethernet2Header::LEN));
        let padded = !self.trailer.is_empty();
        let trailer = self.trailer.len() + shorter;
        if padded { self.trailer(trailer) } else { self }
    }

    /// Its tags, outermost first.
    #[must_use]
    pub fn tag_list(&self) -> &[Tag] {
        &self.tags
    }

    /// With this priority in the outermost tag.
    #[must_use]
    pub fn priority(mut self, pcp: u8, dei: bool) -> Self {
        let tag = self.tags.first_mut().expect("a tagged frame");
        *tag = tag.priority(pcp, dei);
        self
    }

    /// To this MAC.
    #[must_use]
    pub fn to_mac(mut self, mac: Mac) -> Self {
        self.destination = mac;
        self
    }

    /// From this MAC.
    #[must_use]
    pub fn from_mac(mut self, mac: Mac) -> Self {
        self.source = mac;
        self
    }

    /// Changes the IPv4 header.
    ///
    /// # Panics
    /// On a frame that is not IPv4.
    #[must_use]
    pub fn with4(mut self, change: impl FnOnce(&mut Ipv4Header)) -> Self {
        let Body::Ipv4(header, _) = &mut self.body else {
            panic!("not an IPv4 frame: {self:?}");
        };
        change(header);
        self
    }

    /// Changes the IPv6 header.
    ///
    /// # Panics
    /// On a frame that is not IPv6.
    #[must_use]
    pub fn with6(mut self, change: impl FnOnce(&mut Ipv6Header)) -> Self {
        let Body::Ipv6(header, ..) = &mut self.body else {
            panic!("not an IPv6 frame: {self:?}");
        };
        change(header);
        self
    }

    /// With this TTL or hop limit.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        match self.body {
            Body::Ipv6(..) => self.with6(|header| header.hop_limit = ttl),
            _ => self.with4(|header| header.time_to_live = ttl),
        }
    }

    /// With this TOS or traffic class.
    #[must_use]
    pub fn tos(self, tos: u8) -> Self {
        match self.body {
            Body::Ipv6(..) => self.with6(|header| header.traffic_class = tos),
            _ => self.with4(|header| {
                header.dscp = IpDscp::try_new(tos >> 2).expect("six bits");
                header.ecn = IpEcn::try_new(tos & 3).expect("two bits");
            }),
        }
    }

    /// With this flow label, 20 bits.
    #[must_use]
    pub fn flow_label(self, label: u32) -> Self {
        self.with6(|header| header.flow_label = Ipv6FlowLabel::try_new(label).expect("20 bits"))
    }

    /// With this IPv4 source.
    #[must_use]
    pub fn from4(self, address: Ipv4Addr) -> Self {
        self.with4(|header| header.source = address.octets())
    }

    /// With this IPv4 destination.
    #[must_use]
    pub fn to4(self, address: Ipv4Addr) -> Self {
        self.with4(|header| header.destination = address.octets())
    }

    /// With this IPv6 source.
    #[must_use]
    pub fn from6(self, address: Ipv6Addr) -> Self {
        self.with6(|header| header.source = address.octets())
    }

    /// With this IPv6 destination.
    #[must_use]
    pub fn to6(self, address: Ipv6Addr) -> Self {
        self.with6(|header| header.destination = address.octets())
    }

    /// With this IPv4 identification.
    #[must_use]
    pub fn identification(self, id: u16) -> Self {
        self.with4(|header| header.identification = id)
    }

    /// With these IPv4 options, a multiple of four bytes.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        self.with4(|header| header.options = options.try_into().expect("a multiple of four"))
    }

    /// As an IPv4 fragment: offset in units of eight bytes, more to follow.
    #[must_use]
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        self.with4(|header| {
            header.dont_fragment = false;
            header.more_fragments = more;
            header.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
        })
    }

    /// With this IPv6 extension header behind those it has already. Byte 0,
    /// the next header, is filled in.
    #[must_use]
    pub fn extension(mut self, number: u8, bytes: &[u8]) -> Self {
        let Body::Ipv6(_, extensions, _) = &mut self.body else {
            panic!("not an IPv6 frame: {self:?}");
        };
        extensions.push((number, bytes.to_vec()));
        self
    }

    /// With this transport.
    #[must_use]
    pub fn transport(mut self, new: Transport) -> Self {
        match &mut self.body {
            Body::Ipv4(_, transport) | Body::Ipv6(_, _, transport) => *transport = new,
            Body::Raw(..) => panic!("not an IP frame: {self:?}"),
        }
        self
    }

    /// With `len` bytes behind the packet, none of them 0.
    #[must_use]
    pub fn trailer(mut self, len: usize) -> Self {
        self.trailer = vec![0xa5; len];
        self
    }

    /// Padded with a trailer up to `len` bytes in all, as NICs do.
    #[must_use]
    pub fn padded_to(self, len: usize) -> Self {
        let missing = len.saturating_sub(self.bytes().len());
        self.trailer(missing)
    }

    /// With these bytes at `offset` of the IP header (or raw payload), after
    /// everything was computed.
    #[must_use]
    pub fn patch(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.patches.push((offset, bytes.to_vec()));
        self
    }

    /// Patches that keep the IPv4 header checksum right: only the field that
    /// is wrong is wrong.
    #[must_use]
    pub fn patch_with_checksum(self, offset: usize, bytes: &[u8]) -> Self {
        let patched = self.patch(offset, bytes).patch(10, &[0, 0]);
        let all = patched.bytes();
        let at = patched.network_offset();
        let words = usize::from(all[at] & 0x0f).max(5);
        let header = &all[at..(at + words * 4).min(all.len())];
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(header);
        // etherparse sums in the host's order.
        patched.patch(10, &sum.ones_complement().to_ne_bytes())
    }

    /// Only the first `len` bytes.
    #[must_use]
    pub fn cut(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }

    /// What a router makes of this frame: TTL one lower, between these MACs,
    /// with this tag or none. Everything else is as it was, patches too.
    #[must_use]
    pub fn routed(&self, destination: Mac, source: Mac, tag: Option<Tag>) -> Self {
        let mut out = self.clone();
        out.destination = destination;
        out.source = source;
        out.tags = tag.into_iter().collect();
        match &mut out.body {
            Body::Ipv4(header, _) => header.time_to_live -= 1,
            Body::Ipv6(header, ..) => header.hop_limit -= 1,
            Body::Raw(..) => panic!("routing is for IP: {self:?}"),
        }
        out
    }

    /// Whether its payload is IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        matches!(self.body, Body::Ipv4(..))
    }

    /// Bytes in front of the IP header.
    #[must_use]
    pub fn network_offset(&self) -> usize {
        Ethernet2Header::LEN + SingleVlanHeader::LEN * self.tags.len()
    }

    /// Length of the IP packet (or of the raw payload).
    #[must_use]
    pub fn packet_len(&self) -> usize {
        self.body().1.len()
    }

    fn body(&self) -> (u16, Vec<u8>) {
        match &self.body {
            Body::Raw(ether_type, bytes) => (*ether_type, bytes.clone()),
            Body::Ipv4(header, transport) => {
                let mut header = header.clone();
                let payload = transport.bytes4(&header);
                header.protocol = transport.number(false);
                header
                    .set_payload_len(payload.len())
                    .expect("fits total_len");
                header.header_checksum = header.calc_header_checksum();
                let mut bytes = header.to_bytes().to_vec();
                bytes.extend(payload);
                (EtherType::IPV4.0, bytes)
            }
            Body::Ipv6(header, extensions, transport) => {
                let mut header = header.clone();
                // Chain from the last to the first.
                let mut next = transport.number(true);
                let mut chain = Vec::new();
                for (number, bytes) in extensions.iter().rev() {
                    let mut bytes = bytes.clone();
                    bytes[0] = next.0;
                    next = IpNumber(*number);
                    chain.splice(0..0, bytes);
                }
                chain.extend(transport.bytes6(&header));
                header.next_header = next;
                header
                    .set_payload_length(chain.len())
                    .expect("fits payload_len");
                let mut bytes = header.to_bytes().to_vec();
                bytes.extend(chain);
                (EtherType::IPV6.0, bytes)
            }
        }
    }

    /// The frame as it is on the wire, without FCS.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (body_type, body) = self.body();
        let types: Vec<u16> = self
            .tags
            .iter()
            .map(|tag| tag.tpid)
            .chain([body_type])
            .collect();

        let ethernet = Ethernet2Header {
            destination: self.destination,
            source: self.source,
            ether_type: EtherType(types[0]),
        };
        let mut bytes = ethernet.to_bytes().to_vec();
        for (tag, next) in self.tags.iter().zip(&types[1..]) {
            let header = SingleVlanHeader {
                pcp: VlanPcp::try_new(tag.pcp).expect("three bits"),
                drop_eligible_indicator: tag.dei,
                vlan_id: VlanId::try_new(tag.vid).expect("twelve bits"),
                ether_type: EtherType(*next),
            };
            bytes.extend(header.to_bytes());
        }
        let start = bytes.len();
        bytes.extend(body);
        bytes.extend(&self.trailer);
        for (offset, patch) in &self.patches {
            let at = start + offset;
            bytes[at..at + patch.len()].copy_from_slice(patch);
        }
        if let Some(len) = self.cut {
            bytes.truncate(len);
        }
        bytes
    }
}
