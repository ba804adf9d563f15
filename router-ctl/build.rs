//! Embeds the eBPF objects, built from `router-ebpf`: `OUT_DIR/router.o` is the
//! XDP program, or taken from `ROUTER_EBPF_OBJECT`; `OUT_DIR/redirect-errors.o`
//! counts what the kernel could not redirect for it, or is taken from
//! `ROUTER_REDIRECT_ERRORS_OBJECT`.

use std::{env, path::PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // Asked when it runs: a build directory that was copied has the build script
    // of another checkout in it.
    let here = env::var_os("CARGO_MANIFEST_DIR").context("cargo did not run this")?;
    let crate_dir = PathBuf::from(here).join("../router-ebpf");
    for (bin, ready) in [
        ("router", "ROUTER_EBPF_OBJECT"),
        ("redirect-errors", "ROUTER_REDIRECT_ERRORS_OBJECT"),
    ] {
        ebpf_toolchain::build_for_build_script(&crate_dir, bin, ready)?;
    }
    Ok(())
}
