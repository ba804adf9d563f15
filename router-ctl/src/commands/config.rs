//! `router-ctl config check FILE`

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use serde_json::json;

use super::globals::Globals;
use crate::{config::Config, error::Error, output};

const EXAMPLE: &str = concat!(
    "A configuration:\n\n",
    include_str!("../config/example.toml")
);

/// Check a configuration file; `config --help` shows one
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLE, infer_subcommands = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say everything that is wrong with FILE; nothing is changed
    Check {
        /// The configuration
        #[arg(value_name = "FILE", default_value = super::run::DEFAULT_CONFIG)]
        file: PathBuf,
    },
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let Verb::Check { file } = &args.verb;
    let config = Config::load(file)?;
    let (trunks, networks, routes) = (
        config.trunks.len(),
        config.networks.len(),
        config.routes.len(),
    );
    let format = globals.format();
    if format.json {
        let found = json!({ "ok": true, "trunks": trunks, "networks": networks, "routes": routes });
        output::print(&format.json(&found)?)?;
    } else {
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format.done(&format!(
            "{} is ok: {}, {}, {}",
            file.display(),
            counted(trunks, "trunk"),
            counted(networks, "network"),
            counted(routes, "route"),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
