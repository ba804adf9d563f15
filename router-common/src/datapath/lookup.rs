//! The tables' stage: which network a frame came in on, where it goes, and
//! whether it may.

use super::{
    Forward, Pair, Reason, Tables, TagChange,
    ipv4::Datagram4,
    ipv6::Datagram6,
    parse::{Frame, Layer3},
    tables::{FibQuery, NextHop},
};
use crate::{
    abi::{Egress, Ingress, egress_flags, ingress_flags},
    wire::{Pcp, Tci, Vid},
};

/// Which network the frame came in on.
#[inline(always)]
pub(super) fn lookup_ingress<'t, T: Tables>(
    frame: &Frame,
    tables: &'t T,
) -> Result<&'t Ingress, Reason> {
    let vid = frame.vid();
    if vid == Vid::RESERVED {
        return Err(Reason::UnknownVid);
    }
    let ingress = tables.ingress(vid).ok_or(Reason::UnknownVid)?;
    if ingress.ifindex.get() == 0 {
        return Err(Reason::UnknownVid);
    }
    // The trunk is promiscuous: other hosts' frames are seen, and forwarding
    // them would duplicate them.
    if frame.destination != ingress.mac {
        return Err(Reason::OtherMac);
    }
    if !ingress.has(ingress_flags::UP) {
        return Err(Reason::NetworkDown);
    }
    let forwarding = match frame.layer3 {
        Layer3::V4 => ingress_flags::FORWARD_V4,
        Layer3::V6 => ingress_flags::FORWARD_V6,
    };
    if !ingress.has(forwarding) {
        return Err(Reason::ForwardingOff);
    }
    Ok(ingress)
}

/// Where an IPv4 packet goes.
#[inline(always)]
pub(super) fn lookup_egress_v4<T: Tables>(
    frame: &Frame,
    ingress: &Ingress,
    datagram: &Datagram4,
    tables: &T,
) -> Result<Forward, Reason> {
    let hop = tables.fib_lookup_v4(&FibQuery {
        ifindex: ingress.ifindex,
        source: datagram.source,
        destination: datagram.destination,
        class: [datagram.tos, 0, 0, 0],
        protocol: datagram.protocol,
        source_port: datagram.l4.source_port,
        destination_port: datagram.l4.destination_port,
        length: datagram.total_len,
    })?;
    let egress = check_egress(frame, ingress, &hop, tables)?;
    if u32::from(datagram.total_len) > egress.mtu4 {
        return Err(Reason::MtuExceeded);
    }
    check_multipath(
        egress,
        egress_flags::MULTIPATH_V4_UNREPEATABLE,
        datagram.is_icmp_error(),
    )?;
    // ip_forward sets skb->priority from the TOS, whatever the tag said, unless
    // its sysctl says otherwise.
    let priority = if ingress.has(ingress_flags::KEEP_PRIORITY) {
        ingress_priority(frame, ingress)?
    } else {
        tos_priority(datagram.tos)
    };
    Ok(forward(frame, ingress, egress, &hop, priority))
}

/// Where an IPv6 packet goes.
#[inline(always)]
pub(super) fn lookup_egress_v6<T: Tables>(
    frame: &Frame,
    ingress: &Ingress,
    datagram: &Datagram6,
    tables: &T,
) -> Result<Forward, Reason> {
    let hop = tables.fib_lookup_v6(&FibQuery {
        ifindex: ingress.ifindex,
        source: datagram.source,
        destination: datagram.destination,
        class: datagram.flow_info,
        protocol: datagram.protocol,
        source_port: datagram.l4.source_port,
        destination_port: datagram.l4.destination_port,
        // Jumbograms have an extension header and never come here; a larger
        // packet than 65535 exceeds every MTU either way.
        length: u16::try_from(datagram.total_len).unwrap_or(u16::MAX),
    })?;
    let egress = check_egress(frame, ingress, &hop, tables)?;
    if datagram.total_len > egress.mtu6 as usize {
        return Err(Reason::MtuExceeded);
    }
    check_multipath(
        egress,
        egress_flags::MULTIPATH_V6_UNREPEATABLE,
        datagram.is_icmp_error(),
    )?;
    // ip6_forward leaves skb->priority as the VLAN device set it on the way in.
    let priority = ingress_priority(frame, ingress)?;
    Ok(forward(frame, ingress, egress, &hop, priority))
}

