//! Which rustc can build eBPF objects: one that has rust-src, a nightly first.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::clean::clean;

/// A rustc with rust-src beside it, and the cargo to drive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    /// Not a nightly: unstable options need `RUSTC_BOOTSTRAP=1`.
    pub bootstrap: bool,
}

impl Compiler {
    /// # Errors
    /// When rustc does not run or prints what no rustc prints.
    pub fn version(&self) -> Result<Version> {
        let output = clean(&mut Command::new(&self.rustc))
            .arg("-vV")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.rustc.display()))?;
        if !output.status.success() {
            bail!("{} -vV failed: {}", self.rustc.display(), output.status);
        }
        Version::parse(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("cannot read the answer of {} -vV", self.rustc.display()))
    }

    /// The `cargo-clippy` that belongs to this rustc, where it has one.
    pub fn cargo_clippy(&self) -> Option<PathBuf> {
        let dir = self.rustc.parent()?;
        let path = dir.join("cargo-clippy");
        (path.is_file() && dir.join("clippy-driver").is_file()).then_some(path)
    }
}

/// What `rustc -vV` says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `1.96.0`, `1.97.0-nightly`
    pub release: String,
    /// The major number of its LLVM.
    pub llvm: u32,
    /// The triple of the machine.
    pub host: String,
}

impl Version {
    /// # Errors
    /// When a line that every rustc prints is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::trim)
                .with_context(|| format!("no line `{name}: ...`"))
        };
        let llvm = field("LLVM version")?;
        let major = llvm.split('.').next().unwrap_or_default();
        Ok(Self {
            release: field("release")?.to_owned(),
            llvm: major
                .parse()
                .with_context(|| format!("`{llvm}` is no LLVM version"))?,
            host: field("host")?.to_owned(),
        })
    }
}

/// Every rustc with rust-src, nightlies of rustup first. Looks at files only,
/// apart from a rustc outside of rustup, which has to be asked for its sysroot.
pub(crate) fn candidates() -> Vec<Compiler> {
    let rustup = rustup_toolchains();
    let (nightly, other): (Vec<_>, Vec<_>) = rustup
        .iter()
        .filter(|dir| has_rust_src(dir))
        .partition(|dir| is_nightly(dir));
    let rustup_compiler = |dir: &PathBuf, bootstrap| Compiler {
        rustc: dir.join("bin/rustc"),
        cargo: dir.join("bin/cargo"),
        bootstrap,
    };
    let mut found: Vec<Compiler> = nightly
        .into_iter()
        .map(|dir| rustup_compiler(dir, false))
        .collect();
    found.extend(system_compilers());
    found.extend(other.into_iter().map(|dir| rustup_compiler(dir, true)));
    found
}

fn is_nightly(toolchain: &Path) -> bool {
    toolchain
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.starts_with("nightly"))
}

fn has_rust_src(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib/src/rust/library/core/Cargo.toml")
        .is_file()
}

/// The toolchains' directories, `nightly` before `nightly-2026-01-01`: the
/// undated one is the newest.
fn rustup_toolchains() -> Vec<PathBuf> {
    let Some(home) = rustup_home() else {
        return Vec::new();
    };
    let mut dirs: Vec<PathBuf> = fs::read_dir(home.join("toolchains"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| dir.join("bin/rustc").is_file() && dir.join("bin/cargo").is_file())
        .collect();
    dirs.sort_by_key(|dir| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let dated = name
            .split('-')
            .nth(1)
            .is_some_and(|word| word.starts_with("20"));
        // Among dated ones the later date first.
        (
            dated,
            std::cmp::Reverse(if dated {
                name.into_owned()
            } else {
                String::new()
            }),
        )
    });
    dirs
}

fn rustup_home() -> Option<PathBuf> {
    env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")))
}

/// Each rustc on PATH and in `/usr/bin` that is not one of rustup's proxies.
fn system_compilers() -> Vec<Compiler> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut found = Vec::new();
    for dir in env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
        let rustc = dir.join("rustc");
        let Ok(real) = rustc.canonicalize() else {
            continue;
        };
        // rustup's `rustc` is a link to `rustup`, or a copy of it beside it.
        if dir.join("rustup").is_file() || real.ends_with("rustup") || seen.contains(&real) {
            continue;
        }
        seen.push(real);
        if let Some(sysroot) = sysroot(&rustc)
            && has_rust_src(&sysroot)
            && let Some(cargo) = cargo_for(&dir)
        {
            found.push(Compiler {
                rustc,
                cargo,
                bootstrap: true,
            });
        }
    }
    found
}

/// `bin/rustc` lives in its sysroot with every distribution that was looked
/// at; only where that does not hold is rustc asked, which takes a moment.
fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let guess = rustc.parent()?.parent()?;
    if has_rust_src(guess) {
        return Some(guess.to_path_buf());
    }
    let output = clean(&mut Command::new(rustc))
        .args(["--print", "sysroot"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// The cargo that runs us, else the one beside rustc, else any on PATH: cargo
/// takes a rustc other than its own by `RUSTC`.
fn cargo_for(rustc_dir: &Path) -> Option<PathBuf> {
    let ambient = env::var_os("CARGO").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    ambient
        .into_iter()
        .chain([rustc_dir.join("cargo")])
        .chain(env::split_paths(&path).map(|dir| dir.join("cargo")))
        .find(|cargo| cargo.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
        binary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\n\
        commit-date: 2026-05-25\n\
        host: x86_64-unknown-linux-gnu\n\
        release: 1.96.0\n\
        LLVM version: 22.1.8\n";

    #[test]
    fn debians_version_is_read() {
        assert_eq!(
            Version::parse(DEBIAN).unwrap(),
            Version {
                release: "1.96.0".to_owned(),
                llvm: 22,
                host: "x86_64-unknown-linux-gnu".to_owned(),
            }
        );
    }

    #[test]
    fn a_missing_or_odd_line_is_named() {
        let error = Version::parse("release: 1.0.0\n").unwrap_err().to_string();
        assert!(error.contains("LLVM version"), "{error}");
        let odd = DEBIAN.replace("22.1.8", "unknown");
        assert!(Version::parse(&odd).is_err());
    }

    #[test]
    fn nightlies_are_known_by_name() {
        assert!(is_nightly(Path::new("/r/nightly-x86_64-unknown-linux-gnu")));
        assert!(is_nightly(Path::new(
            "/r/nightly-2026-05-01-x86_64-unknown-linux-gnu"
        )));
        assert!(!is_nightly(Path::new("/r/stable-x86_64-unknown-linux-gnu")));
    }
}
