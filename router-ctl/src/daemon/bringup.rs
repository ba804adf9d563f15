//! Bringing the networks up, in the order of design.md 5: trunks,
//! sub-interfaces, gateways, forwarding, routes.
//!
//! What is as it should be is left alone and not journalled: it was there
//! before. So a second start adopts what a first one left standing, and what
//! the first one made stays in the journal as ours.

use std::net::IpAddr;

use ipnet::IpNet;
use tracing::info;

use super::{
    fail,
    host::Host,
    installed::{Occupant, in_main},
};
use crate::{
    codes,
    config::{Config, Network, StaticRoute, Trunk, XdpMode},
    error::{Error, Kind},
    journal::{Effect, Entry},
    netlink::{
        PROTOCOL,
        types::{Leg, Link, Route, RouteChange, RouteSpec, Tables, Vlan},
    },
    reconcile,
    sys::{self, Offload},
};

/// The switch of IPv4 forwarding: all interfaces follow it.
pub(super) const IP_FORWARD: &str = "ipv4/ip_forward";
/// The switch of IPv6 forwarding.
pub(super) const FORWARD_V6: &str = "ipv6/conf/all/forwarding";

/// Brings everything up but XDP.
pub(super) async fn bring_up(
    config: &Config,
    stand_in: bool,
    host: &mut Host,
) -> Result<(), Error> {
    host.ask_others()?;
    let mut tables = host.devices().await?;
    for trunk in &config.trunks {
        prepare_trunk(trunk, &tables, host).await?;
    }
    for network in &config.networks {
        prepare_sub_interface(network, stand_in, &mut tables, host).await?;
        prepare_gateways(network, &tables, host).await?;
    }
    prepare_forwarding(config, host).await?;
    if !config.routes.is_empty() {
        let mut all = host.tables().await?;
        if host.is_rehearsing() {
            // With those that would be made.
            all.links = tables.links;
        }
        prepare_routes(config, &all, host).await?;
    }
    Ok(())
}

/// Up, promiscuous (sub-interfaces may have MACs of their own), and with the
/// offloads as XDP needs them.
pub(super) async fn prepare_trunk(
    trunk: &Trunk,
    tables: &Tables,
    host: &mut Host,
) -> Result<(), Error> {
    let Some(link) = tables.link(&trunk.interface) else {
        return Err(no_trunk(&trunk.interface));
    };
    switch_up(link, host).await?;
    let promiscuous = Effect::Promiscuous {
        interface: link.name.clone(),
    };
    provide(promiscuous, link.promiscuous, link, host).await?;
    if trunk.xdp == XdpMode::Off {
        return Ok(());
    }
    switch_off(link, Offload::RxVlan, host).await?;
    switch_off(link, Offload::Lro, host).await
}

pub(super) fn no_trunk(interface: &str) -> Error {
    Error::new(
        Kind::Failed,
        codes::TRUNK_MISSING,
        format!("there is no interface {interface}"),
    )
    .help("see `ip -br link` for those there are")
}

/// Does what is not done yet. What another instance has done is noted.
async fn provide(effect: Effect, done: bool, link: &Link, host: &mut Host) -> Result<(), Error> {
    if done {
        host.claim(|theirs| theirs.is_about(&effect, Some(link.ifindex)))
    } else {
        host.perform(effect).await
    }
}

/// Switches an offload off that is on.
pub(super) async fn switch_off(
    link: &Link,
    offload: Offload,
    host: &mut Host,
) -> Result<(), Error> {
    let effect = Effect::Offload {
        interface: link.name.clone(),
        offload,
        before: true,
    };
    // A driver that cannot say has no such offload.
    let off = !sys::offload(&link.name, offload).unwrap_or(false);
    provide(effect, off, link, host).await
}

async fn switch_up(link: &Link, host: &mut Host) -> Result<(), Error> {
    let effect = Effect::Up {
        interface: link.name.clone(),
    };
    provide(effect, link.up, link, host).await
}