/// `skb->priority` as the VLAN device set it from the tag
/// (`vlan_get_ingress_priority`, net/8021q/vlan.h).
#[inline(always)]
fn ingress_priority(frame: &Frame, ingress: &Ingress) -> Result<u8, Reason> {
    let pcp = frame.tag.map_or(0, |tci| tci.pcp().get());
    match ingress.priority[usize::from(pcp & 7)] {
        Ingress::PRIORITY_UNMAPPED => Err(Reason::PriorityUnmapped),
        priority => Ok(priority),
    }
}

/// Whether a packet may leave by the device that the kernel answered.
#[inline(always)]
fn check_egress<'t, T: Tables>(
    frame: &Frame,
    ingress: &Ingress,
    hop: &NextHop,
    tables: &'t T,
) -> Result<&'t Egress, Reason> {
    if hop.ifindex == ingress.ifindex {
        return Err(Reason::SameNetwork);
    }
    // A NOARP neighbour without an address: nothing that Ethernet delivers.
    if hop.destination.is_zero() {
        return Err(Reason::NoNeighbour);
    }
    let egress = tables.egress(hop.ifindex).ok_or(Reason::EgressUnknown)?;
    if !egress.has(egress_flags::UP) {
        return Err(Reason::EgressDown);
    }
    // A redirect cannot be taken back once the frame is rewritten.
    if egress.trunk != tables.trunk() {
        if !tables.can_redirect(egress.trunk) {
            return Err(Reason::EgressDown);
        }
        if frame.spans_buffers && !egress.has(egress_flags::SENDS_BUFFERS) {
            return Err(Reason::SeveralBuffers);
        }
    }
    Ok(egress)
}

/// Whether XDP chose the leg that the kernel would choose.
#[inline(always)]
fn check_multipath(egress: &Egress, unrepeatable: u8, icmp_error: bool) -> Result<(), Reason> {
    let inner_hashed = icmp_error && egress.has(egress_flags::MULTIPATH_LEG);
    if inner_hashed || egress.has(unrepeatable) {
        return Err(Reason::Multipath);
    }
    Ok(())
}

/// Puts the decision together.
#[inline(always)]
fn forward(
    frame: &Frame,
    ingress: &Ingress,
    egress: &Egress,
    hop: &NextHop,
    priority: u8,
) -> Forward {
    Forward {
        pair: Pair {
            from: ingress.network,
            to: egress.network,
        },
        device: hop.ifindex,
        trunk: egress.trunk,
        destination: hop.destination,
        source: hop.source,
        tag: tag_change(frame.tag, ingress, egress, priority),
        layer3: frame.layer3,
    }
}

/// What becomes of the tag.
#[inline(always)]
fn tag_change(tag: Option<Tci>, ingress: &Ingress, egress: &Egress, priority: u8) -> TagChange {
    if egress.vid.is_untagged() {
        return match tag {
            Some(_) => TagChange::Pop,
            None => TagChange::None,
        };
    }
    let mapped = Tci::new(
        Pcp::new(egress.pcp[usize::from(priority & 15)]),
        false,
        egress.vid,
    );
    match tag {
        Some(tci) if ingress.has(ingress_flags::KEEP_PCP) => {
            TagChange::Replace(tci.with_vid(egress.vid))
        }
        Some(_) => TagChange::Replace(mapped),
        None => TagChange::Push(mapped),
    }
}

/// `skb->priority` of a forwarded IPv4 packet: `rt_tos2priority`
/// (include/net/route.h) over `ip_tos2prio` (net/ipv4/route.c). "Least cost",
/// today ECN's ECT(0), is best effort like the rest of the first row.
#[inline(always)]
fn tos_priority(tos: u8) -> u8 {
    const BEST_EFFORT: u8 = 0;
    const BULK: u8 = 2;
    const INTERACTIVE_BULK: u8 = 4;
    const INTERACTIVE: u8 = 6;
    match (tos & 0x1e) >> 1 {
        0..=3 => BEST_EFFORT,
        4..=7 => BULK,
        8..=11 => INTERACTIVE,
        _ => INTERACTIVE_BULK,
    }
}
