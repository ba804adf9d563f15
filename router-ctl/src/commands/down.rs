//! `router-ctl down`

use std::{path::PathBuf, process::ExitCode};

use super::globals::Globals;
use crate::{
    daemon,
    error::{Error, Kind},
};

/// Detach XDP and put back what `run` changed; the daemon ends
///
/// Sub-interfaces, addresses and settings that were there before stay. Works
/// without the daemon, too, from the journal that it kept. Where that is lost, XDP
/// is detached, and the rest is named: nobody knows what was there before.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Mount point of the bpffs that `run --bpffs` named; matters only where the
    /// journal is lost [default: /sys/fs/bpf]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
}

pub(super) async fn run(args: Args, globals: &Globals) -> Result<ExitCode, Error> {
    let done = match globals.client().down().await {
        Ok(()) => "down: detached, and what was changed is put back",
        Err(error) if error.kind == Kind::NotRunning => {
            let usual = daemon::Options::new(&globals.instance);
            let options = daemon::Options {
                verbose: globals.verbose,
                bpffs: args.bpffs.unwrap_or_else(|| usual.bpffs.clone()),
                ..usual
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
