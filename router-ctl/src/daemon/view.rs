//! What the daemon says of itself: `status`, `networks` and the names that
//! routes are given. Pure functions of what is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;
use nix::errno::Errno;
use router_common::{
    abi::Counter,
    datapath::Reason,
    wire::{IfIndex, NetworkId, TrunkSlot},
};

use super::{
    health::{self, Health},
    installed::RouteFault,
};
use crate::{
    api::model::{
        Count, Following, Neighbour, NetworkStatus, PairCount, Problem, RedirectError, Route,
        Stats, TrunkStatus, VerdictCount,
    },
    config::{Config, Network, XdpMode},
    dataplane::{Attachment, Counters},
    netlink::{
        self, Index,
        types::{self, NeighbourState, RouteKind, TABLE_MAIN},
    },
    reconcile::{self, Kernel, Numbering, Plan},
    service::NeighbourFilter,
};

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Which router this is.
    pub(super) instance: String,
    /// The configuration that the rest is about: networks and trunks below are
    /// in its order.
    pub(super) config: Arc<Config>,
    /// The numbers of its trunks and networks in the maps.
    pub(super) numbering: Numbering,
    /// Devices, addresses, sysctls. Without routes: they may be many, and are
    /// read when they are asked for.
    pub(super) kernel: Kernel,
    /// What the maps should hold.
    pub(super) plan: Plan,
    /// By trunk.
    pub(super) attachments: Vec<Option<Attachment>>,
    /// By trunk: whether the NIC takes VLAN tags off; `None`: it cannot say.
    pub(super) rx_vlan: Vec<Option<bool>>,
    /// Static routes of the configuration that are not as it wants them.
    pub(super) route_faults: Vec<RouteFault>,
    /// What went wrong with the maps in the last attempt.
    pub(super) map_failure: Option<String>,
    /// What keeps the daemon from following the kernel.
    pub(super) troubles: Vec<Problem>,
    /// What is well, and yet not as one may think.
    pub(super) warnings: Vec<Problem>,
    /// How it follows the kernel.
    pub(super) following: Following,
    /// What is not pinned any more and cannot be pinned again.
    pub(super) pin_failure: Option<Problem>,
    /// Why `down` would not know what was done.
    pub(super) journal_failure: Option<Problem>,
    /// By trunk: why XDP could not be attached to it when it was made anew.
    pub(super) attach_failures: BTreeMap<String, String>,
    /// What is lost between two trunks.
    pub(super) losses: Option<Problem>,
    /// Bring-up is finished.
    pub(super) ready: bool,
    /// Every address was usable once since then.
    pub(super) settled: bool,
}

impl Known {
    pub(super) fn health(&self) -> Health {
        health::judge(&self.config, self)
    }

    /// The network that a device is.
    pub(super) fn network_of(&self, device: IfIndex) -> Option<&Network> {
        let at = self
            .plan
            .networks
            .iter()
            .position(|place| *place == Ok(device))?;
        self.config.networks.get(at)
    }

    pub(super) fn trunks(&self) -> Vec<TrunkStatus> {
        self.config
            .trunks
            .iter()
            .enumerate()
            .map(|(at, trunk)| {
                let attachment = self.attachments.get(at).and_then(Option::as_ref);
                let mode = match attachment {
                    None => XdpMode::Off,
                    Some(attachment) if attachment.generic => XdpMode::Generic,
                    Some(_) => XdpMode::Native,
                };
                let link = self.kernel.tables.link(&trunk.interface);
                TrunkStatus {
                    interface: trunk.interface.clone(),
                    ifindex: link.map(|link| link.ifindex.get()),
                    xdp_mode: mode.name().into(),
                    prog_id: attachment.map(|attachment| attachment.prog_id),
                    prog_tag: attachment.map(|attachment| format!("{:016x}", attachment.prog_tag)),
                    link_id: attachment.map(|attachment| attachment.link_id),
                    pinned: attachment.is_some_and(|attachment| attachment.pinned),
                    rx_vlan_offload: self.rx_vlan.get(at).copied().flatten(),
                }
            })
            .collect()
    }

