//! `EGRESS`: what the program knows of a network that frames go out on.

use core::mem::size_of;

use super::bytes::{MapBytes, assert_no_padding};
use crate::wire::{NetworkId, TrunkSlot, Vid};

/// Bits of [`Egress::flags`].
pub mod egress_flags {
    /// Sub-interface and trunk are up and have carrier.
    pub const UP: u8 = 1 << 0;
    /// A leg of an IPv4 multipath route whose choice the program cannot
    /// repeat: the kernel's hash policy is not 0 (L3 addresses).
    pub const MULTIPATH_V4_UNREPEATABLE: u8 = 1 << 1;
    /// The same for IPv6.
    pub const MULTIPATH_V6_UNREPEATABLE: u8 = 1 << 2;
    /// A leg of some multipath route: ICMP errors, whose *inner* header the
    /// kernel hashes, pass up.
    pub const MULTIPATH_LEG: u8 = 1 << 3;
    /// The trunk's driver sends frames in several buffers that are redirected to
    /// it (`NETDEV_XDP_ACT_NDO_XMIT_SG`).
    pub const SENDS_BUFFERS: u8 = 1 << 4;
}

/// A network that frames go out on: the value of `EGRESS`, by the ifindex that
/// `bpf_fib_lookup` answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The network's id, index of its counters.
    pub network: NetworkId,
    /// Tag that frames get; [`Vid::UNTAGGED`]: none.
    pub vid: Vid,
    /// Trunk that frames leave by.
    pub trunk: TrunkSlot,
    /// See [`egress_flags`].
    pub flags: u8,
    /// Always 0.
    pub pad: [u8; 2],
    /// Largest IPv4 packet in bytes, from its header on: the smaller of the
    /// device's MTU and the smallest `mtu` of a route through it (the kernel
    /// obeys it, `bpf_fib_lookup` only where it is locked).
    pub mtu4: u32,
    /// The same for IPv6 (also `conf.IF.mtu`).
    pub mtu6: u32,
    /// The sub-interface's egress-qos-map: `skb->priority` 0 to 15 -> PCP
    /// 0 to 7.
    pub pcp: [u8; 16],
}

impl Egress {
    /// Size of the map value in bytes.
    pub const SIZE: usize = 32;

    /// Whether every bit of `mask` is set in the flags.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, mask: u8) -> bool {
        self.flags & mask == mask
    }
}

const _: () = assert!(size_of::<Egress>() == Egress::SIZE);
const _: () = assert_no_padding(size_of::<Egress>(), &[2, 2, 1, 1, 2, 4, 4, 16]);

// SAFETY: integers and byte arrays; no padding (asserted above).
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<{ Egress::SIZE }> for Egress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let entry = Egress {
            network: NetworkId::new(7),
            vid: Vid::new(200).unwrap(),
            trunk: TrunkSlot::new(1),
            flags: egress_flags::UP,
            mtu4: 1500,
            mtu6: 1280,
            pcp: [5; 16],
            ..Egress::default()
        };
        assert_eq!(Egress::from_bytes(&entry.to_bytes()), entry);
    }
}
