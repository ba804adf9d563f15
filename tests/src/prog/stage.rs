//! The scene as a stage of the shared tables.

use router_common::abi::{Egress, Ingress};

use super::{Network, Row, Scene};
use crate::tables::{Stage, Table};

impl Stage for Scene {
    fn check(&mut self, rows: impl IntoIterator<Item = Row>) {
        Self::check(self, rows);
    }

    fn ip(&mut self, lines: &str) {
        Self::ip(self, lines);
    }

    fn ip6(&mut self, words: &str) {
        Self::ip6(self, words);
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        Self::sysctl(self, key, value);
    }

    fn change_ingress(&mut self, network: Network, change: impl FnOnce(&mut Ingress)) {
        Self::change_ingress(self, network, change);
    }

    fn change_egress(&mut self, network: Network, change: impl FnOnce(&mut Egress)) {
        Self::change_egress(self, network, change);
    }

    fn egress_map(&mut self, network: Network, pcp: [u8; 16]) {
        Self::change_egress(self, network, |entry| entry.pcp = pcp);
    }

    fn ingress_map(&mut self, network: Network, priority: [u32; 8]) {
        let held = priority.map(|priority| match u8::try_from(priority) {
            Ok(held @ 0..=15) => held,
            _ => Ingress::PRIORITY_UNMAPPED,
        });
        Self::change_ingress(self, network, |entry| entry.priority = held);
    }

    fn sync_locals(&mut self) {
        Self::sync_locals(self);
    }
}

/// Plays one table in a scene of its own.
///
/// # Panics
/// When a row fails, or anything but privileges is missing.
pub fn play(test: &str, table: Table<Scene>) {
    let Some(mut scene) = Scene::open(test) else {
        return;
    };
    table(&mut scene);
    scene.finish();
}
