//! Neighbours: who has which address on a link.

use std::net::IpAddr;

use router_common::wire::{IfIndex, MacAddr};
use rtnetlink::{
    packet_core::NLM_F_REPLACE,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags as Flags,
            NeighbourMessage, NeighbourState as State,
        },
        route::RouteType,
    },
};

use super::{
    Error, Netlink,
    types::{Neighbour, NeighbourFlags, NeighbourState},
};

impl Netlink {
    /// Every neighbour of this namespace, IPv4 and IPv6.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, Error> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answers = self.dump(request).await?;
        let told = |message| match message {
            RouteNetlinkMessage::NewNeighbour(message) => neighbour(&message),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(told).collect())
    }

    /// Tells the kernel that a neighbour is in use, as if a packet had been sent
    /// to it: a stale one is probed after some seconds.
    ///
    /// Not for permanent neighbours: that would make them fail.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn use_neighbour(&self, ifindex: IfIndex, address: IpAddr) -> Result<(), Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.ifindex = ifindex.get();
        message.header.state = State::None;
        message.header.flags = Flags::Use;
        message.header.kind = RouteType::Unspec;
        message
            .attributes
            .push(NeighbourAttribute::Destination(match address {
                IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
                IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
            }));
        // Without NLM_F_CREATE: one that has gone meanwhile stays gone.
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_REPLACE)
            .await
    }
}

/// The neighbour that a message is about; `None`: a bridge's forwarding entry.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let header = &message.header;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let mut address: Option<IpAddr> = None;
    let mut mac = None;
    let mut managed = false;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some((*ip).into());
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some((*ip).into());
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(MacAddr::new);
            }
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed);
            }
            _ => {}
        }
    }
    Some(Neighbour {
        ifindex: IfIndex::new(header.ifindex),
        address: address?,
        mac,
        state: state(header.state),
        flags: NeighbourFlags {
            router: header.flags.contains(Flags::Router),
            proxy: header.flags.contains(Flags::Proxy),
            ext_learned: header.flags.contains(Flags::ExtLearned),
            managed,
        },
    })
}

const fn state(state: State) -> NeighbourState {
    match state {
        State::None => NeighbourState::None,
        State::Incomplete => NeighbourState::Incomplete,
        State::Reachable => NeighbourState::Reachable,
        State::Stale => NeighbourState::Stale,
        State::Delay => NeighbourState::Delay,
        State::Probe => NeighbourState::Probe,
        State::Failed => NeighbourState::Failed,
        State::Noarp => NeighbourState::NoArp,
        State::Permanent => NeighbourState::Permanent,
        _ => NeighbourState::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: AddressFamily, attributes: Vec<NeighbourAttribute>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.header.ifindex = 7;
        message.header.state = State::Stale;
        message.header.flags = Flags::Router | Flags::ExtLearned;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_neighbour_is_read_whole() {
        let ip = "fd00::9".parse().unwrap();
        let read = neighbour(&message(
            AddressFamily::Inet6,
            vec![
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)),
                NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
                NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed),
            ],
        ));
        let expected = Neighbour {
            ifindex: IfIndex::new(7),
            address: ip.into(),
            mac: Some(MacAddr::new([2, 0, 0, 0, 0, 9])),
            state: NeighbourState::Stale,
            flags: NeighbourFlags {
                router: true,
                proxy: false,
                ext_learned: true,
                managed: true,
            },
        };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn a_bridges_forwarding_entries_are_no_neighbours() {
        let mac = NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]);
        assert_eq!(neighbour(&message(AddressFamily::Bridge, vec![mac])), None);
    }
}
