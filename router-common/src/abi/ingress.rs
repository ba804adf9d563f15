//! `INGRESS`: what the program knows of a network that frames come in on.

use core::mem::size_of;

use super::bytes::{MapBytes, assert_no_padding};
use crate::wire::{IfIndex, MacAddr, NetworkId};

/// Bits of [`Ingress::flags`].
pub mod ingress_flags {
    /// The sub-interface is up and has carrier.
    pub const UP: u16 = 1 << 0;
    /// The kernel forwards IPv4 that comes in here (`conf.IF.forwarding`).
    pub const FORWARD_V4: u16 = 1 << 1;
    /// The kernel forwards IPv6 that comes in here. The kernel's switch is
    /// `conf.all.forwarding` (6.17 and later: or the interface's
    /// `force_forwarding`), while `bpf_fib_lookup` looks at the interface's
    /// own flag alone.
    pub const FORWARD_V6: u16 = 1 << 2;
    /// The kernel validates sources here, so that one outside the prefixes
    /// below needs a reverse lookup: `rp_filter` is on (1 or 2, the larger of
    /// `all` and the interface's), or the namespace has policy rules or local
    /// routes of its own, with which `fib_validate_source`
    /// (net/ipv4/fib_frontend.c) always makes the full check.
    pub const RP_FILTER: u16 = 1 << 3;
    /// A source inside the prefixes below may be believed. Off where a more
    /// specific route or a policy rule could send it elsewhere, so that with
    /// `RP_FILTER` every source needs a reverse lookup.
    pub const TRUST_PREFIXES: u16 = 1 << 4;
    /// The prefixes below hold more local addresses than their own gateways,
    /// so that every source is looked up in `LOCALS`.
    pub const CHECK_LOCALS: u16 = 1 << 5;
    /// `LOCALS` could not hold every local address of the namespace: only
    /// sources inside the prefixes below may be forwarded.
    pub const LOCALS_INCOMPLETE: u16 = 1 << 6;
    /// PCP and DEI go through unchanged (`pcp = "keep"`).
    pub const KEEP_PCP: u16 = 1 << 7;
    /// `ip_forward_update_priority` is 0: IPv4 packets keep the priority that
    /// the ingress-qos-map gave them, as IPv6 packets always do.
    pub const KEEP_PRIORITY: u16 = 1 << 8;
}

/// An IPv4 prefix of the network, by the gateway's address in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix4 {
    /// The gateway's address, network order.
    pub gateway: [u8; 4],
    /// The prefix's mask, network order.
    pub mask: [u8; 4],
}

impl Prefix4 {
    /// The prefix of `gateway`/`len`, `len` from 0 to 32.
    #[must_use]
    pub const fn new(gateway: [u8; 4], len: u8) -> Self {
        let mask = match len {
            0 => 0,
            1..=31 => u32::MAX << (32 - len),
            _ => u32::MAX,
        };
        Self {
            gateway,
            mask: mask.to_be_bytes(),
        }
    }

    /// Whether `address` is inside the prefix.
    #[must_use]
    #[inline(always)]
    pub const fn contains(&self, address: [u8; 4]) -> bool {
        let mask = u32::from_ne_bytes(self.mask);
        (u32::from_ne_bytes(address) ^ u32::from_ne_bytes(self.gateway)) & mask == 0
    }

    /// Whether `address`, which is inside the prefix, can be a host in it:
    /// not the gateway, and neither the all-zeros nor the all-ones address
    /// (RFC 1812 4.2.2.11, 5.3.5). In a /31 and a /32 (RFC 3021) every
    /// address is a host's.
    #[must_use]
    #[inline(always)]
    pub const fn is_host(&self, address: [u8; 4]) -> bool {
        let host = !u32::from_be_bytes(self.mask);
        let bits = u32::from_be_bytes(address) & host;
        let edge = host > 1 && (bits == 0 || bits == host);
        !edge && u32::from_ne_bytes(address) != u32::from_ne_bytes(self.gateway)
    }
}

/// An IPv6 prefix of the network, by the gateway's address in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix6 {
    /// The gateway's address, network order.
    pub gateway: [u8; 16],
    /// The prefix's mask, network order.
    pub mask: [u8; 16],
}

impl Prefix6 {
    /// The prefix of `gateway`/`len`, `len` from 0 to 128.
    #[must_use]
    pub const fn new(gateway: [u8; 16], len: u8) -> Self {
        let mask = match len {
            0 => 0,
            1..=127 => u128::MAX << (128 - len),
            _ => u128::MAX,
        };
        Self {
            gateway,
            mask: mask.to_be_bytes(),
        }
    }

    /// Whether `address` is inside the prefix.
    #[must_use]
    #[inline(always)]
    pub const fn contains(&self, address: &[u8; 16]) -> bool {
        let [a_hi, a_lo] = halves(address);
        let [g_hi, g_lo] = halves(&self.gateway);
        let [m_hi, m_lo] = halves(&self.mask);
        ((a_hi ^ g_hi) & m_hi) | ((a_lo ^ g_lo) & m_lo) == 0
    }

    /// Whether `address`, which is inside the prefix, can be a host in it:
    /// neither the gateway nor the subnet-router anycast address (RFC 4291
    /// 2.6.1).
    #[must_use]
    #[inline(always)]
    pub const fn is_host(&self, address: &[u8; 16]) -> bool {
        let [a_hi, a_lo] = halves(address);
        let [g_hi, g_lo] = halves(&self.gateway);
        let [m_hi, m_lo] = halves(&self.mask);
        let gateway = (a_hi ^ g_hi) | (a_lo ^ g_lo) == 0;
        let anycast = (a_hi & !m_hi) | (a_lo & !m_lo) == 0;
        !gateway && !anycast
    }
}

