//! Embeds the tests' own XDP program: `OUT_DIR/tests-ebpf.o`, built from
//! `tests/ebpf` or taken from `TESTS_EBPF_OBJECT`.

use std::{env, path::PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // Asked when it runs: a build directory that was copied has the build script
    // of another checkout in it.
    let here = env::var_os("CARGO_MANIFEST_DIR").context("cargo did not run this")?;
    let crate_dir = PathBuf::from(here).join("ebpf");
    ebpf_toolchain::build_for_build_script(crate_dir, "tests-ebpf", "TESTS_EBPF_OBJECT")?;
    Ok(())
}
