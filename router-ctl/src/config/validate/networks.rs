//! `[[network]]` entries.

use ipnet::IpNet;
use router_common::{abi, wire::Vid};

use super::{
    Diagnostics, Draft, Seen, Span, Trunk, address,
    names::{self, INTERFACE_LENGTH},
    nearest, one_of,
    subnets::{self, Subnet},
};
use crate::{
    codes,
    config::{
        Network, PcpPolicy,
        file::{self, File, Vlan},
    },
};

pub(super) fn networks(file: &File, trunks: &[Trunk], wrong: &mut Diagnostics) -> Vec<Network> {
    let entries = file.networks.as_deref();
    if entries.is_some_and(<[_]>::is_empty) {
        wrong.push(
            Draft::new(codes::NOTHING_TO_ROUTE, "no network is configured").help(
                "name the networks to route between: [[network]] name = \"mac10\", vlan = 100, \
                 gateway = \"172.16.10.1/24\"",
            ),
        );
    }
    let mut checker = Checker {
        trunks,
        some_trunk_unknown: file
            .trunks
            .as_ref()
            .is_none_or(|all| trunks.len() < all.len()),
        names: Seen::default(),
        vlans: Seen::default(),
        interfaces: Seen::default(),
        subnets: Vec::new(),
        wrong,
    };
    let mut networks = Vec::new();
    for entry in entries.unwrap_or_default() {
        if networks.len() == abi::MAX_NETWORKS as usize {
            checker.wrong.push(
                Draft::new(
                    codes::TOO_MANY,
                    format!("more than {} networks", abi::MAX_NETWORKS),
                )
                .at(entry.span.clone(), "one too many")
                .help("run a second instance for the others (--instance NAME)"),
            );
            break;
        }
        networks.extend(checker.network(entry));
    }
    subnets::check(&checker.subnets, checker.wrong);
    networks
}

struct Checker<'f, 'w> {
    trunks: &'f [Trunk],
    /// A trunk's name was wrong: a network may mean that one.
    some_trunk_unknown: bool,
    names: Seen<&'f str>,
    vlans: Seen<(&'f str, Vid)>,
    interfaces: Seen<String>,
    subnets: Vec<Subnet<'f>>,
    wrong: &'w mut Diagnostics,
}

impl<'f> Checker<'f, '_> {
    /// `None`: too little is sound to go on with.
    fn network(&mut self, entry: &'f file::Network) -> Option<Network> {
        let name = self.name(entry);
        let vlan = self.vlan(entry);
        let trunk = self.trunk(entry);
        let pcp = match entry.pcp.as_ref() {
            Some(word) => one_of(word, "pcp", &["map", "keep"], self.wrong),
            None => None,
        };
        let gateways = self.gateways(entry);
        let place = match (trunk, vlan) {
            (Some(trunk), Some(vlan)) => Some((trunk, vlan, self.interface(entry, trunk, vlan)?)),
            _ => None,
        };
        let (trunk, vlan, interface) = place?;
        Some(Network {
            name: name?.to_owned(),
            trunk: trunk.to_owned(),
            vlan,
            interface,
            gateways,
            pcp: match pcp {
                Some("keep") => PcpPolicy::Keep,
                _ => PcpPolicy::Map,
            },
        })
    }

