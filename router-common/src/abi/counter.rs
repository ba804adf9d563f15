//! Per-CPU counters: the value of `VERDICTS` and `PAIRS`.

use core::mem::size_of;

use super::{MAX_DENSE_NETWORKS, bytes::MapBytes};
use crate::wire::NetworkId;

/// Frames and their bytes, as one CPU has seen them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of those frames as they came in, Ethernet header to last byte,
    /// without FCS.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16);

// SAFETY: two u64, no padding.
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<16> for Counter {}

impl Counter {
    /// Adds what another CPU has seen.
    #[must_use]
    pub const fn merge(self, other: Self) -> Self {
        Self {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// The `PAIR_STRIDE` for an instance whose network ids are below `networks`.
///
/// Up to [`MAX_DENSE_NETWORKS`] it is a power of two that leaves room to add
/// networks, and `PAIRS` has stride x stride records. Above, it is 1, and
/// `PAIRS` has one record an ingress network.
#[must_use]
pub const fn pair_stride(networks: u32) -> u32 {
    let mut stride = 16;
    while stride < networks {
        stride *= 2;
    }
    if stride > MAX_DENSE_NETWORKS {
        1
    } else {
        stride
    }
}

/// Index in `PAIRS` of a frame that came in on `from` and went out on `to`.
#[must_use]
#[inline(always)]
pub const fn pair_index(stride: u32, from: NetworkId, to: NetworkId) -> u32 {
    if stride == 1 {
        from.get() as u32
    } else {
        from.get() as u32 * stride + to.get() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stride_grows_by_powers_of_two_and_then_gives_up_pairs() {
        for (networks, stride) in [
            (0, 16),
            (2, 16),
            (16, 16),
            (17, 32),
            (255, 256),
            (256, 256),
            (257, 1),
        ] {
            assert_eq!(pair_stride(networks), stride, "{networks} networks");
        }
    }

    #[test]
    fn pairs_of_a_dense_table_do_not_meet() {
        let mut seen = [false; 256];
        for from in 0..16 {
            for to in 0..16 {
                let index = pair_index(16, NetworkId::new(from), NetworkId::new(to)) as usize;
                assert!(!seen[index], "{from}->{to} shares record {index}");
                seen[index] = true;
            }
        }
    }

    #[test]
    fn bytes_round_trip() {
        let counter = Counter {
            packets: 0x0102_0304_0506_0708,
            bytes: 42,
        };
        assert_eq!(Counter::from_bytes(&counter.to_bytes()), counter);
    }
}
