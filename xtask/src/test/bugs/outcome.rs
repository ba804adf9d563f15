//! The table that `cargo xtask test --bugs` ends with.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::as_seconds;
use super::super::table::Row;
use super::verdict::Verdict;

/// What became of one bug.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    /// What each test must have come to.
    pub(super) wanted: Verdict,
    /// Tests and what they came to, or why they could not be run.
    pub(super) tests: Result<Vec<(String, Verdict)>, String>,
    /// Building and all tests.
    pub(super) took: Duration,
}

impl Outcome {
    /// Whether each of its tests came to what it must.
    pub(super) fn is_good(&self) -> bool {
        match &self.tests {
            Ok(tests) => !tests.is_empty() && tests.iter().all(|(_, is)| *is == self.wanted),
            Err(_) => false,
        }
    }

    /// Its tests, counted for the table of all stages; `skipped` says what a skip
    /// counts for.
    pub(super) fn row(&self, skipped: impl Fn(&mut Row, &str, &str)) -> Row {
        let Ok(tests) = &self.tests else {
            return Row::failed(1);
        };
        let mut row = Row::default();
        for (test, is) in tests {
            match is {
                is if *is == self.wanted => row.passed += 1,
                Verdict::Skipped(reason) => skipped(&mut row, test, reason),
                _ => row.failed += 1,
            }
        }
        row
    }

    /// One line for each test; those that are not as they must be are loud.
    fn lines(&self) -> Vec<String> {
        match &self.tests {
            Ok(tests) => tests
                .iter()
                .map(|(test, is)| match *is == self.wanted {
                    true => test.clone(),
                    false => format!("FAILED {test}: {is}"),
                })
                .collect(),
            Err(why) => vec![format!("FAILED {why}")],
        }
    }
}

/// Bugs, what caught them, and one closing line.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<30} {:>7}  {}\n", "bug", "seconds", "caught by");
    for outcome in outcomes {
        let (mut name, mut took) = (outcome.name.as_str(), as_seconds(outcome.took));
        for line in outcome.lines() {
            let _ = writeln!(text, "{name:<30} {took:>7}  {line}");
            (name, took) = ("", String::new());
        }
    }
    let bugs = || outcomes.iter().filter(|one| one.wanted == Verdict::Caught);
    let caught = bugs().filter(|bug| bug.is_good()).count();
    let others = outcomes.iter().filter(|one| one.wanted == Verdict::Passed);
    let clean = match others.clone().count() > 0 && others.clone().all(Outcome::is_good) {
        true => "without a bug the tests pass",
        false => "without a bug the tests FAIL",
    };
    let all = bugs().count();
    let _ = writeln!(
        text,
        "\n{caught} of {all} bugs caught by every test that must; {clean}"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, wanted: Verdict, tests: &[(&str, Verdict)]) -> Outcome {
        let tests = tests
            .iter()
            .map(|(test, is)| ((*test).to_owned(), is.clone()));
        Outcome {
            name: name.to_owned(),
            wanted,
            tests: Ok(tests.collect()),
            took: Duration::from_millis(12_340),
        }
    }

    #[test]
    fn every_test_that_is_named_has_to_see_the_bug() {
        let of = |tests: &[(&str, Verdict)]| outcome("ttl", Verdict::Caught, tests).is_good();
        assert!(of(&[("prog", Verdict::Caught), ("model", Verdict::Caught)]));
        assert!(!of(&[
            ("prog", Verdict::Caught),
            ("model", Verdict::Passed)
        ]));
        for other in [
            Verdict::OfSomethingElse,
            Verdict::Skipped("not root".to_owned()),
            Verdict::NotRun,
        ] {
            assert!(!of(&[("prog", other)]));
        }
        assert!(!of(&[]), "nothing was run");
        let unfit = Outcome {
            tests: Err("fits the code no more".to_owned()),
            ..outcome("ttl", Verdict::Caught, &[])
        };
        assert!(!unfit.is_good());
        assert!(table(&[unfit]).contains("FAILED fits the code no more"));
    }

    #[test]
    fn without_a_bug_the_tests_have_to_pass() {
        let of = |is| outcome("no bug", Verdict::Passed, &[("prog", is)]).is_good();
        assert!(of(Verdict::Passed));
        assert!(!of(Verdict::OfSomethingElse));
        // Its line is about a bug that is not in.
        assert!(!of(Verdict::Caught));
        assert!(!of(Verdict::Skipped("not root".to_owned())));
    }

    #[test]
    fn a_stage_counts_tests() {
        let skipped = |row: &mut Row, _: &str, _: &str| row.skipped += 1;
        let counts = |outcome: &Outcome| {
            let row = outcome.row(skipped);
            (row.passed, row.failed, row.skipped)
        };
        let mixed = outcome(
            "ttl",
            Verdict::Caught,
            &[
                ("model", Verdict::Caught),
                ("prog", Verdict::Skipped("not root".to_owned())),
                ("net", Verdict::Passed),
            ],
        );
        assert_eq!(counts(&mixed), (1, 1, 1));
        let unfit = Outcome {
            tests: Err("does not build".to_owned()),
            ..mixed
        };
        assert_eq!(counts(&unfit), (0, 1, 0));
        let clean = outcome("no bug", Verdict::Passed, &[("prog", Verdict::Passed)]);
        assert_eq!(counts(&clean), (1, 0, 0));
    }

    #[test]
    fn the_table_says_which_bug_was_caught_by_what() {
        let text = table(&[
            outcome(
                "ttl",
                Verdict::Caught,
                &[
                    ("prog::ttl", Verdict::Caught),
                    ("model::all", Verdict::Caught),
                ],
            ),
            outcome("mac", Verdict::Caught, &[("prog::macs", Verdict::Passed)]),
            outcome("no bug", Verdict::Passed, &[("prog::ttl", Verdict::Passed)]),
        ]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["ttl", "12.3", "prog::ttl"]);
        assert_eq!(lines[2], ["model::all"]);
        assert_eq!(lines[3], ["mac", "12.3", "FAILED", "prog::macs:", "passed"]);
        assert_eq!(lines[4], ["no", "bug", "12.3", "prog::ttl"]);
        assert_eq!(
            text.lines().last().unwrap(),
            "1 of 2 bugs caught by every test that must; without a bug the tests pass"
        );
    }
}
