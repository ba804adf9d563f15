//! What one test's output says of a bug.

use std::fmt;

use super::super::libtest::Report;

/// What became of a test while a bug was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It failed of this bug.
    Caught,
    /// It passed: it has not seen the bug.
    Passed,
    /// It failed, and did not say what it says of this bug.
    OfSomethingElse,
    /// It skipped itself, or is ignored, for this reason.
    Skipped(String),
    /// Nothing was run: there is no such test, or its process died.
    NotRun,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught => f.write_str("caught"),
            Self::Passed => f.write_str("passed"),
            Self::OfSomethingElse => f.write_str("failed of something else"),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::NotRun => f.write_str("did not run"),
        }
    }
}

/// Judges the run of one test, which must fail and print the line `says`.
pub(super) fn of(report: &Report, says: &str) -> Verdict {
    if let Some((_, reason)) = report.skips.iter().chain(&report.ignored).next() {
        return Verdict::Skipped(reason.clone());
    }
    match (report.passed, report.failed) {
        (0, 1) if report.failures.iter().any(|line| line.trim() == says) => Verdict::Caught,
        (0, 1) => Verdict::OfSomethingElse,
        (1, 0) => Verdict::Passed,
        _ => Verdict::NotRun,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::libtest;
    use super::*;

    fn verdict(text: &str) -> Verdict {
        of(&libtest::parse(text), "case 24: 64 to 63")
    }

    fn output(result: &str, section: &str, counts: &str) -> String {
        format!("running 1 test\ntest ttl ... {result}\n\n{section}\n\ntest result: {counts}\n")
    }

    const PASSED: &str = "ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out";
    const FAILED: &str = "FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out";

    fn failed(said: &str) -> String {
        let section = format!("failures:\n\n---- ttl stdout ----\n{said}\n\nfailures:\n    ttl");
        output("FAILED", &section, FAILED)
    }

    #[test]
    fn only_the_whole_line_tells_that_it_was_this_bug() {
        let panic = "thread 'ttl' panicked at tests/src/prog/table.rs:1:1:\n";
        let rows = "1 of 3 rows failed:\ncase 24: 64 to 63\n    bytes ...";
        assert_eq!(verdict(&failed(&format!("{panic}{rows}"))), Verdict::Caught);
        // The kernel did not run the frame.
        let refused = format!("{panic}case 24: 64 to 63: EPERM");
        assert_eq!(verdict(&failed(&refused)), Verdict::OfSomethingElse);
        let error = "Error: the verifier refuses the program";
        assert_eq!(verdict(&failed(error)), Verdict::OfSomethingElse);
    }

    #[test]
    fn a_test_that_passes_has_missed_it() {
        // What it says of it is nothing yet.
        let section = "successes:\n\n---- ttl stdout ----\ncase 24: 64 to 63";
        assert_eq!(verdict(&output("ok", section, PASSED)), Verdict::Passed);
    }

    #[test]
    fn a_test_that_does_not_run_has_not_caught_it() {
        let skip = "successes:\n\n---- ttl stdout ----\nSKIP ttl: not root";
        assert_eq!(
            verdict(&output("ok", skip, PASSED)),
            Verdict::Skipped("not root".to_owned())
        );
        let none = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 8 filtered out\n";
        assert_eq!(verdict(none), Verdict::NotRun);
        assert_eq!(verdict("error[E0425]: no such thing"), Verdict::NotRun);
        let died = "running 1 test\ntest ttl ... error: test failed\n(signal: 11)";
        assert_eq!(verdict(died), Verdict::NotRun);
    }
}
