//! Whether this system's devices can be what a configuration wants them to be:
//! asked before anything is done, and answered with the line of the file.

use std::collections::BTreeSet;

use router_common::wire::IfIndex;

use crate::{
    codes,
    config::{Config, Network, Objection, Part, Trunk, nearest},
    netlink::types::{Link, Tables},
    reconcile::{self, Absence},
};

/// Devices that stand on another one and see only a part of its frames.
const ON_ANOTHER: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];

/// What speaks against `config`. `going`: devices that will be removed first.
pub(super) fn objections(
    config: &Config,
    tables: &Tables,
    going: &BTreeSet<IfIndex>,
    stand_in: bool,
) -> Vec<Objection> {
    let mut tables = tables.clone();
    tables.links.retain(|link| !going.contains(&link.ifindex));
    let mut found = Vec::new();
    let mut sound = BTreeSet::new();
    for (at, trunk) in config.trunks.iter().enumerate() {
        match trunk_objection(trunk, config, &tables) {
            None => {
                sound.insert(trunk.interface.as_str());
            }
            Some(objection) => found.push(Objection {
                part: Part::Trunk(at),
                ..objection
            }),
        }
    }
    for (at, network) in config.networks.iter().enumerate() {
        // What is said of the trunk is not said again of its networks.
        if sound.contains(network.trunk.as_str()) {
            found.extend(network_objection(network, at, &tables, stand_in));
        }
    }
    found
}

fn trunk_objection(trunk: &Trunk, config: &Config, tables: &Tables) -> Option<Objection> {
    let name = trunk.interface.as_str();
    let objection = |code, message: String, label: String, help: String| {
        Some(Objection {
            part: Part::Trunk(0),
            code,
            message,
            label,
            help,
        })
    };
    let name_of = |device: Option<IfIndex>| {
        let link = device.and_then(|device| tables.link_of(device));
        link.map(|link| link.name.as_str())
    };
    let Some(link) = tables.link(name) else {
        let taken = |name: &str| config.trunks.iter().any(|trunk| trunk.interface == name);
        let names = tables.links.iter().map(|link| link.name.as_str());
        let names = names.filter(|name| !taken(name));
        let help = match nearest(name, names) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "`ip -br link` lists those there are".to_owned(),
        };
        let message = format!("there is no interface {name}");
        return objection(
            codes::TRUNK_MISSING,
            message,
            "not on this system".into(),
            help,
        );
    };
    let kind = link.kind.as_deref().unwrap_or_default();
    if ON_ANOTHER.contains(&kind) {
        let help = match name_of(link.parent) {
            Some(parent) => format!("name the NIC that it stands on: interface = \"{parent}\""),
            None => "name the NIC that carries the VLANs".to_owned(),
        };
        return objection(
            codes::TRUNK_UNFIT,
            format!("{name} cannot be a trunk: it is a {kind} device itself"),
            format!("a {kind} device"),
            help,
        );
    }
    if let Some(master) = link.master {
        let master = name_of(Some(master)).unwrap_or("another device");
        return objection(
            codes::TRUNK_UNFIT,
            format!("{name} cannot be a trunk: it is a port of {master}"),
            format!("what comes in goes to {master}"),
            format!("take it out with `ip link set {name} nomaster`, or name another NIC"),
        );
    }
    if link.mac.is_zero() {
        return objection(
            codes::TRUNK_UNFIT,
            format!("{name} cannot be a trunk: it has no MAC address"),
            "not an Ethernet device".into(),
            "name the NIC that carries the VLANs".into(),
        );
    }
    None
}

fn network_objection(
    network: &Network,
    at: usize,
    tables: &Tables,
    stand_in: bool,
) -> Option<Objection> {
    let Network {
        name, interface, ..
    } = network;
    let unfit = |label: String, help: String| {
        Some(Objection {
            part: Part::Network(at),
            code: codes::INTERFACE_UNFIT,
            message: format!("{interface} cannot be the sub-interface of network {name}"),
            label,
            help,
        })
    };
    match reconcile::place(network, tables, stand_in) {
        Ok(_) | Err(Absence::TrunkMissing) => None,
        // It will be made, unless there is one of another name.
        Err(Absence::Missing) => {
            let other = namesake(network, tables)?;
            unfit(
                format!(
                    "{} is VLAN {} of {} already",
                    other.name, network.vlan, network.trunk
                ),
                format!("use that one: interface = \"{}\"", other.name),
            )
        }
        Err(why) => unfit(
            why.to_string(),
            format!("name another with `interface`, or see `ip -d link show {interface}`"),
        ),
    }
}

/// The sub-interface that has the network's VLAN under another name: the kernel
/// makes no second one.
fn namesake<'t>(network: &Network, tables: &'t Tables) -> Option<&'t Link> {
    let trunk = tables.link(&network.trunk)?.ifindex;
    tables.links.iter().find(|link| {
        let vlan = link.vlan.as_ref();
        link.parent == Some(trunk)
            && vlan.is_some_and(|vlan| {
                vlan.vid == network.vlan.get() && vlan.protocol == reconcile::IEEE_8021Q
            })
    })
}

