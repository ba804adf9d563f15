//! What a router must do with a frame, written from RFC 791, 1812, 2644, 4291,
//! 8200, IEEE 802.1Q and the project's design in another manner than the packet
//! path: it has no order and no first reason. All objections to a frame are
//! collected, each for itself; a frame without any is built anew as it must
//! leave.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use router_test_support::{
    packet::{Frame, Packet4, Packet6},
    world::{Network, World, covers, first_of, last_of},
};

use crate::kernel::{self, Question, Way};

/// What must become of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    /// Names of reasons that hold; the kernel takes a frame that has one.
    pub(crate) objections: BTreeSet<&'static str>,
    /// What may be asked of the kernel.
    pub(crate) questions: Vec<Question>,
    /// Where it goes, if there are no objections.
    pub(crate) departure: Option<Departure>,
}

/// A frame on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) trunk: u8,
    pub(crate) bytes: Vec<u8>,
}

/// What both families have, once read.
struct Datagram {
    question: Question,
    /// Length from the IP header on, as it says itself.
    length: usize,
    /// An ICMP error, or what cannot be told from one.
    error: bool,
    /// `skb->priority` by the packet alone.
    priority: Option<u8>,
}

struct Judge<'w> {
    world: &'w World,
    objections: BTreeSet<&'static str>,
    questions: Vec<Question>,
}

/// Judges a frame that comes in on the world's trunk.
pub(crate) fn judge(world: &World, bytes: &[u8]) -> Judgement {
    let mut judge = Judge {
        world,
        objections: BTreeSet::new(),
        questions: Vec::new(),
    };
    let departure = judge.frame(bytes);
    let sound = judge.objections.is_empty();
    assert!(
        departure.is_some() || !sound,
        "the model neither forwards nor objects"
    );
    Judgement {
        objections: judge.objections,
        questions: judge.questions,
        departure: departure.filter(|_| sound),
    }
}

