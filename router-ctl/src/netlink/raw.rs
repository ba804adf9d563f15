//! Messages that the crates cannot decode, taken apart by hand: forwarding
//! sysctls (`RTM_NEWNETCONF`) and next-hop objects (`RTM_NEWNEXTHOP`); and the
//! envelope of all of them.
//!
//! Layout: include/uapi/linux/{netlink,rtnetlink,netconf}.h. Numbers are in the
//! byte order of the host.

use std::io;

use router_common::wire::IfIndex;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// Headers and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;

/// `NLMSG_ERROR`.
pub(super) const ERROR: u16 = 2;
/// `NLM_F_REPLACE`, in messages about something new: it takes the place of what
/// was there.
pub(super) const REPLACE: u16 = 0x100;

/// `NETCONFA_*` (include/uapi/linux/netconf.h).
const NETCONF_IFINDEX: u16 = 1;
const NETCONF_FORWARDING: u16 = 2;
const NETCONF_RP_FILTER: u16 = 3;
const NETCONF_PROXY_NEIGH: u16 = 5;
/// `NETCONFA_IFINDEX_ALL`, `NETCONFA_IFINDEX_DEFAULT`.
const ALL: i32 = -1;
const DEFAULT: i32 = -2;

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'b> {
    /// `RTM_*`.
    pub(super) kind: u16,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// Header and payload.
    pub(super) whole: &'b [u8],
}

impl<'b> Message<'b> {
    /// What follows the header.
    pub(super) fn payload(&self) -> &'b [u8] {
        self.whole.get(HEADER..).unwrap_or_default()
    }

    /// What the kernel refused with, if this is an `NLMSG_ERROR`; 0: nothing, it
    /// acknowledges.
    pub(super) fn error(&self) -> Option<io::Result<i32>> {
        (self.kind == ERROR).then(|| {
            let code = self.payload().first_chunk().copied();
            let code = code.ok_or(io::ErrorKind::InvalidData)?;
            Ok(i32::from_ne_bytes(code).saturating_neg())
        })
    }

    /// First byte of every payload here: the address family, or 0.
    pub(super) fn family(&self) -> u8 {
        self.payload().first().copied().unwrap_or(0)
    }
}

/// The messages of a datagram; ends at the first that is broken.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (&[l0, l1, l2, l3, k0, k1, f0, f1], _) = datagram.split_first_chunk::<8>()?;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let whole = datagram
            .get(..length)
            .filter(|whole| whole.len() >= HEADER)?;
        datagram = datagram
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            whole,
        })
    })
}

/// Whom a forwarding sysctl is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `conf.all`: the namespace.
    All,
    /// `conf.default`: devices to come.
    Default,
    /// One device.
    Device(IfIndex),
}

/// Forwarding sysctls that have changed, or those of a new device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netconf {
    /// IPv6, or IPv4.
    pub v6: bool,
    /// Whose they are.
    pub scope: Scope,
    /// `forwarding`.
    pub forwarding: Option<bool>,
    /// `rp_filter` (IPv4): 0, 1 or 2.
    pub rp_filter: Option<u32>,
    /// `proxy_arp` or `proxy_ndp`.
    pub proxy: Option<bool>,
}

/// Reads the payload of `RTM_NEWNETCONF`; `None`: another family (MPLS), or
/// broken.
pub(super) fn netconf(payload: &[u8]) -> Option<Netconf> {
    let v6 = match i32::from(*payload.first()?) {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return None,
    };
    let mut scope = None;
    let mut conf = Netconf {
        v6,
        scope: Scope::All,
        forwarding: None,
        rp_filter: None,
        proxy: None,
    };
    for (kind, value) in attributes(payload.get(ALIGNMENT..)?) {
        let Ok(value) = <[u8; 4]>::try_from(value) else {
            continue;
        };
        let number = u32::from_ne_bytes(value);
        match kind {
            NETCONF_IFINDEX => {
                scope = Some(match i32::from_ne_bytes(value) {
                    ALL => Scope::All,
                    DEFAULT => Scope::Default,
                    _ => Scope::Device(IfIndex::new(number)),
                });
            }
            NETCONF_FORWARDING => conf.forwarding = Some(number != 0),
            NETCONF_RP_FILTER => conf.rp_filter = Some(number),
            NETCONF_PROXY_NEIGH => conf.proxy = Some(number != 0),
            _ => {}
        }
    }
    conf.scope = scope?;
    Some(conf)
}

