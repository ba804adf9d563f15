//! A bpffs of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// A mounted bpffs; dropping it removes it with everything that is pinned there.
#[derive(Debug)]
pub struct ScratchBpffs {
    directory: TempDir,
}

impl ScratchBpffs {
    /// Mounts one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mount() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("router-bpffs-")
            .tempdir()
            .context("cannot make a directory")?;
        let scratch = Self { directory };
        let path = scratch.path();
        fs::create_dir(&path).context("cannot make a directory")?;
        mount(
            Some("bpf"),
            &path,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount a bpffs on {}", path.display()))?;
        Ok(scratch)
    }

    /// Its mount point.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    /// Unmounts it under whoever uses it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unmount(&self) -> Result<()> {
        unmount(&self.path())
    }
}

impl Drop for ScratchBpffs {
    fn drop(&mut self) {
        // A test may have done it.
        let _ = unmount(&self.path());
    }
}

fn unmount(path: &Path) -> Result<()> {
    umount2(path, MntFlags::MNT_DETACH)
        .with_context(|| format!("cannot unmount {}", path.display()))
}
