//! Which skips are expected. Everything else that skips is a failure: a test
//! that quietly stops running is how bugs come back.

use super::table::Row;

/// How an expected reason begins, and why it is no failure.
const EXPECTED: &[(&str, &str)] = &[
    ("not root", "a developer's quick run without sudo"),
    (
        "this user may not ",
        "the same, where the kernel had the last word",
    ),
    (
        "this kernel is older than ",
        "what a later kernel brought is tested where it is there",
    ),
    (
        "this kernel has no ",
        "old or small kernels lack features; the article in virtual machines covers 802.1Q",
    ),
    (
        "the rustc that compiles eBPF objects has no clippy",
        "a rust-src without the clippy that belongs to it",
    ),
];

fn is_expected(reason: &str) -> bool {
    EXPECTED.iter().any(|(begin, _)| reason.starts_with(begin))
}

/// Counts a skip, and says which kind it is.
pub(super) fn judge(row: &mut Row, test: &str, reason: &str) {
    if is_expected(reason) {
        println!("    SKIP {test}: {reason}");
        row.skipped += 1;
    } else {
        let reason = if reason.is_empty() {
            "no reason given"
        } else {
            reason
        };
        eprintln!("FAILED {test}: skipped for a reason nobody expects: {reason}");
        row.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_skip_is_counted_as_one() {
        let mut row = Row::default();
        judge(&mut row, "x", "not root");
        judge(&mut row, "y", "this kernel has no 8021q");
        assert_eq!((row.failed, row.skipped), (0, 2));
    }

    #[test]
    fn an_unexpected_skip_fails() {
        let mut row = Row::default();
        judge(&mut row, "x", "did not feel like it");
        judge(&mut row, "y", "");
        assert_eq!((row.failed, row.skipped), (2, 0));
    }
}
