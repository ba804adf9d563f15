//! Map keys and values as byte arrays, for the side that speaks `bpf(2)`.
//!
//! The daemon opens every map with `[u8; N]` keys and values, and converts
//! here: the one place where a layout and its bytes meet.

use core::mem::size_of;

/// A map key or value whose layout has no padding and no invalid bit pattern.
///
/// # Safety
/// Implementors are `#[repr(C)]`, contain integers and arrays of them only,
/// have no implicit padding (asserted by [`assert_no_padding`]), and `N` is
/// their size in bytes.
#[expect(unsafe_code, reason = "marker: the layout promise of conventions.md 7")]
pub unsafe trait MapBytes<const N: usize>: Copy + Sized {
    /// The value as the kernel stores it, in host order.
    #[must_use]
    fn to_bytes(&self) -> [u8; N] {
        const { assert!(size_of::<Self>() == N, "N is the size of the type") }
        // SAFETY: same size (asserted), and the trait promises that every byte
        // is initialised.
        unsafe { core::mem::transmute_copy(self) }
    }

    /// The value that these bytes, read from the kernel, stand for.
    #[must_use]
    fn from_bytes(bytes: &[u8; N]) -> Self {
        const { assert!(size_of::<Self>() == N, "N is the size of the type") }
        // SAFETY: same size (asserted), and the trait promises that every bit
        // pattern is valid. transmute_copy reads unaligned.
        unsafe { core::mem::transmute_copy(bytes) }
    }
}

/// Compile-time check: the fields fill the type, so it has no padding bytes.
pub(super) const fn assert_no_padding(size: usize, fields: &[usize]) {
    let mut sum = 0;
    let mut i = 0;
    while i < fields.len() {
        sum += fields[i];
        i += 1;
    }
    assert!(sum == size, "a layout has implicit padding");
}
