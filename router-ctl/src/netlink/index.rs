//! Finding things in [`Tables`] without walking through them.

use std::collections::HashMap;

use router_common::wire::IfIndex;

use super::types::{Address, Link, Tables};

/// Where devices can be found: in tables, one by one, or by their index.
pub trait Devices<'t> {
    /// The device of this name.
    fn link(&self, name: &str) -> Option<&'t Link>;

    /// The device of this number.
    fn link_of(&self, ifindex: IfIndex) -> Option<&'t Link>;

    /// All of them, in no order.
    fn links(&self) -> impl Iterator<Item = &'t Link>;
}

impl<'t> Devices<'t> for &'t Tables {
    fn link(&self, name: &str) -> Option<&'t Link> {
        Tables::link(self, name)
    }

    fn link_of(&self, ifindex: IfIndex) -> Option<&'t Link> {
        Tables::link_of(self, ifindex)
    }

    fn links(&self) -> impl Iterator<Item = &'t Link> {
        self.links.iter()
    }
}

impl<'t> Devices<'t> for Index<'t> {
    fn link(&self, name: &str) -> Option<&'t Link> {
        Index::link(self, name)
    }

    fn link_of(&self, ifindex: IfIndex) -> Option<&'t Link> {
        Index::link_of(self, ifindex)
    }

    fn links(&self) -> impl Iterator<Item = &'t Link> {
        self.by_number.values().copied()
    }
}

/// What [`Tables::link`] and its like find one by one, for those who want many.
#[derive(Clone, Debug, Default)]
pub struct Index<'t> {
    by_name: HashMap<&'t str, &'t Link>,
    by_number: HashMap<IfIndex, &'t Link>,
    addresses: HashMap<IfIndex, Vec<&'t Address>>,
}

impl<'t> Index<'t> {
    /// Of these tables, as they are now.
    #[must_use]
    pub fn of(tables: &'t Tables) -> Self {
        let mut index = Self::default();
        for link in &tables.links {
            index.by_name.insert(&link.name, link);
            index.by_number.insert(link.ifindex, link);
        }
        for address in &tables.addresses {
            let addresses = index.addresses.entry(address.ifindex).or_default();
            addresses.push(address);
        }
        index
    }

    /// The device of this name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&'t Link> {
        self.by_name.get(name).copied()
    }

    /// The device of this number.
    #[must_use]
    pub fn link_of(&self, ifindex: IfIndex) -> Option<&'t Link> {
        self.by_number.get(&ifindex).copied()
    }

    /// The addresses of a device.
    pub fn addresses_of(&self, ifindex: IfIndex) -> impl Iterator<Item = &'t Address> {
        self.addresses.get(&ifindex).into_iter().flatten().copied()
    }
}
