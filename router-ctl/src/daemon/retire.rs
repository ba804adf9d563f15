//! What of the journal a configuration has no use for: it is undone before the
//! configuration is put into force, at a reload as well as at a start with a
//! file that was changed while the daemon was away.

use std::collections::BTreeSet;

use router_common::wire::IfIndex;
use tracing::info;

use super::{
    bringup::{self, FORWARD_V6, IP_FORWARD},
    engine,
    host::Host,
};
use crate::{
    config::{Config, StaticRoute, XdpMode},
    error::Error,
    journal::{Effect, Entry},
    sys::Offload,
};

/// The entries that `config` has no use for.
pub(super) fn unwanted<'e>(
    config: &'e Config,
    entries: &'e [Entry],
) -> impl Iterator<Item = &'e Entry> {
    entries
        .iter()
        .filter(|entry| !is_wanted(config, &entry.effect))
}

fn is_wanted(config: &Config, effect: &Effect) -> bool {
    let trunk = |name: &str| config.trunks.iter().find(|trunk| trunk.interface == name);
    let mut networks = config.networks.iter();
    match effect {
        // Of the instance, whatever its networks are.
        Effect::Mount { .. } | Effect::Pins { .. } | Effect::Dragged { .. } => true,
        Effect::Up { interface } => {
            trunk(interface).is_some() || networks.any(|network| network.interface == *interface)
        }
        Effect::Promiscuous { interface } => trunk(interface).is_some(),
        Effect::Offload {
            interface, offload, ..
        } => trunk(interface).is_some_and(|trunk| match offload {
            Offload::RxVlan | Offload::Lro => trunk.xdp != XdpMode::Off,
            Offload::Gro => matches!(trunk.xdp, XdpMode::Generic | XdpMode::Auto),
        }),
        Effect::SubInterface {
            interface,
            parent,
            vlan,
        } => networks.any(|network| {
            network.interface == *interface
                && network.trunk == *parent
                && network.vlan.get() == *vlan
        }),
        Effect::Address { interface, address } => networks
            .any(|network| network.interface == *interface && network.gateways.contains(address)),
        Effect::Sysctl { name, .. } => is_sysctl_wanted(config, name, effect.device()),
        // A user's stays until the user removes it.
        Effect::Route {
            configured: false, ..
        } => true,
        Effect::Route { dst, metric, .. } => config.routes.iter().any(|route| {
            route.to.trunc() == *dst
                && route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC) == *metric
        }),
    }
}

fn is_sysctl_wanted(config: &Config, name: &str, device: Option<&str>) -> bool {
    let Some(device) = device else {
        return matches!(name, IP_FORWARD | FORWARD_V6) || !name.ends_with("/forwarding");
    };
    if name.ends_with("/accept_ra") {
        return bringup::keeps_its_router(config, device);
    }
    let mut networks = config.networks.iter();
    networks.any(|network| network.interface == device)
}

/// Sub-interfaces that will be removed for `config`.
pub(super) async fn going(config: &Config, host: &Host) -> Result<BTreeSet<IfIndex>, Error> {
    let mut going = BTreeSet::new();
    for entry in unwanted(config, host.journal.entries()) {
        going.extend(host.sub_interface_of(entry).await?.map(|link| link.ifindex));
    }
    Ok(going)
}

