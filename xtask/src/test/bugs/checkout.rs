//! The repository as it was committed last, in a place where it may be broken.
//!
//! A repository of its own, so that nothing of it shows in the developer's: no
//! worktree, no branch, no lock. It stays: cargo finds by the files' times what
//! has to be compiled anew, and git writes only those that differ.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// What git would take for its own repository when it runs in a hook.
const OF_A_HOOK: &[&str] = &["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"];

#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) directory: PathBuf,
    /// Where cargo builds it.
    pub(super) target: PathBuf,
    /// The commit, as `git log --oneline` calls it.
    pub(super) commit: String,
    /// Held while bugs are put in.
    _lock: File,
}

impl Checkout {
    /// Checks out HEAD.
    pub(super) fn of_head() -> Result<Self> {
        let place = paths::work().join("bugs");
        let directory = place.join("checkout");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let path = place.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run puts bugs into {}", directory.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        git(&directory, &["init", "--quiet"])?;
        let here = paths::root();
        let here = here.to_str().context("this path is no text")?;
        git(&directory, &["fetch", "--quiet", "--depth=1", here, "HEAD"])?;
        let commit = git(&directory, &["log", "--oneline", "-1", "FETCH_HEAD"])?;
        let checkout = Self {
            directory,
            target: place.join("target"),
            commit: commit.trim().to_owned(),
            _lock: lock,
        };
        checkout.restore()?;
        Ok(checkout)
    }

    /// Takes whatever was put in out again.
    pub(super) fn restore(&self) -> Result<()> {
        let to = ["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"];
        git(&self.directory, &to)?;
        git(&self.directory, &["clean", "--quiet", "--force", "-d"])?;
        Ok(())
    }

    /// Puts a bug in.
    pub(super) fn apply(&self, patch: &Path) -> Result<()> {
        apply(&self.directory, patch, &[])
    }
}

/// Puts a patch into the files of a directory.
///
/// # Errors
/// When it fits no more, with git's reason.
pub(super) fn apply(directory: &Path, patch: &Path, options: &[&str]) -> Result<()> {
    let path = patch.to_str().context("its path is no text")?;
    let arguments = [&["apply"], options, &[path]].concat();
    git(directory, &arguments)
        .map(drop)
        .with_context(|| format!("{} fits the code no more: make it anew", patch.display()))
}

/// Whether something here is not committed.
pub(super) fn differs_from_head() -> Result<bool> {
    let status = git(&paths::root(), &["status", "--porcelain"])?;
    Ok(!status.is_empty())
}

/// Runs git; returns what it prints.
fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    for variable in OF_A_HOOK {
        command.env_remove(variable);
    }
    let output = command
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot run git: `cargo xtask setup` brings it")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
