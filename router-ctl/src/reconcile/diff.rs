//! How to get from what the maps hold to what they should.

use router_common::{
    abi::{Egress, Ingress, LocalAddress, NetworkName},
    wire::{IfIndex, NetworkId, TrunkSlot},
};

use super::Contents;

/// One change of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes `INGRESS[index]`.
    SetIngress(u32, Ingress),
    /// Empties `INGRESS[index]`.
    ClearIngress(u32),
    /// Writes `EGRESS[device]`.
    SetEgress(IfIndex, Egress),
    /// Removes `EGRESS[device]`.
    RemoveEgress(IfIndex),
    /// Adds to `LOCALS`.
    AddLocal(LocalAddress),
    /// Removes from `LOCALS`.
    RemoveLocal(LocalAddress),
    /// Writes `TX_PORTS[slot]`.
    SetPort(TrunkSlot, IfIndex),
    /// Empties `TX_PORTS[slot]`.
    ClearPort(TrunkSlot),
    /// Writes `NETWORKS[id]`. What was counted under another name is forgotten.
    SetName(NetworkId, NetworkName),
}

/// The changes from `current` to `desired`.
///
/// In an order in which no packet meets half of the new state: what closes
/// comes first, then what entries rely on (local addresses, ports, egress),
/// then what opens (ingress), and last what nothing relies on any more. Names
/// come before what is counted under them.
#[must_use]
pub fn diff(current: &Contents, desired: &Contents) -> Vec<Operation> {
    let mut operations = Vec::new();
    for index in current.ingress.keys() {
        if !desired.ingress.contains_key(index) {
            operations.push(Operation::ClearIngress(*index));
        }
    }
    for device in current.egress.keys() {
        if !desired.egress.contains_key(device) {
            operations.push(Operation::RemoveEgress(*device));
        }
    }
    for slot in current.ports.keys() {
        if !desired.ports.contains_key(slot) {
            operations.push(Operation::ClearPort(*slot));
        }
    }
    for (id, name) in &desired.names {
        if current.names.get(id) != Some(name) {
            operations.push(Operation::SetName(*id, *name));
        }
    }
    let added = desired.locals.difference(&current.locals);
    operations.extend(added.copied().map(Operation::AddLocal));
    for (slot, device) in &desired.ports {
        if current.ports.get(slot) != Some(device) {
            operations.push(Operation::SetPort(*slot, *device));
        }
    }
    for (device, entry) in &desired.egress {
        if current.egress.get(device) != Some(entry) {
            operations.push(Operation::SetEgress(*device, *entry));
        }
    }
    for (index, entry) in &desired.ingress {
        if current.ingress.get(index) != Some(entry) {
            operations.push(Operation::SetIngress(*index, *entry));
        }
    }
    let gone = current.locals.difference(&desired.locals);
    operations.extend(gone.copied().map(Operation::RemoveLocal));
    operations
}

impl Contents {
    /// Notes that an operation has been carried out.
    pub fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::SetIngress(index, entry) => {
                self.ingress.insert(index, entry);
            }
            Operation::ClearIngress(index) => {
                self.ingress.remove(&index);
            }
            Operation::SetEgress(device, entry) => {
                self.egress.insert(device, entry);
            }
            Operation::RemoveEgress(device) => {
                self.egress.remove(&device);
            }
            Operation::AddLocal(address) => {
                self.locals.insert(address);
            }
            Operation::RemoveLocal(address) => {
                self.locals.remove(&address);
            }
            Operation::SetPort(slot, device) => {
                self.ports.insert(slot, device);
            }
            Operation::ClearPort(slot) => {
                self.ports.remove(&slot);
            }
            Operation::SetName(id, name) => {
                self.names.insert(id, name);
            }
        }
    }
}
