//! `router-ctl down`

use std::process::ExitCode;

use super::globals::Globals;
use crate::{
    daemon,
    error::{Error, Kind},
};

/// Detach XDP and put back what `run` changed; the daemon ends
///
/// Sub-interfaces, addresses and settings that were there before stay. Works
/// without the daemon, too, from the journal that it kept.
#[derive(clap::Args, Debug)]
pub(super) struct Args {}

pub(super) async fn run(_: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let done = match globals.client().down().await {
        Ok(()) => "down: detached, and what was changed is put back",
        Err(error) if error.kind == Kind::NotRunning => {
            let options = daemon::Options {
                verbose: globals.verbose,
                ..daemon::Options::new(&globals.instance)
            };
            match daemon::down_from_journal(&options).await? {
                0 => "down: no daemon, and nothing to put back",
                _ => "down: no daemon; what its journal held is put back",
            }
        }
        Err(error) => return Err(error),
    };
    globals.format().done(done)?;
    Ok(ExitCode::SUCCESS)
}