impl Judge<'_> {
    fn object(&mut self, when: bool, reason: &'static str) {
        if when {
            self.objections.insert(reason);
        }
    }

    /// The value, or an objection for want of it.
    fn need<T>(&mut self, value: Option<T>, reason: &'static str) -> Option<T> {
        self.object(value.is_none(), reason);
        value
    }

    fn frame(&mut self, bytes: &[u8]) -> Option<Departure> {
        let frame = self.need(Frame::read(bytes), "frame-too-short")?;
        self.object(is_group(frame.source), "bad-source-mac");
        let six = match frame.kind {
            0x0800 => false,
            0x86dd => true,
            kind => {
                let reason = match kind {
                    0x0806 => "arp",
                    0x8100 | 0x88a8 => "stacked-tags",
                    _ => "not-ip",
                };
                self.object(true, reason);
                return None;
            }
        };
        let expired = self.world.now >= self.world.lease;
        self.object(expired, "lease-expired");
        let net = self.network(&frame)?;
        self.object(frame.destination != net.mac, "other-mac");
        self.object(!net.up, "network-down");
        let forwards = if six { net.forwards6 } else { net.forwards4 };
        self.object(!forwards, "forwarding-off");

        if six {
            let mut packet = self.need(Packet6::read(&frame.body), "bad-ip-header")?;
            let datagram = self.version6(&packet, &frame, &net)?;
            let (way, out) = self.way(&datagram, &net)?;
            packet.hop_limit = packet.hop_limit.wrapping_sub(1);
            Some(self.depart(&frame, packet.write(), &datagram, &net, &way, &out))
        } else {
            let mut packet = self.need(Packet4::read(&frame.body), "bad-ip-header")?;
            let datagram = self.version4(&packet, &frame, &net)?;
            let (way, out) = self.way(&datagram, &net)?;
            self.way_back(&datagram.question, &net, &way);
            packet.ttl = packet.ttl.wrapping_sub(1);
            Some(self.depart(&frame, packet.write(), &datagram, &net, &way, &out))
        }
    }

    /// Cases 5 to 7: by VID alone; 0 and none are the untagged network.
    fn network(&mut self, frame: &Frame) -> Option<Network> {
        let vid = frame.tci.map_or(0, |tci| tci % 4096);
        let networks = self.world.networks.iter();
        let found = networks
            .filter(|net| net.trunk == self.world.trunk && vid != 4095)
            .find(|net| net.vid.unwrap_or(0) == vid);
        self.need(found.cloned(), "unknown-vid")
    }

    /// Cases 36, 37 and 66.
    fn sizes(&mut self, frame: &Frame, length: usize) {
        let trailer = frame.body.len().checked_sub(length);
        let whole = frame.body.len() + if frame.tci.is_some() { 18 } else { 14 };
        self.object(trailer.is_none(), "bad-ip-header");
        self.object(
            trailer.is_some_and(|rest| rest > 0) && whole > 64,
            "trailer",
        );
    }

    /// RFC 1812 5.2.2 and 5.3.7.
    fn version4(&mut self, packet: &Packet4, frame: &Frame, net: &Network) -> Option<Datagram> {
        let header = usize::from(packet.words) * 4;
        let length = usize::from(packet.length);
        let sane = packet.version == 4 && header >= 20 && length >= header;
        self.object(!sane || header > frame.body.len(), "bad-ip-header");
        self.sizes(frame, length);
        self.object(packet.words > 5, "ip-options");
        self.object(!packet.is_sound(), "bad-checksum");
        let fragment = packet.bits % 2 == 1 || packet.offset > 0;
        self.object(fragment, "fragment");
        self.object(packet.ttl < 2, "ttl-exceeded");

        let (source, destination) = (packet.source, packet.destination);
        let nowhere = |ip: Ipv4Addr| ip.is_loopback() || covers([0, 0, 0, 0].into(), 8, ip.into());
        let to_many = destination.is_multicast() || destination.is_broadcast();
        self.object(to_many, "multicast");
        let from_many = source.is_multicast() || source.is_broadcast();
        let martian = nowhere(source) || nowhere(destination) || from_many;
        self.object(martian, "martian");
        let edges = net.gateways4.iter().any(|(ip, len)| {
            let edge = source == last_of(*ip, *len) || first_of((*ip).into(), *len) == source;
            edge && *len < 31
        });
        self.source(source.into(), edges, net);

        let payload = payload(&packet.rest, length.checked_sub(20)?);
        let kind = first_of_message(packet.protocol == 1, payload);
        let (source_port, destination_port) = ports(packet.protocol, payload);
        Some(Datagram {
            question: Question {
                device: net.device,
                source: source.into(),
                destination: destination.into(),
                class: packet.tos,
                label: 0,
                protocol: packet.protocol,
                source_port,
                destination_port,
                length: packet.length,
            },
            length,
            error: kind.is_some_and(|kind| [3, 4, 5, 11, 12].contains(&kind)),
            priority: self
                .world
                .tos_sets_priority
                .then(|| priority_of_tos(packet.tos)),
        })
    }

    /// RFC 8200 3 and 4, RFC 4291 2.5 and 2.7, RFC 4861.
    fn version6(&mut self, packet: &Packet6, frame: &Frame, net: &Network) -> Option<Datagram> {
        let length = usize::from(packet.payload_length) + 40;
        self.object(packet.version != 6, "bad-ip-header");
        self.sizes(frame, length);
        self.object(packet.next_header == 44, "fragment");
        let extensions = [0, 43, 51, 60, 135, 139, 140];
        self.object(extensions.contains(&packet.next_header), "ip-options");
        self.object(packet.hop_limit < 2, "ttl-exceeded");

        let (source, destination) = (packet.source, packet.destination);
        self.object(destination.is_multicast(), "multicast");
        // ::, ::1, ::a.b.c.d and ::ffff:a.b.c.d among others.
        let special = |ip: Ipv6Addr| covers(Ipv6Addr::UNSPECIFIED.into(), 80, ip.into());
        let martian = special(source) || special(destination) || source.is_multicast();
        self.object(martian, "martian");
        let link = source.is_unicast_link_local() || destination.is_unicast_link_local();
        self.object(link, "link-local");
        let anycast = |(ip, len): &(Ipv6Addr, u8)| first_of((*ip).into(), *len) == source;
        self.source(source.into(), net.gateways6.iter().any(anycast), net);

        let icmp = packet.next_header == 58;
        let payload = payload(&packet.rest, packet.payload_length.into());
        let kind = first_of_message(icmp, payload);
        self.object(
            kind.is_some_and(|kind| (133..=137).contains(&kind)),
            "neighbour-discovery",
        );
        let (source_port, destination_port) = ports(packet.next_header, payload);
        Some(Datagram {
            question: Question {
                device: net.device,
                source: source.into(),
                destination: destination.into(),
                class: packet.class,
                label: packet.label,
                protocol: packet.next_header,
                source_port,
                destination_port,
                length: u16::try_from(length).unwrap_or(u16::MAX),
            },
            length,
            // A message without a type may be one.
            error: icmp && kind.is_none_or(|kind| kind < 128),
            priority: None,
        })
    }

    /// design.md 3, step 3: sources that the kernel would not take.
    fn source(&mut self, source: IpAddr, edge: bool, net: &Network) {
        let local = self.world.is_local(source);
        self.object(local || edge, "local-source");
        let mut own = net.gateways().into_iter();
        let foreign = !own.any(|(ip, len)| covers(ip, len, source));
        let unknown = self.world.locals_overflow && foreign;
        self.object(unknown, "source-unverified");
    }

    /// The way out, by the kernel and by what the daemon knows of it.
    fn way(&mut self, datagram: &Datagram, net: &Network) -> Option<(Way, Network)> {
        let question = &datagram.question;
        self.questions.push(*question);
        let way = match kernel::ask(self.world, question) {
            Ok(way) => way,
            Err(reason) => {
                self.object(true, reason);
                return None;
            }
        };
        self.object(way.device == net.device, "same-network");
        self.object(way.next_mac == [0; 6], "no-neighbour");
        let out = self.world.network_of(way.device).cloned();
        let out = self.need(out, "egress-unknown")?;
        let elsewhere = out.trunk != self.world.trunk;
        let reachable = !elsewhere || self.world.ports.contains(&out.trunk);
        self.object(!out.up || !reachable, "egress-down");

        let six = question.destination.is_ipv6();
        let limit = usize::try_from(self.world.limit(&out, six)).expect("64 bits");
        self.object(datagram.length > limit, "mtu-exceeded");
        let odd = if six { out.odd_hash6 } else { out.odd_hash4 };
        self.object(odd || (out.leg && datagram.error), "multipath");
        Some((way, out))
    }

    /// rp_filter: the kernel must send the answer back by this network.
    fn way_back(&mut self, question: &Question, net: &Network, way: &Way) {
        if !net.rp_filter {
            return;
        }
        let back = Question {
            device: way.device,
            source: question.destination,
            destination: question.source,
            source_port: question.destination_port,
            destination_port: question.source_port,
            length: 0,
            ..*question
        };
        self.questions.push(back);
        let device = kernel::ask_device(self.world, &back);
        self.object(device != Some(net.device), "source-unverified");
    }

    /// The frame as it leaves.
    fn depart(
        &mut self,
        frame: &Frame,
        body: Vec<u8>,
        datagram: &Datagram,
        net: &Network,
        way: &Way,
        out: &Network,
    ) -> Departure {
        let pcp = frame.tci.map_or(0, |tci| tci >> 13);
        let by_tag = net.priority_of_pcp[usize::from(pcp)];
        let priority = datagram.priority.map_or(by_tag, u32::from);
        // The maps of the program end at 15.
        self.object(priority > 15, "priority-unmapped");
        let grows = out.vid.is_some() && frame.tci.is_none();
        self.object(grows && self.world.headroom < 4, "no-headroom");

        let tci = out.vid.map(|vid| match frame.tci {
            Some(tci) if net.keeps_pcp => tci / 4096 * 4096 + vid,
            _ => {
                let mapped = usize::try_from(priority % 16).expect("small");
                u16::from(out.pcp_of_priority[mapped]) * 8192 + vid
            }
        });
        let leaving = Frame {
            destination: way.next_mac,
            source: way.source_mac,
            tci,
            kind: frame.kind,
            body,
        };
        Departure {
            from: net.number,
            to: out.number,
            trunk: out.trunk,
            bytes: leaving.write(),
        }
    }
}

