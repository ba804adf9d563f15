//! The twins as a stage of the shared tables: whatever is done to one is done to the
//! other.

use router_common::abi::{Egress, Ingress};

use super::{Twin, rows::BATCH, unannounced_key};
use crate::{
    prog::{Network, Row},
    tables::Stage,
};

impl Stage for Twin {
    fn check(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows.into_iter().filter(|row| !row.by_hand) {
            if Self::is_plain(&row) {
                let other = |first: &Row| first.ingress != row.ingress;
                if self.waiting.len() == BATCH || self.waiting.first().is_some_and(other) {
                    self.flush();
                }
                self.waiting.push(row);
            } else {
                self.flush();
                self.row(&row);
            }
        }
    }

    fn ip(&mut self, lines: &str) {
        self.flush();
        for arm in [&self.on, &self.off] {
            arm.router
                .ip_batch(lines)
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unsettled = true;
    }

    fn ip6(&mut self, words: &str) {
        self.flush();
        // That a rule has gone is announced; what the others ask is read then,
        // and until then XDP passes up more than it must.
        self.unannounced |= words.starts_with("rule del") && words.contains("suppress");
        for arm in [&self.on, &self.off] {
            arm.router
                .ip(&format!("-6 {words}"))
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unsettled = true;
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        self.flush();
        self.baseline
            .remember(key, &self.off)
            .unwrap_or_else(|e| panic!("{e:?}"));
        for arm in [&self.on, &self.off] {
            arm.router
                .sysctl(key, value)
                .unwrap_or_else(|e| panic!("{e:?}"));
        }
        self.unannounced |= unannounced_key(key);
        self.unsettled = true;
    }

    /// The daemon's matter.
    fn change_ingress(&mut self, _: Network, _: impl FnOnce(&mut Ingress)) {}

    /// The daemon's matter.
    fn change_egress(&mut self, _: Network, _: impl FnOnce(&mut Egress)) {}

    /// Of the VLAN device; the daemon reads it. Where there is none, no frame has a
    /// priority.
    fn egress_map(&mut self, network: Network, pcp: [u8; 16]) {
        if self.world.tag(network).is_some() {
            let map = pcp.iter().enumerate();
            let map = map.fold(String::new(), |text, (priority, pcp)| {
                format!("{text} {priority}:{pcp}")
            });
            let device = network.device();
            self.ip(&format!("link set {device} type vlan egress-qos-map{map}"));
            self.mapped = true;
        }
    }

    fn ingress_map(&mut self, network: Network, priority: [u32; 8]) {
        if self.world.tag(network).is_some() {
            let map = priority.iter().enumerate();
            let map = map.fold(String::new(), |text, (pcp, priority)| {
                format!("{text} {pcp}:{priority}")
            });
            let device = network.device();
            self.ip(&format!("link set {device} type vlan ingress-qos-map{map}"));
            self.mapped = true;
        }
    }

    /// The daemon's matter.
    fn sync_locals(&mut self) {}
}
