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
pub(crate) use tools::{busybox, cargo_deny, cargo_fuzz, typos, vng_bin};

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
    /// cargo-fuzz; fetched when it is asked for.
    Fuzz,
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
    bring_all(ALL, args.yes)?;
    Ok(ExitCode::SUCCESS)
}

/// Brings what of `needs` is not there yet; next to nothing when all is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    bring_all(needs, false)
}

fn bring_all(needs: &[Need], yes: bool) -> Result<()> {
    let left = converge(|| missing(needs), |items| bring(items, yes))?;
    if left.is_empty() {
        return Ok(());
    }
    list("still missing:", &left);
    if needs.contains(&Need::EbpfToolchain) {
        // Says which rustc and which linker do not fit.
        ebpf_toolchain::find()?;
    }
    bail!("setup ran, yet the above is still missing")
}

/// How often setup looks again. What is wanted may depend on what was just
/// brought: the rustc that compiles eBPF objects wants its own clippy.
const ROUNDS: usize = 4;

/// Brings what is missing, until nothing is or an item that was brought is
/// missing still; returns what is.
fn converge<T: Clone + PartialEq>(
    mut missing: impl FnMut() -> Result<Vec<T>>,
    mut bring: impl FnMut(&[T]) -> Result<()>,
) -> Result<Vec<T>> {
    let mut brought: Vec<T> = Vec::new();
    for _ in 0..ROUNDS {
        let items = missing()?;
        if items.is_empty() || items.iter().any(|item| brought.contains(item)) {
            return Ok(items);
        }
        bring(&items)?;
        brought.extend(items);
    }
    missing()
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_was_brought_may_want_more() {
        let there = RefCell::new(Vec::new());
        let missing = || {
            let there = there.borrow();
            let wanted: &[&str] = if there.contains(&"rustc") {
                &["rustc", "clippy"]
            } else {
                &["rustc"]
            };
            let missing = wanted.iter().filter(|item| !there.contains(item));
            Ok(missing.copied().collect())
        };
        let left = converge(missing, |items| {
            there.borrow_mut().extend_from_slice(items);
            Ok(())
        });
        assert_eq!(left.unwrap(), [""; 0]);
        assert_eq!(*there.borrow(), ["rustc", "clippy"]);
    }

    #[test]
    fn what_does_not_come_is_brought_once() {
        let mut rounds = 0;
        let left = converge(
            || Ok(vec!["linker"]),
            |_| {
                rounds += 1;
                Ok(())
            },
        );
        assert_eq!(left.unwrap(), ["linker"]);
        assert_eq!(rounds, 1);
    }

    #[test]
    fn wishes_without_end_are_given_up() {
        let mut wish = 0;
        let mut rounds = 0;
        let left = converge(
            || {
                wish += 1;
                Ok(vec![wish])
            },
            |_| {
                rounds += 1;
                Ok(())
            },
        );
        assert_eq!(left.unwrap().len(), 1);
        assert_eq!(rounds, ROUNDS);
    }
}
