//! What results are of: the commit, and whether anything was changed besides.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::paths;

/// How the line begins; fields follow: the commit, and the test that alone was
/// played at it (empty: the whole stage).
pub(super) const COMMIT: &str = "CONFORMANCE-COMMIT\t";

/// Of results that do not say.
const UNKNOWN: &str = "an unknown commit";

/// What such results do not tell apart.
const OLD: &str = "What is of an unknown commit is older than *unasked* and *alone*, whose rows it \
    counts as XDP";

/// The commit that is checked out, as results are marked with it.
pub(super) fn here() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(paths::root())
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return UNKNOWN.to_owned();
    };
    // The report itself is written by every run.
    let others = [".", ":(exclude)docs/conformance.md"];
    let status = ["status", "--porcelain", "--untracked-files=no", "--"];
    let changed = git(&[&status[..], &others].concat());
    if changed.is_some_and(|changed| changed.is_empty()) {
        commit
    } else {
        format!("{commit} and changes that were not committed")
    }
}

/// Commits, and what of which kernel was played at each.
#[derive(Debug, Default)]
pub(super) struct Commits(BTreeMap<String, BTreeSet<String>>);

impl Commits {
    /// Reads the lines of one stage.
    pub(super) fn read(&mut self, kernel: &str, text: &str) {
        let mut known = false;
        for fields in text.lines().filter_map(|line| line.strip_prefix(COMMIT)) {
            known = true;
            let (commit, part) = fields.split_once('\t').unwrap_or((fields, ""));
            let what = if part.is_empty() {
                format!("Linux {kernel}")
            } else {
                format!("`{part}` on {kernel}")
            };
            self.note(commit, what);
        }
        if !known {
            self.note(UNKNOWN, format!("Linux {kernel}"));
        }
    }

    fn note(&mut self, commit: &str, what: String) {
        self.0.entry(commit.to_owned()).or_default().insert(what);
    }

    /// Whether all is of one commit that is known.
    pub(super) fn are_one(&self) -> bool {
        self.0.len() == 1 && !self.0.contains_key(UNKNOWN)
    }

    /// For the report.
    pub(super) fn tell(&self) -> String {
        let told = self.0.iter().map(|(commit, what)| {
            let what: Vec<_> = what.iter().map(String::as_str).collect();
            format!("{commit} ({})", what.join(", "))
        });
        let told = told.collect::<Vec<_>>().join("; ");
        if self.0.contains_key(UNKNOWN) {
            format!("{told}. {OLD}")
        } else {
            told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_seen_and_named() {
        let mut commits = Commits::default();
        commits.read("6.1", "CONFORMANCE-COMMIT\tabc\t\n");
        commits.read("6.12", "CONFORMANCE-COMMIT\tabc\t\n");
        assert!(commits.are_one());
        assert_eq!(commits.tell(), "abc (Linux 6.1, Linux 6.12)");
        commits.read("6.1", "CONFORMANCE-COMMIT\tdef\tnet_oracle::vrf\n");
        assert!(!commits.are_one());
        assert_eq!(
            commits.tell(),
            "abc (Linux 6.1, Linux 6.12); def (`net_oracle::vrf` on 6.1)"
        );
        let mut commits = Commits::default();
        commits.read("6.1", "CONFORMANCE\t1\txdp\tx::y\t1\n");
        assert!(!commits.are_one());
        let told = commits.tell();
        assert!(
            told.starts_with("an unknown commit (Linux 6.1). What"),
            "{told}"
        );
    }
}
