//! `router-ctl run`: the daemon.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::globals::Globals;
use crate::{
    config::{Loaded, Options},
    daemon,
    error::Error,
    instance::DEFAULT,
};

/// Where the configuration of the default instance is, if nothing else is said.
pub(super) const DEFAULT_CONFIG: &str = "/etc/router-ctl/router.toml";

/// The same of any instance.
pub(super) fn default_config(instance: &str) -> PathBuf {
    match instance {
        DEFAULT => DEFAULT_CONFIG.into(),
        name => Path::new("/etc/router-ctl").join(format!("{name}.toml")),
    }
}

const EXAMPLES: &str = "\
Examples:
  router-ctl run                                     /etc/router-ctl/router.toml
  router-ctl run --instance lab                      /etc/router-ctl/lab.toml
  router-ctl run --config lab.toml --instance lab
  router-ctl run --trunk eth0 \\
      --network mac10=100:172.16.10.1/24,fd00:10::1/64 \\
      --network mac20=200:172.16.20.1/24,fd00:20::1/64 \\
      --network wan=untagged \\
      --route \"10.9.0.0/16 via 172.16.10.9\"

As a service: `systemctl enable --now router-ctl@default` (or @lab). Here it stays in the
foreground and logs to standard error. SIGTERM and SIGINT end it: XDP goes on
forwarding for `direct_lease` (60 s), and then the kernel, alone. The next start takes
over without a gap. `router-ctl down` puts everything back.";

/// Bring the networks up and forward between them: the daemon, in the foreground
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration [default: /etc/router-ctl/router.toml, or NAME.toml of --instance NAME]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trunks", "networks", "routes", "xdp"])]
    config: Option<PathBuf>,
    /// NIC that carries the VLANs; in place of a file
    #[arg(long = "trunk", value_name = "INTERFACE")]
    trunks: Vec<String>,
    /// Network: NAME=VLAN[@TRUNK][:ADDRESS/LENGTH,...], VLAN may be `untagged`
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Static route: "PREFIX via IP [dev NETWORK] [metric N] [src IP]"
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// How to attach to the trunks: native, generic, auto or off
    #[arg(long, value_name = "MODE", requires = "trunks")]
    xdp: Option<String>,
    /// Mount point of the bpffs, where maps and links are pinned [default: /sys/fs/bpf]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Detach XDP programs of others from the trunks, in place of refusing to
    /// start
    #[arg(long)]
    takeover: bool,
    /// For tests on kernels without 802.1Q: any device named with `interface`
    /// may stand in for a sub-interface
    #[arg(long, hide = true)]
    stand_in: bool,
}

pub(super) async fn run(args: Args, globals: &Globals) -> Result<ExitCode, Error> {
    let from_options =
        !(args.trunks.is_empty() && args.networks.is_empty() && args.routes.is_empty());
    let config = if from_options {
        Loaded::from_options(&Options {
            trunks: args.trunks,
            xdp: args.xdp,
            networks: args.networks,
            routes: args.routes,
        })?
    } else {
        Loaded::load(
            &args
                .config
                .unwrap_or_else(|| default_config(&globals.instance)),
        )?
    };
    let usual = daemon::Options::new(&globals.instance);
    let options = daemon::Options {
        bpffs_named: args.bpffs.is_some(),
        bpffs: args.bpffs.unwrap_or_else(|| usual.bpffs.clone()),
        takeover: args.takeover,
        stand_in: args.stand_in,
        verbose: globals.verbose,
        ..usual
    };
    daemon::run(config, options).await?;
    Ok(ExitCode::SUCCESS)
}
