//! Keeping the maps as the kernel's state wants them: the only writer of the
//! maps.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use router_common::wire::{IfIndex, TrunkSlot};
use tracing::{debug, warn};

use super::{installed, view::Known};
use crate::{
    config::Config,
    dataplane::{Attachment, Dataplane},
    netlink::types::Link,
    reconcile::{self, Contents, Kernel, Numbering, Operation, Wanted, diff},
};

/// The one that writes the maps.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Any device may stand in for a sub-interface.
    pub(super) stand_in: bool,
    /// Networks that XDP does not forward for while they are changed.
    pub(super) without: BTreeSet<String>,
    /// What the maps hold.
    pub(super) contents: Contents,
}

impl Keeper {
    /// Puts the maps right, and says what is known now.
    pub(super) fn keep(
        &mut self,
        config: Arc<Config>,
        numbering: Numbering,
        mut kernel: Kernel,
        dataplane: Option<&mut dyn Dataplane>,
    ) -> Known {
        let mut known = Known {
            route_faults: installed::faults(&config, &kernel.tables),
            config,
            numbering,
            ..Known::default()
        };
        let config = Arc::clone(&known.config);
        let mut wanted = Wanted {
            stand_in: self.stand_in,
            transmitters: BTreeSet::new(),
            buffer_senders: BTreeSet::new(),
            without: self.without.clone(),
        };
        if let Some(dataplane) = &dataplane {
            let slots = known.numbering.slots(&config);
            known.attachments = slots
                .map(|(slot, _)| dataplane.attachment(slot).cloned())
                .collect();
            wanted.transmitters = known.transmitters();
            let in_place = |slot: &TrunkSlot| {
                let name = known.numbering.trunk_name(*slot);
                let link = name.and_then(|name| kernel.tables.link(name));
                is_in_place(dataplane.attachment(*slot), link)
            };
            wanted.transmitters.retain(in_place);
            let sends = |slot: &TrunkSlot| {
                let attachment = dataplane.attachment(*slot);
                attachment.is_some_and(|attachment| attachment.sends_buffers)
            };
            let senders = wanted.transmitters.iter().copied().filter(sends);
            wanted.buffer_senders = senders.collect();
            // Before it is attached anew, a program of a daemon before this one
            // goes on redirecting.
            let held = self.contents.ports.iter().filter(|(slot, device)| {
                let name = known.numbering.trunk_name(**slot);
                let link = name.and_then(|name| kernel.tables.link(name));
                dataplane.attachment(**slot).is_none()
                    && link.is_some_and(|link| link.ifindex == **device && link.xdp.is_some())
            });
            wanted.transmitters.extend(held.map(|(slot, _)| *slot));
        }
        known.plan = reconcile::reconcile(&config, &known.numbering, &kernel, &wanted);
        if let Some(dataplane) = dataplane {
            let operations = diff(&self.contents, &known.plan.contents);
            known.map_failure = self.write(&operations, dataplane);
        }
        // They may be many, and whoever wants them reads them anew.
        kernel.tables.routes = Vec::new();
        known.kernel = kernel;
        known
    }

    /// Takes devices out of the maps that are not what they were. What is right
    /// comes back with the next [`keep`](Self::keep).
    pub(super) fn shut(&mut self, devices: &[IfIndex], dataplane: &mut dyn Dataplane) {
        let mut operations = Vec::new();
        for &device in devices {
            if self.contents.egress.contains_key(&device) {
                operations.push(Operation::RemoveEgress(device));
            }
            for (index, entry) in &self.contents.ingress {
                if entry.ifindex == device {
                    operations.push(Operation::ClearIngress(*index));
                }
            }
        }
        // What fails stays in `contents`, and is tried again.
        self.write(&operations, dataplane);
    }

    /// Has the maps hold again what they held.
    pub(super) fn restore(&mut self, before: &Contents, dataplane: &mut dyn Dataplane) {
        let operations = diff(&self.contents, before);
        self.write(&operations, dataplane);
    }

    /// Carries operations out; the first failure, if there was one. What failed
    /// is not noted as done, so the next time tries it again.
    fn write(&mut self, operations: &[Operation], dataplane: &mut dyn Dataplane) -> Option<String> {
        let mut failure = None;
        for operation in operations {
            match dataplane.apply(operation) {
                Ok(()) => {
                    debug!(?operation, "map");
                    self.contents.apply(operation);
                }
                Err(error) => {
                    warn!(%error, ?operation, "a map could not be written");
                    failure.get_or_insert_with(|| error.to_string());
                }
            }
        }
        failure
    }
}

/// Whether our program is on the device that bears the trunk's name now. One
/// that was made anew transmits nothing for XDP, and what is redirected to it is
/// lost.
pub(super) fn is_in_place(attachment: Option<&Attachment>, link: Option<&Link>) -> bool {
    attachment.zip(link).is_some_and(|(attachment, link)| {
        let program = link.xdp.map(|xdp| xdp.prog_id);
        attachment.ifindex == link.ifindex && program == Some(attachment.prog_id)
    })
}
