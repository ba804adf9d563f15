//! Whether packets go through, and if not all of them, why and what mends it.

use router_common::wire::IfIndex;

use super::view::Known;
use crate::{
    api::model::{Problem, State},
    config::{Config, Network, StaticRoute, Trunk, XdpMode},
    instance::router_ctl,
    netlink::{
        Index,
        types::{Link, XdpAttachment},
    },
    reconcile::Absence,
};

/// The daemon's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) state: State,
    pub(super) problems: Vec<Problem>,
}

/// Judges what is known.
pub(super) fn judge(config: &Config, known: &Known) -> Health {
    let mut problems = Vec::new();
    let index = Index::of(&known.kernel.tables);
    for (at, trunk) in config.trunks.iter().enumerate() {
        judge_trunk(at, trunk, known, &index, &mut problems);
    }
    let mut waiting = false;
    for (network, place) in config.networks.iter().zip(&known.plan.networks) {
        match place {
            Ok(device) => waiting |= judge_network(network, *device, &index, &mut problems),
            // Said of the trunk.
            Err(Absence::TrunkMissing | Absence::Changing) => {}
            Err(absence) => problems.push(absent(network, absence)),
        }
    }
    judge_forwarding(config, known, &mut problems);
    for &at in &known.missing_routes {
        if let Some(route) = config.routes.get(at) {
            problems.push(problem(
                format!("the route to {} is not installed", route.to),
                Some(route_command(&known.instance, route)),
            ));
        }
    }
    problems.extend(known.pin_failure.clone());
    problems.extend(known.journal_failure.clone());
    if let Some(failure) = &known.map_failure {
        problems.push(problem(failure.clone(), None));
    }
    problems.extend(known.losses.iter().cloned());
    problems.extend(known.troubles.iter().cloned());
    let state = match (known.ready, problems.is_empty(), waiting) {
        (false, ..) | (true, true, true) => State::Starting,
        (true, true, false) => State::Forwarding,
        (true, false, _) => State::Degraded,
    };
    Health { state, problems }
}

fn problem(message: String, help: Option<String>) -> Problem {
    Problem { message, help }
}

fn judge_trunk(
    at: usize,
    trunk: &Trunk,
    known: &Known,
    index: &Index<'_>,
    problems: &mut Vec<Problem>,
) {
    let name = &trunk.interface;
    let Some(link) = index.link(name) else {
        // Not a restart: a daemon does not start without its trunks.
        problems.push(problem(
            format!("trunk {name} is missing"),
            Some(format!(
                "once there is a {name} again, XDP is attached to it by itself; without it for good, take it out of the configuration and `{} config apply`",
                router_ctl(&known.instance)
            )),
        ));
        return;
    };
    judge_link("trunk", link, problems);
    if trunk.xdp == XdpMode::Off {
        return;
    }
    match known.attachments.get(at).and_then(Option::as_ref) {
        Some(attachment) if attachment.ifindex != link.ifindex => {
            let why = known.attach_failures.get(name);
            let why = why.map_or_else(|| "not yet".to_owned(), Clone::clone);
            problems.push(problem(
                format!("trunk {name} was made anew, and XDP is not attached to it: {why}"),
                Some("mend what it names: it is tried again every second".into()),
            ));
        }
        Some(attachment) if link.xdp.map(|xdp| xdp.prog_id) == Some(attachment.prog_id) => {}
        // Bring-up is not that far.
        None if !known.ready => {}
        _ => problems.push(match link.xdp {
            Some(xdp) => displaced(&known.instance, name, xdp.prog_id),
            None => problem(
                format!("the XDP program is not attached to {name} any more"),
                Some(format!("{} config apply", router_ctl(&known.instance))),
            ),
        }),
    }
    if known.rx_vlan.get(at).copied().flatten() == Some(true) {
        problems.push(problem(
            format!("{name} takes VLAN tags off: XDP does not see them"),
            Some(format!("ethtool -K {name} rxvlan off")),
        ));
    }
    if let Some(peer) = deaf_peer(link, index)
        && matches!(link.xdp, Some(xdp) if xdp.mode == XdpAttachment::Native)
    {
        problems.push(problem(
            format!(
                "{peer}, the other end of {name}, has no XDP program: what XDP sends there is lost"
            ),
            Some(format!(
                "attach a program to {peer} (one that passes everything will do), or set `xdp = \"generic\"` for {name}"
            )),
        ));
    }
    if !link.promiscuous {
        problems.push(problem(
            format!("{name} is not promiscuous: it may not see frames for its networks' MACs"),
            Some(format!("ip link set {name} promisc on")),
        ));
    }
}

/// The other end of a veth, if it takes no frames from XDP. One in another
/// network namespace cannot be seen.
fn deaf_peer<'t>(link: &Link, index: &Index<'t>) -> Option<&'t str> {
    let is_veth = link.kind.as_deref() == Some("veth");
    let peer = index.link_of(link.parent.filter(|_| is_veth)?)?;
    (peer.kind == link.kind && peer.xdp.is_none()).then_some(&*peer.name)
}

