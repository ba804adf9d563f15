//! What of a router is in the kernel: programs, links and maps, told by bpftool
//! and not by the code under test.
//!
//! Ids are the machine's, and other routers may run on it: what is ours is what
//! hangs on the maps and links that are pinned under one instance.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    netns::{self, Netns},
    router_daemon::RouterDaemon,
};

/// Kernel ids of what belongs to one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelObjects {
    /// Pinned maps, and those that our programs have besides.
    pub maps: BTreeSet<u64>,
    /// Programs that use one of the pinned maps.
    pub programs: BTreeSet<u64>,
    /// Links that hold one of these programs.
    pub links: BTreeSet<u64>,
    /// Every pin, relative to the instance's directory.
    pub pins: BTreeSet<PathBuf>,
}

impl KernelObjects {
    /// What there is of this daemon, whether it runs or not.
    ///
    /// # Errors
    /// Where bpftool fails.
    pub fn of(daemon: &RouterDaemon) -> Result<Self> {
        let mut objects = Self::default();
        collect_pins(&daemon.pins(), Path::new(""), &mut objects.pins)?;
        for pin in &objects.pins {
            let path = daemon.pins().join(pin);
            let shown = bpftool(&["map", "show", "pinned", &path.to_string_lossy()]);
            // A pin that is no map.
            let Ok(map) = shown else { continue };
            objects.maps.extend(map["id"].as_u64());
        }
        let pinned = objects.maps.clone();
        for program in list(&["prog", "show"])? {
            let maps = ids(&program["map_ids"]);
            if maps.is_disjoint(&pinned) {
                continue;
            }
            objects.programs.extend(program["id"].as_u64());
            objects.maps.extend(maps);
        }
        for link in list(&["link", "show"])? {
            let program = link["prog_id"].as_u64();
            if program.is_some_and(|program| objects.programs.contains(&program)) {
                objects.links.extend(link["id"].as_u64());
            }
        }
        Ok(objects)
    }

    /// Which of them the kernel still has, pins left out.
    ///
    /// # Errors
    /// Where bpftool fails.
    pub fn that_are_left(&self) -> Result<Self> {
        let alive = |words: &[&str], of: &BTreeSet<u64>| -> Result<BTreeSet<u64>> {
            let all = list(words)?;
            let all = all.iter().filter_map(|object| object["id"].as_u64());
            Ok(all.filter(|id| of.contains(id)).collect())
        };
        Ok(Self {
            maps: alive(&["map", "show"], &self.maps)?,
            programs: alive(&["prog", "show"], &self.programs)?,
            links: alive(&["link", "show"], &self.links)?,
            pins: BTreeSet::new(),
        })
    }
}

fn collect_pins(root: &Path, below: &Path, pins: &mut BTreeSet<PathBuf>) -> Result<()> {
    let path = root.join(below);
    let Ok(entries) = fs::read_dir(&path) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect_pins(root, &name, pins)?;
        } else {
            pins.insert(name);
        }
    }
    Ok(())
}

fn bpftool(words: &[&str]) -> Result<Value> {
    let text = netns::run(Command::new("bpftool").arg("-j").args(words))?;
    serde_json::from_str(&text).context("cannot read what bpftool prints")
}

fn list(words: &[&str]) -> Result<Vec<Value>> {
    // An object that goes while bpftool lists them makes it fail.
    let answer = bpftool(words).or_else(|_| bpftool(words))?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

fn ids(list: &Value) -> BTreeSet<u64> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_u64).collect()
}

/// The XDP program on a device, as the kernel tells it.
///
/// # Errors
/// Where there is no such device.
pub fn xdp_on(netns: &Netns, device: &str) -> Result<Option<u64>> {
    Ok(link(netns, device)?["xdp"]["prog"]["id"].as_u64())
}

/// How often a device's carrier has come or gone.
///
/// # Errors
/// Where there is no such device.
pub fn carrier_changes(netns: &Netns, device: &str) -> Result<u64> {
    link(netns, device)?["stats64"]["tx"]["carrier_changes"]
        .as_u64()
        .context("ip tells no carrier_changes")
}

/// Frames that XDP sent on from a device, as its driver counts them: with or
/// without a daemon.
///
/// # Errors
/// Where the driver does not tell.
pub fn forwarded_by_xdp(netns: &Netns, device: &str) -> Result<u64> {
    let text = netns::run(netns.command("ethtool").args(["-S", device]))?;
    let counters = text.lines().filter_map(|line| line.trim().split_once(": "));
    let forwards = |name: &str| name.ends_with("_xdp_tx") || name.ends_with("_xdp_redirect");
    let mut sum = None;
    for (name, value) in counters {
        if name.starts_with("rx_queue_") && forwards(name) {
            sum = Some(sum.unwrap_or(0) + value.parse::<u64>().context("a counter")?);
        }
    }
    sum.with_context(|| format!("{device} counts nothing of XDP"))
}

fn link(netns: &Netns, device: &str) -> Result<Value> {
    let text = netns.ip(&format!("-j -s -s link show dev {device}"))?;
    let links: Value = serde_json::from_str(&text).context("cannot read what ip prints")?;
    Ok(links[0].clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lab::Lab, pass::PassProgram};

    #[test]
    fn devices_tell_their_program_and_their_flaps() {
        let Some(lab) = Lab::or_skip("devices_tell_their_program_and_their_flaps", 2) else {
            return;
        };
        let (router, trunk) = (lab.router(), &lab.trunks()[0]);
        assert_eq!(xdp_on(router, trunk).unwrap(), None);
        let program = PassProgram::attach(router, trunk).unwrap();
        assert!(xdp_on(router, trunk).unwrap().is_some());
        drop(program);
        assert_eq!(xdp_on(router, trunk).unwrap(), None);
        let before = carrier_changes(router, trunk).unwrap();
        router.ip(&format!("link set {trunk} down")).unwrap();
        router.ip(&format!("link set {trunk} up")).unwrap();
        assert!(carrier_changes(router, trunk).unwrap() > before);
    }
}
