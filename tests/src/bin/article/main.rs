//! The article, as a program: a switch, a router, two container hosts and four
//! containers, with `router-ctl` where the article types `vconfig` and
//! `sysctl`, and a proof of who forwarded what.
//!
//! * [`scenario`] is the story, [`steps`] are its scenes
//! * [`daemon`] is `router-ctl` in node1, [`by_hand`] what the article types
//!   instead
//! * [`proof`] counts at the sinks, in the kernel and in XDP, and compares
//! * [`report`] is what is printed
//! * [`environment`] is about the machine it runs on, [`keep`] about playing on
//!
//! The last line is `ARTICLE RESULT: ok` or `ARTICLE RESULT: failed: why`;
//! `cargo xtask run` reads it when the article is played in a virtual machine.

mod by_hand;
mod daemon;
mod environment;
mod keep;
mod proof;
mod report;
mod scenario;
mod steps;

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use clap::Parser;

/// Play the article: box1 on VLAN 100 reaches box4 on VLAN 200 through router-ctl
///
/// Needs root and a kernel with 802.1Q. Everything happens in network namespaces
/// of its own, which are gone in the end.
#[derive(Debug, Parser)]
#[command(name = "article", max_term_width = 100)]
struct Args {
    /// The router-ctl to run in node1
    #[arg(long, value_name = "PATH", required_unless_present_any = ["by_hand", "ping"])]
    router_ctl: Option<PathBuf>,
    /// Leave it standing until Enter or Ctrl-C, to play with it
    #[arg(long)]
    keep: bool,
    /// Put a pass-everything XDP program in place of the router's: the kernel
    /// must then have forwarded every packet
    #[arg(long)]
    without_xdp: bool,
    /// Set node1 up as the article does, with `ip` and `sysctl`, without
    /// router-ctl and XDP
    #[arg(long, conflicts_with_all = ["router_ctl", "without_xdp"])]
    by_hand: bool,
    /// MiB per TCP transfer and direction
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=4096))]
    mebibytes: u64,
    /// Only ping an address from the namespace this runs in: a bare Debian has no
    /// ping
    #[arg(long, value_name = "ADDRESS", exclusive = true)]
    ping: Option<IpAddr>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(address) = args.ping {
        return keep::ping(address);
    }
    match scenario::play(&args) {
        Ok(()) => {
            report::line("ARTICLE RESULT: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // One line: whoever reads it reads lines.
            let reason = format!("{error:#}");
            let reason: Vec<&str> = reason.lines().map(str::trim).collect();
            report::line(&format!("ARTICLE RESULT: failed: {}", reason.join("; ")));
            ExitCode::FAILURE
        }
    }
}
