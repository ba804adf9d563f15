//! The machine: what a kernel must be able to do here, and how it is helped.
//!
//! A guest of virtme-ng boots without udev: no module comes by itself, nothing
//! is mounted that an init system would mount.

use std::{fs, path::Path, process::Command, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        statfs::{BPF_FS_MAGIC, statfs},
        utsname::uname,
    },
};
use router_tests::netns;

use crate::report::Clock;

/// Where `router-ctl` pins.
const BPFFS: &str = "/sys/fs/bpf";

/// What the topology is made of, with the module that brings it.
const FEATURES: &[(&str, &str)] = &[
    ("veth", "link add p0 type veth peer name p1"),
    ("bridge", "link add b0 type bridge vlan_filtering 1"),
    ("8021q", "link add link p0 name v0 type vlan id 5"),
    (
        "macvlan",
        "link add link p0 name m0 type macvlan mode bridge",
    ),
];

/// Sees to it that the article can be played here.
pub(crate) fn prepare(clock: &Clock) -> Result<()> {
    clock.say(&format!("kernel: Linux {}", release()));
    if !nix::unistd::geteuid().is_root() {
        bail!("the article makes network namespaces and loads programs: run it as root");
    }
    if features().is_err() {
        load_modules();
        features().map_err(|error| {
            anyhow!(
                "this kernel cannot play the article: {error:#}; one that can, in a virtual \
                 machine: cargo xtask run --kernel 6.12"
            )
        })?;
    }
    mount_bpffs(clock)
}

/// As `uname -r` prints it.
pub(crate) fn release() -> String {
    uname().map_or_else(
        |_| "of unknown release".to_owned(),
        |names| names.release().to_string_lossy().into_owned(),
    )
}

/// Tries every feature in a namespace that is gone with its thread.
fn features() -> Result<()> {
    let tried = thread::spawn(|| {
        let _guard = netns::private().context("cannot make a network namespace")?;
        for (module, attempt) in FEATURES {
            netns::ip(attempt).with_context(|| format!("no {module}"))?;
        }
        Ok(())
    });
    tried
        .join()
        .map_err(|_| anyhow!("trying the kernel's features panicked"))?
}

/// Best effort: what is missing in the end is found by trying again.
fn load_modules() {
    let modules = FEATURES.iter().map(|(module, _)| module);
    let _ = Command::new("modprobe")
        .args(["--quiet", "--all"])
        .args(modules)
        .status();
}

fn mount_bpffs(clock: &Clock) -> Result<()> {
    let mounted =
        statfs(BPFFS).is_ok_and(|file_system| file_system.filesystem_type() == BPF_FS_MAGIC);
    if mounted {
        return Ok(());
    }
    if !Path::new(BPFFS).is_dir() {
        fs::create_dir_all(BPFFS).with_context(|| format!("there is no {BPFFS}"))?;
    }
    mount(
        Some("bpf"),
        BPFFS,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount bpffs on {BPFFS}"))?;
    clock.say(&format!("mounted bpffs on {BPFFS}"));
    Ok(())
}
