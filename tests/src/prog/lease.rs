//! The lease of the program under test, as the daemon renews it.

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, TestRun as _, TestRunOptions, programs::Xdp};
use router_common::abi::{MapBytes as _, Renewal, names};

use super::XDP_PASS;

/// Longer than any test takes, jiffies.
const LONG: u64 = 1_000_000;

/// Gives a lease that outlives the test.
pub(super) fn hold(bpf: &mut Ebpf) -> Result<()> {
    let program: &mut Xdp = bpf
        .program_mut(names::PROGRAM_RENEW)
        .context("find the program that renews leases")?
        .try_into()?;
    program.load().context("verify the program")?;
    renew(bpf, LONG)
}

/// Gives a lease of this many jiffies from now on.
pub(super) fn renew(bpf: &Ebpf, direct: u64) -> Result<()> {
    let program: &Xdp = bpf
        .program(names::PROGRAM_RENEW)
        .context("find the program that renews leases")?
        .try_into()?;
    let renewal = Renewal { cache: 0, direct };
    let mut frame = [0; 64];
    frame[..Renewal::SIZE].copy_from_slice(&renewal.to_bytes());
    let result = program.test_run(TestRunOptions {
        data_in: Some(&frame),
        ..TestRunOptions::default()
    });
    let action = result.context("renew the lease")?.return_value;
    ensure!(action == XDP_PASS, "the lease was not renewed: {action}");
    Ok(())
}
