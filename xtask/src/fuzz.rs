//! `cargo xtask fuzz`: the fuzz targets of `router-common/fuzz` and
//! `router-ctl/fuzz`, each for some seconds, from the seeds in the repository.
//!
//! They need a nightly compiler and cargo-fuzz; everything else, `cargo xtask
//! test` among it, replays seeds and regressions on stable.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Need};
use crate::{paths, step};

/// Run fuzz targets: all of them, or those named
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets, as in `parse`, `route`, `config`
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

/// The crates that have a `fuzz` folder.
const CRATES: &[&str] = &["router-common", "router-ctl"];

/// Longest input, bytes: what is longer finds nothing that shorter ones do not.
const LONGEST: u32 = 4096;

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut all = Vec::new();
    for krate in CRATES {
        let fuzz = paths::root().join(krate).join("fuzz");
        all.extend(targets(&fuzz)?.into_iter().map(|name| (*krate, name)));
    }
    if let Some(unknown) = args
        .targets
        .iter()
        .find(|name| all.iter().all(|(_, known)| known != *name))
    {
        let known: Vec<&str> = all.iter().map(|(_, name)| name.as_str()).collect();
        bail!("there is no target {unknown}, only {}", known.join(", "));
    }
    setup::ensure(&[Need::EbpfToolchain, Need::Fuzz])?;
    let mut failed = Vec::new();
    for (krate, name) in &all {
        if args.targets.is_empty() || args.targets.contains(name) {
            step::headline(&format!("fuzz: {name} of {krate}, {} s", args.seconds));
            if !run(krate, name, args.seconds)? {
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "FAILED {}: mend it, and put what it prints as \"Test unit\" below \
         fuzz/regressions/TARGET/ under a name that says what it is",
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// The targets of a `fuzz` folder: one file each.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let folder = fuzz.join("fuzz_targets");
    let files =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let path = file.context("cannot read a folder's entry")?.path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn run(krate: &str, target: &str, seconds: u32) -> Result<bool> {
    let cargo_fuzz = setup::cargo_fuzz().context("cargo-fuzz is missing: run it once more")?;
    let root = paths::root().join(krate);
    // New finds go to the first folder, which git does not see.
    let corpus = root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let mut command = Command::new("rustup");
    // The environment of this cargo names its own compiler.
    ebpf_toolchain::clean_environment(&mut command);
    let status = command
        .args(["run", "nightly"])
        .arg(cargo_fuzz)
        .args(["run", target])
        .arg(&corpus)
        .arg(root.join("fuzz/seeds").join(target))
        .args(["--", &format!("-max_total_time={seconds}")])
        .args([&format!("-max_len={LONGEST}"), "-print_final_stats=1"])
        .current_dir(&root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run rustup: fuzzing needs `rustup toolchain install nightly`")?;
    Ok(status.success())
}
