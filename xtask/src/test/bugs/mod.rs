//! `cargo xtask test --bugs`: deliberate bugs, put into the packet path one at a
//! time, and the tests that must see them. The patches in `tests/bugs` say both.
//!
//! The code is HEAD's, in a checkout with a build directory of its own; the
//! developer's files are not touched.

mod checkout;
mod outcome;
mod patch;
mod verdict;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::table::Row;
use super::{Way, libtest, skips, with_rights};
use crate::process::{self, Rights};
use crate::setup::{self, Need};
use crate::{paths, step};
use checkout::Checkout;
use outcome::Outcome;
use patch::{Bug, Test};
use verdict::Verdict;

/// The bugs that every run of all tests puts in.
const ALWAYS: &[&str] = &[
    "destination-mac-unchecked",
    "ipv6-length-without-header",
    "ttl-not-decremented",
];

/// How many lines of a failure are shown.
const SHOWN_LINES: usize = 12;

/// The packages whose tests may be named. Always both: for one of them alone
/// cargo would choose other features, and compile everything anew.
const PACKAGES: &[&str] = &["-p", "router-common", "-p", "router-tests"];

/// What would put another program in place of the one with the bug, or other
/// packets in place of the usual ones; or make errors of warnings, as a bug
/// leaves code behind that nobody calls.
const FOREIGN: &[&str] = &[
    "ROUTER_EBPF_OBJECT",
    "ROUTER_REDIRECT_ERRORS_OBJECT",
    "ROUTER_PACKETS",
    "ROUTER_SEED",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
];

fn folder() -> PathBuf {
    paths::root().join("tests/bugs")
}

/// Puts in the bugs of these names, or all.
pub(super) fn main(names: &[String]) -> Result<ExitCode> {
    let bugs = chosen(patch::all(&folder())?, names)?;
    ensure!(
        process::rights() != Rights::None,
        "these tests make network namespaces, which takes root, and there is no sudo\n\
         help: run it as root"
    );
    let outcomes = all(&bugs)?;
    print!("\n{}", outcome::table(&outcomes));
    let good = outcomes.iter().all(Outcome::is_good);
    Ok(ExitCode::from(u8::from(!good)))
}

/// Puts in a few of them, for the tests that need no wire: they take no time.
pub(super) fn stage() -> Result<Row> {
    let mut row = Row::default();
    if !paths::root().join(".git").exists() {
        skips::judge(&mut row, "bugs", "every bug", "this is no git repository");
        return Ok(row);
    }
    let names: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    let mut bugs = chosen(patch::all(&folder())?, &names)?;
    for bug in &mut bugs {
        bug.tests.retain(|test| !test.program.starts_with("net_"));
    }
    let outcomes = all(&bugs)?;
    for outcome in &outcomes {
        row += outcome.row(|row, test, reason| skips::judge(row, "bugs", test, reason));
    }
    print!("{}", outcome::table(&outcomes));
    Ok(row)
}

