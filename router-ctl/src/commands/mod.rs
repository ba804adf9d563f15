//! What users type: one file a subcommand, with its `Args` and its `run`.
//! Only this module prints.

mod completions;
mod config;
mod down;
mod explain;
mod globals;
mod man;
mod monitor;
mod neigh;
mod networks;
mod route_get;
mod route_select;
mod routes;
mod run;
mod stats;
mod status;
mod version;
mod watch;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{
    Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    api::schema,
    codes,
    error::{Error, Kind},
    output::{self, Format},
};
use globals::Globals;

const EXAMPLES: &str = "\
Examples:
  router-ctl run --config /etc/router-ctl/router.toml
  router-ctl run --trunk eth0 --network mac10=100:172.16.10.1/24 --network mac20=200:172.16.20.1/24
  router-ctl                                   is it forwarding?
  router-ctl routes add 10.9.0.0/16 via 172.16.10.9
  router-ctl -j stats | jq .fast
  router-ctl --watch networks

Commands may be shortened as long as they are clear: `router-ctl net`, `router-ctl r ls`.

Exit codes:
  0 done   1 refused or failed   2 usage or bad configuration
  3 daemon not running   4 not permitted   5 degraded (status)
  6 ended by `down`, which could not put everything back (run)

Files:
  /etc/router-ctl/router.toml      configuration; `router-ctl config --help` shows one
  /run/router-ctl/INSTANCE.sock    the daemon's socket; its group router-ctl may read
  /var/lib/router-ctl/             what was changed, so that `down` can put it back
  /sys/fs/bpf/router-ctl/          maps and links of the XDP program

Environment:
  ROUTER_CTL_INSTANCE, ROUTER_CTL_SOCKET    as --instance and --socket
  NO_COLOR, CLICOLOR_FORCE                  no colour; colour everywhere

Errors:
  Each has a code: `router-ctl explain RC0107` says what it means, its usual causes
  and how to mend it. `router-ctl explain` lists all.";

/// Gateway for macvlan networks: routes between VLANs in XDP
///
/// The kernel decides where packets go; an XDP program on the trunk repeats it,
/// faster. `run` is the daemon, all other commands talk to it. Without a
/// command: `status`.
#[derive(Debug, Parser)]
#[command(
    name = "router-ctl",
    version,
    after_help = EXAMPLES,
    infer_subcommands = true,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Status(status::Args),
    #[command(visible_aliases = ["network", "net", "n"])]
    Networks(networks::Args),
    #[command(visible_aliases = ["route", "r"])]
    Routes(routes::Args),
    #[command(visible_aliases = ["neighbours", "neighbors", "neighbour", "nb"])]
    Neigh(neigh::Args),
    Stats(stats::Args),
    Monitor(monitor::Args),
    Down(down::Args),
    Config(config::Args),
    Explain(explain::Args),
    Completions(completions::Args),
    Man(man::Args),
    Version(version::Args),
    /// The JSON schema of what -j prints: docs/api.schema.json
    #[command(name = "__schema", hide = true)]
    Schema,
    /// Asked by the completion scripts
    #[command(name = "__complete", hide = true)]
    Complete(completions::Ask),
}

/// Reads the command line, does what it says, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let words = watch::join_interval(env::args_os());
    let cli = match parse(&words) {
        Ok(cli) => cli,
        Err(error) => return report_usage(error, &words),
    };
    cli.globals.apply_color();
    let format = cli.globals.format();
    let daemon = matches!(cli.command, Some(Command::Run(_)));
    let done = runtime().and_then(|runtime| runtime.block_on(dispatch(cli)));
    done.unwrap_or_else(|error| {
        if daemon {
            output::print_last_error(&error, format);
        } else {
            output::print_error(&error, format);
        }
        error.exit_code()
    })
}

fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    command()
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
}

/// What the words are read by. A variable that is empty is as good as none.
fn command() -> clap::Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    Cli::command().mut_args(|arg| match is_empty(&arg) {
        true => arg.env(Resettable::Reset),
        false => arg,
    })
}

