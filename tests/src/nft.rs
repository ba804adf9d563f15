//! A chain of netfilter, made over netlink: `nft` is not everywhere.

use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 16;
const END: u16 = 17;
/// `NFNL_SUBSYS_NFTABLES << 8` with `NFT_MSG_NEWTABLE`, `DELTABLE`, `NEWCHAIN`.
const NEW_TABLE: u16 = 10 << 8;
const DELETE_TABLE: u16 = 10 << 8 | 2;
const NEW_CHAIN: u16 = 10 << 8 | 3;
/// `NLM_F_REQUEST | NLM_F_CREATE`, and with `NLM_F_ACK`.
const REQUEST: u16 = 0x401;
const ACKNOWLEDGED: u16 = 0x405;
/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;
const TABLE: &[u8] = b"router-tests\0";

/// What becomes of packets that no rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `NF_DROP`
    Drop,
    /// `NF_ACCEPT`
    Accept,
}

/// Makes the chain `ip router-tests FORWARD` at the forward hook of this
/// namespace, or gives it another policy. `false`: this kernel has no nftables.
///
/// # Errors
/// Where the kernel refuses.
pub fn forward_chain(policy: Policy) -> Result<bool> {
    let number = match policy {
        Policy::Drop => 0_u32,
        Policy::Accept => 1,
    };
    let hook = [
        attribute(1, &2_u32.to_be_bytes()),
        attribute(2, &0_u32.to_be_bytes()),
    ];
    let chain = [
        attribute(1, TABLE),
        attribute(3, b"FORWARD\0"),
        attribute(4 | 0x8000, &hook.concat()),
        attribute(5, &number.to_be_bytes()),
        attribute(7, b"filter\0"),
    ];
    batch(&[
        message(NEW_TABLE, REQUEST, IPV4, 0, &attribute(1, TABLE)),
        message(NEW_CHAIN, ACKNOWLEDGED, IPV4, 0, &chain.concat()),
    ])
}

/// Removes it with its table.
///
/// # Errors
/// Where the kernel refuses.
pub fn remove() -> Result<()> {
    let table = attribute(1, TABLE);
    batch(&[message(DELETE_TABLE, ACKNOWLEDGED, IPV4, 0, &table)]).map(drop)
}

fn batch(messages: &[Vec<u8>]) -> Result<bool> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .context("cannot make a netlink socket")?;
    let number = socket.as_raw_fd();
    bind(number, &NetlinkAddr::new(0, 0)).context("cannot bind it")?;
    let nftables = 10_u16;
    let mut bytes = message(BEGIN, 1, 0, nftables, &[]);
    bytes.extend(messages.concat());
    bytes.extend(message(END, 1, 0, nftables, &[]));
    send(number, &bytes, MsgFlags::empty()).context("cannot send the batch")?;
    let mut answer = [0; 4096];
    let length = recv(number, &mut answer, MsgFlags::empty()).context("no answer")?;
    let error = answer[..length].get(16..20).context("a short answer")?;
    match -i32::from_ne_bytes(error.try_into()?) {
        0 => Ok(true),
        libc::EOPNOTSUPP | libc::EINVAL if messages.len() > 1 => Ok(false),
        errno => bail!("nftables: {}", std::io::Error::from_raw_os_error(errno)),
    }
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Number and sender; then `struct nfgenmsg`.
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
