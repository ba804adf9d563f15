//! `cargo xtask test`: lint, host tests, the program and the daemon in this
//! kernel and, with the article, in virtual machines; then a table and one
//! closing line.

mod bugs;
mod conformance;
mod guest;
mod libtest;
mod replay;
mod skips;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::lint::Verdict;
use crate::setup::{self, Kernel, Need};
use crate::{lint, paths, process, step};
use table::Row;

/// Run lint and every test: on this host, and in virtual machines along with the article
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the virtual machines and the deliberate bugs
    #[arg(long)]
    quick: bool,
    /// Virtual machines with these kernels [default: 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "KERNEL")]
    kernels: Vec<Kernel>,
    /// In the virtual machines the net_* tests, too: half an hour more for each
    /// kernel on an idle machine
    #[arg(long)]
    guests: bool,
    /// Only the stages whose names begin so: lint, host, kernel, net, bugs, Linux
    #[arg(long = "only", value_name = "STAGE")]
    only: Vec<String>,
    /// Play the conformance cases on this host and in all virtual machines, and
    /// write docs/conformance.md
    #[arg(long)]
    conformance: bool,
    /// With --conformance: in the virtual machines only this test program, or
    /// this test of it; what the others told before stays
    #[arg(
        long = "test",
        value_name = "PROGRAM[::TEST]",
        requires = "conformance"
    )]
    tests: Vec<String>,
    /// Nothing of this, but a capture (pcap or pcapng) through the router with XDP
    /// and without: on this host where its kernel has 802.1Q, else, and with
    /// --kernel, in a virtual machine [default: 6.12]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "guests", "only", "conformance"])]
    replay: Option<PathBuf>,
    /// MAC of the capture's router, whose frames are to ours [default: the one by
    /// which most addresses are reached]
    #[arg(long, value_name = "MAC", requires = "replay")]
    router_mac: Option<String>,
    /// Nothing of this, but the deliberate bugs of tests/bugs, or those named: each
    /// is put into a checkout of HEAD, where the tests that it names must see it
    #[arg(long, value_name = "BUG", num_args = 0.., conflicts_with_all =
        ["quick", "kernels", "guests", "only", "conformance", "replay"])]
    bugs: Option<Vec<String>>,
}

type Stage = (String, Box<dyn FnOnce() -> Result<Row>>);

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if let Some(file) = &args.replay {
        return replay::main(file, args.router_mac.as_deref(), &args.kernels);
    }
    if let Some(names) = &args.bugs {
        return bugs::main(names);
    }
    let mut rows = Vec::new();
    for (name, run) in stages(args) {
        let wanted = |only: &String| name.starts_with(only.as_str());
        if args.only.is_empty() || args.only.iter().any(wanted) {
            stage(&mut rows, &name, run);
        }
    }
    if args.conformance {
        let in_parts = !args.only.is_empty() || !args.tests.is_empty();
        stage(&mut rows, "conformance", || conformance::report(in_parts));
    }
    let good = table::print(&rows);
    Ok(ExitCode::from(u8::from(!good)))
}

/// Everything, in order: what is quick to fail comes first.
fn stages(args: &Args) -> Vec<Stage> {
    // The others tell nothing of cases.
    let net: &[&str] = if args.conformance {
        &["net_oracle", "net_storm"]
    } else {
        &["net_*"]
    };
    let mut stages: Vec<Stage> = vec![
        ("lint".to_owned(), Box::new(lint_stage)),
        ("host".to_owned(), Box::new(host)),
        ("host integration".to_owned(), Box::new(integration)),
        (
            "kernel".to_owned(),
            Box::new(|| kernel_tests("kernel", &["prog_*"])),
        ),
        ("net".to_owned(), Box::new(move || kernel_tests("net", net))),
    ];
    if !args.quick {
        stages.push(("bugs".to_owned(), Box::new(bugs::stage)));
        let kernels = match &args.kernels[..] {
            [] if args.conformance => &[Kernel::V6_1, Kernel::V6_12, Kernel::Newest][..],
            [] => &[Kernel::V6_1, Kernel::V6_12][..],
            kernels => kernels,
        };
        let share = match (args.conformance, args.guests) {
            (true, _) => guest::Share::Cases,
            (false, true) => guest::Share::Everything,
            (false, false) => guest::Share::Program,
        };
        for kernel in kernels.iter().copied() {
            let only = args.tests.clone();
            stages.push((
                format!("Linux {kernel}"),
                Box::new(move || guest::run(kernel, share, &only)),
            ));
        }
    }
    if args.conformance {
        // The others tell nothing of cases.
        stages.retain(|(name, _)| name == "kernel" || name == "net" || name.starts_with("Linux"));
    }
    stages
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
                skips::judge(&mut row, "lint", check.name, &reason);
            }
        }
    }
    Ok(row)
}

