//! `cargo xtask setup`: brings what building, linting and running need; and
//! [`ensure`], by which every other task asks for its own share of it, so
//! that nobody has to know that setup exists.
//!
//! First everything missing is listed, then it is brought. System packages
//! come from apt on Debian 12; all else goes into the user's cache directory.
//! No file of the system's configuration is edited.

mod apt;
mod items;
mod kernels;
mod tools;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::step;
pub(crate) use items::has_ebpf_clippy;
use items::{Item, missing};
pub(crate) use kernels::{Kernel, image as kernel_image, version as kernel_version};
pub(crate) use tools::{busybox, cargo_deny, typos, vng_bin};

/// Bring what building, linting and running need, and say so before
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask before system packages are installed
    #[arg(long, short)]
    yes: bool,
    /// Only say what is missing; ends 1 if anything is
    #[arg(long)]
    check: bool,
}

/// What a task may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A rustc with rust-src and a bpf-linker that fits it.
    EbpfToolchain,
    /// The programs that the article and the tests call.
    Programs,
    /// rustfmt, clippy, cargo-deny, typos.
    Lint,
    /// qemu, virtme-ng and this kernel.
    Vm(Kernel),
}

/// Everything the README's commands need; the newest kernel is fetched when
/// it is asked for.
const ALL: &[Need] = &[
    Need::EbpfToolchain,
    Need::Programs,
    Need::Lint,
    Need::Vm(Kernel::V6_1),
    Need::Vm(Kernel::V6_12),
];

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let items = missing(ALL)?;
    if items.is_empty() {
        step::headline("everything is there");
        step::note(&format!("tools and kernels: {}", cache()?.display()));
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        list("missing:", &items);
        return Ok(ExitCode::FAILURE);
    }
    bring(&items, args.yes)?;
    verify(ALL)?;
    Ok(ExitCode::SUCCESS)
}

/// Brings what of `needs` is not there yet; next to nothing when all is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let items = missing(needs)?;
    if items.is_empty() {
        return Ok(());
    }
    bring(&items, false)?;
    verify(needs)
}

/// Our cache directory, which exists afterwards.
pub(crate) fn cache() -> Result<PathBuf> {
    let dir = ebpf_toolchain::cache::dir()?;
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

fn list(title: &str, items: &[Item]) {
    step::headline(title);
    for item in items {
        step::note(&item.describe());
    }
}

fn bring(items: &[Item], yes: bool) -> Result<()> {
    let packages = Item::packages(items);
    if items.iter().any(Item::needs_debian) && !apt::is_debian_12() {
        list("missing on this machine:", items);
        bail!(
            "setup installs packages on Debian 12 only; here, bring these yourself and call it \
             again:\n{}",
            Item::hints(items)
        );
    }
    list("setup brings what is missing:", items);
    if !packages.is_empty() && !yes {
        confirm()?;
    }
    let started = Instant::now();
    apt::install(&packages)?;
    for item in items {
        item.bring()?;
    }
    step::headline(&format!(
        "setup done in {}",
        step::seconds(started.elapsed())
    ));
    Ok(())
}

/// Asks where somebody can answer. Without a terminal, calling us is the yes.
fn confirm() -> Result<()> {
    if !io::stdin().is_terminal() {
        return Ok(());
    }
    print!("    Install the packages and go on? [Y/n] ");
    io::stdout()
        .flush()
        .context("cannot write to the terminal")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    match answer.trim() {
        "" | "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

/// Looks again: what was brought must now be found.
fn verify(needs: &[Need]) -> Result<()> {
    let items = missing(needs)?;
    if items.is_empty() {
        return Ok(());
    }
    list("still missing:", &items);
    if needs.contains(&Need::EbpfToolchain) {
        // Says which rustc and which linker do not fit.
        ebpf_toolchain::find()?;
    }
    bail!("setup ran, yet the above is still missing")
}
