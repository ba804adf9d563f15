//! A virtual machine's share of the tests, in one boot: the article, then every
//! test binary, each with a time limit of its own.
//!
//! The guest runs what the host has built, and tells by its console: a line
//! before and one behind each program, between them the program's own. What
//! does not tell of its end has failed.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::table::Row;
use super::{conformance, judge, libtest, tell};
use crate::build::{self, TestBinary};
use crate::setup::{self, Kernel, Need};
use crate::{paths, run, step, vm};

/// For one program, under software emulation.
const EACH: Duration = Duration::from_secs(20 * 60);

/// For all of them. [`Share::Everything`] takes 35 minutes on two CPUs; CI, which
/// has 90 for two guests and all else, plays [`Share::Program`] in 4.
const ALL: Duration = Duration::from_secs(60 * 60);

/// Before and behind a program's lines. The second is printed twice, as a
/// kernel message may run into a line of the console.
const BEGIN: &str = "xtask-test: begin ";
const END: &str = "xtask-test: end ";

/// What the verifier says is told by every kernel.
const VERIFIER: &str = "prog_verifier";

/// What the article is called among the programs.
const ARTICLE: &str = "article";

/// What a guest is to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The article and the program's tests: what CI has time for.
    Program,
    /// The article, and every test binary.
    Everything,
    /// The test binaries that tell of conformance cases.
    Cases,
}

impl Share {
    /// Whether it has this test binary.
    fn has(self, test: &str) -> bool {
        match self {
            Self::Program => test.starts_with("prog_"),
            Self::Everything => true,
            Self::Cases => conformance::tells(test),
        }
    }
}

/// `only`: of these test programs (or tests, `PROGRAM::TEST`) alone; none: of all.
pub(super) fn run(kernel: Kernel, share: Share, only: &[String]) -> Result<Row> {
    setup::ensure(&[Need::EbpfToolchain, Need::Programs, Need::Vm(kernel)])?;
    let mut tests = build::kernel_tests()?;
    tests.retain(|test| {
        let runs = kernel.runs_programs() || test.name == VERIFIER;
        runs && share.has(&test.name) && wanted(&test.name, only).is_some()
    });
    let article = if share == Share::Cases {
        None
    } else {
        let words = run::command(&[])?;
        let words = words.iter().map(|word| vm::quote(&word.to_string_lossy()));
        Some(words.collect::<Vec<_>>().join(" "))
    };
    let script = vm::write_script("tests", &script(article.as_deref(), &tests, only))?;
    step::headline(&format!("test: article and tests on {kernel}"));
    let stage = format!("Linux {kernel}");
    if share != Share::Program && only.is_empty() {
        conformance::forget(&stage)?;
    }
    let mut console = Console::default();
    let outcome = vm::run(
        kernel,
        &["bash".into(), script.clone().into()],
        ALL,
        &mut |line| {
            if console.take(line) {
                vm::echo(line);
            }
        },
    );
    let _ = fs::remove_file(script);
    let log = paths::work().join(format!("log/test-on-{kernel}.log"));
    fs::write(&log, &console.text).with_context(|| format!("cannot write {}", log.display()))?;

    let release = conformance::short(&setup::kernel_version(kernel)?);
    if share != Share::Program {
        conformance::keep(&release, &stage, &console.text, !only.is_empty())?;
    }

    let mut row = Row::default();
    let names = tests.iter().map(|test| test.name.as_str());
    for name in article.iter().map(|_| ARTICLE).chain(names) {
        let program = console.judge(&format!("Linux {kernel}"), name);
        step::note(name);
        tell(&program, console.took(name));
        row += program;
    }
    // A guest that went down has told too little above already.
    if let Err(error) = outcome.and_then(|outcome| outcome.status()) {
        eprintln!("error: Linux {kernel}: {error:#}");
        row.failed += 1;
    }
    if row.failed > 0 {
        eprintln!("the whole output is in {}", log.display());
    }
    Ok(row)
}

/// The tests of a program that are wanted, as words for it; `None`: not the
/// program at all.
fn wanted<'o>(program: &str, only: &'o [String]) -> Option<Vec<&'o str>> {
    let mut words = Vec::new();
    let mut named = only.is_empty();
    for one in only {
        match one.split_once("::") {
            Some((of, test)) if of == program => words.push(test),
            None if one == program => {}
            _ => continue,
        }
        named = true;
    }
    named.then_some(words)
}

fn script(article: Option<&str>, tests: &[TestBinary], only: &[String]) -> String {
    let mut text = String::from("#!/bin/bash\n");
    let mut program = |name: &str, command: &str| {
        let _ = write!(
            text,
            "echo; echo '{BEGIN}{name}'\n\
             timeout --kill-after=10 {} {command} 2>&1\nstatus=$?\n\
             for i in 1 2; do echo; echo \"{END}{name} $status\"; done\n",
            EACH.as_secs()
        );
    };
    if let Some(article) = article {
        program(ARTICLE, article);
    }
    for test in tests {
        let path = vm::quote(&test.path.to_string_lossy());
        program(
            &test.name,
            &format!(
                "{path} --show-output --color=never --test-threads=1 {}",
                wanted(&test.name, only).unwrap_or_default().join(" ")
            ),
        );
    }
    text
}

/// What the guest has printed.
#[derive(Debug, Default)]
struct Console {
    text: String,
    programs: Vec<Program>,
}

