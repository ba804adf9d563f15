//! `router-ctl completions SHELL`, and the hidden `router-ctl __complete` that
//! its scripts ask.
//!
//! The scripts know nothing of the commands: they hand over the words and show
//! what comes back, so that they never get out of date.

mod candidates;
mod live;

use std::process::ExitCode;

use clap::{CommandFactory as _, ValueEnum};

use self::candidates::{Answer, Given};
use super::{Cli, globals::Globals};
use crate::{error::Error, output};

const EXAMPLES: &str = "\
Examples:
  source <(router-ctl completions bash)              for this shell only
  router-ctl completions bash > /etc/bash_completion.d/router-ctl
  router-ctl completions zsh > /usr/local/share/zsh/site-functions/_router-ctl
  router-ctl completions fish > /etc/fish/completions/router-ctl.fish

Names of networks, trunks and instances come from the running daemons.";

/// Print the completion script of a shell
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Complete the last of these words
#[derive(clap::Args, Debug)]
pub(super) struct Ask {
    shell: Shell,
    /// Those behind the program's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(super) fn run(args: &Args, _: &Globals) -> Result<ExitCode, Error> {
    let script = match args.shell {
        Shell::Bash => include_str!("script.bash"),
        Shell::Zsh => include_str!("script.zsh"),
        Shell::Fish => include_str!("script.fish"),
    };
    output::print(script.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// A line a candidate, its explanation behind a tab.
pub(super) async fn answer(ask: Ask, globals: &Globals) -> Result<ExitCode, Error> {
    let (words, glued) = match ask.shell {
        Shell::Bash => candidates::join_breaks(&ask.words),
        Shell::Zsh | Shell::Fish => (ask.words, String::new()),
    };
    let mut command = Cli::command();
    command.build();
    let asked = candidates::ask(&command, &words);
    let given = match &asked.live {
        Some(live) => live::names(live, globals, &asked.given).await,
        None => Given::default(),
    };
    let mut lines = Vec::new();
    match asked.answer(given) {
        Answer::Files => lines.push(":files".to_owned()),
        Answer::Directories => lines.push(":dirs".to_owned()),
        Answer::Words(candidates) => {
            for candidate in candidates {
                // bash replaces only what is behind its last word break.
                let value = candidate.value.strip_prefix(&glued);
                let value = value.unwrap_or(&candidate.value);
                lines.push(format!("{value}\t{}", candidate.about));
            }
        }
    }
    if !lines.is_empty() {
        output::print(&lines.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
