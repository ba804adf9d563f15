//! `cargo xtask test`: lint, host tests, program tests in this kernel, the
//! article in virtual machines; then a table and one closing line.

mod libtest;
mod skips;
mod table;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::lint::Verdict;
use crate::run::Place;
use crate::setup::{self, Kernel, Need};
use crate::{lint, paths, process, run, step};
use table::Row;

/// Run lint, host tests, program tests in this kernel, and the article in virtual machines
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the virtual machines
    #[arg(long)]
    quick: bool,
    /// Play the article with these kernels [default: 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "KERNEL")]
    kernels: Vec<Kernel>,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut rows = Vec::new();
    stage(&mut rows, "lint", lint_stage);
    stage(&mut rows, "host", || {
        cargo_test(
            "host",
            &[
                "--workspace",
                "--exclude",
                "router-ebpf",
                "--exclude",
                "router-tests-ebpf",
                "--lib",
                "--bins",
            ],
            false,
        )
    });
    stage(&mut rows, "host integration", integration);
    stage(&mut rows, "kernel", kernel_tests);
    if !args.quick {
        let kernels = if args.kernels.is_empty() {
            vec![Kernel::V6_1, Kernel::V6_12]
        } else {
            args.kernels.clone()
        };
        for kernel in kernels {
            stage(&mut rows, &format!("article on {kernel}"), || {
                step::headline(&format!("test: article on {kernel}"));
                run::article(Place::Vm(kernel), &[], &mut crate::vm::echo)?;
                Ok(Row::passed(1))
            });
        }
    }
    let good = table::print(&rows);
    Ok(ExitCode::from(u8::from(!good)))
}

/// Runs one stage; one that cannot run at all is one failure, and the other
/// stages run nevertheless.
fn stage(rows: &mut Vec<Row>, name: &str, run: impl FnOnce() -> Result<Row>) {
    let started = Instant::now();
    let mut row = run().unwrap_or_else(|error| {
        eprintln!("error: {name}: {error:#}");
        Row::failed(1)
    });
    if row.is_empty() {
        // A pattern that matches nothing must not look like success.
        eprintln!("FAILED {name}: it ran no test");
        row.failed = 1;
    }
    name.clone_into(&mut row.stage);
    row.took = started.elapsed();
    rows.push(row);
}

fn lint_stage() -> Result<Row> {
    let mut row = Row::default();
    for check in lint::run_all()? {
        match check.verdict {
            Verdict::Passed => row.passed += 1,
            Verdict::Failed => {
                eprintln!("FAILED lint {}", check.name);
                row.failed += 1;
            }
            Verdict::Skipped(reason) => {
                skips::judge(&mut row, &format!("lint {}", check.name), &reason);
            }
        }
    }
    Ok(row)
}

/// Documentation tests, and the tests/ directories of the crates whose tests
/// need nothing of the kernel.
fn integration() -> Result<Row> {
    let mut row = cargo_test("documentation", &["--doc"], false)?;
    let packages = ["-p", "router-common", "-p", "router-ctl", "--test", "*"];
    row += cargo_test("integration", &packages, false)?;
    Ok(row)
}

/// The tests/ directory of router-tests (`prog_*`): they need this machine's
/// kernel, and root.
fn kernel_tests() -> Result<Row> {
    setup::ensure(&[Need::EbpfToolchain, Need::Programs])?;
    cargo_test("kernel", &["-p", "router-tests", "--test", "*"], true)
}

/// One `cargo test` call, quietly; what matters of its output is shown.
fn cargo_test(what: &str, arguments: &[&str], as_root: bool) -> Result<Row> {
    setup::ensure(&[Need::EbpfToolchain])?;
    let what = format!("test: {what}");
    step::headline(&what);
    let started = Instant::now();
    let mut command = Command::new(paths::cargo());
    command
        .current_dir(paths::root())
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        // Shows what passing tests printed: that is where SKIP lines are.
        .args(["--", "--show-output"]);
    if as_root && process::rights() == process::Rights::Sudo {
        command.env(runner_variable(), "sudo --preserve-env --");
    }
    let finished = step::into_log(&what, &mut command)?;
    let report = libtest::parse(&finished.text());
    let mut row = Row {
        passed: report.passed.saturating_sub(report.skips.len()),
        failed: report.failed,
        ..Row::default()
    };
    for (test, reason) in report.skips.iter().chain(&report.ignored) {
        skips::judge(&mut row, test, reason);
    }
    if !finished.status.success() {
        for failure in &report.failures {
            eprintln!("{failure}");
        }
        if report.failed == 0 {
            // It did not compile, or a test took its whole process down.
            eprintln!("{}", finished.tail());
            row.failed += 1;
        }
        eprintln!("the whole output is in {}", finished.log.display());
    }
    step::note(&format!(
        "{} passed, {} failed, {} skipped in {}",
        row.passed,
        row.failed,
        row.skipped,
        step::seconds(started.elapsed())
    ));
    Ok(row)
}

/// Cargo runs test binaries by the command in this variable.
fn runner_variable() -> String {
    let arch = std::env::consts::ARCH.to_uppercase();
    format!("CARGO_TARGET_{arch}_UNKNOWN_LINUX_GNU_RUNNER")
}

/// Zero for a stage that took no time worth telling.
fn as_seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}