    pub(super) fn networks(&self) -> Vec<NetworkStatus> {
        let index = Index::of(&self.kernel.tables);
        let networks = self.config.networks.iter().zip(&self.plan.networks);
        networks
            .map(|(network, place)| shown(network, place, &index))
            .collect()
    }

    /// Trunks to which XDP can redirect: natively those where it is attached in
    /// the driver, because then the driver transmits for XDP, too. Generic XDP
    /// transmits on anything, but native XDP cannot send there, so that counts
    /// only where all are generic.
    pub(super) fn transmitters(&self) -> BTreeSet<TrunkSlot> {
        let attached = || self.attachments.iter().flatten();
        let all_generic = attached().all(|attachment| attachment.generic);
        self.numbering
            .slots(&self.config)
            .zip(&self.attachments)
            .filter_map(|((slot, _), attachment)| {
                let attachment = attachment.as_ref()?;
                (all_generic || !attachment.generic).then_some(slot)
            })
            .collect()
    }

    /// Routes of the main table as users see them, one a leg.
    pub(super) fn routes(&self, routes: &[types::Route]) -> Vec<Route> {
        let shown = |route: &&types::Route| {
            route.table == TABLE_MAIN
                && route.kind == RouteKind::Unicast
                && !matches!(route.dst, IpNet::V6(net) if net.addr().is_unicast_link_local())
        };
        let legs = |route: &types::Route| {
            let via = |leg: &types::Leg| {
                let (network, vlan) = self.name_of(leg.device);
                Route {
                    dst: route.dst,
                    via: leg.via,
                    network,
                    vlan,
                    proto: netlink::protocol_name(route.protocol),
                    metric: route.metric,
                }
            };
            route.legs.iter().map(via).collect::<Vec<_>>()
        };
        routes.iter().filter(shown).flat_map(legs).collect()
    }

    /// Neighbours on the networks as users see them, by network and address.
    /// Those that need no resolution are left out, as `ip neigh` does.
    pub(super) fn neighbours(
        &self,
        all: &[types::Neighbour],
        filter: &NeighbourFilter,
    ) -> Vec<Neighbour> {
        let place = |device| self.plan.networks.iter().position(|at| *at == Ok(device));
        let mut shown: Vec<(usize, &types::Neighbour)> = all
            .iter()
            .filter_map(|neighbour| Some((place(neighbour.ifindex)?, neighbour)))
            .filter(|(at, neighbour)| {
                let families = filter.families;
                let network = self.config.networks.get(*at);
                let named = |name: &String| network.is_some_and(|network| network.name == *name);
                let family = if neighbour.address.is_ipv4() {
                    families.v4
                } else {
                    families.v6
                };
                family && self.shows(neighbour) && filter.network.as_ref().is_none_or(named)
            })
            .collect();
        shown.sort_by_key(|(at, neighbour)| (*at, neighbour.address));
        let view = |(_, neighbour): (usize, &types::Neighbour)| self.neighbour(neighbour);
        shown.into_iter().map(view).collect()
    }

    /// Whether it is on one of the networks, and needs to be resolved.
    pub(super) fn shows(&self, neighbour: &types::Neighbour) -> bool {
        !matches!(
            neighbour.state,
            NeighbourState::NoArp | NeighbourState::None
        ) && self.plan.networks.contains(&Ok(neighbour.ifindex))
    }

    /// One neighbour as users see it.
    pub(super) fn neighbour(&self, neighbour: &types::Neighbour) -> Neighbour {
        let (network, vlan) = self.name_of(Some(neighbour.ifindex));
        Neighbour {
            ip: neighbour.address,
            mac: neighbour.mac.map(|mac| mac.to_string()),
            network,
            vlan,
            state: neighbour.state.name().to_uppercase(),
            router: neighbour.flags.router,
        }
    }

    /// The network, or `dev:NAME`, that a route leaves by.
    pub(super) fn name_of(&self, device: Option<IfIndex>) -> (String, Option<u16>) {
        let Some(device) = device else {
            return ("-".into(), None);
        };
        if let Some(network) = self.network_of(device) {
            return (network.name.clone(), vlan(network));
        }
        let name = match self.kernel.tables.link_of(device) {
            Some(link) => format!("dev:{}", link.name),
            None => format!("dev:{device}"),
        };
        (name, None)
    }
}

