//! What every map must be like. aya opens a pin whatever is behind it: a wrong
//! value size would corrupt memory, a wrong capacity lose entries. So pins are
//! compared with this first.

use std::path::Path;

use aya::maps::{MapInfo, MapType};
use router_common::abi::{
    Control, Counter, Egress, Ingress, MAX_LOCALS, MAX_NETWORKS, MAX_REASONS, MAX_TRUNKS,
    NetworkName, VIDS, names, pair_stride,
};

use super::Layout;
use crate::sys::{self, PinKind};

/// `BPF_F_NO_PREALLOC` (include/uapi/linux/bpf.h).
const NO_PREALLOC: u32 = 1 << 0;
/// `BPF_F_RDONLY_PROG`: the kernel sets it on devmaps, whatever it is asked for.
const READ_ONLY_PROGRAM: u32 = 1 << 7;

/// Most trunks and networks that a layout has room for.
pub(super) const TRUNKS: u32 = MAX_TRUNKS;
pub(super) const NETWORKS: u32 = MAX_NETWORKS;

/// A map's kind and sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: MapType,
    /// Bytes.
    pub(super) key: u32,
    /// Bytes.
    pub(super) value: u32,
    pub(super) entries: u32,
    pub(super) flags: u32,
}

/// Records of per-pair counters for as many networks.
pub(super) const fn pairs(networks: u32) -> u32 {
    match pair_stride(networks) {
        1 => networks.next_power_of_two(),
        stride => stride * stride,
    }
}

/// Networks for which `NETWORKS` has room. Arrays are as large as they are told:
/// no more than there is use for, with room for some more.
pub(super) const fn networks(networks: u32) -> u32 {
    let room = networks.next_power_of_two();
    if room < 16 { 16 } else { room }
}

/// Rows of `INGRESS` for as many trunks.
pub(super) const fn ingress(trunks: u32) -> u32 {
    trunks.next_power_of_two() * VIDS
}

/// What the object makes of each map with this layout.
#[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
pub(super) fn wanted(layout: &Layout) -> [(&'static str, Shape); names::MAPS.len()] {
    let counter = size_of::<Counter>() as u32;
    let array = |value: usize, entries| Shape {
        kind: MapType::Array,
        key: 4,
        value: value as u32,
        entries,
        flags: 0,
    };
    let hash = |key, value, entries| Shape {
        kind: MapType::Hash,
        key,
        value,
        entries,
        flags: NO_PREALLOC,
    };
    let counters = |entries| Shape {
        kind: MapType::PerCpuArray,
        key: 4,
        value: counter,
        entries,
        flags: 0,
    };
    let ports = Shape {
        kind: MapType::DevMapHash,
        key: 4,
        value: 8,
        entries: MAX_TRUNKS,
        flags: 0,
    };
    [
        (names::INGRESS, array(Ingress::SIZE, ingress(layout.trunks))),
        (names::EGRESS, hash(4, Egress::SIZE as u32, MAX_NETWORKS)),
        (names::LOCALS, hash(16, 1, MAX_LOCALS)),
        (names::TX_PORTS, ports),
        (names::CONTROL, array(Control::SIZE, 1)),
        (
            names::NETWORKS,
            array(NetworkName::SIZE, networks(layout.networks)),
        ),
        (names::VERDICTS, counters(MAX_REASONS)),
        (names::PAIRS, counters(pairs(layout.networks))),
    ]
}

/// The shape of the map that is pinned at `path`; `None`: there is none.
pub(super) fn of_pin(name: &str, path: &Path) -> Option<Shape> {
    // What the kernel says of a link would be read as of a map.
    if sys::pin_kind(path).ok()? != PinKind::Map {
        return None;
    }
    let info = MapInfo::from_pin(path).ok()?;
    // The kernel keeps 15 characters.
    (info.name_as_str() == Some(name)).then_some(())?;
    Some(Shape {
        kind: info.map_type().ok()?,
        key: info.key_size(),
        value: info.value_size(),
        entries: info.max_entries(),
        flags: info.map_flags() & !READ_ONLY_PROGRAM,
    })
}

/// Why the maps pinned in `folder` cannot serve; `None`: they can.
pub(super) fn misfit(folder: &Path, layout: &Layout) -> Option<String> {
    wanted(layout)
        .into_iter()
        .find_map(|(name, wanted)| match of_pin(name, &folder.join(name)) {
            None => Some(format!("{name} is missing, or is something else")),
            Some(shape) if shape != wanted => {
                Some(format!("{name} is {shape:?}, and must be {wanted:?}"))
            }
            Some(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_by_powers_of_two() {
        for (count, rows, names, records) in [
            (0, 4096, 16, 256),
            (1, 4096, 16, 256),
            (16, 16 * 4096, 16, 256),
            (17, 32 * 4096, 32, 1024),
            (256, 256 * 4096, 256, 65536),
            (257, 512 * 4096, 512, 512),
        ] {
            assert_eq!(ingress(count), rows, "{count}");
            assert_eq!(networks(count), names, "{count}");
            assert_eq!(pairs(count), records, "{count}");
        }
    }

    /// The strides of both are the same: how old counters are read is told by
    /// the capacity of `NETWORKS`.
    #[test]
    fn the_capacity_of_names_tells_how_pairs_are_counted() {
        for count in 0..5000 {
            assert_eq!(
                pair_stride(networks(count)),
                pair_stride(count),
                "{count} networks"
            );
        }
    }
}