/// Unit tests of everything that runs on a host.
fn host() -> Result<Row> {
    // Git says whether the deliberate bugs still fit.
    setup::ensure(&[Need::Programs])?;
    let exclude = ["--exclude", "router-ebpf", "--exclude", "router-tests-ebpf"];
    let arguments = [&["--workspace"], &exclude[..], &["--lib", "--bins"]].concat();
    cargo_test("host", &arguments, Way::Plain)
}

/// Documentation tests, and the tests/ directories of the crates whose tests
/// need nothing of the kernel.
fn integration() -> Result<Row> {
    // What people see is tested in a terminal that tmux plays.
    setup::ensure(&[Need::Programs])?;
    let mut row = cargo_test("documentation", &["--doc"], Way::Plain)?;
    let packages = ["-p", "router-common", "-p", "router-ctl", "--test", "*"];
    row += cargo_test("integration", &packages, Way::Plain)?;
    Ok(row)
}

/// Tests of router-tests, by patterns of their files' names: they need this
/// machine's kernel, and root.
fn kernel_tests(stage: &str, patterns: &[&str]) -> Result<Row> {
    setup::ensure(&[Need::EbpfToolchain, Need::Programs])?;
    let tests = patterns.iter().flat_map(|pattern| ["--test", *pattern]);
    let arguments: Vec<_> = ["-p", "router-tests"].into_iter().chain(tests).collect();
    cargo_test(stage, &arguments, Way::Root)
}

/// How test binaries are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As any user.
    Plain,
    /// With root's rights, and one test at a time: what one counts, times or
    /// floods must not disturb another.
    Root,
}

/// One `cargo test` call, quietly; what matters of its output is shown.
fn cargo_test(stage: &str, arguments: &[&str], way: Way) -> Result<Row> {
    setup::ensure(&[Need::EbpfToolchain])?;
    let what = format!("test: {stage}");
    step::headline(&what);
    let started = Instant::now();
    let mut command = Command::new(paths::cargo());
    command
        .current_dir(paths::root())
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        // Shows what passing tests printed: that is where SKIP lines are.
        .args(["--", "--show-output"]);
    with_rights(&mut command, way);
    let kept = format!("host {stage}");
    conformance::forget(&kept)?;
    let finished = step::into_log(&what, &mut command)?;
    let text = finished.text();
    conformance::keep(&conformance::host_kernel(), &kept, &text, false)?;
    let report = libtest::parse(&text);
    let row = judge(stage, &report, finished.status.success());
    if !finished.status.success() {
        if report.failed == 0 {
            eprintln!("{}", finished.tail());
        }
        eprintln!("the whole output is in {}", finished.log.display());
    }
    tell(&row, started.elapsed());
    Ok(row)
}

/// Ends the words of a `cargo test -- ...`, so that its programs run in this way.
fn with_rights(command: &mut Command, way: Way) {
    if way == Way::Root {
        command.arg("--test-threads=1");
        if process::rights() == process::Rights::Sudo {
            command.env(runner_variable(), "sudo --preserve-env --");
        }
    }
}

/// What a run of test binaries comes to; failures are shown.
fn judge(stage: &str, report: &libtest::Report, success: bool) -> Row {
    let mut row = Row {
        passed: report.passed.saturating_sub(report.skips.len()),
        failed: report.failed,
        ..Row::default()
    };
    for (test, reason) in report.skips.iter().chain(&report.ignored) {
        skips::judge(&mut row, stage, test, reason);
    }
    if !success {
        for failure in &report.failures {
            eprintln!("{failure}");
        }
        if report.failed == 0 {
            // It did not compile, or a test took its whole process down.
            row.failed += 1;
        }
    }
    row
}

fn tell(row: &Row, took: Duration) {
    step::note(&format!(
        "{} passed, {} failed, {} skipped in {}",
        row.passed,
        row.failed,
        row.skipped,
        step::seconds(took)
    ));
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
