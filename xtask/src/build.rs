//! `cargo xtask build`: `target/release/router-ctl`, with the eBPF object in it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Need};
use crate::{paths, step};

/// Build target/release/router-ctl, the eBPF object embedded
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(_: &Args) -> Result<ExitCode> {
    let router_ctl = router_ctl()?;
    step::note(&router_ctl.display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Builds the product; returns where it is.
pub(crate) fn router_ctl() -> Result<PathBuf> {
    release("building router-ctl", &["-p", "router-ctl"])?;
    Ok(paths::target().join("release/router-ctl"))
}

/// Builds the product and the article's scenario.
pub(crate) fn article() -> Result<(PathBuf, PathBuf)> {
    release(
        "building router-ctl and the article",
        &[
            "-p",
            "router-ctl",
            "-p",
            "router-tests",
            "--bin",
            "router-ctl",
            "--bin",
            "article",
        ],
    )?;
    let dir = paths::target().join("release");
    Ok((dir.join("router-ctl"), dir.join("article")))
}

fn release<S: AsRef<OsStr>>(what: &str, arguments: &[S]) -> Result<()> {
    setup::ensure(&[Need::EbpfToolchain])?;
    step::headline(&format!("{what} (release)"));
    let status = Command::new(paths::cargo())
        .current_dir(paths::root())
        .args(["build", "--release"])
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("{what} failed ({status}): the compiler's own words are above");
    }
    Ok(())
}
