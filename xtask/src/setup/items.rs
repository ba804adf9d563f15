//! What can be missing, how to see that it is, and how to bring it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::kernels::{self, Kernel};
use super::{Need, apt, tools};
use crate::paths;

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A Debian package, and what of it is missing.
    Package(&'static str, &'static str),
    /// A component of the rustup toolchain in use.
    RustupComponent(&'static str),
    BpfLinker,
    CargoDeny,
    CargoFuzz,
    Typos,
    VirtmeNg,
    Busybox,
    Kernel(Kernel),
}

/// Programs that tests, the article and the guests call, with their packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("bpftool", "bpftool"),
    ("git", "git"),
    ("modprobe", "kmod"),
    ("nsenter", "util-linux"),
    ("tmux", "tmux"),
    ("ps", "procps"),
    ("systemd-analyze", "systemd"),
];

/// Packages for a rustc that compiles eBPF objects and the LLVM its linker is
/// built with.
const EBPF_PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", "a rustc that may use rust-src"),
    ("rust-web-src", "the source of core, for the BPF target"),
    ("llvm-22-dev", "the LLVM of that rustc, for bpf-linker"),
    ("libc6-dev", "the C library's headers, for bpf-linker"),
    ("gcc", "a linker for host programs"),
];

/// What of `needs` is not there, in the order in which it has to come.
pub(super) fn missing(needs: &[Need]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for need in needs {
        match need {
            Need::EbpfToolchain => ebpf_toolchain(&mut items),
            Need::Programs => programs(PROGRAMS, &mut items),
            Need::Lint => lint(&mut items),
            Need::Fuzz if tools::cargo_fuzz().is_none() => items.push(Item::CargoFuzz),
            Need::Fuzz => {}
            Need::Vm(kernel) => vm(*kernel, &mut items)?,
        }
    }
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    Ok(seen)
}

fn ebpf_toolchain(items: &mut Vec<Item>) {
    if ebpf_toolchain::find().is_ok() {
        return;
    }
    let names: Vec<&str> = EBPF_PACKAGES.iter().map(|(name, _)| *name).collect();
    let absent = apt::not_installed(&names);
    items.extend(
        EBPF_PACKAGES
            .iter()
            .filter(|(name, _)| absent.contains(name))
            .map(|(name, what)| Item::Package(name, what)),
    );
    items.push(Item::BpfLinker);
}

fn programs(programs: &[(&'static str, &'static str)], items: &mut Vec<Item>) {
    items.extend(
        programs
            .iter()
            .filter(|(program, _)| paths::program(program).is_none())
            .map(|(program, package)| Item::Package(package, program)),
    );
}

fn lint(items: &mut Vec<Item>) {
    let rustup = cargo_is_rustups();
    for (program, component, package) in [
        ("cargo-fmt", "rustfmt", "rustfmt-web"),
        ("cargo-clippy", "clippy", "rust-web-clippy"),
    ] {
        if cargo_program(program).is_some() {
            continue;
        }
        items.push(if rustup {
            Item::RustupComponent(component)
        } else {
            Item::Package(package, program)
        });
    }
    // The eBPF crates are linted by the rustc that compiles them.
    let debian_rustc = Path::new("/usr/bin/rustc").is_file();
    if debian_rustc && apt::is_debian_12() && !has_ebpf_clippy() {
        items.push(Item::Package(
            "rust-web-clippy",
            "clippy for the eBPF crates",
        ));
    }
    if tools::cargo_deny().is_none() {
        items.push(Item::CargoDeny);
    }
    if tools::typos().is_none() {
        venv_package(items);
        items.push(Item::Typos);
    }
}

fn vm(kernel: Kernel, items: &mut Vec<Item>) -> Result<()> {
    let vm_programs = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("modprobe", "kmod"),
        ("ip", "iproute2"),
    ];
    programs(&vm_programs, items);
    if tools::busybox().is_err() {
        items.push(Item::Busybox);
    }
    if !tools::has_vng()? {
        venv_package(items);
        items.push(Item::VirtmeNg);
    }
    if !kernels::is_there(kernel)? {
        items.push(Item::Kernel(kernel));
    }
    Ok(())
}

/// A Python that can make virtual environments: Debian splits that off.
fn venv_package(items: &mut Vec<Item>) {
    if !tools::python_has_venv() {
        items.push(Item::Package("python3-venv", "virtual environments"));
    }
}

