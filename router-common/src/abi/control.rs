//! `CONTROL`: until when the program may believe what the maps hold.

use core::mem::size_of;

use super::bytes::{MapBytes, assert_no_padding};

/// The leases that a living daemon renews every second; the only value of
/// `CONTROL`.
///
/// Both are moments, in the kernel's `jiffies64`. All zero is long past: a
/// program forwards nothing before the daemon has filled the maps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Until when entries of caches may be used: some seconds. There is no cache
    /// yet, and so no reader.
    pub cache_lease: u64,
    /// Until when frames may be forwarded at all (`direct_lease`): what the maps
    /// say was true while the daemon lived, and may not be any more.
    pub direct_lease: u64,
}

impl Control {
    /// Size of the map value in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Whether frames may be forwarded at `now`, jiffies64.
    #[must_use]
    #[inline(always)]
    pub const fn may_forward(&self, now: u64) -> bool {
        now < self.direct_lease
    }
}

const _: () = assert_no_padding(size_of::<Control>(), &[8, 8]);

// SAFETY: two u64, no padding.
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<{ Control::SIZE }> for Control {}

/// What the daemon asks of the program `renew_lease`, which knows what time it
/// is in jiffies: the first bytes of the frame that it is run with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// [`Control::cache_lease`] from now on, jiffies.
    pub cache: u64,
    /// [`Control::direct_lease`] from now on, jiffies.
    pub direct: u64,
}

impl Renewal {
    /// Size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// The leases that it makes at `now`, jiffies64.
    #[must_use]
    #[inline(always)]
    pub const fn at(&self, now: u64) -> Control {
        Control {
            cache_lease: now.wrapping_add(self.cache),
            direct_lease: now.wrapping_add(self.direct),
        }
    }
}

const _: () = assert_no_padding(size_of::<Renewal>(), &[8, 8]);

// SAFETY: two u64, no padding.
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<{ Renewal::SIZE }> for Renewal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_map_is_an_expired_lease() {
        assert!(!Control::default().may_forward(0));
        assert!(!Control::default().may_forward(u64::MAX));
    }

    #[test]
    fn a_lease_ends_at_its_moment() {
        let control = Renewal {
            cache: 5,
            direct: 60,
        }
        .at(1000);
        assert_eq!((control.cache_lease, control.direct_lease), (1005, 1060));
        assert!(control.may_forward(1059));
        assert!(!control.may_forward(1060));
    }

    #[test]
    fn bytes_round_trip() {
        let control = Control {
            cache_lease: 0x0102_0304_0506_0708,
            direct_lease: 42,
        };
        assert_eq!(Control::from_bytes(&control.to_bytes()), control);
    }
}
