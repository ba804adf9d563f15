//! What the kernel says when it refuses.

use std::io;

use rtnetlink::packet_core::ErrorMessage;

/// `NLMSGERR_ATTR_MSG` (include/uapi/linux/netlink.h): words for people.
const ATTR_MESSAGE: u16 = 1;
/// Length of the request's header, which comes before the attributes.
const HEADER: usize = 16;

/// A request to the kernel that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("{}", match words { Some(words) => words.clone(), None => errno.to_string() })]
    Refused {
        /// Its number.
        errno: io::Error,
        /// Its own words, where it has some (extended acknowledgement).
        words: Option<String>,
    },
    /// The socket could not be made or used.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The connection is gone, or an answer was lost.
    #[error("the netlink connection broke")]
    Broken,
    /// Every dump was interrupted by changes.
    #[error("the kernel's tables change faster than they can be read")]
    Restless,
}

impl Error {
    /// From an NLMSG_ERROR with extended acknowledgement and without the
    /// request's body (`NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`).
    pub(super) fn refused(message: &ErrorMessage) -> Self {
        Self::Refused {
            errno: message.to_io(),
            words: message.header.get(HEADER..).and_then(words),
        }
    }

    /// The kernel's number, where it refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } | Self::Socket(errno) => errno.raw_os_error(),
            Self::Broken | Self::Restless => None,
        }
    }

    /// Whether what was to be removed, or looked at, is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENXIO)
        )
    }
}

/// The message among the attributes of an acknowledgement.
fn words(mut attributes: &[u8]) -> Option<String> {
    while let Some((&[l0, l1, k0, k1], _)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = attributes.get(4..len)?;
        if u16::from_ne_bytes([k0, k1]) == ATTR_MESSAGE {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(
                String::from_utf8_lossy(text)
                    .trim_end_matches('.')
                    .to_owned(),
            );
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_behind_other_attributes() {
        let mut bytes = vec![8, 0, 2, 0, 1, 2, 3, 4];
        bytes.extend_from_slice(&[7, 0, 1, 0, b'n', b'o', 0, 0]);
        assert_eq!(words(&bytes).as_deref(), Some("no"));
    }

    #[test]
    fn broken_attributes_give_no_words() {
        for bytes in [&[][..], &[1, 0, 1, 0], &[200, 0, 1, 0], &[8, 0, 2]] {
            assert_eq!(words(bytes), None, "{bytes:?}");
        }
    }
}
