//! The packet path in memory.

use std::{collections::BTreeMap, os::fd::BorrowedFd, path::PathBuf, time::Duration};

use router_common::{
    abi::names,
    wire::{NetworkId, TrunkSlot},
};

use super::{Attach, Attachment, Counters, Dataplane, Error, Sent};
use crate::reconcile::{Contents, Operation};

/// Keeps what it is told, and counts nothing.
#[derive(Debug, Default)]
pub struct MemoryDataplane {
    /// What the maps would hold.
    pub contents: Contents,
    /// How they came to hold it.
    #[cfg(test)]
    pub operations: Vec<Operation>,
    /// The leases that were given last: of caches, and of everything.
    pub leases: Option<(Duration, Duration)>,
    attachments: BTreeMap<TrunkSlot, Attachment>,
}

impl Dataplane for MemoryDataplane {
    fn contents(&self) -> Result<Contents, Error> {
        Ok(self.contents.clone())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        #[cfg(test)]
        self.operations.push(*operation);
        self.contents.apply(operation);
        Ok(())
    }

    fn renew_leases(&mut self, cache: Duration, direct: Duration) -> Result<(), Error> {
        self.leases = Some((cache, direct));
        Ok(())
    }

    fn load(&mut self, _slot: TrunkSlot, _mtu: u32) -> Result<(), Error> {
        Ok(())
    }

    fn attach(&mut self, request: &Attach) -> Result<Attachment, Error> {
        let attachment = Attachment {
            ifindex: request.ifindex,
            generic: request.generic,
            program: names::PROGRAM,
            prog_id: 0,
            prog_tag: 0,
            link_id: 0,
            pinned: true,
            sends_buffers: true,
        };
        self.attachments.insert(request.slot, attachment.clone());
        Ok(attachment)
    }

    fn detach(&mut self, slot: TrunkSlot) -> Result<(), Error> {
        self.attachments.remove(&slot);
        Ok(())
    }

    fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment> {
        self.attachments.get(&slot)
    }

    fn program(&self, _slot: TrunkSlot) -> Option<BorrowedFd<'_>> {
        None
    }

    fn counters(&self) -> Result<Counters, Error> {
        Ok(Counters::default())
    }

    fn sent_to(&self, _network: NetworkId) -> Result<Sent, Error> {
        Ok(Sent::There(0))
    }

    fn settle(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn give_up(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn mend_pins(&mut self) -> Result<Vec<PathBuf>, Error> {
        Ok(Vec::new())
    }

    fn is_ours(&self, _program: u32) -> Result<bool, Error> {
        Ok(false)
    }

    fn adopted(&self) -> bool {
        false
    }

    fn has_room(&self, _slots: u32, _ids: u32) -> bool {
        true
    }
}
