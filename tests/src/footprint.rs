//! What a router may leave on a system: everything there that it could have
//! changed, read before and after, and compared.
//!
//! Links with all their details, addresses, routes of every table, rules,
//! permanent neighbours, every sysctl below /proc/sys/net, offloads, nftables
//! (where `nft` is installed), and what hangs on the devices by bpftool's word.
//! Maps, programs and links by their ids are for
//! [`kernel_objects`](crate::kernel_objects).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    netns::{self, Netns},
    wait,
};

/// Sysctls that count or change by themselves.
const RESTLESS: &[&str] = &["nf_conntrack_count", "nf_conntrack_max"];

/// For what the kernel does in its own time once a device is down: operational
/// states, routes of a carrier.
const PATIENCE: Duration = Duration::from_secs(10);

/// A system that did not change for so long is at rest: the kernel tells of
/// carriers within a second.
const REST: Duration = Duration::from_millis(1500);

/// By name, what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint(BTreeMap<String, String>);

impl Footprint {
    /// Of a namespace, as it is now.
    ///
    /// # Errors
    /// Where a tool fails.
    pub fn of(netns: &Netns) -> Result<Self> {
        netns.run(|| {
            let mut all = BTreeMap::new();
            let mut devices = Vec::new();
            for link in list("-d link show")? {
                let name = link["ifname"].as_str().unwrap_or_default().to_owned();
                let offloads = tool("ethtool", &["-k", &name]).unwrap_or_default();
                for (line, text) in offloads.lines().enumerate() {
                    all.insert(format!("offload {name} {line:02}"), text.trim().to_owned());
                }
                all.insert(format!("link {name}"), link.to_string());
                devices.push(name);
            }
            for (what, words) in [
                ("address", "address show"),
                ("route", "-4 route show table all"),
                ("route6", "-6 route show table all"),
                ("rule", "-4 rule show"),
                ("rule6", "-6 rule show"),
                ("neighbour", "neigh show nud permanent"),
            ] {
                for (line, entry) in list(words)?.into_iter().enumerate() {
                    all.insert(format!("{what} {line:03}"), entry.to_string());
                }
            }
            sysctls(Path::new("/proc/sys/net"), &mut all)?;
            if let Ok(rules) = tool("nft", &["-j", "list", "ruleset"]) {
                all.insert("nftables".into(), rules);
            }
            for device in devices {
                all.insert(format!("bpf {device}"), attached(&device)?);
            }
            Ok(Self(all))
        })
    }

    /// Of a namespace, once nothing changes there any more.
    ///
    /// # Errors
    /// Where a tool fails, or it never comes to rest.
    pub fn settled(netns: &Netns) -> Result<Self> {
        let mut last = (Instant::now(), Self::of(netns)?);
        wait::until("the system to come to rest", PATIENCE, || {
            let now = Self::of(netns)?;
            if now != last.1 {
                last = (Instant::now(), now);
            }
            Ok((last.0.elapsed() > REST).then(|| last.1.clone()))
        })
    }

    /// What differs, a line each.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let changed = names.into_iter().filter_map(|name| {
            let (before, after) = (self.0.get(name), after.0.get(name));
            let show = |text: Option<&String>| text.map_or("nothing", |text| text).to_owned();
            (before != after).then(|| format!("{name}: {} -> {}", show(before), show(after)))
        });
        changed.collect()
    }

    /// Waits until the namespace is as it was.
    ///
    /// # Errors
    /// Where it stays different: with what differs.
    pub fn is_restored(&self, netns: &Netns) -> Result<()> {
        let mut left = Vec::new();
        let restored = wait::until("the system to be as before", PATIENCE, || {
            left = self.differences(&Self::of(netns)?);
            Ok(left.is_empty().then_some(()))
        });
        ensure!(restored.is_ok(), "not as before:\n{}", left.join("\n"));
        Ok(())
    }
}

/// What `ip -j` prints for these words.
fn list(words: &str) -> Result<Vec<Value>> {
    let text = netns::ip(&format!("-j {words}"))?;
    // Where there is nothing it may print nothing.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_json::from_str(&text).context("cannot read what ip prints")?;
    Ok(value.as_array().cloned().unwrap_or_default())
}

fn tool(program: &str, words: &[&str]) -> Result<String> {
    netns::run(Command::new(program).args(words))
}

/// Ids of programs on a device: XDP, and tc's hooks.
fn attached(device: &str) -> Result<String> {
    let text = tool("bpftool", &["-j", "net", "show", "dev", device])?;
    let value: Value = serde_json::from_str(&text).context("cannot read what bpftool prints")?;
    // Netfilter's are the machine's, and need not be ours.
    let hooks = ["xdp", "tc"].map(|hook| value[0][hook].to_string());
    Ok(hooks.join(" "))
}

fn sysctls(folder: &Path, all: &mut BTreeMap<String, String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        // A device may go while its folder is read: it is not there, then.
        if path.is_dir() {
            let _ = sysctls(&path, all);
            continue;
        }
        let restless = RESTLESS.iter().any(|name| path.ends_with(name));
        if !restless {
            // Some can only be written.
            let value = fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
            all.insert(path.display().to_string(), value.trim().to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::unique_suffix;

    #[test]
    fn every_kind_of_change_shows() {
        if netns::private_or_skip("every_kind_of_change_shows").is_none() {
            return;
        }
        let netns = Netns::create(&format!("footprint-{}", unique_suffix())).unwrap();
        netns.ip("link add va type veth peer name vb").unwrap();
        // The first time that a device goes up it gets its qdisc, for good.
        netns.ip("link set vb up").unwrap();
        netns.ip("link set vb down").unwrap();
        let before = Footprint::of(&netns).unwrap();
        before.is_restored(&netns).unwrap();
        for (change, back, shown) in [
            ("link set va mtu 1400", "link set va mtu 1500", "link va"),
            ("link set vb up", "link set vb down", "link vb"),
            (
                "addr add 10.0.0.1/24 dev va",
                "addr del 10.0.0.1/24 dev va",
                "address",
            ),
            ("rule add pref 7 table 7", "rule del pref 7", "rule"),
            (
                "route add blackhole 10.7.0.0/16 table 7",
                "route del blackhole 10.7.0.0/16 table 7",
                "route",
            ),
            (
                "neigh add 10.0.0.9 lladdr 02:00:00:00:00:01 dev va nud permanent",
                "neigh del 10.0.0.9 dev va",
                "neighbour",
            ),
        ] {
            netns.ip(change).unwrap();
            let differences = before.differences(&Footprint::of(&netns).unwrap());
            assert!(
                differences.iter().any(|line| line.starts_with(shown)),
                "{change}: {differences:?}"
            );
            netns.ip(back).unwrap();
            before.is_restored(&netns).unwrap();
        }
        netns.sysctl("ipv4/conf/va/rp_filter", "2").unwrap();
        netns
            .run(|| tool("ethtool", &["-K", "va", "rxvlan", "off"]))
            .unwrap();
        let differences = before.differences(&Footprint::of(&netns).unwrap());
        for part in ["conf/va/rp_filter", "offload va"] {
            assert!(
                differences.iter().any(|line| line.contains(part)),
                "{part}: {differences:?}"
            );
        }
    }
}