/// Undoes what `config` has no use for.
pub(super) async fn retire(config: &Config, host: &mut Host) -> Result<(), Error> {
    let unwanted: BTreeSet<u64> = unwanted(config, host.journal.entries())
        .map(|entry| entry.id)
        .collect();
    if unwanted.is_empty() {
        return Ok(());
    }
    info!(entries = unwanted.len(), "no longer configured: undoing");
    let undone = host.undo_where(|entry| unwanted.contains(&entry.id)).await;
    engine::failures(&host.instance, &undone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
        [[trunk]]
        interface = "eth0"
        [[network]]
        name = "a"
        vlan = 100
        gateway = ["10.0.0.1/24", "fd00::1/64"]
        [[network]]
        name = "b"
        vlan = 200
        gateway = "10.1.0.1/24"
        [[network]]
        name = "up"
        [[route]]
        to = "10.9.0.0/16"
        via = "10.0.0.9"
        "#;

    fn journal() -> Vec<Entry> {
        let sysctl = |name: &str, after: &str| Effect::Sysctl {
            name: name.into(),
            before: "0".into(),
            after: after.into(),
        };
        let address = |interface: &str, address: &str| Effect::Address {
            interface: interface.into(),
            address: address.parse().unwrap(),
        };
        let sub_interface = |interface: &str, vlan| Effect::SubInterface {
            interface: interface.into(),
            parent: "eth0".into(),
            vlan,
        };
        let route = |dst: &str, configured| Effect::Route {
            dst: dst.parse().unwrap(),
            metric: 50,
            configured,
        };
        let up = |interface: &str| Effect::Up {
            interface: interface.into(),
        };
        let effects = [
            Effect::Pins {
                bpffs: "/sys/fs/bpf".into(),
            },
            up("eth0"),
            Effect::Promiscuous {
                interface: "eth0".into(),
            },
            Effect::Offload {
                interface: "eth0".into(),
                offload: Offload::RxVlan,
                before: true,
            },
            sub_interface("eth0.100", 100),
            up("eth0.100"),
            address("eth0.100", "10.0.0.1/24"),
            address("eth0.100", "fd00::1/64"),
            sub_interface("eth0.200", 200),
            up("eth0.200"),
            address("eth0.200", "10.1.0.1/24"),
            sysctl("ipv4/ip_forward", "1"),
            sysctl("ipv4/conf/eth0.200/forwarding", "1"),
            sysctl("ipv6/conf/eth0/accept_ra", "2"),
            sysctl("ipv6/conf/all/forwarding", "1"),
            route("10.9.0.0/16", true),
            route("10.8.0.0/16", false),
        ];
        (1..)
            .zip(effects)
            .map(|(id, effect)| Entry {
                id,
                effect,
                device: None,
            })
            .collect()
    }

    /// What goes when the text is changed like this.
    fn going(changes: &[(&str, &str)]) -> Vec<String> {
        let mut text = BEFORE.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let config = Config::parse("router.toml", &text).unwrap();
        let entries = journal();
        unwanted(&config, &entries)
            .map(|entry| entry.effect.undoing())
            .collect()
    }

    const B: &str = "[[network]]
        name = \"b\"
        vlan = 200
        gateway = \"10.1.0.1/24\"";

    #[test]
    fn what_is_still_configured_stays() {
        assert_eq!(going(&[]), [""; 0]);
        // Another name is nothing to the kernel.
        assert_eq!(going(&[("\"a\"", "\"c\"")]), [""; 0]);
    }

    #[test]
    fn a_networks_things_go_with_it_and_no_others() {
        assert_eq!(
            going(&[(B, "")]),
            [
                "remove the sub-interface eth0.200",
                "switch eth0.200 down",
                "take 10.1.0.1/24 from eth0.200",
                "set ipv4/conf/eth0.200/forwarding back to 0",
            ]
        );
    }

    #[test]
    fn another_vlan_or_interface_is_another_sub_interface() {
        let gone = [
            "remove the sub-interface eth0.200",
            "switch eth0.200 down",
            "take 10.1.0.1/24 from eth0.200",
            "set ipv4/conf/eth0.200/forwarding back to 0",
        ];
        assert_eq!(going(&[("vlan = 200", "vlan = 201")]), gone);
        let named = "vlan = 200\n        interface = \"lan\"";
        assert_eq!(going(&[("vlan = 200", named)]), gone);
    }

    #[test]
    fn a_vlan_that_moves_to_another_network_keeps_its_sub_interface() {
        let swapped = [
            ("10.0.0.1/24", "192.0.2.1/24"),
            ("10.1.0.1/24", "10.0.0.1/24"),
            ("192.0.2.1/24", "10.1.0.1/24"),
            ("via = \"10.0.0.9\"", "via = \"10.1.0.9\""),
        ];
        assert_eq!(
            going(&swapped),
            [
                "take 10.0.0.1/24 from eth0.100",
                "take 10.1.0.1/24 from eth0.200",
            ]
        );
    }

    #[test]
    fn routes_go_unless_they_are_the_users() {
        assert_eq!(
            going(&[("10.9.0.0/16", "10.7.0.0/16")]),
            ["remove the route to 10.9.0.0/16 metric 50"]
        );
        assert_eq!(
            going(&[(
                "via = \"10.0.0.9\"",
                "via = \"10.0.0.9\"\n        metric = 7"
            )]),
            ["remove the route to 10.9.0.0/16 metric 50"]
        );
        // Another next hop takes its place.
        assert_eq!(going(&[("10.0.0.9", "10.0.0.8")]), [""; 0]);
    }

    #[test]
    fn offloads_are_for_xdp() {
        let off = "interface = \"eth0\"\n        xdp = \"off\"";
        assert_eq!(
            going(&[("interface = \"eth0\"", off)]),
            ["switch rxvlan of eth0 on"]
        );
    }

    /// Whoever is the gateway on a link listens to no router there.
    #[test]
    fn an_interface_that_becomes_a_gateways_stops_listening() {
        let serving = "name = \"up\"\n        gateway = \"192.0.2.1/24\"";
        assert_eq!(
            going(&[("name = \"up\"", serving)]),
            ["set ipv6/conf/eth0/accept_ra back to 0"]
        );
    }
}
