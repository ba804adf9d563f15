//! Which number stands for which trunk and which network in the maps.
//!
//! A number stays with its name for as long as the name is configured: counters
//! go on, and frames never meet a row that has become another network's. Places
//! in the file would not do: they move when a line is put in above.

use std::collections::{BTreeMap, BTreeSet};

use router_common::wire::{NetworkId, TrunkSlot};

use crate::config::{Config, Network, Trunk};

/// The numbers in use, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    trunks: BTreeMap<String, TrunkSlot>,
    networks: BTreeMap<String, NetworkId>,
}

impl Numbering {
    /// What pinned state says. Of two names with one number, or two numbers of
    /// one name, the first one counts: the others are numbered anew.
    pub fn recovered(
        trunks: impl IntoIterator<Item = (String, TrunkSlot)>,
        networks: impl IntoIterator<Item = (String, NetworkId)>,
    ) -> Self {
        Self {
            trunks: distinct(trunks),
            networks: distinct(networks),
        }
    }

    /// The numbers for `config`: names that stay keep theirs, those of names
    /// that went are free, and a new name gets the lowest free one.
    #[must_use]
    pub fn adapted(&self, config: &Config) -> Self {
        let trunks = config.trunks.iter().map(|trunk| trunk.interface.as_str());
        let networks = config.networks.iter().map(|network| network.name.as_str());
        Self {
            trunks: assign(&self.trunks, trunks, (0..=u8::MAX).map(TrunkSlot::new)),
            networks: assign(&self.networks, networks, (0..=u16::MAX).map(NetworkId::new)),
        }
    }

    /// The slot of a trunk, by the name of its interface.
    #[must_use]
    pub fn slot(&self, trunk: &str) -> Option<TrunkSlot> {
        self.trunks.get(trunk).copied()
    }

    /// The id of a network.
    #[must_use]
    pub fn network(&self, name: &str) -> Option<NetworkId> {
        self.networks.get(name).copied()
    }

    /// The network that has this id.
    #[must_use]
    pub fn network_name(&self, id: NetworkId) -> Option<&str> {
        let mut networks = self.networks.iter();
        let (name, _) = networks.find(|(_, other)| **other == id)?;
        Some(name)
    }

    /// The trunk that has this slot.
    #[must_use]
    pub fn trunk_name(&self, slot: TrunkSlot) -> Option<&str> {
        let mut trunks = self.trunks.iter();
        let (name, _) = trunks.find(|(_, other)| **other == slot)?;
        Some(name)
    }

    /// Trunks by name.
    pub fn trunks(&self) -> impl Iterator<Item = (&str, TrunkSlot)> {
        self.trunks
            .iter()
            .map(|(name, slot)| (name.as_str(), *slot))
    }

    /// Networks by name.
    pub fn networks(&self) -> impl Iterator<Item = (&str, NetworkId)> {
        self.networks.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// Slots that the maps must have: one more than the highest.
    #[must_use]
    pub fn slots_needed(&self) -> u32 {
        let highest = self.trunks.values().max();
        highest.map_or(0, |slot| u32::from(slot.get()) + 1)
    }

    /// Ids that the maps must have: one more than the highest.
    #[must_use]
    pub fn ids_needed(&self) -> u32 {
        let highest = self.networks.values().max();
        highest.map_or(0, |id| u32::from(id.get()) + 1)
    }

    /// The configuration's trunks with their slots, in its order.
    pub fn slots<'c>(&self, config: &'c Config) -> impl Iterator<Item = (TrunkSlot, &'c Trunk)> {
        let trunks = config.trunks.iter();
        trunks.filter_map(|trunk| Some((self.slot(&trunk.interface)?, trunk)))
    }

    /// The configuration's networks with their ids and their trunks' slots, in
    /// its order.
    pub fn numbered<'c>(
        &self,
        config: &'c Config,
    ) -> impl Iterator<Item = (NetworkId, TrunkSlot, &'c Network)> {
        config.networks.iter().filter_map(|network| {
            let id = self.network(&network.name)?;
            Some((id, self.slot(&network.trunk)?, network))
        })
    }
}

fn distinct<N: Copy + Ord>(pairs: impl IntoIterator<Item = (String, N)>) -> BTreeMap<String, N> {
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for (name, number) in pairs {
        if !numbers.contains_key(&name) && taken.insert(number) {
            numbers.insert(name, number);
        }
    }
    numbers
}

/// Gives every name its number: `all` are the numbers there are, lowest first.
fn assign<'n, N: Copy + Ord>(
    before: &BTreeMap<String, N>,
    names: impl Iterator<Item = &'n str> + Clone,
    all: impl Iterator<Item = N>,
) -> BTreeMap<String, N> {
    let mut numbers: BTreeMap<String, N> = names
        .clone()
        .filter_map(|name| Some((name.to_owned(), *before.get(name)?)))
        .collect();
    let taken: BTreeSet<N> = numbers.values().copied().collect();
    let mut free = all.filter(|number| !taken.contains(number));
    for name in names {
        if !numbers.contains_key(name)
            && let Some(number) = free.next()
        {
            numbers.insert(name.to_owned(), number);
        }
    }
    numbers
}
