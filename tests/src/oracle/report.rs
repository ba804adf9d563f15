//! What the conformance report is made of: lines on standard output, as guests
//! have a read-only root. `cargo xtask test` keeps them, and `--conformance`
//! makes docs/conformance.md of them.

use std::{collections::BTreeMap, env, fmt};

use super::{cases, differences::Difference};

/// How a result begins; fields follow, separated by tabs: case, fate, test, rows.
const RESULT: &str = "CONFORMANCE";
/// How a line of the list begins; fields follow: case, letter, what, note.
const CASE: &str = "CONFORMANCE-CASE";

/// How a difference that is allowed begins; fields follow: what, why.
const ALLOWED: &str = "CONFORMANCE-ALLOWED";

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// XDP forwarded it, as the kernel does.
    Xdp,
    /// The kernel forwarded it, with XDP or without.
    Kernel,
    /// Nobody forwarded it, with XDP or without.
    Not,
    /// XDP left it to the kernel, which was not asked.
    Up,
    /// XDP forwarded it with the right bytes; the kernel was not asked.
    Unasked,
    /// XDP alone, with maps as no daemon fills them, forwarded what the kernel
    /// does not, or elsewhere than the kernel: why the daemon fills them otherwise.
    Alone,
    /// With XDP something else came out than without.
    Differs,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "xdp",
            Self::Kernel => "kernel",
            Self::Not => "not",
            Self::Up => "up",
            Self::Unasked => "unasked",
            Self::Alone => "alone",
            Self::Differs => "differs",
        })
    }
}

/// Rows by case, fate and test.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(u16, Fate, String), usize>);

impl Tally {
    /// Notes a row. Case 0 is none of the list's.
    pub fn note(&mut self, case: u16, fate: Fate, test: &str) {
        if case != 0 {
            *self.0.entry((case, fate, test.to_owned())).or_default() += 1;
        }
    }

    /// Prints the lines; it is empty then.
    pub fn tell(&mut self) {
        let program = program();
        for ((case, fate, test), rows) in std::mem::take(&mut self.0) {
            println!("{RESULT}\t{case}\t{fate}\t{program}::{test}\t{rows}");
        }
    }
}

/// Tells that this kernel lacks what a case is about.
pub fn lacking(case: u16, test: &str) {
    println!("{RESULT}\t{case}\tskipped\t{}::{test}\t1", program());
}

/// Tells of a case that was shown otherwise than by rows.
pub fn shown(case: u16, fate: Fate, test: &str) {
    let mut tally = Tally::default();
    tally.note(case, fate, test);
    tally.tell();
}

/// Prints the list of cases, and of the differences that are allowed.
pub fn tell_cases() {
    for (letter, case) in cases::all() {
        println!(
            "{CASE}\t{}\t{letter}\t{}\t{}",
            case.number, case.what, case.note
        );
    }
    for difference in Difference::ALL {
        println!("{ALLOWED}\t{difference}\t{}", difference.reason());
    }
}

/// The test program, without cargo's hash.
fn program() -> String {
    let path = env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.rsplit_once('-') {
        Some((name, _)) => name.to_owned(),
        None => name.into_owned(),
    }
}
