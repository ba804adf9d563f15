//! What a table changed, undone: the next one finds the world as it was.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Arm, World};
use crate::{netns::Netns, prog::Network};

/// Rules that a namespace is born with, by priority.
const BORN: [u64; 3] = [0, 32766, 32767];

/// What was there before.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    /// In the order in which they were first written, with the value before.
    sysctls: Vec<(String, String)>,
}

impl Baseline {
    /// Remembers a value of /proc/sys/net that will be written.
    pub(super) fn remember(&mut self, key: &str, arm: &Arm) -> Result<()> {
        if !self.sysctls.iter().any(|(known, _)| known == key) {
            // Writing `all` writes every interface's.
            if key == "ipv6/conf/all/forwarding" {
                for network in Network::ALL {
                    let key = format!("ipv6/conf/{}/forwarding", network.device());
                    self.remember(&key, arm)?;
                }
            }
            self.sysctls.push((key.to_owned(), arm.sysctl_value(key)?));
        }
        Ok(())
    }

    /// Whether such a sysctl was written.
    pub(super) fn any(&self, such: impl Fn(&str) -> bool) -> bool {
        self.sysctls.iter().any(|(key, _)| such(key))
    }

    /// Undoes rules, routes, next hops, addresses, neighbours, links, sysctls.
    pub(super) fn restore(&self, arm: &Arm, world: World) -> Result<()> {
        let router = &arm.router;
        for (key, value) in self.sysctls.iter().rev() {
            router.sysctl(key, value)?;
        }
        // With them go the routes over them, which `ip` cannot flush.
        router.ip("nexthop flush")?;
        for family in ["-4", "-6"] {
            for rule in list(router, &format!("{family} -j rule show"))? {
                let priority = rule["priority"].as_u64().unwrap_or(0);
                if !BORN.contains(&priority) {
                    router.ip(&format!("{family} rule del pref {priority}"))?;
                }
            }
            // Routes of one's own, in every table.
            router.ip(&format!("{family} route flush table all proto boot"))?;
        }
        let mut lines = String::new();
        let mut own: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for network in Network::ALL {
            let known = own.entry(network.device()).or_default();
            known.extend([network.v4(1).to_string(), network.v6(1).to_string()]);
        }
        for network in [Network::N, Network::U, Network::A, Network::B, Network::C] {
            lines += &format!("link set {} up mtu {}\n", network.device(), world.mtu);
        }
        for link in list(router, "-j address show")? {
            let device = link["ifname"].as_str().unwrap_or_default();
            for address in link["addr_info"].as_array().into_iter().flatten() {
                let local = address["local"].as_str().unwrap_or_default();
                let is_own = match own.get(device) {
                    Some(known) => known.contains(local),
                    None => device != "lo" || local == "127.0.0.1" || local == "::1",
                };
                if !is_own {
                    lines += &format!(
                        "address del {local}/{} dev {device}\n",
                        address["prefixlen"]
                    );
                }
            }
        }
        for network in Network::ALL {
            lines += &format!("neigh flush all nud all dev {}\n", network.device());
        }
        lines += &world.addresses();
        router.ip_batch(&lines)
    }
}

/// What `ip -j` prints.
fn list(router: &Netns, words: &str) -> Result<Vec<Value>> {
    let text = router.ip(words)?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).with_context(|| format!("no JSON from `ip {words}`"))
}
