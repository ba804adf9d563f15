//! What can be changed about a sound packet and about the world it comes into.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    draft::{Draft, Ip, Skeleton},
    world::{Network, Only, Route, STRANGER, Target, World, device_of, host4, host6},
};

/// One change. Printed, it is the Rust that makes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    // Ethernet and tags
    ToMac([u8; 6]),
    FromMac([u8; 6]),
    /// VID of the outer tag, which is added where there is none.
    Vid(u16),
    /// PCP and DEI of the outer tag, likewise.
    Priority(u8, bool),
    Untagged,
    /// One more tag outside: TPID, TCI.
    Tag(u16, u16),
    /// The type behind the tags.
    Kind(u16),

    // IP
    Version(u8),
    /// The header length field alone, in words.
    Words(u8),
    /// Options, in words of four bytes.
    Options(u8),
    /// TOS or traffic class.
    Class(u8),
    Label(u32),
    /// The length field alone.
    Length(u16),
    Id(u16),
    /// Flags and offset.
    Fragment(u16),
    /// TTL or hop limit.
    Hops(u8),
    Protocol(u8),
    /// Bits to flip in the checksum.
    Sum(u16),
    /// An identification for which this is the checksum.
    SumIs(u16),
    Source4([u8; 4]),
    To4([u8; 4]),
    Source6([u8; 16]),
    To6([u8; 16]),
    /// An extension header of this kind and so many bytes in front.
    Extension(u8, u8),

    // Sizes and bytes
    Payload(u16),
    /// Payload such that the packet measures this from its IP header on.
    Size(u16),
    /// The payload's first four bytes: ports, or an ICMP type.
    Start([u8; 4]),
    /// Bytes behind the packet.
    Trailer(u16),
    PadTo(u16),
    Cut(u16),
    /// Offset from the IP header, bits.
    Flip(u16, u8),

    // The world; a network by its number
    /// Until when the lease is; the clock says 1000.
    Lease(u64),
    Gone(u16),
    Down(u16),
    NoForwarding4(u16),
    NoForwarding6(u16),
    RpFilter(u16, bool),
    KeepPcp(u16),
    /// ingress-qos-map: PCP, priority.
    PriorityOf(u16, u8, u32),
    /// egress-qos-map: priority, PCP.
    PcpOf(u16, u8, u8),
    Mtu(u16, u16),
    OddHash4(u16),
    OddHash6(u16),
    Leg(u16),
    /// No gateway address: an uplink that daemon and kernel know nothing of.
    NoGateway(u16),
    Local4([u8; 4]),
    Local6([u8; 16]),
    LocalsOverflow,
    Silent4([u8; 4]),
    Silent6([u8; 16]),
    NoMac4([u8; 4]),
    NoMac6([u8; 16]),
    NoPort(u8),
    TosKeepsPriority,
    Headroom(u8),
    Route4([u8; 4], u8, Only, Hop),
    Route6([u8; 16], u8, Only, Hop),
    /// The `mtu` of the last route, and whether it is locked.
    RouteMtu(u16, bool),
}

/// Where a route of a mutation leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Over host 9 of this network.
    Via(u16),
    /// To a device that is no network of ours.
    Elsewhere,
    No(&'static str),
}

/// One packet in one world.
#[derive(Clone, Debug)]
pub struct Case {
    pub skeleton: Skeleton,
    pub mutations: Vec<Mutation>,
}

impl Case {
    pub fn build(&self) -> (World, Vec<u8>) {
        let mut world = World::everything_up();
        world.trunk = world.networks[usize::from(self.skeleton.from)].trunk;
        let mut draft = self.skeleton.draft(&world);
        for mutation in &self.mutations {
            mutation.change_frame(&mut draft);
            mutation.change_world(&mut world);
        }
        let frame = draft.build();
        (world, frame)
    }
}

impl Mutation {
    fn change_frame(self, draft: &mut Draft) {
        match self {
            Self::ToMac(mac) => draft.destination = mac,
            Self::FromMac(mac) => draft.source = mac,
            Self::Vid(vid) => {
                let tci = outer_tci(draft);
                *tci = *tci & 0xf000 | vid & 0x0fff;
            }
            Self::Priority(pcp, dei) => {
                let tci = outer_tci(draft);
                *tci = *tci & 0x0fff | u16::from(pcp & 7) << 13 | u16::from(dei) << 12;
            }
            Self::Untagged => draft.tags.clear(),
            Self::Tag(tpid, tci) => draft.tags.insert(0, (tpid, tci)),
            Self::Kind(kind) => draft.kind = kind,
            Self::Length(length) => draft.length = Some(length),
            Self::Sum(bits) => draft.sum_flip = bits,
            Self::SumIs(sum) => draft.sum = Some(sum),
            Self::Payload(bytes) => draft.resize(bytes.into()),
            Self::Size(bytes) => {
                let header = draft.header_length();
                draft.resize(usize::from(bytes).saturating_sub(header));
            }
            Self::Start(bytes) => draft.overwrite(&bytes),
            Self::Trailer(bytes) => draft.trailer = vec![0x55; bytes.into()],
            Self::PadTo(bytes) => draft.pad_to = bytes.into(),
            Self::Cut(bytes) => draft.cut = bytes.into(),
            Self::Flip(offset, bits) => draft.flips.push((offset, bits)),
            _ => self.change_ip(draft),
        }
    }

