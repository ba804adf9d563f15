//! What the program counted, and which counter moved.

use std::fmt;

use router_common::{
    abi::{Counter, pair_index},
    datapath::Reason,
    wire::NetworkId,
};

/// Every counter at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    pub(super) verdicts: Vec<Counter>,
    pub(super) pairs: Vec<Counter>,
    pub(super) stride: u32,
}

/// One counter of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A record of `VERDICTS`.
    Kept(Reason),
    /// A record of `PAIRS`: from, to.
    Forwarded(u16, u16),
    /// A record that belongs to nothing.
    Stray(&'static str, usize),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(reason) => write!(f, "pass {}", reason.name()),
            Self::Forwarded(from, to) => write!(f, "forward {from}->{to}"),
            Self::Stray(map, index) => write!(f, "{map}[{index}], which nothing uses"),
        }
    }
}

impl Counters {
    /// The records that moved since `before`, and by how much.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<(Record, Counter)> {
        let kept = moved(&before.verdicts, &self.verdicts).map(|(index, by)| {
            let reason = Reason::ALL
                .iter()
                .find(|reason| reason.index() as usize == index);
            let record = reason.map_or(Record::Stray("VERDICTS", index), |r| Record::Kept(*r));
            (record, by)
        });
        let forwarded = moved(&before.pairs, &self.pairs).map(|(index, by)| {
            let ids = (0..16).flat_map(|from| (0..16).map(move |to| (from, to)));
            let pair = ids.into_iter().find(|(from, to)| {
                pair_index(self.stride, NetworkId::new(*from), NetworkId::new(*to)) as usize
                    == index
            });
            let record = pair.map_or(Record::Stray("PAIRS", index), |(from, to)| {
                Record::Forwarded(from, to)
            });
            (record, by)
        });
        kept.chain(forwarded).collect()
    }
}

fn moved(before: &[Counter], after: &[Counter]) -> impl Iterator<Item = (usize, Counter)> {
    before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(_, (before, after))| before != after)
        .map(|(index, (before, after))| {
            let by = Counter {
                packets: after.packets.wrapping_sub(before.packets),
                bytes: after.bytes.wrapping_sub(before.bytes),
            };
            (index, by)
        })
}