/// IEEE 802.3: the first bit on the wire.
fn is_group(mac: [u8; 6]) -> bool {
    mac[0] % 2 == 1
}

/// What the packet's own length leaves of `rest`; `None` where bytes lack.
fn payload(rest: &[u8], length: usize) -> Option<&[u8]> {
    rest.get(..length)
}

/// The type of an ICMP message, if there is a whole header of four bytes.
fn first_of_message(icmp: bool, payload: Option<&[u8]>) -> Option<u8> {
    match payload {
        Some([kind, _, _, _, ..]) if icmp => Some(*kind),
        _ => None,
    }
}

/// Ports of TCP, UDP, DCCP, SCTP and UDP-Lite; and the number of the security
/// association that ESP has in their place, AH four bytes later.
fn ports(protocol: u8, payload: Option<&[u8]>) -> (u16, u16) {
    match (protocol, payload) {
        (6 | 17 | 33 | 50 | 132 | 136, Some([a, b, c, d, ..]))
        | (51, Some([_, _, _, _, a, b, c, d, ..])) => {
            let port = |high: u8, low: u8| u16::from(high) * 256 + u16::from(low);
            (port(*a, *b), port(*c, *d))
        }
        _ => (0, 0),
    }
}

/// `ip_tos2prio` of net/ipv4/route.c, by RFC 1349's four bits: nothing asked
/// for, and least cost, are best effort (0); throughput is bulk (2); delay is
/// interactive (6), with throughput interactive bulk (4). Reliability changes
/// nothing.
fn priority_of_tos(tos: u8) -> u8 {
    let (delay, throughput) = (tos & 0x10 > 0, tos & 0x08 > 0);
    match (delay, throughput) {
        (false, false) => 0,
        (false, true) => 2,
        (true, false) => 6,
        (true, true) => 4,
    }
}
