//! `LOCALS`: addresses of the namespace, which no other host may use as a source.

use core::mem::size_of;

use super::bytes::MapBytes;

/// A local address as a map key: IPv6 in network order, IPv4 as
/// `::ffff:a.b.c.d` (RFC 4291 2.5.5.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalAddress {
    /// Sixteen bytes, network order.
    pub octets: [u8; 16],
}

impl LocalAddress {
    /// The key of an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn v4([a, b, c, d]: [u8; 4]) -> Self {
        Self {
            octets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d],
        }
    }

    /// The key of an IPv6 address.
    #[must_use]
    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self { octets }
    }
}

const _: () = assert!(size_of::<LocalAddress>() == 16);

// SAFETY: one byte array.
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<16> for LocalAddress {}
