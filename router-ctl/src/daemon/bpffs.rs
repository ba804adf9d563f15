//! The bpffs: found or mounted, and one that outlives the daemon.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tracing::debug;

use super::{fail, host::Host};
use crate::{
    codes,
    error::{Error, Kind},
    journal::Effect,
    sys,
};

/// Where pins go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bpffs {
    /// Mount point, absolute: the journal is read in other working directories.
    pub(super) path: PathBuf,
    /// The user named it, and knows how long it lives.
    pub(super) named: bool,
}

impl Bpffs {
    pub(super) fn new(path: &Path, named: bool) -> Result<Self, Error> {
        let path = std::path::absolute(path)
            .map_err(|error| fail::io(codes::BPFFS, "there is no working directory", &error))?;
        Ok(Self { path, named })
    }

    /// Finds it, or mounts it.
    ///
    /// Under `ip netns exec` and the like a mount is seen by this mount namespace
    /// only and ends with it, and so would the pins: refused.
    pub(super) async fn provide(&self, host: &mut Host) -> Result<(), Error> {
        let path = &self.path;
        let found = sys::is_bpffs(path).map_err(|error| {
            let what = format!("there is no folder {} to find a bpffs in", path.display());
            fail::io(codes::BPFFS, what, &error).help("name another with --bpffs DIR")
        })?;
        let mount = Effect::Mount { path: path.clone() };
        if found {
            host.claim(
                |theirs| matches!(&theirs.effect, Effect::Mount { path: other } if other == path),
            )?;
        } else {
            host.perform(mount.clone()).await?;
        }
        if self.named || is_seen_by_all(path) {
            return Ok(());
        }
        if !found {
            let undone = host.undo_where(|entry| entry.effect == mount).await;
            super::engine::failures(&host.instance, &undone)?;
        }
        Err(Error::new(
            Kind::Failed,
            codes::BPFFS,
            format!(
                "the bpffs on {} is seen by this process and its children only",
                path.display()
            ),
        )
        .cause("what is pinned there would be lost with them, and forwarding by XDP with it")
        .help(
            "`ip netns exec` hides the host's: use `nsenter --net=/run/netns/NAME`; or say with \
             --bpffs DIR that this one is meant",
        ))
    }
}

/// Whether the first process sees this bpffs, too: then it is the host's (or the
/// container's), in whatever mount namespace this process is.
fn is_seen_by_all(path: &Path) -> bool {
    let Ok(meta) = fs::metadata(path) else {
        return false;
    };
    match fs::read_to_string("/proc/1/mountinfo") {
        Ok(mounts) => lists_bpffs(&mounts, meta.dev()),
        Err(error) => {
            debug!(%error, "cannot tell which mounts the first process sees");
            true
        }
    }
}

/// Whether a bpffs of this device number is among `mounts` (proc(5), mountinfo:
/// `36 35 98:0 ROOT MOUNT-POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS`).
fn lists_bpffs(mounts: &str, device: u64) -> bool {
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    mounts.lines().any(|line| {
        let Some((mount, system)) = line.split_once(" - ") else {
            return false;
        };
        mount.split(' ').nth(2) == Some(number.as_str()) && system.split(' ').next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw
25 30 0:23 / /sys rw,nosuid shared:2 - sysfs sysfs rw
33 25 0:30 / /sys/fs/bpf rw,nosuid,nodev shared:9 - bpf bpf rw,mode=700
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
";

    #[test]
    fn the_hosts_bpffs_is_known_by_its_number() {
        let number = |minor| libc::makedev(0, minor);
        assert!(lists_bpffs(MOUNTS, number(30)));
        // Another bpffs, and something else of a number that is listed.
        assert!(!lists_bpffs(MOUNTS, number(31)));
        assert!(!lists_bpffs(MOUNTS, number(23)));
        assert!(!lists_bpffs("", number(30)));
        assert!(!lists_bpffs("nonsense", number(30)));
    }

    /// Whatever namespace this test runs in, the first process's own root file
    /// system is no bpffs.
    #[test]
    fn what_is_no_bpffs_is_not_seen_as_one() {
        assert!(!is_seen_by_all(Path::new("/")));
        assert!(!is_seen_by_all(Path::new("/no/such/folder")));
    }
}
