//! `NETWORKS`: which network has which number, for people who read `PAIRS` and
//! for the daemon that takes over from a dead one.

use core::{fmt, mem::size_of, str};

use super::bytes::{MapBytes, assert_no_padding};

/// The name of a network: ASCII, zeros behind it. All zeros: the number was
/// never given.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NetworkName {
    bytes: [u8; Self::SIZE],
}

impl NetworkName {
    /// Longest name in bytes. The configuration allows no longer ones.
    pub const LONGEST: usize = 63;
    /// Size of the map value in bytes.
    pub const SIZE: usize = Self::LONGEST + 1;

    /// Holds `name`; `None`: it is empty, too long, or has a zero in it.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::SIZE];
        let text = name.as_bytes();
        if text.is_empty() || text.len() > Self::LONGEST || text.contains(&0) {
            return None;
        }
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes })
    }

    /// The name; `None`: the number was never given, or these bytes are no name.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let end = self.bytes.iter().position(|byte| *byte == 0)?;
        let text = str::from_utf8(self.bytes.get(..end)?).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self {
            bytes: [0; Self::SIZE],
        }
    }
}

impl fmt::Debug for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str().unwrap_or_default(), f)
    }
}

const _: () = assert_no_padding(size_of::<NetworkName>(), &[NetworkName::SIZE]);

// SAFETY: an array of bytes.
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<{ NetworkName::SIZE }> for NetworkName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let longest = "x".repeat(NetworkName::LONGEST);
        let longest = str::from_utf8(longest.as_bytes()).unwrap();
        for text in ["a", "mac10", longest] {
            let name = NetworkName::new(text).unwrap();
            assert_eq!(name.as_str(), Some(text));
            assert_eq!(NetworkName::from_bytes(&name.to_bytes()), name);
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        let too_long = "x".repeat(NetworkName::LONGEST + 1);
        for text in ["", "a\0b", &too_long] {
            assert_eq!(NetworkName::new(text), None, "{text:?}");
        }
        assert_eq!(NetworkName::default().as_str(), None);
        let garbage = [0xff; NetworkName::SIZE];
        assert_eq!(NetworkName::from_bytes(&garbage).as_str(), None);
    }
}
