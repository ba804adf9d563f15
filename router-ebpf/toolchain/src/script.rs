//! The build-script side: where the object goes, and what makes cargo call
//! the build script again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::object::build_with;
use crate::{Request, find};

/// For a build.rs: puts the object of binary `bin` of the crate at `crate_dir`
/// to `OUT_DIR/<bin>.o` and returns that path. With the variable
/// `env_override` set, the file it names is used and nothing is compiled.
///
/// # Errors
/// When there is no such file, no fitting tools, or the crate does not build;
/// the message says which and what mends it.
pub fn build_for_build_script(
    crate_dir: impl AsRef<Path>,
    bin: &str,
    env_override: &str,
) -> Result<PathBuf> {
    let out_dir = PathBuf::from(
        env::var_os("OUT_DIR").context("OUT_DIR is not set: call this from a build script")?,
    );
    let object = out_dir.join(format!("{bin}.o"));
    for name in [env_override, "BPF_LINKER", "RUSTUP_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }

    if let Some(ready) = env::var_os(env_override).filter(|path| !path.is_empty()) {
        let ready = PathBuf::from(ready);
        println!("cargo::rerun-if-changed={}", ready.display());
        if !ready.is_file() {
            bail!(
                "{env_override} names {}, which is not a file\n\
                 help: correct it, or unset it to have the object built",
                ready.display()
            );
        }
        copy(&ready, &object)?;
        return Ok(object);
    }

    let crate_dir = crate_dir.as_ref();
    let crate_dir = crate_dir
        .canonicalize()
        .with_context(|| format!("there is no eBPF crate at {}", crate_dir.display()))?;
    for path in sources(&crate_dir) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let toolchain = find()?;
    // An upgraded compiler or linker makes a new object.
    for tool in [&toolchain.compiler.rustc, &toolchain.linker.path] {
        println!("cargo::rerun-if-changed={}", tool.display());
    }
    let request = Request {
        crate_dir,
        bin: bin.to_owned(),
        target_dir: nested_target_dir(&out_dir),
    };
    copy(&build_with(&toolchain, &request)?, &object)?;
    Ok(object)
}

/// The files an object depends on: its crate, the crate it shares with the
/// host, and what says which dependencies they have.
fn sources(crate_dir: &Path) -> Vec<PathBuf> {
    let mut paths = vec![crate_dir.join("src"), crate_dir.join("Cargo.toml")];
    let workspace = crate_dir
        .ancestors()
        .find(|dir| dir.join("Cargo.lock").is_file());
    if let Some(workspace) = workspace {
        paths.extend(
            [
                "Cargo.toml",
                "Cargo.lock",
                ".cargo/config.toml",
                "router-common/src",
                "router-common/Cargo.toml",
            ]
            .map(|path| workspace.join(path)),
        );
    }
    // A path that does not exist would make cargo run the script every time.
    paths.retain(|path| path.exists());
    paths
}

/// `<target>/ebpf`: one for debug, release, clippy and every crate, so that
/// `core` is compiled once; and not the outer cargo's own, which it has locked.
fn nested_target_dir(out_dir: &Path) -> PathBuf {
    out_dir
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out_dir)
        .join("ebpf")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_builds_share_the_target_directory() {
        let root = env::temp_dir().join(format!("ebpf-toolchain-test-{}", std::process::id()));
        let out = root.join("target/debug/build/router-ctl-0/out");
        fs::create_dir_all(&out).unwrap();
        assert_eq!(nested_target_dir(&out), out.join("ebpf"));
        fs::write(root.join("target/CACHEDIR.TAG"), "").unwrap();
        assert_eq!(nested_target_dir(&out), root.join("target/ebpf"));
        fs::remove_dir_all(root).unwrap();
    }
}
