//! Addresses of devices.

use std::net::IpAddr;

use ipnet::IpNet;
use router_common::wire::IfIndex;
use rtnetlink::{
    AddressMessageBuilder,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    },
};

use super::{Error, Netlink, types::Address};

impl Netlink {
    /// Every address of this namespace.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn addresses(&self) -> Result<Vec<Address>, Error> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.dump(request).await?;
        let told = |message| match message {
            RouteNetlinkMessage::NewAddress(message) => address(message),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(told).collect())
    }

    /// Gives `address` to a device.
    ///
    /// # Errors
    /// If the kernel refuses: `EEXIST` where the device has it.
    pub async fn add_address(&self, ifindex: IfIndex, address: IpNet) -> Result<(), Error> {
        self.change(
            RouteNetlinkMessage::NewAddress(message(ifindex, address)),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .await
    }

    /// Takes `address` from a device.
    ///
    /// # Errors
    /// If the kernel refuses: see [`Error::is_missing`].
    pub async fn delete_address(&self, ifindex: IfIndex, address: IpNet) -> Result<(), Error> {
        self.change(
            RouteNetlinkMessage::DelAddress(message(ifindex, address)),
            0,
        )
        .await
    }
}

/// With the prefix's broadcast address for IPv4, as `ip addr add ... brd +`
/// and every network manager set it.
fn message(ifindex: IfIndex, address: IpNet) -> AddressMessage {
    match address {
        IpNet::V4(net) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(ifindex.get())
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(ifindex.get())
            .address(net.addr(), net.prefix_len())
            .build(),
    }
}

/// The address that a message is about.
pub(super) fn address(message: AddressMessage) -> Option<Address> {
    let header = message.header;
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    let mut prefix: Option<IpAddr> = None;
    let mut local: Option<IpAddr> = None;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => prefix = Some(ip),
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Flags(all) => flags = all,
            _ => {}
        }
    }
    let own = local.or(prefix)?;
    let duplicate = flags.contains(AddressFlags::Dadfailed);
    Some(Address {
        ifindex: IfIndex::new(header.index),
        address: IpNet::new(own, header.prefix_len).ok()?,
        peer: prefix.is_some_and(|prefix| prefix != own),
        global: header.scope == AddressScope::Universe,
        tentative: flags.contains(AddressFlags::Tentative)
            && !flags.contains(AddressFlags::Optimistic),
        duplicate,
    })
}
