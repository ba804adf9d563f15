//! The tasks of this repository: `cargo xtask <task>`. This file only
//! dispatches; each task is one file, and `setup` brings what a task needs.

mod build;
mod fuzz;
mod lint;
mod paths;
mod process;
mod run;
mod setup;
mod step;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, build, run, lint and test of router-ctl.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Setup(setup::Args),
    Build(build::Args),
    Run(run::Args),
    Lint(lint::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::main(&args),
        Task::Build(args) => build::main(&args),
        Task::Run(args) => run::main(&args),
        Task::Lint(args) => lint::main(&args),
        Task::Test(args) => test::main(&args),
        Task::Fuzz(args) => fuzz::main(&args),
        Task::Vm(args) => vm::main(&args),
    };
    result.unwrap_or_else(|error| {
        // Not through `main`'s return value: with RUST_BACKTRACE set that
        // would bury the message under a backtrace of this program.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
