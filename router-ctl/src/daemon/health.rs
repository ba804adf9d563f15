//! Whether packets go through, and if not all of them, why and what mends it.

use router_common::wire::IfIndex;

use super::{bringup::ipv6_on, installed::Why, view::Known};
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
    /// What is on its way, and over by itself.
    pub(super) warnings: Vec<Problem>,
}

/// Judges what is known.
pub(super) fn judge(config: &Config, known: &Known) -> Health {
    let mut problems = Vec::new();
    let mend = Mend::of(config, known);
    let index = Index::of(&known.kernel.tables);
    for (at, trunk) in config.trunks.iter().enumerate() {
        judge_trunk(at, trunk, known, &index, &mend, &mut problems);
    }
    let mut waiting = Vec::new();
    let disabled = |device: &IfIndex| {
        let interfaces = &known.kernel.forwarding.interfaces;
        interfaces
            .get(device)
            .is_some_and(|interface| interface.v6_disabled)
    };
    for (network, place) in config.networks.iter().zip(&known.plan.networks) {
        match place {
            Ok(device) => {
                let no_v6 = disabled(device);
                waiting.extend(judge_network(
                    network,
                    *device,
                    no_v6,
                    &index,
                    &mend,
                    &mut problems,
                ));
            }
            // Said of the trunk.
            Err(Absence::TrunkMissing | Absence::Changing) => {}
            Err(absence) => problems.push(absent(network, absence, &mend)),
        }
    }
    judge_forwarding(config, known, &mut problems);
    let faults = known.route_faults.iter();
    problems.extend(faults.filter_map(|fault| {
        let route = config.routes.get(fault.at)?;
        Some(route_problem(route, &fault.why, &mend))
    }));
    problems.extend(known.pin_failure.clone());
    problems.extend(known.journal_failure.clone());
    if let Some(failure) = &known.map_failure {
        problems.push(problem(
            failure.clone(),
            format!(
                "it is written again every second; where that does not help, end the daemon and \
                 start it anew: `{} run`",
                mend.router_ctl
            ),
        ));
    }
    problems.extend(known.losses.iter().cloned());
    problems.extend(known.troubles.iter().cloned());
    // An address that is new to a router that forwards takes nothing from it.
    let begins = !known.settled && !waiting.is_empty();
    let state = match (known.ready, problems.is_empty()) {
        (false, _) => State::Starting,
        (true, false) => State::Degraded,
        (true, true) if begins => State::Starting,
        (true, true) => State::Forwarding,
    };
    Health {
        state,
        problems,
        warnings: waiting,
    }
}

fn problem(message: String, help: String) -> Problem {
    Problem { message, help }
}

/// What puts this router right.
struct Mend {
    /// How commands about it begin.
    router_ctl: String,
    /// `config apply` works: there is a file.
    has_file: bool,
}

impl Mend {
    fn of(config: &Config, known: &Known) -> Self {
        Self {
            router_ctl: router_ctl(&known.instance),
            has_file: config.source.is_some(),
        }
    }

    /// One command for all that the configuration says and the kernel has not
    /// any more; without a file, the one for this alone.
    fn apply_or(&self, by_hand: impl FnOnce() -> String) -> String {
        if self.has_file {
            format!("{} config apply", self.router_ctl)
        } else {
            by_hand()
        }
    }

    /// What is to be done once something else is.
    fn then(&self, by_hand: impl FnOnce() -> String) -> String {
        format!("then `{}`", self.apply_or(by_hand))
    }

    /// What a daemon without a file has in place of `config apply`.
    fn restart(&self) -> String {
        format!("{} run", self.router_ctl)
    }
}

