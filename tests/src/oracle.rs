//! The oracle: the same frames through the same configuration, with XDP and
//! without, every port captured, and the outputs compared (design.md section 10).
//!
//! * [`World`]: networks, wires and devices
//! * [`Arm`]: one router with the real daemon, and its wires
//! * [`Twin`]: two arms, with `xdp = "native"` and with `xdp = "off"`; whatever
//!   is done to one is done to the other
//! * [`compare`]: what is compared, and [`differences`]: what is not, and why
//! * [`cases`]: the list; [`report`]: what docs/conformance.md is made of
//! * [`random`]: packets without a table; [`replay`]: captures of elsewhere
//!
//! A row is held to more than on = off:
//! * what its table says: which path it takes, its bytes (etherparse's), the
//!   counter that moves;
//! * I4 no other VID than the wire's; I5 XDP's counters add up to the frames
//!   that were sent; I6 checksums right; I7 TTL one less. (I1 is on = off; I2
//!   and I3 are about NAT and filters, which are not built yet.)

pub mod arm;
pub mod cases;
pub mod compare;
pub mod differences;
mod noise;
pub mod random;
pub mod replay;
pub mod report;
mod reset;
mod twin;
pub mod world;

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

pub use arm::{Arm, Seen, Stats};
pub use differences::{Difference, Differences};
pub use report::{Fate, Tally};
pub use twin::{Trial, Twin, only_together};
pub use world::{Kind, World};

/// Keeps this thread on one CPU: what it sends is dealt with in that CPU's
/// softirqs, in order, on all devices. Threads and programs that it starts from
/// now on stay there, too.
///
/// # Errors
/// The kernel's.
pub fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).context("cannot read the CPUs of this thread")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("this thread has no CPU")?;
    let mut one = CpuSet::new();
    one.set(last).context("cannot name a CPU")?;
    sched_setaffinity(this, &one).context("cannot stay on one CPU")
}