/// Two 64-bit halves: the eBPF target has no 128-bit arithmetic.
#[inline(always)]
const fn halves(address: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// A network that frames come in on: the value of `INGRESS`.
///
/// An entry whose `ifindex` is 0 is empty: the VID is not ours.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Sub-interface (untagged: the trunk itself), host order; 0: no network.
    pub ifindex: IfIndex,
    /// The network's id, index of its counters.
    pub network: NetworkId,
    /// See [`ingress_flags`].
    pub flags: u16,
    /// The gateway's MAC on this network.
    pub mac: MacAddr,
    /// How many of `prefixes4` count.
    pub prefixes4_len: u8,
    /// How many of `prefixes6` count.
    pub prefixes6_len: u8,
    /// The sub-interface's ingress-qos-map: PCP 0 to 7 -> `skb->priority`
    /// (0 to 15; [`Ingress::PRIORITY_UNMAPPED`]: more than `Egress::pcp` holds).
    pub priority: [u8; 8],
    /// The network's own IPv4 prefixes. Where it has more, those count as
    /// foreign sources: slower, never wrong.
    pub prefixes4: [Prefix4; Self::PREFIXES],
    /// The network's own IPv6 prefixes.
    pub prefixes6: [Prefix6; Self::PREFIXES],
}

impl Ingress {
    /// Prefixes of each family that an entry holds.
    pub const PREFIXES: usize = 2;
    /// Mark of a priority above 15 in [`Ingress::priority`].
    pub const PRIORITY_UNMAPPED: u8 = 0xff;
    /// Size of the map value in bytes.
    pub const SIZE: usize = 104;

    /// Whether every bit of `mask` is set in the flags.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, mask: u16) -> bool {
        self.flags & mask == mask
    }

    /// The own prefix that `source` is inside, if any.
    #[must_use]
    #[inline(always)]
    pub fn prefix4_of(&self, source: [u8; 4]) -> Option<&Prefix4> {
        let [first, second] = &self.prefixes4;
        if self.prefixes4_len >= 1 && first.contains(source) {
            Some(first)
        } else if self.prefixes4_len >= 2 && second.contains(source) {
            Some(second)
        } else {
            None
        }
    }

    /// The own prefix that `source` is inside, if any.
    #[must_use]
    #[inline(always)]
    pub fn prefix6_of(&self, source: &[u8; 16]) -> Option<&Prefix6> {
        let [first, second] = &self.prefixes6;
        if self.prefixes6_len >= 1 && first.contains(source) {
            Some(first)
        } else if self.prefixes6_len >= 2 && second.contains(source) {
            Some(second)
        } else {
            None
        }
    }
}

const _: () = assert!(size_of::<Ingress>() == Ingress::SIZE);
const _: () = assert_no_padding(
    size_of::<Ingress>(),
    &[
        4,
        2,
        2,
        6,
        1,
        1,
        8,
        8 * Ingress::PREFIXES,
        32 * Ingress::PREFIXES,
    ],
);

// SAFETY: integers and byte arrays; no padding (asserted above).
#[expect(unsafe_code, reason = "layout promise")]
unsafe impl MapBytes<{ Ingress::SIZE }> for Ingress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix4_knows_its_hosts() {
        let lan = Prefix4::new([172, 16, 10, 1], 24);
        assert!(lan.contains([172, 16, 10, 0]) && lan.contains([172, 16, 10, 255]));
        assert!(!lan.contains([172, 16, 11, 1]));
        for (address, host) in [
            ([172, 16, 10, 0], false),
            ([172, 16, 10, 1], false),
            ([172, 16, 10, 2], true),
            ([172, 16, 10, 254], true),
            ([172, 16, 10, 255], false),
        ] {
            assert_eq!(lan.is_host(address), host, "{address:?}");
        }
        let link = Prefix4::new([10, 0, 0, 0], 31);
        assert!(link.is_host([10, 0, 0, 1]) && !link.is_host([10, 0, 0, 0]));
        assert!(Prefix4::new([10, 0, 0, 1], 0).contains([192, 168, 0, 1]));
    }

    #[test]
    fn prefix6_knows_its_hosts() {
        let mut gateway = [0; 16];
        gateway[0] = 0xfd;
        gateway[15] = 1;
        let lan = Prefix6::new(gateway, 64);
        let with = |index: usize, value: u8| {
            let mut address = gateway;
            address[index] = value;
            address
        };
        assert!(lan.contains(&with(15, 9)) && lan.contains(&with(8, 9)));
        assert!(!lan.contains(&with(7, 9)));
        assert!(lan.is_host(&with(15, 2)));
        assert!(!lan.is_host(&gateway));
        assert!(!lan.is_host(&with(15, 0)), "subnet-router anycast");
    }

    #[test]
    fn unused_prefixes_match_nothing() {
        let empty = Ingress::default();
        assert!(empty.prefix4_of([0; 4]).is_none());
        assert!(empty.prefix6_of(&[0; 16]).is_none());
    }

    #[test]
    fn bytes_round_trip() {
        let entry = Ingress {
            ifindex: IfIndex::new(0x0a0b_0c0d),
            network: NetworkId::new(513),
            flags: ingress_flags::UP | ingress_flags::KEEP_PCP,
            mac: MacAddr::new([2, 3, 4, 5, 6, 7]),
            prefixes4_len: 1,
            prefixes4: [Prefix4::new([10, 0, 0, 1], 8), Prefix4::default()],
            ..Ingress::default()
        };
        assert_eq!(Ingress::from_bytes(&entry.to_bytes()), entry);
    }
}
