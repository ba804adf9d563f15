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

/// Builds what replays captures, and the daemon that it starts.
pub(crate) fn replay() -> Result<PathBuf> {
    release(
        "building the replay",
        &[
            "-p",
            "router-tests",
            "--bin",
            "replay",
            "--bin",
            "router-daemon",
        ],
    )?;
    Ok(paths::target().join("release/replay"))
}

/// A test binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// As in tests/NAME.rs.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds the tests/ directory of router-tests, and the daemon that they start,
/// to be run where there is no cargo.
pub(crate) fn kernel_tests() -> Result<Vec<TestBinary>> {
    setup::ensure(&[Need::EbpfToolchain])?;
    step::headline("building the kernel's tests (release)");
    let output = Command::new(paths::cargo())
        .current_dir(paths::root())
        .args(["test", "--release", "--no-run", "--message-format=json"])
        .args(["-p", "router-tests", "--test", "prog_*", "--test", "net_*"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "the tests do not build ({}): the compiler's own words are above",
            output.status
        );
    }
    let mut binaries = test_binaries(&String::from_utf8_lossy(&output.stdout));
    // The quick ones first.
    binaries.sort_by_key(|binary| (binary.name.starts_with("net_"), binary.name.clone()));
    Ok(binaries)
}

/// What cargo's messages say it made: the programs among them are the package's
/// own, which tests start.
fn test_binaries(messages: &str) -> Vec<TestBinary> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| {
            Some(TestBinary {
                name: message["target"]["name"].as_str()?.to_owned(),
                path: message["executable"].as_str()?.into(),
            })
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_are_found_in_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"router_tests"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"router-daemon"},"profile":{"test":false},"executable":"/t/router-daemon"}
{"reason":"compiler-artifact","target":{"name":"net_hitless"},"profile":{"test":true},"executable":"/t/deps/net_hitless-1"}
{"reason":"build-finished","success":true}
"#;
        let found = TestBinary {
            name: "net_hitless".to_owned(),
            path: "/t/deps/net_hitless-1".into(),
        };
        assert_eq!(test_binaries(messages), [found]);
    }
}
