//! What would be done, without doing it: `config apply --dry-run`.
//!
//! Devices that would be removed are left out of what is read, with their
//! addresses and routes, so that what follows from their going shows, too.

use std::collections::BTreeSet;

use router_common::wire::IfIndex;

use super::Host;
use crate::{
    error::Error,
    journal::{Effect, Entry},
    netlink::types::{Leg, Tables},
};

/// What would be done so far.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Rehearsal {
    /// In words, in order.
    pub(in crate::daemon) steps: Vec<String>,
    gone: BTreeSet<IfIndex>,
}

impl Rehearsal {
    pub(super) fn would_do(&mut self, effect: &Effect) {
        self.steps.push(effect.doing());
    }
}

impl Host {
    /// From now on nothing is done.
    pub(in crate::daemon) fn begin_rehearsal(&mut self) {
        self.rehearsal = Some(Rehearsal::default());
    }

    /// From now on things are done again. What would have been done.
    pub(in crate::daemon) fn end_rehearsal(&mut self) -> Vec<String> {
        let rehearsal = self.rehearsal.take();
        rehearsal
            .map(|rehearsal| rehearsal.steps)
            .unwrap_or_default()
    }

    pub(in crate::daemon) const fn is_rehearsing(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Adds a step that is not the host's. `false`: this is no rehearsal.
    pub(in crate::daemon) fn rehearse(&mut self, step: impl FnOnce() -> String) -> bool {
        match &mut self.rehearsal {
            Some(rehearsal) => {
                rehearsal.steps.push(step());
                true
            }
            None => false,
        }
    }

    pub(super) fn is_rehearsed_gone(&self, device: IfIndex) -> bool {
        let rehearsal = self.rehearsal.as_ref();
        rehearsal.is_some_and(|rehearsal| rehearsal.gone.contains(&device))
    }

    pub(super) async fn rehearse_undoing(
        &mut self,
        entries: impl Iterator<Item = &Entry>,
    ) -> Vec<Error> {
        let mut failures = Vec::new();
        for entry in entries {
            let gone = match self.sub_interface_of(entry).await {
                Ok(link) => link.map(|link| link.ifindex),
                Err(error) => {
                    failures.push(error);
                    None
                }
            };
            if let Some(rehearsal) = &mut self.rehearsal {
                rehearsal.steps.push(entry.effect.undoing());
                rehearsal.gone.extend(gone);
            }
        }
        failures
    }

    pub(super) fn leave_out_the_gone(&self, tables: &mut Tables) {
        let Some(Rehearsal { gone, .. }) = &self.rehearsal else {
            return;
        };
        let leads_away = |leg: &Leg| leg.device.is_some_and(|device| gone.contains(&device));
        tables.links.retain(|link| !gone.contains(&link.ifindex));
        tables
            .addresses
            .retain(|address| !gone.contains(&address.ifindex));
        tables
            .routes
            .retain(|route| !route.legs.iter().any(leads_away));
    }
}