fn judge_trunk(
    at: usize,
    trunk: &Trunk,
    known: &Known,
    index: &Index<'_>,
    mend: &Mend,
    problems: &mut Vec<Problem>,
) {
    let name = &trunk.interface;
    let Some(link) = index.link(name) else {
        // Not a restart: a daemon does not start without its trunks.
        problems.push(problem(
            format!("trunk {name} is missing"),
            format!(
                "once there is a {name} again, XDP is attached to it by itself; without it for good, take it out of the configuration and `{}`",
                mend.apply_or(|| mend.restart())
            ),
        ));
        return;
    };
    judge_link("trunk", link, index, problems);
    if trunk.xdp == XdpMode::Off {
        return;
    }
    match known.attachments.get(at).and_then(Option::as_ref) {
        Some(attachment) if attachment.ifindex != link.ifindex => {
            let why = known.attach_failures.get(name);
            let why = why.map_or_else(|| "not yet".to_owned(), Clone::clone);
            problems.push(problem(
                format!("trunk {name} was made anew, and XDP is not attached to it: {why}"),
                "mend what it names: it is tried again every second".into(),
            ));
        }
        Some(attachment) if link.xdp.map(|xdp| xdp.prog_id) == Some(attachment.prog_id) => {}
        // Bring-up is not that far.
        None if !known.ready => {}
        _ => problems.push(match link.xdp {
            Some(xdp) => displaced(name, xdp.prog_id, mend),
            None => problem(
                format!("the XDP program is not attached to {name} any more"),
                mend.apply_or(|| mend.restart()),
            ),
        }),
    }
    if known.rx_vlan.get(at).copied().flatten() == Some(true) {
        problems.push(problem(
            format!("{name} takes VLAN tags off: XDP does not see them"),
            format!("ethtool -K {name} rxvlan off"),
        ));
    }
    if let Some(peer) = deaf_peer(link, index)
        && matches!(link.xdp, Some(xdp) if xdp.mode == XdpAttachment::Native)
    {
        problems.push(problem(
            format!(
                "{peer}, the other end of {name}, has no XDP program: what XDP sends there is lost"
            ),
            format!(
                "attach a program to {peer} (one that passes everything will do), or set `xdp = \"generic\"` for {name}"
            ),
        ));
    }
    if !link.promiscuous {
        problems.push(problem(
            format!("{name} is not promiscuous: it may not see frames for its networks' MACs"),
            format!("ip link set {name} promisc on"),
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
fn displaced(name: &str, program: u32, mend: &Mend) -> Problem {
    problem(
        format!("another XDP program is attached to {name} in place of ours: id {program}"),
        format!(
            "see whose it is with `bpftool prog show id {program}`; detach it with `ip link set \
             {name} xdp off`, or with `bpftool link detach` where `bpftool link show` has a link of \
             it; {}",
            mend.then(|| mend.restart())
        ),
    )
}

fn judge_link(what: &str, link: &Link, index: &Index<'_>, problems: &mut Vec<Problem>) {
    let name = &link.name;
    if !link.up {
        problems.push(problem(
            format!("{what} {name} is down"),
            format!("ip link set {name} up"),
        ));
    } else if !link.carrier {
        let other = link.parent.and_then(|parent| index.link_of(parent));
        let help = match other {
            Some(other) if !other.up => format!("ip link set {} up", other.name),
            _ => format!(
                "plug it in, or bring up what is at its other end: `ethtool {name}` says what the \
                 driver sees"
            ),
        };
        problems.push(problem(format!("{what} {name} has no carrier"), help));
    }
}

/// What is still waiting for an address to become usable.
fn judge_network(
    network: &Network,
    device: IfIndex,
    no_v6: bool,
    index: &Index<'_>,
    mend: &Mend,
    problems: &mut Vec<Problem>,
) -> Vec<Problem> {
    if !network.vlan.is_untagged()
        && let Some(link) = index.link_of(device)
    {
        let trunk_up = index
            .link(&network.trunk)
            .is_some_and(|trunk| trunk.up && trunk.carrier);
        // Without the trunk it has no carrier of its own.
        if !link.up || trunk_up {
            judge_link("sub-interface", link, index, problems);
        }
    }
    let has_v6 = network.gateways.iter().any(|net| net.addr().is_ipv6());
    if no_v6 && has_v6 {
        problems.push(problem(
            format!(
                "IPv6 of {} is switched off: disable_ipv6 of {} is 1",
                network.name, network.interface
            ),
            format!(
                "`{}`, {}",
                ipv6_on(&network.interface),
                mend.then(|| address_commands(network))
            ),
        ));
    }
    let mut waiting = Vec::new();
    for gateway in &network.gateways {
        if no_v6 && gateway.addr().is_ipv6() {
            // It went with IPv6, and comes with it.
            continue;
        }
        let address = index
            .addresses_of(device)
            .find(|address| address.address == *gateway);
        let add = || format!("ip addr add {gateway} dev {}", network.interface);
        match address {
            None => problems.push(problem(
                format!("{} has lost its gateway address {gateway}", network.name),
                mend.apply_or(add),
            )),
            Some(address) if address.duplicate => problems.push(problem(
                format!(
                    "another host of {} has the gateway address {gateway}",
                    network.name
                ),
                format!(
                    "give that host another one, {}: the kernel looks once, when an address is given",
                    mend.then(|| {
                        let del = format!("ip addr del {gateway} dev {}", network.interface);
                        format!("{del} && {}", add())
                    })
                ),
            )),
            Some(address) if address.tentative => waiting.push(problem(
                format!(
                    "{} waits for duplicate address detection of {gateway}",
                    network.name
                ),
                format!(
                    "it is over in a second or two: until then `ip -6 addr show dev {}` says tentative",
                    network.interface
                ),
            )),
            Some(_) => {}
        }
    }
    waiting
}

fn address_commands(network: &Network) -> String {
    let v6 = network.gateways.iter().filter(|net| net.addr().is_ipv6());
    let add = |gateway| format!("ip addr add {gateway} dev {}", network.interface);
    v6.map(add).collect::<Vec<_>>().join(" && ")
}

fn absent(network: &Network, absence: &Absence, mend: &Mend) -> Problem {
    let Network {
        name, interface, ..
    } = network;
    let by_hand = || {
        let mut help = format!(
            "ip link add link {} name {interface} type vlan id {} && ip link set {interface} up",
            network.trunk, network.vlan
        );
        for gateway in &network.gateways {
            help.push_str(&format!(" && ip addr add {gateway} dev {interface}"));
        }
        help
    };
    let not_forwarded = format!("XDP does not forward for {name}: {absence}");
    match absence {
        Absence::Missing => problem(
            format!("the sub-interface {interface} of {name} is missing"),
            mend.apply_or(by_hand),
        ),
        Absence::Port { device, .. } => {
            problem(not_forwarded, format!("ip link set {device} nomaster"))
        }
        Absence::VlanZero(device) => problem(not_forwarded, format!("ip link del {device}")),
        Absence::NotThis(_) | Absence::TrunkMissing | Absence::Changing => problem(
            not_forwarded,
            format!(
                "see what it is with `ip -d link show {interface}`; if nobody needs it, `ip link \
                 del {interface}`, {}",
                mend.then(by_hand)
            ),
        ),
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
            "sysctl -w net.ipv4.ip_forward=1".into(),
        ));
    }
    let mut v6_off = false;
    for (network, interface) in placed() {
        if !interface.v4 && !v4_off {
            problems.push(problem(
                format!("the kernel does not forward IPv4 of {}", network.name),
                format!("sysctl -w net/ipv4/conf/{}/forwarding=1", network.interface),
            ));
        }
        if interface.v4 && forwarding.believes_redirects(interface) {
            problems.push(problem(
                format!(
                    "ICMP redirects are believed on {}, which XDP cannot follow: the kernel alone forwards IPv4 to it",
                    network.interface
                ),
                "sysctl -w net.ipv4.conf.all.accept_redirects=0".into(),
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
            "sysctl -w net.ipv6.conf.all.forwarding=1".into(),
        ));
    }
}

fn route_problem(route: &StaticRoute, why: &Why, mend: &Mend) -> Problem {
    let add = || route_command(&mend.router_ctl, "add", route);
    match why {
        Why::Missing => problem(
            format!("the route to {} is not installed", route.to),
            mend.apply_or(add),
        ),
        Why::LeadsElsewhere(there) => problem(
            format!(
                "the route to {} leads elsewhere than configured: {there}",
                route.to
            ),
            mend.apply_or(|| route_command(&mend.router_ctl, "replace", route)),
        ),
        Why::Occupied(occupant) => problem(
            format!(
                "somebody else's route is in the place of the one to {}: {occupant}",
                route.to
            ),
            format!("`{}`, {}", occupant.removal(), mend.then(add)),
        ),
    }
}

fn route_command(router_ctl: &str, verb: &str, route: &StaticRoute) -> String {
    let mut command = format!("{router_ctl} routes {verb} {}", route.to);
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
