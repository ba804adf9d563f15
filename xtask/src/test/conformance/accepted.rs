//! The report that was committed: what it shows may not go without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::paths;

/// Set to 1, it has the new report replace what the committed one shows.
pub(super) const ACCEPT: &str = "ROUTER_ACCEPT_CONFORMANCE";

/// What a report shows of its cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    kernels: BTreeSet<String>,
    /// Case, and a test program that has rows of it.
    programs: BTreeSet<(u16, String)>,
    /// Case, kernel, and a fate that rows of it had.
    fates: BTreeSet<(u16, String, String)>,
}

impl Shown {
    /// What the committed report shows; nothing where there is none.
    pub(super) fn committed() -> Self {
        let output = Command::new("git")
            .current_dir(paths::root())
            .args(["show", "HEAD:docs/conformance.md"])
            .output();
        match output {
            Ok(output) if output.status.success() => {
                Self::read(&String::from_utf8_lossy(&output.stdout))
            }
            _ => Self::default(),
        }
    }

    /// Reads a report.
    pub(super) fn read(document: &str) -> Self {
        let mut shown = Self::default();
        let mut kernels: Vec<String> = Vec::new();
        for line in document.lines() {
            let Some(row) = line
                .strip_prefix("| ")
                .and_then(|line| line.strip_suffix(" |"))
            else {
                continue;
            };
            let fields: Vec<_> = row.split(" | ").collect();
            let [first, _, cells @ .., tests] = &fields[..] else {
                continue;
            };
            if *first == "case" {
                kernels = cells.iter().map(|kernel| (*kernel).to_owned()).collect();
                shown.kernels.extend(kernels.iter().cloned());
            }
            let Ok(case) = first.parse::<u16>() else {
                continue;
            };
            for test in tests.split('`').filter(|test| test.contains("::")) {
                let program = test.split("::").next().unwrap_or(test);
                shown.programs.insert((case, program.to_owned()));
            }
            for (kernel, cell) in kernels.iter().zip(cells) {
                for fate in cell.split(", ").filter(|fate| *fate != "-") {
                    let name = fate.split(' ').next().unwrap_or(fate).to_owned();
                    shown.fates.insert((case, kernel.clone(), name));
                }
            }
        }
        shown
    }

    /// What this one shows and `now` does not, a line each.
    pub(super) fn gone(&self, now: &Self) -> Vec<String> {
        let mut gone = Vec::new();
        for kernel in self.kernels.difference(&now.kernels) {
            gone.push(format!("Linux {kernel} was played, and is not any more"));
        }
        let mut programs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (case, program) in self.programs.difference(&now.programs) {
            let cases = programs.entry(program).or_default();
            cases.push(case.to_string());
        }
        for (program, cases) in programs {
            let cases = cases.join(", ");
            gone.push(format!("{program} showed {cases}, and does not any more"));
        }
        for (case, kernel, fate) in self.fates.difference(&now.fates) {
            if now.kernels.contains(kernel) {
                gone.push(format!(
                    "case {case} had rows \"{fate}\" on {kernel}, and has none"
                ));
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# Conformance

## A

| case | what | 6.1 | 6.12 | tests |
|---|---|---|---|---|
| 1 | A to B | XDP 54, up 19 | XDP 54 | `net_oracle::plain::pairs`, `prog_a::pairs` |
| 95 | VRF | - | lacking 1 | `net_oracle::vrf` |
";

    #[test]
    fn what_has_gone_is_told() {
        let before = Shown::read(BEFORE);
        assert_eq!(before.gone(&before), [""; 0]);
        for (from, to, told) in [
            (
                ", `prog_a::pairs`",
                "",
                "prog_a showed 1, and does not any more",
            ),
            (
                "XDP 54, up 19",
                "XDP 54",
                "case 1 had rows \"up\" on 6.1, and has none",
            ),
            (
                "| 95 | VRF | - | lacking 1 | `net_oracle::vrf` |\n",
                "",
                "net_oracle showed 95, and does not any more",
            ),
            (
                "| case | what | 6.1 |",
                "| case | what | 6.2 |",
                "Linux 6.1 was played, and is not any more",
            ),
        ] {
            let gone = before.gone(&Shown::read(&BEFORE.replace(from, to)));
            assert!(gone.iter().any(|line| line == told), "{told}: {gone:?}");
        }
        // More rows, or fewer of a kind that stays, are nobody's loss.
        let other = BEFORE.replace("XDP 54, up 19", "XDP 3, kernel 1, up 2");
        assert_eq!(before.gone(&Shown::read(&other)), [""; 0]);
        assert_eq!(Shown::default().gone(&before), [""; 0]);
    }
}