#[cfg(test)]
mod tests {
    use router_common::wire::MacAddr;

    use super::*;
    use crate::{config::Loaded, netlink::types::Vlan};

    const FILE: &str = "[[trunk]]
interface = \"eth0\"
[[network]]
name = \"a\"
vlan = 100
[[network]]
name = \"b\"
vlan = 200
interface = \"lan\"
[[network]]
name = \"up\"
";

    fn link(ifindex: u32, name: &str) -> Link {
        Link {
            ifindex: IfIndex::new(ifindex),
            name: name.into(),
            mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
            ..Link::default()
        }
    }

    fn vlan(ifindex: u32, name: &str, vid: u16) -> Link {
        Link {
            kind: Some("vlan".into()),
            parent: Some(IfIndex::new(2)),
            vlan: Some(Vlan {
                vid,
                protocol: reconcile::IEEE_8021Q,
                ..Vlan::default()
            }),
            ..link(ifindex, name)
        }
    }

    /// What the user is told.
    fn told(links: Vec<Link>, going: &[u32]) -> String {
        let loaded = Loaded::parse("router.toml", FILE).unwrap();
        let tables = Tables {
            links,
            ..Tables::default()
        };
        let going = going.iter().copied().map(IfIndex::new).collect();
        let objections = objections(&loaded.config, &tables, &going, false);
        match loaded.refuse(objections) {
            Ok(()) => "fine".into(),
            Err(error) => {
                let report = error.report.unwrap();
                assert!(report.location.is_some());
                anstream::adapter::strip_str(&report.rendered).to_string()
            }
        }
    }

    #[test]
    fn devices_that_are_missing_are_made_and_those_that_fit_adopted() {
        assert_eq!(told(vec![link(2, "eth0")], &[]), "fine");
        let links = vec![
            link(2, "eth0"),
            vlan(3, "eth0.100", 100),
            vlan(4, "lan", 200),
        ];
        assert_eq!(told(links, &[]), "fine");
    }

    #[test]
    fn everything_that_does_not_fit_is_said_in_one_go() {
        let links = vec![link(2, "eth0"), vlan(3, "eth0.100", 101), link(4, "lan")];
        let told = told(links, &[]);
        for part in [
            "error[RC0303]: eth0.100 cannot be the sub-interface of network a",
            "router.toml:5:8",
            "^^^ eth0.100 has VLAN 101, not 100",
            "router.toml:9:13",
            "^^^^^ lan is a hardware device, not 802.1Q",
            "2 errors",
        ] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
    }

    #[test]
    fn trunks_are_nics() {
        let macvlan = Link {
            kind: Some("macvlan".into()),
            parent: Some(IfIndex::new(7)),
            ..link(2, "eth0")
        };
        let port = Link {
            master: Some(IfIndex::new(7)),
            ..link(2, "eth0")
        };
        let tunnel = Link {
            mac: MacAddr::new([0; 6]),
            ..link(2, "eth0")
        };
        for (trunk, parts) in [
            (
                macvlan,
                ["it is a macvlan device itself", "interface = \"eth7\""],
            ),
            (port, ["it is a port of eth7", "ip link set eth0 nomaster"]),
            (tunnel, ["it has no MAC address", "not an Ethernet device"]),
            (
                link(2, "eht0"),
                [
                    "error[RC0302]: there is no interface eth0",
                    "did you mean \"eht0\"?",
                ],
            ),
        ] {
            let told = told(vec![trunk, link(7, "eth7")], &[]);
            for part in parts {
                assert!(told.contains(part), "{part} in\n{told}");
            }
            assert!(told.contains("router.toml:2:13"), "{told}");
            assert!(!told.contains("errors"), "its networks add nothing\n{told}");
        }
    }

    /// "did you mean" proposed what the file had as a trunk already.
    #[test]
    fn a_trunk_of_the_file_is_not_proposed_for_another() {
        let file = "[[trunk]]\ninterface = \"eth0\"\n[[trunk]]\ninterface = \"eth1\"\n\
                    [[network]]\nname = \"a\"\ntrunk = \"eth0\"\nvlan = 100\n";
        let config = Loaded::parse("router.toml", file).unwrap().config;
        let tables = Tables {
            links: vec![link(2, "eth0")],
            ..Tables::default()
        };
        let objections = objections(&config, &tables, &BTreeSet::new(), false);
        let [missing] = &objections[..] else {
            panic!("{objections:?}");
        };
        assert_eq!(missing.code, codes::TRUNK_MISSING);
        assert_eq!(missing.help, "`ip -br link` lists those there are");
    }

    /// Changing the name of a sub-interface, or what bears a name, is possible.
    #[test]
    fn what_will_be_removed_first_is_not_in_the_way() {
        let links = || vec![link(2, "eth0"), vlan(3, "eth0.7", 100), vlan(4, "lan", 7)];
        let told_of = told(links(), &[]);
        assert!(
            told_of.contains("use that one: interface = \"eth0.7\""),
            "{told_of}"
        );
        assert_eq!(told(links(), &[3, 4]), "fine");
    }
}
