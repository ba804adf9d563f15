//! Where the tools that `cargo xtask setup` brings are kept: the user's cache
//! directory, never the system's.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// `$XDG_CACHE_HOME/router-ctl-dev`, or `~/.cache/router-ctl-dev`.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn dir() -> Result<PathBuf> {
    // The XDG specification: a relative XDG_CACHE_HOME is to be ignored.
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(base) if base.is_absolute() => base,
        _ => {
            let home = env::var_os("HOME").filter(|home| !home.is_empty());
            PathBuf::from(home.context("neither HOME nor XDG_CACHE_HOME is set: set one of them")?)
                .join(".cache")
        }
    };
    Ok(base.join("router-ctl-dev"))
}

/// The root that `cargo install --root` fills.
///
/// # Errors
/// As [`dir`].
pub fn tools() -> Result<PathBuf> {
    Ok(dir()?.join("tools"))
}

/// The programs in [`tools`].
///
/// # Errors
/// As [`dir`].
pub fn tools_bin() -> Result<PathBuf> {
    Ok(tools()?.join("bin"))
}

/// The directory of one unpacked kernel: `boot/vmlinuz-*` and `lib/modules/`.
///
/// # Errors
/// As [`dir`].
pub fn kernel(name: &str) -> Result<PathBuf> {
    Ok(dir()?.join("kernels").join(name))
}
