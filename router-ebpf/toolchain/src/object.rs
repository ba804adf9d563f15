//! Building one eBPF object: the nested cargo call.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::clean::clean;
use crate::{MEND, TARGET, Toolchain, find};

/// Flags of every eBPF crate: debug information, which the linker turns into
/// the `.BTF` section that the kernel, aya and bpftool read (never strip it),
/// and memory set in line. Without the last, six zero bytes become a call of a
/// byte-by-byte `memset`, which costs time and a second stack frame: enough for
/// 6.1's verifier to say "combined stack size of 2 calls is 544".
const RUSTFLAGS: &str =
    "-Cdebuginfo=2\x1f-Clink-arg=--btf\x1f-Clink-arg=--disable-expand-memcpy-in-order";

/// Which object to build, and where.
#[derive(Clone, Debug)]
pub struct Request {
    /// The directory of the eBPF crate's Cargo.toml.
    pub crate_dir: PathBuf,
    /// The binary target's name; the object is named after it.
    pub bin: String,
    /// Must not be a target directory that a waiting outer cargo has locked.
    pub target_dir: PathBuf,
}

/// Builds an object and returns its path.
///
/// # Errors
/// When no fitting tools are there, or when the crate does not compile.
pub fn build_object(request: &Request) -> Result<PathBuf> {
    build_with(&find()?, request)
}

pub(crate) fn build_with(toolchain: &Toolchain, request: &Request) -> Result<PathBuf> {
    let mut command = cargo(toolchain, &request.crate_dir, &request.target_dir, "build");
    command.args(["--bin", &request.bin]).stdin(Stdio::null());
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", toolchain.compiler.cargo.display()))?;
    if !status.success() {
        bail!(
            "the eBPF crate in {} does not build ({status}): its errors are above\n\
             help: if they speak of a tool rather than of the code, run `{MEND}`",
            request.crate_dir.display()
        );
    }
    let object = request
        .target_dir
        .join(TARGET)
        .join("release")
        .join(&request.bin);
    if !object.is_file() {
        bail!("cargo succeeded but left no {}", object.display());
    }
    Ok(object)
}

/// `cargo <command>` for an eBPF crate, with everything set: `build`, or
/// `clippy` where the compiler has one ([`crate::Compiler::cargo_clippy`]).
pub fn cargo(toolchain: &Toolchain, crate_dir: &Path, target_dir: &Path, task: &str) -> Command {
    let compiler = &toolchain.compiler;
    let program = match (task, compiler.cargo_clippy()) {
        ("clippy", Some(cargo_clippy)) => cargo_clippy,
        _ => compiler.cargo.clone(),
    };
    let mut command = Command::new(program);
    clean(&mut command)
        // cargo-clippy calls the cargo of this variable; cargo sets it anew.
        .env("CARGO", &compiler.cargo)
        .env("RUSTC", &compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS)
        // By the environment rather than by a flag: a path in the flags would
        // be hashed into symbol names, and objects would differ by machine.
        .env(linker_variable(), toolchain.linker.path.as_os_str())
        .current_dir(crate_dir)
        .arg(task)
        .args(["--release", "--target", TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(target_dir);
    if compiler.bootstrap {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    if let Some(rustdoc) = sibling(&compiler.rustc, "rustdoc") {
        command.env("RUSTDOC", rustdoc);
    }
    command
}

fn linker_variable() -> String {
    let triple = TARGET.to_ascii_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{triple}_LINKER")
}

fn sibling(program: &Path, name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = program.parent()?.join(name.as_ref());
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::linker_variable;

    #[test]
    fn the_linker_is_named_as_cargo_expects() {
        assert_eq!(linker_variable(), "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER");
    }
}
