//! The kernel's part in plain words: what it answers when it is asked where a
//! packet goes. Both sides ask it, each with the question it made itself.

use std::net::IpAddr;

use router_test_support::world::{Only, Route, Target, World, covers, first_of, last_of, mac_of};

/// All that may choose a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Device that the packet came in on.
    pub(crate) device: u32,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// TOS or traffic class.
    pub(crate) class: u8,
    /// IPv6 flow label; 0 for IPv4.
    pub(crate) label: u32,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Bytes from the IP header on; 0: do not look at sizes.
    pub(crate) length: u16,
}

/// How to get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) device: u32,
    pub(crate) source_mac: [u8; 6],
    pub(crate) next_mac: [u8; 6],
}

/// Where a packet goes; otherwise the reason's name.
pub(crate) fn ask(world: &World, question: &Question) -> Result<Way, &'static str> {
    let (device, next_hop) = resolve(world, question)?;
    let (limit, source_mac) = match world.network_of(device) {
        Some(net) => (net.mtu, net.mac),
        None => (u32::MAX, [0x02, 0xee, 0, 0, 0, 0]),
    };
    let locked = match best_route(world, question).and_then(|route| route.mtu) {
        Some((mtu, true)) => mtu,
        _ => u32::MAX,
    };
    if u32::from(question.length) > limit.min(locked) {
        return Err("frag-needed");
    }
    if world.silent.contains(&next_hop) {
        return Err("no-neighbour");
    }
    let next_mac = if world.without_mac.contains(&next_hop) {
        [0; 6]
    } else {
        mac_of(device, next_hop)
    };
    Ok(Way {
        device,
        source_mac,
        next_mac,
    })
}

/// The device alone, whether or not the neighbour is known.
pub(crate) fn ask_device(world: &World, question: &Question) -> Option<u32> {
    resolve(world, question).ok().map(|(device, _)| device)
}

/// Device and next hop.
fn resolve(world: &World, question: &Question) -> Result<(u32, IpAddr), &'static str> {
    let to = question.destination;
    if world.is_local(to) {
        return Err("not-forwarded");
    }
    if let Some(route) = best_route(world, question) {
        return match route.target {
            Target::Via(device, next_hop) => Ok((device, next_hop)),
            Target::No(reason) => Err(reason),
        };
    }
    for net in &world.networks {
        for (gateway, len) in net.gateways() {
            if covers(gateway, len, to) {
                let edge = match gateway {
                    IpAddr::V4(gateway) => len < 31 && to == last_of(gateway, len),
                    IpAddr::V6(_) => false,
                };
                return if edge || to == first_of(gateway, len) {
                    Err("not-forwarded")
                } else {
                    Ok((net.device, to))
                };
            }
        }
    }
    Err("not-forwarded")
}

/// The most specific route that fits; among equals the first. Only routes at
/// least as specific as a network's own come before the connected ones, so
/// there are no others in these worlds but for destinations outside.
fn best_route<'w>(world: &'w World, question: &Question) -> Option<&'w Route> {
    let fits = |route: &&Route| {
        covers(route.to.0, route.to.1, question.destination)
            && match route.only {
                Only::Always => true,
                Only::From(device) => question.device == device,
                Only::OfClass(class) => question.class == class,
                Only::OfLabel(label) => question.label == label,
                Only::OfProtocol(protocol) => question.protocol == protocol,
                Only::SourcePort(port) => question.source_port == port,
                Only::DestinationPort(port) => question.destination_port == port,
                Only::SourceHost(host) => match question.source {
                    IpAddr::V4(ip) => ip.octets()[3] == host,
                    IpAddr::V6(ip) => ip.octets()[15] == host,
                },
            }
    };
    let routes = world.routes.iter().filter(fits);
    // max_by_key answers the last of equals.
    routes.rev().max_by_key(|route| route.to.1)
}
