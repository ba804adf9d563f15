//! Counters and names of maps that make way for others: what was counted goes
//! on where the layouts allow it.

use std::path::Path;

use aya::maps::{Array, Map, MapData, MapType, PerCpuArray};
use router_common::{
    abi::{Counter, MAX_REASONS, MapBytes as _, NetworkName, names, pair_index, pair_stride},
    wire::NetworkId,
};
use tracing::info;

use super::{Error, maps::Maps, shape};

/// A record of a per-CPU map, CPU by CPU.
type Record = [u8; 16];

/// Takes names and counters over from the maps pinned in `before`.
///
/// Frames that are counted there from now on, until the programs are replaced,
/// are not counted here: milliseconds.
pub(super) fn carry_over(before: &Path, maps: &mut Maps) -> Result<(), Error> {
    if let Some(verdicts) = records(before, names::VERDICTS) {
        for index in 0..MAX_REASONS.min(verdicts.len()) {
            if let Some(cpus) = counted(&verdicts, index) {
                maps.resume_verdict(index, &cpus)?;
            }
        }
    }
    let Some(networks) = named(before) else {
        return Ok(());
    };
    for (id, name) in &networks.names {
        if maps.has_room(*id) {
            maps.resume(*id, *name)?;
        }
    }
    let Some(pairs) = records(before, names::PAIRS) else {
        return Ok(());
    };
    let stride = pair_stride(networks.room);
    let alone = [(NetworkId::new(0), NetworkName::default())];
    let columns = if stride > 1 {
        networks.names.as_slice()
    } else {
        &alone
    };
    for (from, _) in &networks.names {
        for (to, _) in columns {
            let index = pair_index(stride, *from, *to);
            // One record a network cannot become one a pair.
            if index < pairs.len()
                && maps.counts_pairs() <= (stride > 1)
                && let Some(cpus) = counted(&pairs, index)
            {
                maps.resume_pair(*from, *to, &cpus)?;
            }
        }
    }
    info!("counters are carried over from {}", before.display());
    Ok(())
}

struct Networks {
    names: Vec<(NetworkId, NetworkName)>,
    /// Ids there is room for, which says how pairs are counted.
    room: u32,
}

fn named(folder: &Path) -> Option<Networks> {
    let path = folder.join(names::NETWORKS);
    let shape = shape::of_pin(names::NETWORKS, &path)?;
    let fits = shape.kind == MapType::Array
        && shape.key == 4
        && usize::try_from(shape.value) == Ok(NetworkName::SIZE);
    if !fits {
        return None;
    }
    let map = MapData::from_pin(&path).ok()?;
    let map: Array<_, [u8; NetworkName::SIZE]> = Map::Array(map).try_into().ok()?;
    let names = (0..=u16::MAX).zip(0..map.len()).filter_map(|(id, index)| {
        let name = NetworkName::from_bytes(&map.get(&index, 0).ok()?);
        name.as_str()?;
        Some((NetworkId::new(id), name))
    });
    Some(Networks {
        names: names.collect(),
        room: shape.entries,
    })
}

fn records(folder: &Path, name: &str) -> Option<PerCpuArray<MapData, Record>> {
    let path = folder.join(name);
    let shape = shape::of_pin(name, &path)?;
    let fits = shape.kind == MapType::PerCpuArray
        && shape.key == 4
        && usize::try_from(shape.value) == Ok(size_of::<Counter>());
    if !fits {
        return None;
    }
    let map = MapData::from_pin(&path).ok()?;
    Map::PerCpuArray(map).try_into().ok()
}

/// A record, if anything was counted in it.
fn counted(map: &PerCpuArray<MapData, Record>, index: u32) -> Option<Vec<Record>> {
    let cpus = map.get(&index, 0).ok()?;
    let counted = cpus.iter().any(|record| *record != [0; 16]);
    counted.then(|| cpus.to_vec())
}

/// The networks of the maps in `folder` with their numbers.
pub(super) fn networks(folder: &Path) -> Vec<(String, NetworkId)> {
    let names = named(folder).map(|networks| networks.names);
    let names = names.into_iter().flatten();
    names
        .filter_map(|(id, name)| Some((name.as_str()?.to_owned(), id)))
        .collect()
}
