//! The single truth on how eBPF objects are built: which rustc, which
//! bpf-linker, which flags. Used by the build scripts of `router-ctl` and
//! `tests`, and by `xtask`.
//!
//! An object comes from, in this order:
//! 1. a ready one, named by an environment variable (`ROUTER_EBPF_OBJECT=path`);
//! 2. a rustup nightly that has rust-src;
//! 3. any other rustc that has rust-src, with `RUSTC_BOOTSTRAP=1`
//!    (Debian: `rustc-web` and `rust-web-src`).
//!
//! `core` has to be compiled for the BPF target (`-Z build-std=core`), hence
//! rust-src; and the linker reads LLVM bitcode, hence it must carry the same
//! LLVM as that rustc. [`find`] looks for a pair that fits before anything is
//! compiled.

pub mod cache;
mod clean;
mod fit;
mod linker;
mod object;
mod rustc;
mod script;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub use clean::clean as clean_environment;
pub use linker::Linker;
pub use object::{Request, build_object, cargo};
pub use rustc::{Compiler, Version};
pub use script::build_for_build_script;

/// The triple eBPF objects are built for. Little-endian hosts only, as the
/// programs' byte order is the host's.
pub const TARGET: &str = "bpfel-unknown-none";

/// What mends a missing or unfit tool; every error here ends with it.
pub const MEND: &str = "cargo xtask setup";

/// A rustc and a bpf-linker that fit together.
#[derive(Clone, Debug)]
pub struct Toolchain {
    pub compiler: Compiler,
    pub linker: Linker,
}

/// Finds a rustc and a bpf-linker that fit together, or says what is missing
/// and how to get it.
///
/// # Errors
/// When there is no rustc with rust-src, no bpf-linker, or no pair of them
/// with the same LLVM.
pub fn find() -> Result<Toolchain> {
    let compilers = rustc::candidates();
    let linkers = linker::candidates()?;
    choose(&compilers, &linkers, fit::check)
}

/// The first pair that fits, compilers in the order of preference. The check
/// is an argument so that the order can be tested without any tool.
fn choose(
    compilers: &[Compiler],
    linkers: &[Linker],
    check: impl Fn(&Compiler, &Path) -> Result<()>,
) -> Result<Toolchain> {
    if compilers.is_empty() {
        bail!(
            "no rustc can build eBPF objects: none on this machine has rust-src\n\
             help: run `{MEND}`, or `rustup toolchain install nightly --component rust-src`"
        );
    }
    if linkers.is_empty() {
        bail!(
            "bpf-linker is missing: neither BPF_LINKER, nor {}, nor PATH has one\n\
             help: run `{MEND}`",
            cache::tools_bin().map_or_else(|_| "the tools cache".to_owned(), display)
        );
    }
    let mut reasons = Vec::new();
    for compiler in compilers {
        for linker in linkers {
            match check(compiler, &linker.path) {
                Ok(()) => {
                    return Ok(Toolchain {
                        compiler: compiler.clone(),
                        linker: linker.clone(),
                    });
                }
                Err(error) => reasons.push(format!("  {error:#}")),
            }
        }
    }
    bail!(
        "no bpf-linker fits a rustc that can build eBPF objects:\n{}\n\
         help: run `{MEND}`, which brings a pair that fits",
        reasons.join("\n")
    )
}

fn display(path: PathBuf) -> String {
    path.into_os_string().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn compiler(name: &str) -> Compiler {
        Compiler {
            rustc: PathBuf::from(name),
            cargo: PathBuf::from("cargo"),
            bootstrap: false,
        }
    }

    fn linker(name: &str) -> Linker {
        Linker {
            path: PathBuf::from(name),
        }
    }

    #[test]
    fn first_compiler_wins_when_all_fit() {
        let found = choose(
            &[compiler("nightly"), compiler("debian")],
            &[linker("ours"), linker("path")],
            |_, _| Ok(()),
        )
        .unwrap();
        assert_eq!(found.compiler.rustc, Path::new("nightly"));
        assert_eq!(found.linker.path, Path::new("ours"));
    }

    #[test]
    fn an_unfit_nightly_gives_way_to_a_rustc_that_fits() {
        let found = choose(
            &[compiler("nightly"), compiler("debian")],
            &[linker("ours")],
            |compiler, _| {
                if compiler.rustc == Path::new("debian") {
                    Ok(())
                } else {
                    Err(anyhow!("LLVM 23 against 22"))
                }
            },
        )
        .unwrap();
        assert_eq!(found.compiler.rustc, Path::new("debian"));
    }

    #[test]
    fn a_mismatch_names_every_pair_and_the_mending_command() {
        let error = choose(
            &[compiler("nightly")],
            &[linker("ours"), linker("path")],
            |c, l| Err(anyhow!("{} against {}", c.rustc.display(), l.display())),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("nightly against ours"), "{error}");
        assert!(error.contains("nightly against path"), "{error}");
        assert!(error.contains(MEND), "{error}");
    }

    #[test]
    fn nothing_at_all_is_explained() {
        let error = choose(&[], &[], |_, _| Ok(())).unwrap_err().to_string();
        assert!(
            error.contains("rust-src") && error.contains(MEND),
            "{error}"
        );
        let error = choose(&[compiler("nightly")], &[], |_, _| Ok(()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("bpf-linker is missing") && error.contains(MEND),
            "{error}"
        );
    }
}