/// Whether the rustc that compiles eBPF objects brings a clippy.
pub(crate) fn has_ebpf_clippy() -> bool {
    match ebpf_toolchain::find() {
        Ok(toolchain) => toolchain.compiler.cargo_clippy().is_some(),
        Err(_) => Path::new("/usr/bin/clippy-driver").is_file(),
    }
}

/// A cargo subcommand, beside the cargo in use or on PATH.
fn cargo_program(name: &str) -> Option<PathBuf> {
    let cargo = PathBuf::from(paths::cargo());
    let beside = cargo.parent().map(|dir| dir.join(name));
    match beside {
        Some(beside) if beside.is_file() => Some(beside),
        // rustup's proxies are on PATH whether or not the component is there.
        _ if cargo_is_rustups() => None,
        _ => paths::program(name),
    }
}

fn cargo_is_rustups() -> bool {
    PathBuf::from(paths::cargo())
        .ancestors()
        .any(|dir| dir.ends_with("toolchains"))
}

impl Item {
    /// One line for the list of what is about to be installed.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Package(name, what) => format!("package {name:<18} {what}"),
            Self::RustupComponent(name) => format!("rustup component {name}"),
            Self::BpfLinker => format!(
                "bpf-linker {:<15} built here, about 2 min",
                tools::BPF_LINKER
            ),
            Self::CargoDeny => format!(
                "cargo-deny {:<15} built here, about 3 min",
                tools::CARGO_DENY
            ),
            Self::CargoFuzz => format!(
                "cargo-fuzz {:<15} built here, about 1 min",
                tools::CARGO_FUZZ
            ),
            Self::Typos => format!(
                "typos {:<20} into a Python environment of ours",
                tools::TYPOS
            ),
            Self::VirtmeNg => {
                format!(
                    "virtme-ng {:<16} into a Python environment of ours",
                    tools::VIRTME_NG
                )
            }
            Self::Busybox => {
                "busybox-static             unpacked for the guests, not installed".to_owned()
            }
            Self::Kernel(kernel) => {
                format!(
                    "kernel {:<19} Debian's, unpacked for the guests, not installed",
                    kernel.to_string()
                )
            }
        }
    }

    pub(super) fn packages(items: &[Self]) -> Vec<&'static str> {
        items
            .iter()
            .filter_map(|item| match item {
                Self::Package(name, _) => Some(*name),
                _ => None,
            })
            .collect()
    }

    /// Whether only Debian 12's apt brings it.
    pub(super) fn needs_debian(&self) -> bool {
        matches!(
            self,
            Self::Package(..) | Self::BpfLinker | Self::Busybox | Self::Kernel(_)
        )
    }

    /// How to get it where apt is not Debian 12's.
    pub(super) fn hints(items: &[Self]) -> String {
        let mut hints: Vec<String> = Vec::new();
        for item in items {
            let hint = match item {
                Self::Package("rustc-web" | "rust-web-src" | "llvm-22-dev" | "libc6-dev" | "gcc", _)
                | Self::BpfLinker => {
                    "  rustup toolchain install nightly --component rust-src && cargo install bpf-linker"
                        .to_owned()
                }
                Self::Package(name, what) => {
                    format!("  {what}: your distribution's package; Debian calls it {name}")
                }
                Self::Busybox => "  busybox-static: your distribution's package".to_owned(),
                Self::Kernel(kernel) => format!(
                    "  kernel {kernel}: virtual machines are set up on Debian 12 only; `cargo xtask \
                     run --kernel host` needs none"
                ),
                Self::RustupComponent(_)
                | Self::CargoDeny
                | Self::CargoFuzz
                | Self::Typos
                | Self::VirtmeNg => continue,
            };
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.join("\n")
    }

    /// Brings everything but packages, which come before in one call.
    pub(super) fn bring(&self) -> Result<()> {
        match self {
            Self::Package(..) => Ok(()),
            Self::RustupComponent(name) => tools::rustup_component(name),
            Self::BpfLinker => tools::install_bpf_linker(),
            Self::CargoDeny => tools::install_cargo_deny(),
            Self::CargoFuzz => tools::install_cargo_fuzz(),
            Self::Typos => tools::install_typos(),
            Self::VirtmeNg => tools::install_virtme_ng(),
            Self::Busybox => tools::install_busybox(),
            Self::Kernel(kernel) => kernels::install(*kernel),
        }
    }
}
