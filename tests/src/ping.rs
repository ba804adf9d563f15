//! Echo requests, and what comes back: the TTL it has left, or the kernel's
//! word that nobody is there.
//!
//! Own, as a bare Debian has no `ping`, and to know exactly what was sent.

use std::{
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    process,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, icmpv4, icmpv6,
};
use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType,
        SockaddrStorage, connect, recvmsg, send, setsockopt, socket, sockopt,
    },
};

use crate::wait;

/// What is in every request, as many bytes as ping(8) sends.
const PAYLOAD: [u8; 56] = *b"router-ctl: may box1 on VLAN 100 reach box4 on VLAN 200?";

/// How pings ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every request was answered, with this TTL or hop limit left.
    Ttl(u8),
    /// None was: the kernel said why, or there was silence.
    Unreachable(String),
}

/// Sends `count` echo requests to `target`, each when the one before it has been
/// answered, in the calling thread's namespace.
///
/// # Errors
/// Where some are answered and some not, or with different TTLs; when a signal
/// comes; and the kernel's.
pub fn ping(target: IpAddr, count: u16, patience: Duration) -> Result<Answer> {
    let socket = open(target).with_context(|| format!("cannot open a socket to ping {target}"))?;
    let mut ttls = Vec::new();
    let mut silence = None;
    for sequence in 1..=count {
        let answer = match send(
            socket.as_raw_fd(),
            &request(target, sequence),
            MsgFlags::empty(),
        ) {
            Ok(_) => receive(&socket, target, sequence, patience)?,
            Err(error) => Err(error.desc().to_owned()),
        };
        match answer {
            Ok(ttl) => ttls.push(ttl),
            Err(reason) => silence = Some(format!("ping {sequence} of {count}: {reason}")),
        }
    }
    match (ttls.first(), silence) {
        (None, None) => bail!("no ping was sent"),
        (None, Some(reason)) => Ok(Answer::Unreachable(reason)),
        (Some(_), Some(reason)) => bail!(
            "{} of {count} pings to {target} were answered; {reason}",
            ttls.len()
        ),
        (Some(&first), None) if ttls.iter().all(|&ttl| ttl == first) => Ok(Answer::Ttl(first)),
        _ => bail!("answers of {target} came with different TTLs: {ttls:?}"),
    }
}

/// Connected, so that the kernel chooses a source and knows whose errors to
/// give; what came before it was is sorted out later. With errors, so that the
/// kernel's own "host unreachable" ends the wait.
fn open(target: IpAddr) -> Result<OwnedFd> {
    let (family, protocol) = match target {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Raw, flags, protocol)?;
    match target {
        IpAddr::V4(_) => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        }
        IpAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        }
    }
    connect(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(target, 0)),
    )?;
    Ok(socket)
}

fn echo(sequence: u16) -> IcmpEchoHeader {
    // Any 16 bits: requests of other processes have others.
    let [a, b, ..] = process::id().to_le_bytes();
    IcmpEchoHeader {
        id: u16::from_le_bytes([a, b]),
        seq: sequence,
    }
}

fn request(target: IpAddr, sequence: u16) -> Vec<u8> {
    let echo = echo(sequence);
    let mut message = match target {
        IpAddr::V4(_) => Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &PAYLOAD)
            .to_bytes()
            .to_vec(),
        // The kernel knows the source address, and so the checksum.
        IpAddr::V6(_) => Icmpv6Header::new(Icmpv6Type::EchoRequest(echo))
            .to_bytes()
            .to_vec(),
    };
    message.extend(PAYLOAD);
    message
}

/// The TTL of the reply, or why there is none.
fn receive(
    socket: &OwnedFd,
    target: IpAddr,
    sequence: u16,
    patience: Duration,
) -> Result<Result<u8, String>> {
    let start = Instant::now();
    loop {
        match receive_one(socket) {
            // Until it is connected a socket gets the answers to other pings, too.
            Ok(Some(message))
                if message.from == Some(target) && is_reply(target, &message.bytes, sequence) =>
            {
                return Ok(Ok(message.ttl));
            }
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error @ (Errno::EHOSTUNREACH | Errno::ENETUNREACH)) => {
                return Ok(Err(error.desc().to_owned()));
            }
            Err(error) => return Err(error).context("cannot receive"),
        }
        if wait::interrupted() {
            bail!("interrupted");
        }
        if start.elapsed() > patience {
            return Ok(Err(format!("no answer in {} s", patience.as_secs())));
        }
        let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::from(50_u8)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for an answer"),
        }
    }
}

struct Message {
    from: Option<IpAddr>,
    ttl: u8,
    /// IPv4: from the IP header on.
    bytes: Vec<u8>,
}

/// The next ICMP message; `None` when none is waiting.
fn receive_one(socket: &OwnedFd) -> Result<Option<Message>, Errno> {
    let mut buffer = [0; 2048];
    let mut space = cmsg_space!(libc::c_int);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let received = match recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::empty(),
    ) {
        Ok(received) => received,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ttl = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
            u8::try_from(ttl).ok()
        }
        _ => None,
    });
    let from = received.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let length = received.bytes;
    Ok(Some(Message {
        from,
        ttl: ttl.ok_or(Errno::EBADMSG)?,
        bytes: buffer[..length].to_vec(),
    }))
}

/// A raw IPv4 socket gives the IP header, too; an IPv6 one does not.
fn is_reply(target: IpAddr, message: &[u8], sequence: u16) -> bool {
    let echo = echo(sequence);
    let (header, reply) = match target {
        IpAddr::V4(_) => {
            let header = message
                .first()
                .map_or(0, |first| usize::from(first & 0xf) * 4);
            (header, icmpv4::TYPE_ECHO_REPLY)
        }
        IpAddr::V6(_) => (0, icmpv6::TYPE_ECHO_REPLY),
    };
    let Some((head, payload)) = message
        .get(header..)
        .and_then(|icmp| icmp.split_at_checked(8))
    else {
        return false;
    };
    head[..2] == [reply, 0] && head[4..] == echo.to_bytes() && payload == PAYLOAD
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::netns;

    #[test]
    fn localhost_answers_and_a_far_host_is_unreachable() {
        let test = "localhost_answers_and_a_far_host_is_unreachable";
        let Some(_guard) = netns::private_or_skip(test) else {
            return;
        };
        let patience = Duration::from_secs(10);
        for address in ["127.0.0.1", "::1"] {
            let answer = ping(address.parse().unwrap(), 2, patience).unwrap();
            assert_eq!(answer, Answer::Ttl(64), "{address}");
        }
        netns::ip("route add unreachable 192.0.2.0/24").unwrap();
        assert!(ping(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1, patience).is_err());
    }
}
