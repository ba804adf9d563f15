//! Numbers that must not be mixed up: they are all small integers otherwise.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            #[must_use]
            #[inline(always)]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number.
            #[must_use]
            #[inline(always)]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// The kernel's number of a network device, host order; 0 is none.
    IfIndex(u32)
}
id! {
    /// A configured network, from 0; it keeps its number while it is there. Index
    /// of its counters.
    NetworkId(u16)
}
id! {
    /// A trunk of this instance, from 0; its place in `INGRESS` and `TX_PORTS`.
    TrunkSlot(u8)
}