/// Adopts the sub-interface, or makes it.
async fn prepare_sub_interface(
    network: &Network,
    stand_in: bool,
    tables: &mut Tables,
    host: &mut Host,
) -> Result<(), Error> {
    if tables.link(&network.interface).is_none() {
        let effect = Effect::SubInterface {
            interface: network.interface.clone(),
            parent: network.trunk.clone(),
            vlan: network.vlan.get(),
        };
        host.perform(effect).await?;
        if host.is_rehearsing() {
            // It would be there now, and down.
            tables.links.push(rehearsed(network, tables));
        } else {
            tables.links.extend(host.link(&network.interface).await?);
        }
    }
    let place = reconcile::place(network, tables, stand_in).map_err(|absence| {
        Error::new(
            Kind::Failed,
            codes::INTERFACE_UNFIT,
            format!(
                "{} cannot be the sub-interface of network {}",
                network.interface, network.name
            ),
        )
        .cause(absence)
        .help(format!(
            "name another with `interface = ...`, or see `ip -d link show {}`",
            network.interface
        ))
    })?;
    switch_up(place.link, host).await
}

/// The sub-interface that would be made.
fn rehearsed(network: &Network, tables: &Tables) -> Link {
    Link {
        name: network.interface.clone(),
        parent: tables.link(&network.trunk).map(|trunk| trunk.ifindex),
        vlan: Some(Vlan {
            vid: network.vlan.get(),
            protocol: reconcile::IEEE_8021Q,
            ..Vlan::default()
        }),
        ..Link::default()
    }
}

