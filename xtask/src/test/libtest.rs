//! Reads what `cargo test -- --show-output` prints.

/// What one `cargo test` call came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Tests that libtest calls passed, those that printed a SKIP among them.
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// (test, reason) of each line `SKIP test: reason`.
    pub(super) skips: Vec<(String, String)>,
    /// (test, reason) of each `#[ignore]`.
    pub(super) ignored: Vec<(String, String)>,
    /// What the failed tests printed.
    pub(super) failures: Vec<String>,
}

pub(super) fn parse(text: &str) -> Report {
    let mut report = Report::default();
    let mut in_failures = false;
    for line in text.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            report.passed += count(counts, "passed");
            report.failed += count(counts, "failed");
            in_failures = false;
            continue;
        }
        match line {
            "failures:" => in_failures = true,
            "successes:" => in_failures = false,
            _ => {}
        }
        if in_failures {
            report.failures.push(line.to_owned());
        }
        if let Some(skip) = skip(line) {
            // A test that says so on both streams is one skip.
            if !report.skips.contains(&skip) {
                report.skips.push(skip);
            }
        } else if let Some(ignored) = ignored(line) {
            report.ignored.push(ignored);
        }
    }
    report
}

/// `ok. 12 passed; 0 failed; 1 ignored; ...`
fn count(counts: &str, what: &str) -> usize {
    counts
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
}

/// `SKIP test: reason`
fn skip(line: &str) -> Option<(String, String)> {
    let (test, reason) = line.trim().strip_prefix("SKIP ")?.split_once(": ")?;
    Some((test.trim().to_owned(), reason.trim().to_owned()))
}

/// `test name ... ignored` or `test name ... ignored, reason`
fn ignored(line: &str) -> Option<(String, String)> {
    let (test, end) = line.strip_prefix("test ")?.rsplit_once(" ... ignored")?;
    let reason = end.trim_start_matches(',').trim();
    Some((test.to_owned(), reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test a ... ok
test b ... ok
test c ... FAILED
test d ... ignored, takes an hour

successes:

---- b stdout ----
SKIP b: not root

failures:

---- c stdout ----
assertion failed

failures:
    c

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 1 test
test e ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn results_are_summed_over_binaries() {
        let report = parse(OUTPUT);
        assert_eq!((report.passed, report.failed), (3, 1));
        assert_eq!(report.skips, [("b".to_owned(), "not root".to_owned())]);
        assert_eq!(
            report.ignored,
            [("d".to_owned(), "takes an hour".to_owned())]
        );
        assert!(
            report
                .failures
                .iter()
                .any(|line| line == "assertion failed")
        );
        assert!(!report.failures.iter().any(|line| line.contains("SKIP")));
    }

    #[test]
    fn output_that_is_no_libtest_counts_nothing() {
        assert_eq!(parse("error[E0425]: no such thing"), Report::default());
    }
}
