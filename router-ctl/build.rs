//! Embeds the XDP object: `OUT_DIR/router.o`, built from `router-ebpf` or taken
//! from `ROUTER_EBPF_OBJECT`.

use std::{env, path::PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // Asked when it runs: a build directory that was copied has the build script
    // of another checkout in it.
    let here = env::var_os("CARGO_MANIFEST_DIR").context("cargo did not run this")?;
    let crate_dir = PathBuf::from(here).join("../router-ebpf");
    ebpf_toolchain::build_for_build_script(crate_dir, "router", "ROUTER_EBPF_OBJECT")?;
    Ok(())
}
