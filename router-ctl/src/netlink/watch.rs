//! Hearing what the kernel announces.
//!
//! The socket is a raw one: the crates cannot decode all of what is announced,
//! and would lose what they cannot.

use std::io;

use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE,
};

use super::{Delta, Error, delta};
use crate::sys;

/// `RTNLGRP_*` (include/uapi/linux/rtnetlink.h).
const GROUPS: [u32; 12] = [
    1,  // LINK
    3,  // NEIGH
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

/// Bytes of messages that may wait; taken only when they do.
const BUFFER: usize = 8 << 20;
/// No message is longer.
const LONGEST: usize = 1 << 16;
/// Datagrams that are taken in one go.
const BATCH: usize = 512;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What has changed, in order.
    Deltas(Vec<Delta>),
    /// More changed than the socket could hold: nothing that was known before
    /// may be relied on. Whatever was waiting has been thrown away, so that what
    /// is heard from now on is newer than what is read from now on.
    Overrun,
}

/// A subscription to every table that [`Netlink::tables`](super::Netlink::tables)
/// reads, and to neighbours and forwarding sysctls.
pub struct Watch {
    socket: TokioSocket,
    datagram: Vec<u8>,
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
        // By binding: a membership of a socket that is not bound hears nothing,
        // and says nothing.
        let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        if sys::force_receive_buffer(&socket, BUFFER).is_err() {
            // Not root: as much as the system allows.
            socket.socket_mut().set_rx_buf_sz(BUFFER)?;
        }
        Ok(Self {
            socket,
            datagram: Vec::with_capacity(LONGEST),
        })
    }

    /// Waits for the next change, and takes what else is there already. Can be
    /// cancelled: nothing that was heard is lost by it.
    ///
    /// # Errors
    /// If the socket breaks.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        self.datagram.clear();
        let first = self.socket.recv_from(&mut self.datagram).await;
        let mut deltas = Vec::new();
        if self.received(first, &mut deltas)? == Received::Lost {
            return self.overrun();
        }
        self.take(deltas)
    }

    /// What is there already, if anything is. What a request has changed is
    /// there when the request has been answered.
    ///
    /// # Errors
    /// If the socket breaks.
    pub fn waiting(&mut self) -> Result<Option<Heard>, Error> {
        let heard = self.take(Vec::new())?;
        let nothing = matches!(&heard, Heard::Deltas(deltas) if deltas.is_empty());
        Ok((!nothing).then_some(heard))
    }

    /// Takes what is there, up to a batch.
    fn take(&mut self, mut deltas: Vec<Delta>) -> Result<Heard, Error> {
        for _ in 1..BATCH {
            match self.receive(&mut deltas)? {
                Received::Datagram => {}
                Received::Nothing => break,
                Received::Lost => return self.overrun(),
            }
        }
        Ok(Heard::Deltas(deltas))
    }

    /// What waits is older than what was lost, all of it.
    fn overrun(&mut self) -> Result<Heard, Error> {
        loop {
            let received = self.take_one();
            // Unread: there may be many.
            self.datagram.clear();
            if self.received(received, &mut Vec::new())? == Received::Nothing {
                return Ok(Heard::Overrun);
            }
        }
    }

    /// Takes one datagram, without waiting.
    fn receive(&mut self, deltas: &mut Vec<Delta>) -> Result<Received, Error> {
        let received = self.take_one();
        self.received(received, deltas)
    }

    fn take_one(&mut self) -> io::Result<SocketAddr> {
        self.datagram.clear();
        let received = self.socket.socket_ref().recv_from(&mut self.datagram, 0);
        received.map(|(_, sender)| sender)
    }

    fn received(
        &self,
        received: io::Result<SocketAddr>,
        deltas: &mut Vec<Delta>,
    ) -> Result<Received, Error> {
        match received {
            // Root can send to these groups, too.
            Ok(sender) if sender.port_number() != 0 => {}
            Ok(_) => delta::read(&self.datagram, deltas),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Received::Lost),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Received::Nothing);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Received::Datagram)
    }
}

/// What a call of `recvfrom` came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    /// Something, or an interruption: there may be more.
    Datagram,
    /// Nothing waits.
    Nothing,
    /// The socket could not hold everything.
    Lost,
}
