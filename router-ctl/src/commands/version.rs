//! `router-ctl version`

use std::process::ExitCode;

use super::globals::Globals;
use crate::{api::model::Version, error::Error, output};
use router_common::abi::ABI_VERSION;

/// Show the version; with -v the version of the map layouts too
#[derive(clap::Args, Debug)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let version = env!("CARGO_PKG_VERSION");
    let format = globals.format();
    let text = if format.json {
        format.json(&Version {
            version: version.to_owned(),
            abi: ABI_VERSION,
        })?
    } else if format.verbose {
        format!("router-ctl {version} (map layouts {ABI_VERSION})")
    } else {
        format!("router-ctl {version}")
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
