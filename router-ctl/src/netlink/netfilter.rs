//! Chains of netfilter that drop what is forwarded: what XDP forwards does not
//! pass them, and whoever wrote them should know.
//!
//! Base chains at the forward hook with the policy drop are looked at: those that
//! dockerd and firewalls make, with nft or iptables-nft. A rule that drops in a
//! chain that accepts is not seen, nor are the tables of iptables-legacy, which
//! make no announcement either.
//!
//! Layout: include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h; numbers in
//! attributes are big-endian.

use std::path::Path;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::{Error, asking, raw};

/// `NFNL_SUBSYS_NFTABLES << 8`, in the type of each message.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_NEWCHAIN`, `NFT_MSG_GETCHAIN`.
const NEW_CHAIN: u16 = NFTABLES | 3;
const GET_CHAIN: u16 = NFTABLES | 4;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
/// `struct nfgenmsg`: family, version, resource.
const GENERIC: usize = 4;

/// `NFTA_CHAIN_*`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
/// `NFTA_HOOK_HOOKNUM`.
const HOOK_NUMBER: u16 = 1;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, in the type of an attribute.
const FLAGS: u16 = 0xc000;
/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;
/// `NF_DROP`.
const DROP: u32 = 0;

/// A base chain that drops what none of its rules accepts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DroppingChain {
    /// As nft says it: `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// The name of its table.
    pub table: String,
    /// Its own.
    pub name: String,
}

/// Looks at those chains when something about nftables has changed.
#[derive(Default)]
pub struct ForwardChains {
    /// Hears of changes; `None`: not yet.
    changes: Option<Socket>,
}

impl std::fmt::Debug for ForwardChains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardChains").finish_non_exhaustive()
    }
}

impl ForwardChains {
    /// The chains that drop; `None`: as before. Does not wait.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn look(&mut self) -> Result<Option<Vec<DroppingChain>>, Error> {
        match &self.changes {
            Some(socket) if !asking::has_heard(socket)? => return Ok(None),
            Some(_) => {}
            // Asking would load the module.
            None if !may_have_tables() => return Ok(None),
            None => {
                let mut socket = Socket::new(NETLINK_NETFILTER)?;
                socket.bind(&SocketAddr::new(0, 1 << (GROUP - 1)))?;
                socket.set_non_blocking(true)?;
                self.changes = Some(socket);
            }
        }
        let found = dump();
        if found.is_err() {
            // What was announced is not known: the next time begins anew.
            self.changes = None;
        }
        found.map(Some)
    }
}

/// Whether this kernel has nftables loaded, or may have them built in.
fn may_have_tables() -> bool {
    Path::new("/sys/module/nf_tables").exists() || !Path::new("/proc/modules").exists()
}

fn dump() -> Result<Vec<DroppingChain>, Error> {
    // The family (any), version and resource.
    let request = asking::request(GET_CHAIN, asking::DUMP, &[0; GENERIC]);
    let mut chains = Vec::new();
    asking::ask(NETLINK_NETFILTER, &request, |message| {
        if message.kind == NEW_CHAIN {
            chains.extend(dropping(message.payload()));
        }
    })?;
    chains.sort();
    Ok(chains)
}

/// A chain, if it is one of those.
fn dropping(payload: &[u8]) -> Option<DroppingChain> {
    let family = match i32::from(*payload.first()?) {
        libc::NFPROTO_INET => "inet",
        libc::NFPROTO_IPV4 => "ip",
        libc::NFPROTO_IPV6 => "ip6",
        // A bridge's frames are none of the router's.
        _ => return None,
    };
    let number = |value: &[u8]| Some(u32::from_be_bytes(*value.first_chunk()?));
    let text = |value: &[u8]| {
        let end = value.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
    };
    let (mut table, mut name, mut hook, mut policy) = (None, None, None, None);
    for (kind, value) in raw::attributes(payload.get(GENERIC..)?) {
        match kind & !FLAGS {
            CHAIN_TABLE => table = Some(text(value)),
            CHAIN_NAME => name = Some(text(value)),
            CHAIN_POLICY => policy = number(value),
            CHAIN_HOOK => {
                let mut parts = raw::attributes(value);
                let number_of = parts.find(|(kind, _)| kind & !FLAGS == HOOK_NUMBER);
                hook = number_of.and_then(|(_, value)| number(value));
            }
            _ => {}
        }
    }
    (hook == Some(FORWARD) && policy == Some(DROP)).then_some(())?;
    Some(DroppingChain {
        family,
        table: table?,
        name: name?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// As the kernel tells of a base chain.
    fn chain(family: u8, hook: u32, policy: u32) -> Vec<u8> {
        let hook = attribute(HOOK_NUMBER, &hook.to_be_bytes());
        let parts = [
            vec![family, 0, 0, 0],
            attribute(CHAIN_TABLE, b"filter\0"),
            attribute(CHAIN_NAME, b"FORWARD\0"),
            attribute(CHAIN_HOOK | 0x8000, &hook),
            attribute(CHAIN_POLICY, &policy.to_be_bytes()),
            attribute(7, b"filter\0"),
        ];
        parts.concat()
    }

    #[test]
    fn chains_that_drop_what_is_forwarded() {
        let mut chains = Vec::new();
        for (family, hook, policy) in [
            (2, FORWARD, DROP),
            (10, FORWARD, DROP),
            (1, FORWARD, DROP),
            // It accepts; the input's; a bridge's.
            (2, FORWARD, 1),
            (2, 1, DROP),
            (7, FORWARD, DROP),
        ] {
            chains.extend(dropping(&chain(family, hook, policy)));
        }
        // No base chain.
        let name = attribute(CHAIN_NAME, b"DOCKER\0");
        chains.extend(dropping(&[&[2, 0, 0, 0][..], &name].concat()));
        let families: Vec<_> = chains.iter().map(|chain| chain.family).collect();
        assert_eq!(families, ["ip", "ip6", "inet"]);
        assert!(chains.iter().all(|chain| chain.table == "filter"));
        assert!(chains.iter().all(|chain| chain.name == "FORWARD"));
    }

    #[test]
    fn rubbish_is_no_chain() {
        let whole = chain(2, FORWARD, DROP);
        assert!(dropping(&whole).is_some());
        for length in 0..whole.len() {
            // Cut short, it may still say enough.
            let _ = dropping(&whole[..length]);
        }
    }
}
