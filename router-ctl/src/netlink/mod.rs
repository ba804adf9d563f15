//! The kernel's network configuration over rtnetlink: the only place that
//! knows those crates.
//!
//! [`Netlink`] asks and changes, [`Watch`] hears what the kernel announces,
//! [`Mirror`] keeps its tables in memory by both, and [`types`] is what they
//! speak in.

mod addresses;
mod asking;
mod delta;
mod error;
mod features;
#[cfg(test)]
pub(crate) mod fixture;
mod index;
mod links;
mod mirror;
mod neighbours;
mod netfilter;
mod raw;
mod routes;
#[cfg(test)]
mod tests;
mod transforms;
pub mod types;
mod watch;

use std::sync::Arc;

use futures_util::StreamExt as _;
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
    sys::AsyncSocket as _,
};
use tokio::sync::Mutex;

pub use self::{
    delta::{Delta, announced},
    error::Error,
    features::xdp_sends_buffers,
    index::{Devices, Index},
    mirror::{Due, Dump, Mirror},
    netfilter::{DroppingChain, ForwardChains},
    raw::{Netconf, Scope},
    routes::{PROTOCOL, protocol_name},
    transforms::{Policies, Transforms},
    watch::{Heard, Watch},
};

/// `NLM_F_DUMP_INTR`: the table changed while it was dumped.
const DUMP_INTERRUPTED: u16 = 0x10;
/// How often an interrupted dump is tried again.
const DUMP_TRIES: usize = 8;

/// A connection to the kernel, in the network namespace in which it was made.
///
/// Clones share the connection.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
    /// The kernel dumps one table at a time to a socket, and refuses (EBUSY)
    /// to begin another meanwhile.
    dumping: Arc<Mutex<()>>,
}

impl Netlink {
    /// Connects. The connection is served by a task of the current runtime.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn connect() -> Result<Self, Error> {
        let (mut connection, handle, _) = rtnetlink::new_connection()?;
        let socket = connection.socket_mut().socket_mut();
        // The kernel's own words with every refusal, and not our request.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        tokio::spawn(connection);
        Ok(Self {
            handle,
            dumping: Arc::default(),
        })
    }

    /// Everything, as it is now.
    ///
    /// # Errors
    /// If the kernel refuses, or its tables never come to rest.
    pub async fn tables(&self) -> Result<types::Tables, Error> {
        Ok(types::Tables {
            links: self.links().await?,
            addresses: self.addresses().await?,
            routes: self.routes().await?,
            rules_v4: self.rules_of(false).await?,
            rules_v6: self.rules_of(true).await?,
        })
    }

    /// [`tables`](Self::tables), and the neighbours.
    ///
    /// # Errors
    /// As there.
    pub async fn everything(&self) -> Result<Dump, Error> {
        Ok(Dump {
            tables: self.tables().await?,
            neighbours: self.neighbours().await?,
        })
    }

    /// Changes something, and waits for the kernel's word.
    async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
        self.transact(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .await
            .map(|_| ())
    }

    /// Dumps a table, whole and consistent.
    async fn dump(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let _alone = self.dumping.lock().await;
        for _ in 0..DUMP_TRIES {
            let answers = self
                .transact(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)
                .await?;
            if let Some(messages) = answers {
                return Ok(messages);
            }
        }
        Err(Error::Restless)
    }

    /// Sends a request and collects the answers; `None`: a dump was
    /// interrupted.
    async fn transact(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<Vec<RouteNetlinkMessage>>, Error> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let mut answers = self
            .handle
            .clone()
            .request(request)
            .map_err(|_| Error::Broken)?;
        let mut messages = Vec::new();
        let mut consistent = true;
        // The connection keeps acknowledgements and the end of a dump to
        // itself: the answers just end.
        while let Some(answer) = answers.next().await {
            consistent &= answer.header.flags & DUMP_INTERRUPTED == 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(Error::refused(&error));
                }
                NetlinkPayload::Overrun(_) => consistent = false,
                _ => {}
            }
        }
        Ok(consistent.then_some(messages))
    }
}
