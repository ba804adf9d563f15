//! Keeping neighbours alive: packets that XDP forwards never tell the kernel
//! that a neighbour is in use, so it would go stale and stay so, and a host that
//! moves to another MAC would never be missed.
//!
//! Once a second the stale neighbours of the networks that carry traffic are
//! declared in use (`NTF_USE`). The kernel does the rest, and announces it:
//! STALE -> DELAY -> PROBE -> REACHABLE, or FAILED, and then the next packet
//! passes up and is resolved anew.

use std::{collections::BTreeMap, net::IpAddr};

use router_common::wire::{IfIndex, NetworkId};

use crate::{
    dataplane::Sent,
    netlink::types::{Neighbour, NeighbourState},
};

/// Neighbours that are declared in use in one second.
pub(super) const LIMIT: usize = 1024;
/// Counters that are read in one second: one takes about a microsecond.
const COUNTERS: usize = 8192;

/// Whether a neighbour is to be declared in use, if it is.
///
/// Not a permanent one: the kernel would take it for one that can fail. Not one
/// that a control plane or the kernel itself looks after.
pub(super) const fn needs_use(neighbour: &Neighbour) -> bool {
    matches!(neighbour.state, NeighbourState::Stale)
        && !neighbour.flags.ext_learned
        && !neighbour.flags.managed
        && !neighbour.flags.proxy
}

/// Chooses up to [`LIMIT`] of them.
pub(super) fn choose<'n>(
    neighbours: impl Iterator<Item = &'n Neighbour>,
) -> Vec<(IfIndex, IpAddr)> {
    neighbours
        .filter(|neighbour| needs_use(neighbour))
        .take(LIMIT)
        .map(|neighbour| (neighbour.ifindex, neighbour.address))
        .collect()
}

/// Which networks carry traffic.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Packets forwarded to each, when it was last looked at.
    seen: BTreeMap<NetworkId, u64>,
    /// To all of them, where it is not known to which.
    anywhere: u64,
    /// The last one that was looked at.
    last: Option<NetworkId>,
}

impl Traffic {
    /// Those of `asked` (in rising order) to which more has been forwarded than
    /// when they were last looked at. `count` says how much, and reads as many
    /// counters as there are `networks`: of many networks some have to wait for
    /// their turn. Where only the sum is known, it is all of them or none.
    pub(super) fn carried<E>(
        &mut self,
        asked: &[NetworkId],
        networks: usize,
        mut count: impl FnMut(NetworkId) -> Result<Sent, E>,
    ) -> Result<Vec<NetworkId>, E> {
        let at_once = (COUNTERS / networks.max(1)).max(1);
        // Behind the last one, and then from the beginning.
        let from = asked.partition_point(|id| Some(*id) <= self.last);
        let (before, behind) = asked.split_at(from);
        let mut carrying = Vec::new();
        for &id in behind.iter().chain(before).take(at_once) {
            let packets = match count(id)? {
                Sent::There(packets) => packets,
                Sent::Anywhere(packets) => {
                    let before = std::mem::replace(&mut self.anywhere, packets);
                    return Ok(if packets == before {
                        Vec::new()
                    } else {
                        asked.to_vec()
                    });
                }
            };
            if self.seen.insert(id, packets).unwrap_or(0) != packets {
                carrying.push(id);
            }
            self.last = Some(id);
        }
        Ok(carrying)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::netlink::types::NeighbourFlags;

    fn neighbour(state: NeighbourState, flags: NeighbourFlags) -> Neighbour {
        Neighbour {
            ifindex: IfIndex::new(3),
            address: [10, 0, 0, 9].into(),
            mac: None,
            state,
            flags,
        }
    }

    #[test]
    fn only_stale_ones_are_declared_in_use() {
        use NeighbourState as S;
        let none = NeighbourFlags::default();
        for state in [
            S::None,
            S::Incomplete,
            S::Reachable,
            S::Delay,
            S::Probe,
            S::Failed,
            S::NoArp,
            S::Permanent,
            S::Other,
        ] {
            assert!(!needs_use(&neighbour(state, none)), "{state:?}");
        }
        assert!(needs_use(&neighbour(S::Stale, none)));
        let router = NeighbourFlags {
            router: true,
            ..none
        };
        assert!(needs_use(&neighbour(S::Stale, router)));
    }

    #[test]
    fn not_those_that_others_look_after() {
        let none = NeighbourFlags::default();
        let others = [
            NeighbourFlags {
                ext_learned: true,
                ..none
            },
            NeighbourFlags {
                managed: true,
                ..none
            },
            NeighbourFlags {
                proxy: true,
                ..none
            },
        ];
        for flags in others {
            assert!(!needs_use(&neighbour(NeighbourState::Stale, flags)));
        }
    }

    #[test]
    fn no_more_than_the_limit_at_once() {
        let stale = neighbour(NeighbourState::Stale, NeighbourFlags::default());
        let many = vec![stale; 10_000];
        assert_eq!(choose(many.iter()).len(), LIMIT);
    }

    fn carried(
        traffic: &mut Traffic,
        asked: &[u16],
        networks: usize,
        packets: impl Fn(u16) -> u64,
    ) -> Vec<u16> {
        let asked: Vec<_> = asked.iter().copied().map(NetworkId::new).collect();
        let count = |id: NetworkId| Ok::<_, Infallible>(Sent::There(packets(id.get())));
        let carried = traffic.carried(&asked, networks, count).unwrap();
        carried.into_iter().map(NetworkId::get).collect()
    }

    #[test]
    fn networks_whose_counter_grows_carry_traffic() {
        let mut traffic = Traffic::default();
        let first = |id| if id == 1 { 7 } else { 0 };
        assert_eq!(carried(&mut traffic, &[0, 1, 2], 3, first), [1]);
        assert_eq!(carried(&mut traffic, &[0, 1, 2], 3, first), [0_u16; 0]);
        assert_eq!(carried(&mut traffic, &[0, 1, 2], 3, |_| 8), [0, 1, 2]);
    }

    #[test]
    fn where_pairs_are_not_counted_any_traffic_counts() {
        let mut traffic = Traffic::default();
        let asked = [NetworkId::new(3), NetworkId::new(900)];
        let mut look = |packets| {
            let count = |_| Ok::<_, Infallible>(Sent::Anywhere(packets));
            traffic.carried(&asked, 4094, count).unwrap()
        };
        assert_eq!(look(5), asked);
        assert_eq!(look(5), []);
        assert_eq!(look(6), asked);
    }

    #[test]
    fn of_many_networks_each_has_its_turn() {
        let mut traffic = Traffic::default();
        let asked: Vec<u16> = (0..256).collect();
        let mut turns = Vec::new();
        for _ in 0..8 {
            let some = carried(&mut traffic, &asked, 256, |_| 1);
            assert_eq!(some.len(), 32);
            turns.extend(some);
        }
        turns.sort_unstable();
        assert_eq!(turns, asked);
        // Round again: nothing new.
        assert_eq!(carried(&mut traffic, &asked, 256, |_| 1), [0_u16; 0]);
        assert_eq!(carried(&mut traffic, &asked, 256, |_| 2)[0], 32);
    }
}
