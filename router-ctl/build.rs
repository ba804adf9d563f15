//! Embeds the XDP object: `OUT_DIR/router.o`, built from `router-ebpf` or taken
//! from `ROUTER_EBPF_OBJECT`.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../router-ebpf");
    ebpf_toolchain::build_for_build_script(crate_dir, "router", "ROUTER_EBPF_OBJECT")?;
    Ok(())
}
