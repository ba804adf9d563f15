//! Tools in the user's cache directory: built by cargo, installed by pip, or
//! unpacked. Versions are pinned here, in one place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use ebpf_toolchain::cache as dirs;

use super::apt::{self, Apt};
use super::cache;
use crate::{paths, step};

pub(super) const BPF_LINKER: &str = "0.13.0";
pub(super) const CARGO_DENY: &str = "0.20.2";
pub(super) const CARGO_FUZZ: &str = "0.13.2";
pub(super) const TYPOS: &str = "1.52.0";
pub(super) const VIRTME_NG: &str = "1.42";

/// Debian's LLVM, with the programs that tell a build where it is.
const LLVM_BIN: &str = "/usr/lib/llvm-22/bin";

/// Built by the host's own toolchain against Debian's LLVM 22, the one that
/// Debian's rustc has.
pub(super) fn install_bpf_linker() -> Result<()> {
    let mut command = cargo_install("bpf-linker", BPF_LINKER)?;
    command
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("PATH", paths::path_with(&[Path::new(LLVM_BIN)]));
    step::quiet("building bpf-linker", &mut command)
}

pub(super) fn install_cargo_deny() -> Result<()> {
    let mut command = cargo_install("cargo-deny", CARGO_DENY)?;
    // It reads a few hundred manifests: not worth minutes of optimisation.
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    step::quiet("building cargo-deny", &mut command)
}

pub(super) fn install_cargo_fuzz() -> Result<()> {
    let mut command = cargo_install("cargo-fuzz", CARGO_FUZZ)?;
    step::quiet("building cargo-fuzz", &mut command)
}

fn cargo_install(name: &str, version: &str) -> Result<Command> {
    let cargo = PathBuf::from(paths::cargo());
    let mut command = Command::new(&cargo);
    ebpf_toolchain::clean_environment(&mut command);
    // The rustc that belongs to this cargo, not a proxy's default.
    if let Some(rustc) = cargo.parent().map(|dir| dir.join("rustc"))
        && rustc.is_file()
    {
        command.env("RUSTC", rustc);
    }
    command
        .args(["install", name, "--version", version])
        .args(["--locked", "--force", "--root"])
        .arg(dirs::tools()?)
        // Its build leaves nothing behind, and sees no config of ours.
        .current_dir(cache()?);
    Ok(command)
}

pub(super) fn rustup_component(name: &str) -> Result<()> {
    step::quiet(
        &format!("adding rustup component {name}"),
        Command::new("rustup").args(["component", "add", name]),
    )
}

pub(crate) fn cargo_deny() -> Option<PathBuf> {
    ours_or_path(dirs::tools_bin().ok()?.join("cargo-deny"), "cargo-deny")
}

pub(crate) fn cargo_fuzz() -> Option<PathBuf> {
    ours_or_path(dirs::tools_bin().ok()?.join("cargo-fuzz"), "cargo-fuzz")
}

pub(crate) fn typos() -> Option<PathBuf> {
    ours_or_path(lint_venv().ok()?.join("bin/typos"), "typos")
}

fn ours_or_path(ours: PathBuf, name: &str) -> Option<PathBuf> {
    if ours.is_file() {
        Some(ours)
    } else {
        paths::program(name)
    }
}

fn lint_venv() -> Result<PathBuf> {
    Ok(dirs::dir()?.join("lint"))
}

fn vng_venv() -> Result<PathBuf> {
    Ok(dirs::dir()?.join("vng"))
}

/// The directory of `vng` and of `virtme-run`, which it calls.
pub(crate) fn vng_bin() -> Result<PathBuf> {
    Ok(vng_venv()?.join("bin"))
}

pub(super) fn has_vng() -> Result<bool> {
    Ok(venv_is(&vng_venv()?, &format!("virtme-ng=={VIRTME_NG}")))
}

pub(super) fn install_virtme_ng() -> Result<()> {
    venv(&vng_venv()?, &format!("virtme-ng=={VIRTME_NG}"))
}

pub(super) fn install_typos() -> Result<()> {
    venv(&lint_venv()?, &format!("typos=={TYPOS}"))
}

/// Whether an environment was completed, with just this in it.
fn venv_is(dir: &Path, requirement: &str) -> bool {
    fs::read_to_string(dir.join("requirement")).is_ok_and(|text| text.trim() == requirement)
}

/// Makes a Python environment with one program in it. Debian 12's pip
/// installs nowhere else.
fn venv(dir: &Path, requirement: &str) -> Result<()> {
    let python = python().context("python3 is missing")?;
    step::quiet(
        &format!("creating the Python environment for {requirement}"),
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(dir),
    )?;
    step::quiet(
        &format!("installing {requirement}"),
        Command::new(dir.join("bin/pip")).args([
            "install",
            "--disable-pip-version-check",
            requirement,
        ]),
    )?;
    let stamp = dir.join("requirement");
    fs::write(&stamp, format!("{requirement}\n"))
        .with_context(|| format!("cannot write {}", stamp.display()))
}

/// The distribution's Python first: a version manager's may go away.
fn python() -> Option<PathBuf> {
    let system = PathBuf::from("/usr/bin/python3");
    if system.is_file() {
        Some(system)
    } else {
        paths::program("python3")
    }
}

pub(super) fn python_has_venv() -> bool {
    python().is_some_and(|python| {
        Command::new(python)
            .args(["-c", "import ensurepip, venv"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// A busybox that needs no libraries: the guests' first program.
pub(crate) fn busybox() -> Result<PathBuf> {
    let ours = dirs::tools_bin()?.join("busybox");
    if ours.is_file() {
        return Ok(ours);
    }
    ["busybox-static", "busybox.static"]
        .iter()
        .find_map(|name| paths::program(name))
        .context("no static busybox: run `cargo xtask setup`")
}

/// Unpacked rather than installed: it would replace an installed busybox.
pub(super) fn install_busybox() -> Result<()> {
    if !apt::is_debian_12() {
        bail!("a static busybox is missing: install your distribution's (busybox-static)");
    }
    let dir = cache()?.join("busybox.partial");
    let debs = Apt::system().download(&["busybox-static".to_owned()], &dir)?;
    for deb in &debs {
        apt::unpack(deb, &dir)?;
    }
    let bin = dirs::tools_bin()?;
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let unpacked = ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .map(|path| dir.join(path))
        .find(|path| path.is_file())
        .context("the package busybox-static holds no busybox")?;
    fs::rename(&unpacked, bin.join("busybox"))
        .with_context(|| format!("cannot move {}", unpacked.display()))?;
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
}
