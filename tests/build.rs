//! Embeds the tests' own XDP program: `OUT_DIR/tests-ebpf.o`, built from
//! `tests/ebpf` or taken from `TESTS_EBPF_OBJECT`.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("ebpf");
    ebpf_toolchain::build_for_build_script(crate_dir, "tests-ebpf", "TESTS_EBPF_OBJECT")?;
    Ok(())
}