    fn change_ip(self, draft: &mut Draft) {
        match (self, &mut draft.ip) {
            (Self::Version(version), Ip::V4(ip)) => ip.version = version & 15,
            (Self::Version(version), Ip::V6(ip)) => ip.version = version & 15,
            (Self::Words(words), Ip::V4(ip)) => ip.words = words & 15,
            (Self::Options(words), Ip::V4(ip)) => {
                let words = words.clamp(1, 10);
                ip.words = 5 + words;
                draft.between = vec![1; usize::from(words) * 4];
            }
            (Self::Class(class), Ip::V4(ip)) => ip.tos = class,
            (Self::Class(class), Ip::V6(ip)) => ip.class = class,
            (Self::Label(label), Ip::V6(ip)) => ip.label = label & 0xf_ffff,
            (Self::Id(id), Ip::V4(ip)) => ip.id = id,
            (Self::Fragment(word), Ip::V4(ip)) => {
                ip.bits = (word >> 13).to_be_bytes()[1];
                ip.offset = word & 0x1fff;
            }
            (Self::Hops(hops), Ip::V4(ip)) => ip.ttl = hops,
            (Self::Hops(hops), Ip::V6(ip)) => ip.hop_limit = hops,
            (Self::Protocol(protocol), Ip::V4(ip)) => ip.protocol = protocol,
            (Self::Protocol(protocol), Ip::V6(ip)) => ip.next_header = protocol,
            (Self::Source4(address), Ip::V4(ip)) => ip.source = address.into(),
            (Self::To4(address), Ip::V4(ip)) => ip.destination = address.into(),
            (Self::Source6(address), Ip::V6(ip)) => ip.source = address.into(),
            (Self::To6(address), Ip::V6(ip)) => ip.destination = address.into(),
            (Self::Extension(kind, bytes), Ip::V6(ip)) => {
                let mut header = vec![0; usize::from(bytes)];
                if let Some(next) = header.first_mut() {
                    *next = ip.next_header;
                }
                ip.next_header = kind;
                draft.between.splice(0..0, header);
            }
            _ => {}
        }
    }

    fn change_world(self, world: &mut World) {
        let networks = &mut world.networks;
        let mut net = |number: u16, change: &dyn Fn(&mut Network)| {
            networks
                .iter_mut()
                .filter(|net| net.number == number)
                .for_each(change);
        };
        match self {
            Self::Gone(number) => networks.retain(|net| net.number != number),
            Self::Down(number) => net(number, &|net| net.up = false),
            Self::NoForwarding4(number) => net(number, &|net| net.forwards4 = false),
            Self::NoForwarding6(number) => net(number, &|net| net.forwards6 = false),
            Self::RpFilter(number, on) => net(number, &|net| net.rp_filter = on),
            Self::KeepPcp(number) => net(number, &|net| net.keeps_pcp = true),
            Self::PriorityOf(number, pcp, priority) => net(number, &|net| {
                net.priority_of_pcp[usize::from(pcp & 7)] = priority;
            }),
            Self::PcpOf(number, priority, pcp) => net(number, &|net| {
                net.pcp_of_priority[usize::from(priority & 15)] = pcp & 7;
            }),
            Self::Mtu(number, mtu) => net(number, &|net| net.mtu = mtu.into()),
            Self::OddHash4(number) => net(number, &|net| net.odd_hash4 = true),
            Self::OddHash6(number) => net(number, &|net| net.odd_hash6 = true),
            Self::Leg(number) => net(number, &|net| net.leg = true),
            Self::NoGateway(number) => net(number, &|net| {
                net.gateways4.clear();
                net.gateways6.clear();
            }),
            Self::Local4(address) => _ = world.locals.insert(address.into()),
            Self::Local6(address) => _ = world.locals.insert(address.into()),
            Self::Lease(until) => world.lease = until,
            Self::LocalsOverflow => world.locals_overflow = true,
            Self::Silent4(address) => _ = world.silent.insert(address.into()),
            Self::Silent6(address) => _ = world.silent.insert(address.into()),
            Self::NoMac4(address) => _ = world.without_mac.insert(address.into()),
            Self::NoMac6(address) => _ = world.without_mac.insert(address.into()),
            Self::NoPort(trunk) => _ = world.ports.remove(&trunk),
            Self::TosKeepsPriority => world.tos_sets_priority = false,
            Self::Headroom(bytes) => world.headroom = bytes.into(),
            Self::Route4(to, len, only, hop) => {
                let to = Ipv4Addr::from(to).into();
                world.routes.push(route(to, len.min(32), only, hop));
            }
            Self::Route6(to, len, only, hop) => {
                let to = Ipv6Addr::from(to).into();
                world.routes.push(route(to, len.min(128), only, hop));
            }
            Self::RouteMtu(mtu, locked) => {
                if let Some(route) = world.routes.last_mut() {
                    route.mtu = Some((mtu.into(), locked));
                }
            }
            _ => {}
        }
    }
}

fn outer_tci(draft: &mut Draft) -> &mut u16 {
    if draft.tags.is_empty() {
        draft.tags.push((0x8100, 0));
    }
    &mut draft.tags[0].1
}

fn route(to: IpAddr, len: u8, only: Only, hop: Hop) -> Route {
    let via = |number: u16| {
        let next_hop = match to {
            IpAddr::V4(_) => host4(number, 9).into(),
            IpAddr::V6(_) => host6(number, 9).into(),
        };
        Target::Via(device_of(number), next_hop)
    };
    Route {
        to: (to, len),
        only,
        target: match hop {
            Hop::Via(number) => via(number),
            Hop::Elsewhere => Target::Via(STRANGER, to),
            Hop::No(reason) => Target::No(reason),
        },
        mtu: None,
    }
}
