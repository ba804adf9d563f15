//! Saying when the kernel's network configuration has changed.
//!
//! The messages are not decoded: the crates cannot decode all of them (next-hop
//! objects, forwarding sysctls), and would lose those. That something changed
//! is enough, because what is then read is the whole.

use std::{io, time::Duration};

use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE,
};

use super::Error;

/// `RTNLGRP_*` (include/uapi/linux/rtnetlink.h).
const GROUPS: [u32; 11] = [
    1,  // LINK
    5,  // IPV4_IFADDR
    7,  // IPV4_ROUTE
    8,  // IPV4_RULE
    9,  // IPV6_IFADDR
    11, // IPV6_ROUTE
    12, // IPV6_IFINFO
    19, // IPV6_RULE
    24, // IPV4_NETCONF
    25, // IPV6_NETCONF
    32, // NEXTHOP
];

/// Bytes of messages that may wait (the kernel doubles it).
const BUFFER: libc::c_int = 1 << 20;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something changed.
    Changed,
    /// More changed than the socket could hold: nothing that was known before
    /// may be relied on.
    Overrun,
}

/// A subscription to every table that [`Netlink::tables`](super::Netlink::tables)
/// reads.
pub struct Watch {
    socket: TokioSocket,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Subscribes. Subscribe first and read the tables then: what changes in
    /// between is heard.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn subscribe() -> Result<Self, Error> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        socket.socket_mut().set_rx_buf_sz(BUFFER)?;
        Ok(Self { socket })
    }

    /// Waits until something changes, and then until nothing has changed for
    /// `quiet`, but no longer than eight times that.
    ///
    /// # Errors
    /// If the socket breaks.
    pub async fn changed(&mut self, quiet: Duration) -> Result<Event, Error> {
        let mut event = self.receive().await?;
        let deadline = tokio::time::Instant::now() + quiet * 8;
        while let Ok(next) = tokio::time::timeout_at(
            deadline.min(tokio::time::Instant::now() + quiet),
            self.receive(),
        )
        .await
        {
            if next? == Event::Overrun {
                event = Event::Overrun;
            }
        }
        Ok(event)
    }

    async fn receive(&self) -> Result<Event, Error> {
        match self.socket.recv_from_full().await {
            Ok(_) => Ok(Event::Changed),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Event::Overrun),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Event::Changed),
            Err(error) => Err(error.into()),
        }
    }
}