/// A network, as it is now.
fn shown(
    network: &Network,
    place: &Result<IfIndex, reconcile::Absence>,
    index: &Index<'_>,
) -> NetworkStatus {
    let link = index.link(&network.interface);
    let trunk = index.link(&network.trunk);
    let up = |link: Option<&types::Link>| link.is_some_and(|link| link.up && link.carrier);
    NetworkStatus {
        name: network.name.clone(),
        trunk: network.trunk.clone(),
        vlan: vlan(network),
        interface: network.interface.clone(),
        ifindex: link.map(|link| link.ifindex.get()),
        gateways: link.map_or_else(Vec::new, |link| addresses(index, link.ifindex)),
        mac: link.map(|link| link.mac.to_string()),
        mtu: link.map(|link| link.mtu),
        state: match place {
            Err(absence) => absence.to_string(),
            Ok(_) if up(link) && up(trunk) => "up".into(),
            Ok(_) => "down".into(),
        },
    }
}

/// 1 to 4094; `None`: untagged.
fn vlan(network: &Network) -> Option<u16> {
    (!network.vlan.is_untagged()).then(|| network.vlan.get())
}

fn addresses(index: &Index<'_>, ifindex: IfIndex) -> Vec<IpNet> {
    index
        .addresses_of(ifindex)
        .map(|address| address.address)
        .filter(|net| !matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local()))
        .collect()
}

/// The counters as users see them.
pub(super) fn stats(config: &Config, numbering: &Numbering, counters: &Counters) -> Stats {
    let networks: BTreeMap<NetworkId, &Network> = numbering
        .numbered(config)
        .map(|(id, _, network)| (id, network))
        .collect();
    let name = |id: NetworkId| {
        let network = networks.get(&id);
        network.map_or_else(|| id.to_string(), |network| network.name.clone())
    };
    let trunk = |id: NetworkId| networks.get(&id).map(|network| network.trunk.as_str());
    let mut transmitted = Counter::default();
    let mut redirected = Counter::default();
    let mut pairs = Vec::new();
    for &(from, to, counter) in &counters.forwarded {
        // Where pairs are not counted, it is not known either.
        let crosses = to.is_some_and(|to| trunk(to) != trunk(from));
        let sum = if crosses {
            &mut redirected
        } else {
            &mut transmitted
        };
        *sum = sum.merge(counter);
        pairs.push(PairCount {
            from: name(from),
            to: to.map_or_else(|| "*".into(), name),
            packets: counter.packets,
            bytes: counter.bytes,
        });
    }
    let mut verdicts = vec![verdict("forwarded", "tx", transmitted)];
    if redirected.packets != 0 {
        verdicts.push(verdict("forwarded", "redirect", redirected));
    }
    let kept = |(reason, counter): &(Reason, Counter)| {
        verdict(reason.name(), reason.action().name(), *counter)
    };
    verdicts.extend(counters.kept.iter().map(kept));
    let all = transmitted.merge(redirected);
    Stats {
        fast: Count {
            packets: all.packets,
            bytes: all.bytes,
        },
        verdicts,
        pairs,
        redirect_errors: counters.redirect_errors.as_ref().map(redirect_errors),
    }
}

fn redirect_errors(counts: &BTreeMap<u32, u64>) -> Vec<RedirectError> {
    let shown = |(&number, &packets): (&u32, &u64)| RedirectError {
        errno: errno_name(number),
        packets,
    };
    counts.iter().map(shown).collect()
}

/// The kernel's name of an error number; `other` of what has none.
pub(super) fn errno_name(number: u32) -> String {
    match i32::try_from(number).map(Errno::from_raw) {
        Ok(Errno::UnknownErrno) | Err(_) => "other".into(),
        Ok(errno) => format!("{errno:?}"),
    }
}

fn verdict(reason: &str, action: &str, counter: Counter) -> VerdictCount {
    VerdictCount {
        reason: reason.into(),
        action: action.into(),
        packets: counter.packets,
        bytes: counter.bytes,
    }
}
