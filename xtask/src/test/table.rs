//! The table and the line that `cargo xtask test` ends with.

use std::ops::AddAssign;
use std::time::Duration;

/// One stage's counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) stage: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) took: Duration,
}

impl Row {
    pub(super) fn passed(passed: usize) -> Self {
        Self {
            passed,
            ..Self::default()
        }
    }

    pub(super) fn failed(failed: usize) -> Self {
        Self {
            failed,
            ..Self::default()
        }
    }

    /// Whether nothing was run at all.
    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }
}

impl AddAssign for Row {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.took += other.took;
    }
}

/// Prints the table and, alone on the last line, the sum; true when nothing
/// failed and something passed.
pub(super) fn print(rows: &[Row]) -> bool {
    let mut total = Row::default();
    println!();
    println!(
        "{:<20} {:>7} {:>7} {:>8} {:>9}",
        "stage", "passed", "failed", "skipped", "seconds"
    );
    for row in rows {
        println!("{}", line(row));
        total += row.clone();
    }
    println!();
    println!("{}", closing(&total));
    total.failed == 0 && total.passed > 0
}

fn line(row: &Row) -> String {
    format!(
        "{:<20} {:>7} {:>7} {:>8} {:>9}",
        row.stage,
        row.passed,
        row.failed,
        row.skipped,
        super::as_seconds(row.took)
    )
}

fn closing(total: &Row) -> String {
    format!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_plain() {
        let mut total = Row::passed(3);
        total += Row::failed(1);
        assert_eq!(closing(&total), "3 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn nothing_passed_is_no_success() {
        assert!(!print(&[]));
    }
}