/// `config apply` detaches nothing that is not ours.
fn displaced(instance: &str, name: &str, program: u32) -> Problem {
    problem(
        format!("another XDP program is attached to {name} in place of ours: id {program}"),
        Some(format!(
            "see whose it is with `bpftool prog show id {program}`; detach it with `ip link set \
             {name} xdp off`, or with `bpftool link detach` where `bpftool link show` has a link of \
             it; then `{} config apply`",
            router_ctl(instance)
        )),
    )
}

fn judge_link(what: &str, link: &Link, problems: &mut Vec<Problem>) {
    let name = &link.name;
    if !link.up {
        problems.push(problem(
            format!("{what} {name} is down"),
            Some(format!("ip link set {name} up")),
        ));
    } else if !link.carrier {
        problems.push(problem(format!("{what} {name} has no carrier"), None));
    }
}

/// Whether it is still waiting for an address to become usable.
fn judge_network(
    network: &Network,
    device: IfIndex,
    index: &Index<'_>,
    problems: &mut Vec<Problem>,
) -> bool {
    if !network.vlan.is_untagged()
        && let Some(link) = index.link_of(device)
    {
        let trunk_up = index
            .link(&network.trunk)
            .is_some_and(|trunk| trunk.up && trunk.carrier);
        // Without the trunk it has no carrier of its own.
        if !link.up || trunk_up {
            judge_link("sub-interface", link, problems);
        }
    }
    let mut waiting = false;
    for gateway in &network.gateways {
        let address = index
            .addresses_of(device)
            .find(|address| address.address == *gateway);
        match address {
            None => problems.push(problem(
                format!("{} has lost its gateway address {gateway}", network.name),
                Some(format!("ip addr add {gateway} dev {}", network.interface)),
            )),
            Some(address) if address.duplicate => problems.push(problem(
                format!(
                    "another host of {} has the gateway address {gateway}",
                    network.name
                ),
                None,
            )),
            Some(address) => waiting |= address.tentative,
        }
    }
    waiting
}

fn absent(network: &Network, absence: &Absence) -> Problem {
    let Network {
        name, interface, ..
    } = network;
    match absence {
        Absence::Missing => {
            let mut help = format!(
                "ip link add link {} name {interface} type vlan id {} && ip link set {interface} up",
                network.trunk, network.vlan
            );
            for gateway in &network.gateways {
                help.push_str(&format!(" && ip addr add {gateway} dev {interface}"));
            }
            problem(
                format!("the sub-interface {interface} of {name} is missing"),
                Some(help),
            )
        }
        why => problem(format!("XDP does not forward for {name}: {why}"), None),
    }
}

fn judge_forwarding(config: &Config, known: &Known, problems: &mut Vec<Problem>) {
    let forwarding = &known.kernel.forwarding;
    let placed = || {
        let networks = config.networks.iter().zip(&known.plan.networks);
        networks.filter_map(|(network, place)| {
            let interface = forwarding.interfaces.get(place.as_ref().ok()?)?;
            Some((network, interface))
        })
    };
    // Each interface has its own, which this one switches together.
    let v4_off = !forwarding.v4 && placed().all(|(_, interface)| !interface.v4);
    if v4_off && placed().next().is_some() {
        problems.push(problem(
            "the kernel does not forward IPv4".into(),
            Some("sysctl -w net.ipv4.ip_forward=1".into()),
        ));
    }
    let mut v6_off = false;
    for (network, interface) in placed() {
        if !interface.v4 && !v4_off {
            problems.push(problem(
                format!("the kernel does not forward IPv4 of {}", network.name),
                Some(format!(
                    "sysctl -w net/ipv4/conf/{}/forwarding=1",
                    network.interface
                )),
            ));
        }
        let has_v6 = network
            .gateways
            .iter()
            .any(|gateway| gateway.addr().is_ipv6());
        v6_off |= has_v6 && !forwarding.v6 && !interface.v6_forced;
    }
    if v6_off {
        problems.push(problem(
            "the kernel does not forward IPv6".into(),
            Some("sysctl -w net.ipv6.conf.all.forwarding=1".into()),
        ));
    } else if known.kernel.tables.rules_v6.suppressing {
        problems.push(problem(
            "an IPv6 rule suppresses routes, which XDP cannot: the kernel alone forwards IPv6"
                .into(),
            Some(
                "do without it (suppress_prefixlength or suppress_ifgroup in `ip -6 rule`): XDP goes on once it has gone"
                    .into(),
            ),
        ));
    }
}

fn route_command(instance: &str, route: &StaticRoute) -> String {
    let mut command = format!("{} routes add {}", router_ctl(instance), route.to);
    if let Some(via) = route.via {
        command.push_str(&format!(" via {via}"));
    }
    if let Some(network) = &route.network {
        command.push_str(&format!(" dev {network}"));
    }
    if let Some(metric) = route.metric {
        command.push_str(&format!(" metric {metric}"));
    }
    if let Some(src) = route.src {
        command.push_str(&format!(" src {src}"));
    }
    command
}
