//! Where the maps are pinned: `BPFFS/router-ctl/INSTANCE/abi-N/`.
//!
//! In this version the pins serve the programs of one daemon's trunks, which
//! share their maps through them (and people with bpftool, who find the maps by
//! name). They do not outlive the daemon: what a dead one left is removed at the
//! next start, and links are not pinned, so that with the daemon's death XDP is
//! detached and the kernel forwards alone.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use router_common::abi::ABI_VERSION;

use super::Error;

/// The pins of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir {
    root: PathBuf,
    instance: PathBuf,
}

impl PinDir {
    /// The pins of `instance` on the bpffs at `bpffs`.
    #[must_use]
    pub fn new(bpffs: &Path, instance: &str) -> Self {
        let root = bpffs.join("router-ctl");
        Self {
            instance: root.join(instance),
            root,
        }
    }

    /// Where the maps of this ABI go.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.instance.join(format!("abi-{ABI_VERSION}"))
    }

    /// Makes an empty folder for the maps.
    ///
    /// # Errors
    /// If what is there cannot be removed, or the folder cannot be made.
    pub fn renew(&self) -> Result<PathBuf, Error> {
        self.remove()?;
        let maps = self.maps();
        // For its owner only: who can write a map decides where packets go.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&maps)
            .map_err(|source| Error::Pins {
                path: maps.clone(),
                source,
            })?;
        Ok(maps)
    }

    /// Removes the pins of every ABI. Done already is fine.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        let removed = match fs::remove_dir_all(&self.instance) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed.map_err(|source| Error::Pins {
            path: self.instance.clone(),
            source,
        })?;
        // Other instances may have theirs here.
        let _ = fs::remove_dir(&self.root);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn renewing_removes_what_a_dead_daemon_left() {
        let dir = tempfile::tempdir().unwrap();
        let pins = PinDir::new(dir.path(), "default");
        let maps = pins.renew().unwrap();
        assert!(maps.ends_with(format!("router-ctl/default/abi-{ABI_VERSION}")));
        let mode = maps.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(maps.join("INGRESS"), "").unwrap();
        assert_eq!(fs::read_dir(pins.renew().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn removing_is_idempotent_and_spares_other_instances() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (
            PinDir::new(dir.path(), "one"),
            PinDir::new(dir.path(), "two"),
        );
        one.renew().unwrap();
        let kept = two.renew().unwrap();
        one.remove().unwrap();
        one.remove().unwrap();
        assert!(kept.is_dir());
        two.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