/// One thread: the daemon waits for the kernel, mostly, and the commands for
/// the daemon.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(Kind::Failed, codes::RUNTIME, "cannot start the event loop").cause(error)
        })
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Error> {
    let Cli { globals, command } = cli;
    let format = globals.format();
    let command = command.unwrap_or_else(|| Command::Status(status::Args::default()));
    if globals.watch.is_some() && !command.repeats() {
        return Err(
            Error::new(Kind::Usage, codes::USAGE, "--watch repeats listings only")
                .help("it works with status, networks, routes list, neigh and stats"),
        );
    }
    match command {
        Command::Run(args) => run::run(args, &globals).await,
        Command::Status(args) => status::run(&args, &globals).await,
        Command::Networks(args) => networks::run(&args, &globals).await,
        Command::Routes(args) => routes::run(args, &globals).await,
        Command::Neigh(args) => neigh::run(&args, &globals).await,
        Command::Stats(args) => stats::run(&args, &globals).await,
        Command::Monitor(args) => monitor::run(&args, &globals).await,
        Command::Down(args) => down::run(args, &globals).await,
        Command::Config(args) => config::run(&args, &globals).await,
        Command::Explain(args) => explain::run(&args, &globals),
        Command::Completions(args) => completions::run(&args, &globals),
        Command::Man(args) => man::run(&args, &globals),
        Command::Version(args) => version::run(&args, &globals),
        Command::Schema => {
            let pretty = Format {
                pretty: true,
                ..format
            };
            output::print(&pretty.json(&schema())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Complete(ask) => completions::answer(ask, &globals).await,
    }
}

impl Command {
    fn repeats(&self) -> bool {
        match self {
            Self::Status(args) => args.repeats(),
            Self::Routes(args) => args.repeats(),
            Self::Networks(_) | Self::Neigh(_) | Self::Stats(_) => true,
            Self::Run(_)
            | Self::Monitor(_)
            | Self::Down(_)
            | Self::Config(_)
            | Self::Explain(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version(_)
            | Self::Schema
            | Self::Complete(_) => false,
        }
    }
}

/// Prints help, or what is wrong with the command line; with `-j` as JSON.
fn report_usage(mut error: clap::Error, words: &[OsString]) -> ExitCode {
    let wanted = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if wanted {
        // Standard output is closed: nobody is there to be told.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    leave_out_the_hidden(&mut error);
    if !asks_for_json(words) {
        let text = error.render().ansi().to_string();
        let coded = format!("error[{}]:", codes::USAGE);
        anstream::eprint!("{}", text.replacen("error:", &coded, 1));
        return ExitCode::from(Kind::Usage.exit_code());
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let rest: Vec<&str> = text
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let usage = Error::new(Kind::Usage, codes::USAGE, message).help(rest.join("; "));
    let format = Format {
        json: true,
        ..Format::default()
    };
    output::print_error(&usage, format);
    usage.exit_code()
}

/// clap proposes commands that are not for people, too: `__schema` for `s`.
fn leave_out_the_hidden(error: &mut clap::Error) {
    let kinds = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedCommand,
        ContextKind::ValidSubcommand,
    ];
    for kind in kinds {
        let left = match error.get(kind) {
            Some(ContextValue::Strings(names)) => {
                let seen = |name: &&String| !name.starts_with("__");
                names.iter().filter(seen).cloned().collect::<Vec<_>>()
            }
            Some(ContextValue::String(name)) if name.starts_with("__") => Vec::new(),
            _ => continue,
        };
        if left.is_empty() {
            error.remove(kind);
        } else {
            error.insert(kind, ContextValue::Strings(left));
        }
    }
}

/// Whether `-j` is among words that could not be understood.
fn asks_for_json(words: &[OsString]) -> bool {
    words
        .iter()
        .skip(1)
        .filter_map(|word| word.to_str())
        .take_while(|word| *word != "--")
        .any(|word| {
            let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            word == "--json" || short.is_some_and(|letters| letters.contains('j'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_asked_for() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (text, asked) in [
            ("router-ctl -j statsu", true),
            ("router-ctl statsu -pj", true),
            ("router-ctl --json x", true),
            ("router-ctl --jsn x", false),
            ("router-ctl x -- -j", false),
            ("-j", false),
        ] {
            assert_eq!(asks_for_json(&words(text)), asked, "{text}");
        }
    }
}
