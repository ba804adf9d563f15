//! The Internet checksum of the IPv4 header (RFC 1071, RFC 1624).
//!
//! Rules of this file: a sum that is folded to 16 bits and complemented; 0x0000
//! and 0xffff both stand for zero when a header is *verified*, and only the
//! form that the kernel writes (`ip_decrease_ttl`, include/net/ip.h) is
//! *produced*, so that output with XDP equals output without it.

use crate::wire::IPV4_LEN;

/// Whether a header without options carries a valid checksum.
#[must_use]
#[inline(always)]
pub const fn verify_ipv4(header: &[u8; IPV4_LEN]) -> bool {
    // RFC 1071 2 (B): the sum does not depend on byte order, so words are
    // added as they lie in memory.
    let mut sum = 0_u64;
    let mut i = 0;
    while i < IPV4_LEN {
        let word = [header[i], header[i + 1], header[i + 2], header[i + 3]];
        sum += u32::from_ne_bytes(word) as u64;
        i += 4;
    }
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

/// The checksum, in network order, of a header whose TTL has become one less.
///
/// RFC 1624 eqn. 3 for a change of -0x0100 in one word, in the form that the
/// kernel computes: add 0x0100, and carry where the sum reaches 0xffff (so that
/// the result is never 0xffff).
#[must_use]
#[inline(always)]
pub const fn after_ttl_decrement(checksum: [u8; 2]) -> [u8; 2] {
    let (sum, overflow) = u16::from_be_bytes(checksum).overflowing_add(0x0100);
    let carry = overflow || sum == 0xffff;
    sum.wrapping_add(carry as u16).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Full recomputation over 16-bit words, written apart from the code
    /// above.
    fn recompute(header: &[u8; IPV4_LEN]) -> u16 {
        let mut sum: u32 = header
            .chunks(2)
            .enumerate()
            .filter(|(i, _)| *i != 5)
            .map(|(_, word)| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    fn header(id: u16, ttl: u8) -> [u8; IPV4_LEN] {
        let mut header = [
            0x45, 0, 0, 84, 0, 0, 0x40, 0, ttl, 1, 0, 0, 172, 16, 10, 10, 172, 16, 20, 11,
        ];
        header[4..6].copy_from_slice(&id.to_be_bytes());
        let sum = recompute(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    /// Cases 28 and 29: for every checksum there can be (every identification
    /// gives another) under every TTL, the incremental update equals full
    /// recomputation.
    #[test]
    fn incremental_update_equals_full_recomputation() {
        for ttl in 2..=255 {
            for id in 0..=u16::MAX {
                let before = header(id, ttl);
                assert!(verify_ipv4(&before), "id {id} ttl {ttl}");
                let mut after = before;
                after[8] -= 1;
                let sum = after_ttl_decrement([before[10], before[11]]);
                after[10..12].copy_from_slice(&sum);
                assert_eq!(
                    u16::from_be_bytes(sum),
                    recompute(&after),
                    "id {id} ttl {ttl}"
                );
                assert!(verify_ipv4(&after), "id {id} ttl {ttl}");
            }
        }
    }

    /// 0xffff instead of 0x0000 in a header is valid, and its successor too.
    #[test]
    fn both_zeros_verify() {
        let id = (0..=u16::MAX)
            .find(|id| header(*id, 64)[10..12] == [0, 0])
            .unwrap();
        let mut zero = header(id, 64);
        assert!(verify_ipv4(&zero));
        zero[10..12].copy_from_slice(&[0xff, 0xff]);
        assert!(verify_ipv4(&zero));
        zero[8] -= 1;
        let sum = after_ttl_decrement([0xff, 0xff]);
        zero[10..12].copy_from_slice(&sum);
        assert_eq!(u16::from_be_bytes(sum), recompute(&zero));
    }

    #[test]
    fn every_single_bit_flip_is_seen() {
        let sound = header(4711, 64);
        for bit in 0..IPV4_LEN * 8 {
            let mut broken = sound;
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_ipv4(&broken), "bit {bit}");
        }
    }
}