fn chosen(all: Vec<Bug>, names: &[String]) -> Result<Vec<Bug>> {
    let known = |name: &String| all.iter().any(|bug| bug.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = all.iter().map(|bug| bug.name.as_str()).collect();
        bail!("there is no bug {unknown}, only {}", known.join(", "));
    }
    let wanted = |bug: &Bug| names.is_empty() || names.contains(&bug.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// Puts in one after the other, and runs their tests without any at the end.
fn all(bugs: &[Bug]) -> Result<Vec<Outcome>> {
    setup::ensure(&[Need::EbpfToolchain, Need::Programs])?;
    let checkout = Checkout::of_head()?;
    step::headline(&format!("bugs are put into HEAD: {}", checkout.commit));
    step::note(&format!("in {}", checkout.directory.display()));
    if checkout::differs_from_head()? {
        step::note("what is not committed is not in it, but for the bugs themselves");
    }
    let mut outcomes: Vec<Outcome> = bugs.iter().map(|bug| put_in(&checkout, bug)).collect();
    outcomes.push(without(&checkout, bugs));
    Ok(outcomes)
}

/// Puts a bug in and runs its tests, which must all see it.
fn put_in(checkout: &Checkout, bug: &Bug) -> Outcome {
    step::headline(&format!("bug: {}", bug.name));
    step::note(&bug.what);
    let tests: Vec<&Test> = bug.tests.iter().collect();
    outcome(&bug.name, Verdict::Caught, |wanted| {
        checkout.restore()?;
        checkout.apply(&bug.patch)?;
        run(checkout, &bug.name, &tests, wanted)
    })
}

/// Runs the tests of all these bugs without any; they must pass.
fn without(checkout: &Checkout, bugs: &[Bug]) -> Outcome {
    step::headline("no bug: the same tests");
    let mut tests: Vec<&Test> = Vec::new();
    for test in bugs.iter().flat_map(|bug| &bug.tests) {
        // The same test sees several bugs.
        if tests.iter().all(|known| known.path() != test.path()) {
            tests.push(test);
        }
    }
    outcome("no bug", Verdict::Passed, |wanted| {
        checkout.restore()?;
        run(checkout, "no bug", &tests, wanted)
    })
}

/// A bug that cannot be put in, or does not build, is told of like one that is
/// not caught: the others are put in nevertheless.
fn outcome(
    name: &str,
    wanted: Verdict,
    run: impl FnOnce(&Verdict) -> Result<Vec<(String, Verdict)>>,
) -> Outcome {
    let started = Instant::now();
    let tests = run(&wanted).map_err(|error| {
        eprintln!("error: {name}: {error:#}");
        format!("{error}")
    });
    Outcome {
        name: name.to_owned(),
        wanted,
        tests,
        took: started.elapsed(),
    }
}

/// Builds the programs of these tests, and runs each test.
fn run(
    checkout: &Checkout,
    name: &str,
    tests: &[&Test],
    wanted: &Verdict,
) -> Result<Vec<(String, Verdict)>> {
    let started = Instant::now();
    let mut command = cargo(checkout);
    command.arg("--no-run");
    for test in tests {
        command.args(["--test", &test.program]);
    }
    let built = step::into_log(&format!("{name}: build"), &mut command)?;
    if !built.status.success() {
        eprintln!("{}", built.tail());
        bail!("it does not build, see {}", built.log.display());
    }
    step::note(&format!("built in {}", step::seconds(started.elapsed())));
    tests
        .iter()
        .map(|test| Ok((test.path(), run_one(checkout, name, test, wanted)?)))
        .collect()
}

fn run_one(checkout: &Checkout, name: &str, test: &Test, wanted: &Verdict) -> Result<Verdict> {
    let started = Instant::now();
    let mut command = cargo(checkout);
    command.args(["--test", &test.program]);
    command.args(["--", "--exact", &test.name, "--show-output"]);
    let by_kernel = ["prog_", "net_"]
        .iter()
        .any(|begin| test.program.starts_with(begin));
    with_rights(&mut command, if by_kernel { Way::Root } else { Way::Plain });
    let finished = step::into_log(&format!("{name}: {}", test.path()), &mut command)?;
    let report = libtest::parse(&finished.text());
    let verdict = verdict::of(&report, &test.says);
    step::note(&format!(
        "{}: {verdict} in {}",
        test.path(),
        step::seconds(started.elapsed())
    ));
    if verdict != *wanted {
        for line in report.failures.iter().take(SHOWN_LINES) {
            eprintln!("{line}");
        }
        eprintln!("the whole output is in {}", finished.log.display());
    }
    if verdict == Verdict::OfSomethingElse {
        eprintln!("of this bug it says: {}", test.says);
    }
    Ok(verdict)
}

/// `cargo test` in the checkout, without the debug information that nobody reads.
fn cargo(checkout: &Checkout) -> Command {
    let mut command = Command::new(paths::cargo());
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command
        .current_dir(&checkout.directory)
        .args(["test", "--locked", "--config", "profile.dev.debug=false"])
        .arg("--target-dir")
        .arg(&checkout.target)
        .args(PACKAGES);
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What somebody has changed may have taken the place of a bug from it.
    #[test]
    fn every_bug_can_still_be_put_in() {
        for bug in patch::all(&folder()).unwrap() {
            checkout::apply(&paths::root(), &bug.patch, &["--check"]).unwrap();
        }
    }

    #[test]
    fn what_is_always_put_in_is_seen_by_program_tests_and_model() {
        let names: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
        for bug in chosen(patch::all(&folder()).unwrap(), &names).unwrap() {
            for begin in ["prog_", "model"] {
                let test = bug
                    .tests
                    .iter()
                    .find(|test| test.program.starts_with(begin));
                assert!(test.is_some(), "{} by {begin}", bug.name);
            }
        }
    }

    /// A test that was renamed would be found out when the bugs are put in,
    /// which is seldom.
    #[test]
    fn every_test_that_is_named_exists() {
        let source = |test: &Test| {
            ["tests/tests", "router-common/tests"]
                .iter()
                .flat_map(|folder| {
                    let path = paths::root().join(folder).join(&test.program);
                    [path.with_extension("rs"), path.join("main.rs")]
                })
                .find_map(|path| fs::read_to_string(path).ok())
        };
        for bug in patch::all(&folder()).unwrap() {
            for test in &bug.tests {
                let source = source(test).unwrap_or_default();
                let function = format!("#[test]\nfn {}() {{", test.name);
                assert!(source.contains(&function), "{}: {}", bug.name, test.path());
            }
        }
    }

    #[test]
    fn bugs_are_chosen_by_name() {
        let bug = |name: &str| Bug {
            name: name.to_owned(),
            patch: PathBuf::new(),
            what: String::new(),
            tests: Vec::new(),
        };
        let all = || vec![bug("mac"), bug("ttl")];
        assert_eq!(chosen(all(), &[]).unwrap(), all());
        assert_eq!(chosen(all(), &["ttl".to_owned()]).unwrap(), [bug("ttl")]);
        let error = chosen(all(), &["tll".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("only mac, ttl"), "{error}");
    }
}