/// A program's share of it.
#[derive(Debug)]
struct Program {
    name: String,
    text: String,
    status: Option<i32>,
    started: Instant,
    took: Duration,
}

impl Console {
    /// Whether the line is to be shown: of tests only that they live, as what
    /// the passing ones print is long.
    fn take(&mut self, line: &str) -> bool {
        self.text += line;
        self.text.push('\n');
        if let Some(name) = line.strip_prefix(BEGIN) {
            self.programs.push(Program {
                name: name.to_owned(),
                text: String::new(),
                status: None,
                started: Instant::now(),
                took: Duration::ZERO,
            });
            return true;
        }
        let Some(program) = self.programs.last_mut() else {
            return false;
        };
        let end = line
            .strip_prefix(END)
            .and_then(|end| end.strip_prefix(program.name.as_str()))
            .and_then(|status| status.trim().parse().ok());
        if let Some(status) = end {
            if program.status.is_none() {
                program.took = program.started.elapsed();
            }
            program.status = Some(status);
            return false;
        }
        program.text += line;
        program.text.push('\n');
        program.name == ARTICLE || line.starts_with("test ")
    }

    fn took(&self, name: &str) -> Duration {
        let program = self.programs.iter().find(|program| program.name == name);
        program.map_or(Duration::ZERO, |program| program.took)
    }

    /// What a program came to, told.
    fn judge(&self, stage: &str, name: &str) -> Row {
        let program = self.programs.iter().find(|program| program.name == name);
        let Some(program) = program else {
            eprintln!("FAILED {stage}: {name} was not run");
            return Row::failed(1);
        };
        let status = match program.status {
            Some(124) => "it took too long and was ended".to_owned(),
            Some(status) => format!("exit status {status}"),
            None => "it did not end".to_owned(),
        };
        if name == ARTICLE {
            let result = program
                .text
                .lines()
                .find_map(|line| line.strip_prefix(run::RESULT));
            if program.status == Some(0) && result == Some("ok") {
                return Row::passed(1);
            }
            let result = result.unwrap_or("it told no result");
            eprintln!("FAILED {stage}: {name}: {result} ({status})");
            return Row::failed(1);
        }
        let report = libtest::parse(&program.text);
        let mut row = judge(stage, &report, program.status == Some(0));
        if program.status == Some(0) && row.is_empty() {
            row.failed = 1;
            eprintln!("FAILED {stage}: {name} ran no test");
        } else if program.status != Some(0) {
            eprintln!("FAILED {stage}: {name}: {status}");
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(lines: &[&str]) -> Console {
        let mut console = Console::default();
        for line in lines {
            console.take(line);
        }
        console
    }

    fn counts(row: &Row) -> (usize, usize, usize) {
        (row.passed, row.failed, row.skipped)
    }

    const PASSED: &str = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";

    #[test]
    fn programs_are_judged_by_what_they_printed_and_how_they_ended() {
        let console = console(&[
            "xtask-test: begin article",
            "ARTICLE RESULT: ok",
            "xtask-test: end article 0",
            "xtask-test: end article 0",
            "xtask-test: begin net_a",
            PASSED,
            "xtask-test: end net_a [ 9.1] oops",
            "xtask-test: end net_a 0",
            "xtask-test: begin net_b",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
            "xtask-test: end net_b 101",
            "xtask-test: begin net_c",
            PASSED,
            "xtask-test: end net_c 124",
            "xtask-test: begin net_d",
            "test result: ok. 0 passed; 0 failed; 0 ignored",
            "xtask-test: end net_d 0",
            "xtask-test: begin net_e",
            PASSED,
        ]);
        for (name, wanted) in [
            ("article", (1, 0, 0)),
            ("net_a", (2, 0, 0)),
            ("net_b", (1, 1, 0)),
            // Ended by its time limit.
            ("net_c", (2, 1, 0)),
            // Ran nothing.
            ("net_d", (0, 1, 0)),
            // The guest went down.
            ("net_e", (2, 1, 0)),
            ("net_f", (0, 1, 0)),
        ] {
            assert_eq!(counts(&console.judge("Linux 6.1", name)), wanted, "{name}");
        }
    }

    #[test]
    fn an_article_without_a_result_has_failed() {
        let lines = ["xtask-test: begin article", "xtask-test: end article 0"];
        assert_eq!(
            counts(&console(&lines).judge("Linux 6.1", ARTICLE)),
            (0, 1, 0)
        );
    }

    #[test]
    fn every_program_has_its_time_limit() {
        let test = TestBinary {
            name: "net_a".to_owned(),
            path: "/t/it's".into(),
        };
        let script = script(Some("'/t/article'"), &[test], &[]);
        let limit = format!("timeout --kill-after=10 {} ", EACH.as_secs());
        assert_eq!(script.matches(&limit).count(), 2);
        assert!(script.contains(r"'/t/it'\''s' --show-output"), "{script}");
    }

    #[test]
    fn programs_and_tests_may_be_chosen() {
        let only = ["net_a::one", "net_a::two", "net_b"].map(str::to_owned);
        assert_eq!(wanted("net_a", &only).unwrap(), ["one", "two"]);
        assert!(wanted("net_b", &only).unwrap().is_empty());
        assert_eq!(wanted("net_c", &only), None);
        assert!(wanted("net_c", &[]).unwrap().is_empty());
    }
}
