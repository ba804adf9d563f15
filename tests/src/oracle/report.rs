//! What the conformance report is made of: one line a row, on standard output,
//! as guests have a read-only root. `cargo xtask test --conformance` asks for
//! them and reads them.

use std::{env, fmt};

/// How a line begins; fields follow, separated by tabs: case, fate, test, what.
pub const RESULT: &str = "CONFORMANCE";

/// The variable that asks for the lines.
const WANTED: &str = "ROUTER_CONFORMANCE";

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// XDP forwarded it, as the kernel does.
    Xdp,
    /// The kernel forwarded it, with XDP or without.
    Kernel,
    /// Nobody forwarded it, with XDP or without.
    Not,
    /// With XDP something else came out than without.
    Differs,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "xdp",
            Self::Kernel => "kernel",
            Self::Not => "not",
            Self::Differs => "differs",
        })
    }
}

/// Prints a row's line, if somebody wants it.
pub fn tell(case: u16, fate: Fate, test: &str, what: &str) {
    if wanted() && case != 0 {
        println!("{RESULT}\t{case}\t{fate}\t{test}\t{what}");
    }
}

/// Whether a report is being made.
#[must_use]
pub fn wanted() -> bool {
    env::var_os(WANTED).is_some()
}