async fn prepare_gateways(
    network: &Network,
    tables: &Tables,
    host: &mut Host,
) -> Result<(), Error> {
    let Some(link) = tables.link(&network.interface) else {
        return Ok(());
    };
    for gateway in &network.gateways {
        let there = tables
            .addresses_of(link.ifindex)
            .find(|address| address.address == *gateway);
        let effect = Effect::Address {
            interface: network.interface.clone(),
            address: *gateway,
        };
        match there {
            None => host.perform(effect).await?,
            // The kernel looks for the other host once, when it is given.
            Some(address) if address.duplicate => host.give_anew(effect).await?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// Forwarding for the namespace. Not for the networks' interfaces alone: with
/// `ip_forward` the kernel also refuses ICMP redirects, and IPv6 forwarding is
/// the namespace's by nature.
async fn prepare_forwarding(config: &Config, host: &mut Host) -> Result<(), Error> {
    if read(host, IP_FORWARD)?.as_deref() == Some("0") {
        // What ip_forward changes along with it, where going back to 0 does not
        // bring it back.
        note_dragged(host, "ipv4/conf/all/accept_redirects", "1").await?;
        for interface in interfaces(host, "ipv4")? {
            note_dragged(host, &format!("ipv4/conf/{interface}/forwarding"), "0").await?;
        }
        write(host, IP_FORWARD, "0", "1").await?;
    } else {
        host.claim(|theirs| is_switch(&theirs.effect, IP_FORWARD, "ipv4/"))?;
    }
    for network in &config.networks {
        let name = format!("ipv4/conf/{}/forwarding", network.interface);
        match read(host, &name)?.as_deref() {
            Some("0") => write(host, &name, "0", "1").await?,
            _ => host.claim(|theirs| is_switch(&theirs.effect, &name, ""))?,
        }
    }
    prepare_forwarding_v6(config, host).await
}

async fn prepare_forwarding_v6(config: &Config, host: &mut Host) -> Result<(), Error> {
    let off = read(host, FORWARD_V6)?.as_deref() == Some("0");
    if !off {
        host.claim(|theirs| is_switch(&theirs.effect, FORWARD_V6, "ipv6/"))?;
    }
    let by_us = |entry: &Entry| is_switch(&entry.effect, FORWARD_V6, "");
    if !off && !host.journal.entries().iter().any(by_us) {
        // It was on before: who listens to routers has been settled.
        return Ok(());
    }
    for interface in interfaces(host, "ipv6")? {
        if off {
            note_dragged(host, &format!("ipv6/conf/{interface}/forwarding"), "0").await?;
        }
        // First: a router with accept_ra = 1 forgets its default route.
        let name = format!("ipv6/conf/{interface}/accept_ra");
        if keeps_its_router(config, &interface) && read(host, &name)?.as_deref() == Some("1") {
            write(host, &name, "1", "2").await?;
        } else {
            host.claim(|theirs| is_switch(&theirs.effect, &name, ""))?;
        }
    }
    if off {
        write(host, FORWARD_V6, "0", "1").await?;
    }
    Ok(())
}

/// Whether an effect wrote the sysctl of this name, or was dragged along below
/// `dragged` (nothing: none).
fn is_switch(effect: &Effect, switch: &str, dragged: &str) -> bool {
    match effect {
        Effect::Sysctl { name, .. } => name == switch,
        Effect::Dragged { name, .. } => !dragged.is_empty() && name.starts_with(dragged),
        _ => false,
    }
}

/// Every interface, `default` too; `all` is what is written.
fn interfaces(host: &Host, family: &str) -> Result<Vec<String>, Error> {
    let mut names = host.sysctls.interfaces(family).map_err(|error| {
        fail::io(
            codes::SYSCTL,
            format!("cannot list the sysctls of {family}"),
            &error,
        )
    })?;
    names.retain(|name| name != "all");
    Ok(names)
}

fn read(host: &Host, name: &str) -> Result<Option<String>, Error> {
    host.sysctls
        .read(name)
        .map_err(|error| fail::io(codes::SYSCTL, format!("cannot read {name}"), &error))
}

async fn write(host: &mut Host, name: &str, before: &str, after: &str) -> Result<(), Error> {
    host.perform(Effect::Sysctl {
        name: name.into(),
        before: before.into(),
        after: after.into(),
    })
    .await
}

/// Notes a sysctl that another one changes, unless undoing that one leaves it
/// as it is now (`left`).
async fn note_dragged(host: &mut Host, name: &str, left: &str) -> Result<(), Error> {
    match read(host, name)? {
        Some(before) if before != left => {
            let name = name.into();
            host.note(Effect::Dragged { name, before }).await
        }
        _ => Ok(()),
    }
}

/// Whether an interface goes on listening to router advertisements: not where
/// this host is the gateway, or any host there could become its default route.
pub(super) fn keeps_its_router(config: &Config, interface: &str) -> bool {
    let serves = |network: &Network| network.interface == interface && !network.gateways.is_empty();
    !matches!(interface, "default" | "lo") && !config.networks.iter().any(serves)
}

/// Installs the static routes; one of ours that is in a place makes way.
async fn prepare_routes(config: &Config, tables: &Tables, host: &mut Host) -> Result<(), Error> {
    let mut there = Vec::new();
    let mut missing = Vec::new();
    let places = in_main(tables);
    for route in &config.routes {
        let spec = route_spec(config, route, tables)?;
        let place = places.get(&(spec.dst, spec.metric)).copied();
        match ours(place)? {
            None => missing.push((RouteChange::Add, spec)),
            Some(ours) if leads_as(ours, &spec) => there.push(spec),
            Some(_) => missing.push((RouteChange::Replace, spec)),
        }
    }
    host.note_routes(&there)?;
    for (change, spec) in &missing {
        info!(?spec, ?change, "static route");
    }
    host.install_routes(&missing).await
}

/// The route of ours that is where `spec` would be.
///
/// # Errors
/// If one of somebody else's is there: it is theirs to change.
pub(super) fn ours_in_place<'t>(
    spec: &RouteSpec,
    tables: &'t Tables,
) -> Result<Option<&'t Route>, Error> {
    ours(in_main(tables).get(&(spec.dst, spec.metric)).copied())
}

/// The route in the place of `spec`, if it is ours.
fn ours(in_place: Option<&Route>) -> Result<Option<&Route>, Error> {
    match in_place {
        Some(other) if other.protocol != PROTOCOL => Err(occupied(other)),
        ours => Ok(ours),
    }
}

fn occupied(other: &Route) -> Error {
    let occupant = Occupant::of(other);
    Error::new(
        Kind::Failed,
        codes::ROUTE_EXISTS,
        format!(
            "somebody else's route to {} is in the place: {occupant}",
            other.dst
        ),
    )
    .help(format!(
        "remove that one with `{}`, or give this one another metric",
        occupant.removal()
    ))
}

/// That nobody else's route is where one of the configuration would be.
///
/// # Errors
/// Which one is.
pub(super) fn find_room(config: &Config, tables: &Tables) -> Result<(), Error> {
    let places = in_main(tables);
    for route in &config.routes {
        let metric = route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
        match places.get(&(route.to.trunc(), metric)) {
            Some(other) if other.protocol != PROTOCOL => return Err(occupied(other)),
            _ => {}
        }
    }
    Ok(())
}

/// That IPv6 gateways can be given to the sub-interfaces that are there.
///
/// # Errors
/// Which one has IPv6 switched off.
pub(super) fn find_ipv6(config: &Config, host: &Host) -> Result<(), Error> {
    for network in &config.networks {
        let has_v6 = network.gateways.iter().any(|net| net.addr().is_ipv6());
        if has_v6 && host.has_no_ipv6(&network.interface) {
            return Err(no_ipv6(&network.interface));
        }
    }
    Ok(())
}

/// What the kernel calls `Permission denied`.
pub(super) fn no_ipv6(interface: &str) -> Error {
    Error::new(
        Kind::Failed,
        codes::INTERFACE_REFUSED,
        format!("IPv6 is switched off on {interface}: disable_ipv6 is 1"),
    )
    .help(ipv6_on(interface))
}

/// What switches IPv6 on.
pub(super) fn ipv6_on(interface: &str) -> String {
    format!("sysctl -w net/ipv6/conf/{interface}/disable_ipv6=0")
}

/// Whether a route of ours leads where `spec` does.
fn leads_as(route: &Route, spec: &RouteSpec) -> bool {
    let same =
        |leg: &Leg| leg.via == spec.via && (spec.device.is_none() || leg.device == spec.device);
    let source = spec.source.is_none() || route.source == spec.source;
    route.protocol == PROTOCOL && source && matches!(&route.legs[..], [leg] if same(leg))
}

/// The kernel's terms for a static route.
pub(super) fn route_spec(
    config: &Config,
    route: &StaticRoute,
    tables: &Tables,
) -> Result<RouteSpec, Error> {
    let interface = route.network.as_ref().map(|name| {
        let network = config.networks.iter().find(|network| network.name == *name);
        network.map_or(name.as_str(), |network| &network.interface)
    });
    let device = match interface {
        None => None,
        Some(name) => Some(
            tables
                .link(name)
                .ok_or_else(|| {
                    Error::new(
                        Kind::Failed,
                        codes::DEVICE_UNKNOWN,
                        format!("there is no network or device {name}"),
                    )
                    .help("see `ip -br link` for the devices there are")
                })?
                .ifindex,
        ),
    };
    Ok(RouteSpec {
        dst: route.to.trunc(),
        via: route.via,
        // Link-local next hops are per device.
        device: device.or_else(|| device_towards(config, route.via?, tables)),
        metric: route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC),
        source: route.src,
    })
}

/// The device of the network that a next hop is a host of.
fn device_towards(
    config: &Config,
    via: IpAddr,
    tables: &Tables,
) -> Option<router_common::wire::IfIndex> {
    let network = config.networks.iter().find(|network| {
        network
            .gateways
            .iter()
            .any(|net: &IpNet| net.contains(&via))
    })?;
    Some(tables.link(&network.interface)?.ifindex)
}