    fn name(&mut self, entry: &'f file::Network) -> Option<&'f str> {
        let name = entry.name.as_ref()?;
        if !names::network(name, self.wrong) {
            return None;
        }
        if let Some(first) = self.names.note(name.get_ref(), name.span()) {
            self.wrong.push(
                Draft::new(
                    codes::DUPLICATE,
                    format!("two networks have the name {}", name.get_ref()),
                )
                .at(name.span(), "again here")
                .see(first, "first here")
                .help("give one of them another `name`"),
            );
        }
        Some(name.get_ref())
    }

    fn vlan(&mut self, entry: &file::Network) -> Option<Vid> {
        let number = match &entry.vlan {
            Vlan::Untagged => return Some(Vid::UNTAGGED),
            Vlan::Wrong => return None,
            Vlan::Tagged(number) => number,
        };
        let vid = u16::try_from(*number.get_ref()).ok().and_then(Vid::new);
        let (label, help) = match vid {
            Some(vid) if vid.is_untagged() => (
                "frames with VID 0 are untagged",
                "leave `vlan` out for the untagged network (on the command line: NAME=untagged)",
            ),
            Some(Vid::RESERVED) => ("reserved (IEEE 802.1Q)", "VLANs are 1 to 4094"),
            Some(vid) => return Some(vid),
            None => ("a VID has 12 bits", "VLANs are 1 to 4094"),
        };
        self.wrong.push(
            Draft::new(
                codes::BAD_VALUE,
                format!("vlan {} does not exist", number.get_ref()),
            )
            .at(number.span(), label)
            .help(help),
        );
        None
    }

    fn trunk(&mut self, entry: &'f file::Network) -> Option<&'f str> {
        let names = || self.trunks.iter().map(|trunk| trunk.interface.as_str());
        let Some(word) = &entry.trunk else {
            return match self.trunks {
                [only] if !self.some_trunk_unknown => Some(&only.interface),
                // None at all, or none that can be told: reported there.
                [] | [_] => None,
                _ => {
                    let all = names().collect::<Vec<_>>().join(", ");
                    self.wrong.push(
                        Draft::new(
                            codes::TRUNK_UNKNOWN,
                            "this network does not say which trunk carries it",
                        )
                        .at(entry.span.clone(), "`trunk` is missing here")
                        .help(format!("there are several trunks: {all}")),
                    );
                    None
                }
            };
        };
        let wanted = word.get_ref().as_str();
        if let Some(trunk) = names().find(|name| *name == wanted) {
            return Some(trunk);
        }
        if !self.some_trunk_unknown && !self.trunks.is_empty() {
            let all = names().collect::<Vec<_>>().join(", ");
            let help = nearest(wanted, names()).map_or_else(
                || format!("the trunks are: {all}"),
                |meant| format!("did you mean \"{meant}\"?"),
            );
            self.wrong.push(
                Draft::new(codes::TRUNK_UNKNOWN, format!("{wanted} is not a trunk"))
                    .at(word.span(), "no [[trunk]] has this interface")
                    .help(help),
            );
        }
        None
    }

    /// The sub-interface: unique, and so is (trunk, VLAN).
    fn interface(&mut self, entry: &'f file::Network, trunk: &'f str, vlan: Vid) -> Option<String> {
        let place = match &entry.vlan {
            Vlan::Tagged(number) => number.span(),
            _ => entry.span.clone(),
        };
        if let Some(first) = self.vlans.note((trunk, vlan), place.clone()) {
            let message = if vlan.is_untagged() {
                format!("trunk {trunk} has two untagged networks")
            } else {
                format!("trunk {trunk} has two networks with vlan {vlan}")
            };
            let help = if vlan.is_untagged() {
                "give the other one its `vlan`"
            } else {
                "give one of them another `vlan`, or make them one network with both gateways"
            };
            self.wrong.push(
                Draft::new(codes::DUPLICATE, message)
                    .at(place, "again here")
                    .see(first, "first here")
                    .help(help),
            );
            return None;
        }
        if vlan.is_untagged() {
            return self.untagged_interface(entry, trunk);
        }
        let name = match &entry.interface {
            Some(name) => {
                if !names::interface(name, self.wrong) {
                    return None;
                }
                name.get_ref().clone()
            }
            None => self.default_interface(trunk, vlan, place.clone())?,
        };
        let span = entry.interface.as_ref().map_or(place, toml::Spanned::span);
        if self.trunks.iter().any(|trunk| trunk.interface == name) {
            self.wrong.push(
                Draft::new(
                    codes::DUPLICATE,
                    format!("{name} is a trunk, not a sub-interface"),
                )
                .at(span, "carries all VLANs")
                .help("give the sub-interface's name, or leave `interface` out"),
            );
            return None;
        }
        if let Some(first) = self.interfaces.note(name.clone(), span.clone()) {
            self.wrong.push(
                Draft::new(
                    codes::DUPLICATE,
                    format!("two networks use the interface {name}"),
                )
                .at(span, "again here")
                .see(first, "first here")
                .help("give each its own `interface`, or leave it out: then it is TRUNK.VLAN"),
            );
            return None;
        }
        Some(name)
    }

    fn untagged_interface(&mut self, entry: &file::Network, trunk: &str) -> Option<String> {
        if let Some(name) = &entry.interface
            && name.get_ref() != trunk
        {
            self.wrong.push(
                Draft::new(
                    codes::BAD_VALUE,
                    "an untagged network has no sub-interface of its own",
                )
                .at(name.span(), format!("it is {trunk} itself"))
                .help("leave `interface` out, or give the network its `vlan`"),
            );
            return None;
        }
        Some(trunk.to_owned())
    }

    fn default_interface(&mut self, trunk: &str, vlan: Vid, place: Span) -> Option<String> {
        let name = format!("{trunk}.{vlan}");
        if name.len() <= INTERFACE_LENGTH {
            return Some(name);
        }
        self.wrong.push(
            Draft::new(
                codes::BAD_NAME,
                format!("the sub-interface's name {name} would be longer than {INTERFACE_LENGTH} characters"),
            )
            .at(place, format!("{} characters", name.len()))
            .help(format!("give it a shorter one: interface = \"vlan{vlan}\"")),
        );
        None
    }

    fn gateways(&mut self, entry: &'f file::Network) -> Vec<IpNet> {
        let name = entry.name.as_ref().map_or("", |name| name.get_ref());
        let mut seen = Seen::default();
        let mut gateways = Vec::new();
        for word in &entry.gateways {
            let Some(net) = address::gateway(word, self.wrong) else {
                continue;
            };
            if let Some(first) = seen.note(net.addr(), word.span()) {
                self.wrong.push(
                    Draft::new(
                        codes::DUPLICATE,
                        format!("gateway {} is there twice", net.addr()),
                    )
                    .at(word.span(), "again here")
                    .see(first, "first here")
                    .help("take one of them out"),
                );
                continue;
            }
            self.subnets.push(Subnet {
                net,
                entry: entry.span.start,
                network: name,
                span: word.span(),
            });
            gateways.push(net);
        }
        gateways
    }
}