/// The attributes of a message; ends at the first that is broken.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[l0, l1, k0, k1], _) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(4..length)?;
        bytes = bytes
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// From hexadecimal digits, as they were captured on Linux 6.18 (x86-64).
    pub(in crate::netlink) fn bytes(digits: &str) -> Vec<u8> {
        let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    fn read(digits: &str) -> Netconf {
        let bytes = bytes(digits);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].kind, 80);
        netconf(all[0].payload()).unwrap()
    }

    const NOTHING: Netconf = Netconf {
        v6: false,
        scope: Scope::All,
        forwarding: None,
        rp_filter: None,
        proxy: None,
    };

    /// `echo 1 > /proc/sys/net/ipv4/conf/ta/forwarding`
    #[test]
    fn forwarding_of_a_device() {
        let conf = read("240000005000000000000000000000000200000008000100030000000800020001000000");
        let expected = Netconf {
            scope: Scope::Device(IfIndex::new(3)),
            forwarding: Some(true),
            ..NOTHING
        };
        assert_eq!(conf, expected);
    }

    /// `echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter`
    #[test]
    fn rp_filter_of_all() {
        let conf = read("240000005000000000000000000000000200000008000100ffffffff0800030002000000");
        let expected = Netconf {
            rp_filter: Some(2),
            ..NOTHING
        };
        assert_eq!(conf, expected);
    }

    /// `echo 1 > /proc/sys/net/ipv6/conf/all/{forwarding,proxy_ndp}`
    #[test]
    fn inet6_default_and_all() {
        let conf = read("240000005000000000000000000000000a00000008000100feffffff0800020001000000");
        let forwarding = Netconf {
            v6: true,
            scope: Scope::Default,
            forwarding: Some(true),
            ..NOTHING
        };
        assert_eq!(conf, forwarding);
        let conf = read("240000005000000000000000000000000a00000008000100ffffffff0800050001000000");
        let proxy = Netconf {
            v6: true,
            proxy: Some(true),
            ..NOTHING
        };
        assert_eq!(conf, proxy);
    }

    /// `ip link add ta type veth`: everything of a new device.
    #[test]
    fn a_new_device_tells_all() {
        let conf = read(
            "4c0000005000000000000000000000000200000008000100020000000800020000000000\
             08000300000000000800040000000000080008000000000008000500000000000800060000000000",
        );
        let expected = Netconf {
            scope: Scope::Device(IfIndex::new(2)),
            forwarding: Some(false),
            rp_filter: Some(0),
            proxy: Some(false),
            ..NOTHING
        };
        assert_eq!(conf, expected);
    }

    /// `ip nexthop replace id 10 group 5`, and before it what `add` sent.
    #[test]
    fn next_hop_objects_say_whether_they_replace() {
        let added = bytes(
            "3000000068000506e348056b896f000002fd0000000000000800010005000000\
             0800050003000000080006000a000009",
        );
        let replaced = bytes(
            "3c00000068000505e448056b916f0000000000000000000008000100\
             0a00000006000300000000000c000200050000000000000008000e0000000080",
        );
        let both = [added, replaced].concat();
        let seen: Vec<_> = messages(&both)
            .map(|message| (message.kind, message.flags & REPLACE != 0))
            .collect();
        assert_eq!(seen, [(104, false), (104, true)]);
    }

    #[test]
    fn broken_messages_end_it() {
        let whole =
            bytes("240000005000000000000000000000000200000008000100030000000800020001000000");
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0, "{length}");
        }
        // A length of less than the header would never end.
        assert_eq!(messages(&[0; 32]).count(), 0);
        assert_eq!(netconf(&[]), None);
        assert_eq!(netconf(&[2, 0, 0, 0]), None, "of nobody");
        assert_eq!(netconf(&bytes("02000000 0800010003")), None, "cut short");
        assert_eq!(netconf(&bytes("1c000000 0800010003000000")), None, "MPLS");
    }
}
