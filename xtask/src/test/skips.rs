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
        "fish is not installed",
        "its completions are tested where it is",
    ),
    (
        "zsh is not installed",
        "its completions are tested where it is",
    ),
    (
        "man is not installed",
        "small systems have no man; that the pages are whole is tested without it",
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

    // Through `is_expected`: `judge` prints, and the run of these very tests is
    // read for SKIP lines.
    #[test]
    fn reasons_are_known_by_how_they_begin() {
        assert!(is_expected("not root"));
        assert!(is_expected("this kernel has no 8021q"));
        assert!(!is_expected("did not feel like it"));
        assert!(!is_expected(""));
    }
}
