//! `router-ctl config`: check, show, diff, apply, confirm, roll back.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::globals::Globals;
use crate::{
    api::{
        CONFIRM,
        model::{
            ConfigApplied, ConfigApply, ConfigChange, ConfigChangeKind, ConfigCheck,
            ConfigKeyChange,
        },
    },
    config::{self, Config},
    error::Error,
    instance::router_ctl,
    output::{self, BAD, BOLD, Format, GOOD, WARN},
};

const MORE: &str = concat!(
    "Examples:
  router-ctl config check lab.toml
  generate | router-ctl config check -        <(generate) and other pipes, too
  router-ctl config diff                      what the daemon's file would change
  router-ctl config apply --dry-run           step by step
  router-ctl config apply --confirm 120       the configuration before comes back in 2 minutes,
                                              even if the daemon dies, unless
  router-ctl config confirm                   is said in time

`systemctl reload` and SIGHUP apply, too. Networks that are not changed lose nothing; if
anything fails, the configuration before is in force again. `diff` exits 0 whether there are
changes or not: `router-ctl -j config diff` prints [] where there are none.

A configuration:

",
    include_str!("../config/example.toml")
);

/// Check, show, compare and apply configurations; `config --help` shows one
#[derive(clap::Args, Debug)]
#[command(
    after_long_help = MORE,
    infer_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say everything that is wrong with FILE; nothing is changed
    Check {
        /// The configuration; - is standard input [default: the instance's,
        /// /etc/router-ctl/router.toml]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print the configuration in force, as a file that says the same
    Show {
        /// With everything that may be left out
        #[arg(long)]
        effective: bool,
    },
    /// Say what the daemon's file, or FILE, would change
    Diff {
        /// In place of the daemon's file; - is standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Put the daemon's file into force
    Apply {
        /// Only say what would be done, step by step
        #[arg(long, conflicts_with = "confirm")]
        dry_run: bool,
        /// Go back after SECONDS, unless `config confirm` comes first
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(CONFIRM))]
        confirm: Option<u64>,
    },
    /// Keep what `apply --confirm` has put into force
    Confirm,
    /// Put the configuration before the last apply into force again
    Rollback,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let format = globals.format();
    match &args.verb {
        Verb::Check { file } => {
            let usual = || super::run::default_config(&globals.instance);
            check(&file.clone().unwrap_or_else(usual), format)?;
        }
        Verb::Show { effective } => {
            let running = globals.client().config(*effective).await?;
            let text = if format.json {
                format.json(&running)?
            } else {
                running.toml.trim_end().to_owned()
            };
            output::print(&text)?;
        }
        Verb::Diff { file } => {
            let changes = changes(file.as_deref(), globals).await?;
            let text = if format.json {
                format.json(&changes)?
            } else if changes.is_empty() {
                return format.done("no changes").map(|()| ExitCode::SUCCESS);
            } else {
                listing(&changes)
            };
            output::print(&text)?;
        }
        Verb::Apply { dry_run, confirm } => {
            let request = ConfigApply {
                dry_run: *dry_run,
                confirm_seconds: *confirm,
            };
            let applied = globals.client().config_apply(&request).await?;
            tell(&applied, *dry_run, globals)?;
        }
        Verb::Confirm => {
            globals.client().config_confirm().await?;
            format.done("confirmed: the configuration stays")?;
        }
        Verb::Rollback => {
            let applied = globals.client().config_rollback().await?;
            tell(&applied, false, globals)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, format: Format) -> Result<(), Error> {
    let config = Config::look_at(file)?;
    let found = ConfigCheck {
        ok: true,
        trunks: config.trunks.len(),
        networks: config.networks.len(),
        routes: config.routes.len(),
    };
    if format.json {
        return output::print(&format.json(&found)?);
    }
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format.done(&format!(
        "{} is ok: {}, {}, {}",
        Config::name_of(file),
        counted(found.trunks, "trunk"),
        counted(found.networks, "network"),
        counted(found.routes, "route"),
    ))
}

async fn changes(file: Option<&Path>, globals: &Globals) -> Result<Vec<ConfigChange>, Error> {
    let client = globals.client();
    let Some(file) = file else {
        return client.config_diff().await;
    };
    let wanted = Config::look_at(file)?;
    let running = client.config(true).await?;
    let running = Config::parse("the configuration in force", &running.toml)?;
    Ok(config::diff(&running, &wanted))
}

fn tell(applied: &ConfigApplied, dry_run: bool, globals: &Globals) -> Result<(), Error> {
    let format = globals.format();
    if format.json {
        return output::print(&format.json(applied)?);
    }
    if dry_run {
        let steps = applied.steps.iter().enumerate();
        let steps: Vec<String> = steps
            .map(|(at, step)| format!("{:>3}  {step}", at + 1))
            .collect();
        return if steps.is_empty() {
            format.done("nothing to do")
        } else {
            output::print(&steps.join("\n"))
        };
    }
    if !applied.changes.is_empty() && !format.quiet {
        output::print(&listing(&applied.changes))?;
    }
    let counted = summary(applied);
    if applied.changes.is_empty() && !applied.steps.is_empty() && !format.quiet {
        let steps = applied.steps.iter();
        let steps: Vec<String> = steps
            .map(|step| format!("{WARN}~{WARN:#} {step}"))
            .collect();
        output::print(&steps.join("\n"))?;
    }
    format.done(&match applied.confirm_seconds {
        None => counted,
        Some(seconds) => format!(
            "{counted}; say `{} config confirm` within {seconds} s, or the configuration before comes back",
            router_ctl(&globals.instance)
        ),
    })
}

/// What was done, in a few words.
fn summary(applied: &ConfigApplied) -> String {
    match (applied.changes.len(), applied.steps.len()) {
        (0, 0) => "applied: no changes".to_owned(),
        (0, 1) => "applied: no changes; 1 thing mended".to_owned(),
        (0, mended) => format!("applied: no changes; {mended} things mended"),
        (1, _) => "applied: 1 change".to_owned(),
        (changes, _) => format!("applied: {changes} changes"),
    }
}

/// A line for each thing that comes or goes, and for each key that changes.
fn listing(changes: &[ConfigChange]) -> String {
    let lines: Vec<String> = changes.iter().map(line).collect();
    lines.join("\n")
}

fn line(change: &ConfigChange) -> String {
    let what = if change.name.is_empty() {
        change.section.clone()
    } else {
        format!("{} {}", change.section, change.name)
    };
    let (style, mark) = match change.change {
        ConfigChangeKind::Added => (GOOD, '+'),
        ConfigChangeKind::Removed => (BAD, '-'),
        ConfigChangeKind::Changed => (WARN, '~'),
    };
    let mut text = format!("{style}{mark}{style:#} {BOLD}{what}{BOLD:#}");
    if change.change == ConfigChangeKind::Changed {
        for key in &change.keys {
            text.push('\n');
            text += &key_line(key);
        }
        return text;
    }
    // What it is known by has been said.
    let named = ["interface", "name", "to", "metric"];
    let known = if change.section == "network" {
        &named[1..2]
    } else {
        &named[..]
    };
    for key in change.keys.iter().filter(|key| !known.contains(&&*key.key)) {
        let value = key.after.as_ref().or(key.before.as_ref());
        // Writing into a string does not fail.
        let _ = write!(text, "  {} {}", key.key, value.map_or("", |value| value));
    }
    text
}

fn key_line(change: &ConfigKeyChange) -> String {
    let key = &change.key;
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("    {key} {before} -> {after}"),
        (Some(before), None) => format!("  {BAD}-{BAD:#} {key} {before}"),
        (None, Some(after)) => format!("  {GOOD}+{GOOD:#} {key} {after}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway came back, and "no changes" was all that was said.
    #[test]
    fn what_is_mended_is_said() {
        let applied = |steps: &[&str]| ConfigApplied {
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            ..ConfigApplied::default()
        };
        for (steps, said) in [
            (&[][..], "applied: no changes"),
            (&["give it"], "applied: no changes; 1 thing mended"),
            (
                &["give it", "set it"],
                "applied: no changes; 2 things mended",
            ),
        ] {
            assert_eq!(summary(&applied(steps)), said);
        }
    }
}
