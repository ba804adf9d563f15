//! `cargo xtask lint`: formatting, clippy, licences and sources, spelling.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::setup::{self, Need};
use crate::{paths, step};

/// Check formatting, clippy, licences and sources of dependencies, spelling
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped(String),
}

/// One check, for the table that `test` ends with.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
}

/// The eBPF crates, relative to the root. They are no default members of the
/// workspace: each is linted in a cargo call of its own, for its own target.
const EBPF_CRATES: &[&str] = &["router-ebpf", "tests/ebpf"];

type Run = fn() -> Result<Verdict>;

const CHECKS: &[(&str, Run)] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("clippy-ebpf", clippy_ebpf),
    ("deny", deny),
    ("typos", typos),
];

pub(crate) fn main(_: &Args) -> Result<ExitCode> {
    let checks = run_all()?;
    let mut bad = 0;
    for check in &checks {
        let verdict = match &check.verdict {
            Verdict::Passed => "ok".to_owned(),
            Verdict::Failed => {
                bad += 1;
                "FAILED".to_owned()
            }
            Verdict::Skipped(reason) => format!("skipped: {reason}"),
        };
        step::note(&format!("{:<12} {verdict}", check.name));
    }
    Ok(ExitCode::from(u8::from(bad > 0)))
}

/// Runs every check, also after one has failed.
pub(crate) fn run_all() -> Result<Vec<Check>> {
    setup::ensure(&[Need::EbpfToolchain, Need::Lint])?;
    let mut checks = Vec::new();
    for (name, run) in CHECKS {
        step::headline(&format!("lint: {name}"));
        let verdict = run().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Verdict::Failed
        });
        if let Verdict::Skipped(reason) = &verdict {
            step::note(&format!("SKIP lint {name}: {reason}"));
        }
        checks.push(Check { name, verdict });
    }
    Ok(checks)
}

fn fmt() -> Result<Verdict> {
    passes(Command::new(paths::cargo()).args(["fmt", "--all", "--check"]))
}

/// The workspace's default members are the host crates.
fn clippy() -> Result<Verdict> {
    passes(Command::new(paths::cargo()).args([
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn clippy_ebpf() -> Result<Verdict> {
    if !setup::has_ebpf_clippy() {
        return Ok(Verdict::Skipped(
            "the rustc that compiles eBPF objects has no clippy".to_owned(),
        ));
    }
    let toolchain = ebpf_toolchain::find()?;
    for crate_dir in EBPF_CRATES {
        let mut command = ebpf_toolchain::cargo(
            &toolchain,
            &paths::root().join(crate_dir),
            &paths::target().join("ebpf"),
            "clippy",
        );
        command.args(["--quiet", "--", "-D", "warnings"]);
        if status(&mut command)? == Verdict::Failed {
            return Ok(Verdict::Failed);
        }
    }
    Ok(Verdict::Passed)
}

/// Not the advisories: their database is a network fetch away, and a new entry
/// would turn a commit red that nobody touched.
fn deny() -> Result<Verdict> {
    let program = setup::cargo_deny().context("cargo-deny is missing: run `cargo xtask setup`")?;
    passes(Command::new(program).args([
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn typos() -> Result<Verdict> {
    let program = setup::typos().context("typos is missing: run `cargo xtask setup`")?;
    passes(Command::new(program).arg("--force-exclude"))
}

fn passes(command: &mut Command) -> Result<Verdict> {
    status(command.current_dir(paths::root()))
}

fn status(command: &mut Command) -> Result<Verdict> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    Ok(if status.success() {
        Verdict::Passed
    } else {
        Verdict::Failed
    })
}
