//! `router-ctl monitor`: what changes, as it changes.

use std::{process::ExitCode, time::Duration};

use super::{globals::Globals, neigh, networks::per_second, routes};
use crate::{
    api::{
        event::{Event, What},
        model::{NetworkStatus, State, TrunkStatus, VerdictCount},
    },
    codes,
    error::{Error, Kind},
    hub::Interest,
    output::{self, BAD, BOLD, Format, GOOD, HELP, WARN},
    sys,
};

const EXAMPLES: &str = "\
Examples:
  router-ctl monitor                       health, problems, links, routes, neighbours
  router-ctl monitor --drops               packets per second, by verdict
  router-ctl -j monitor --routes | jq -r 'select(.event == \"route\") | .route.dst'

Health is always said; the options choose what else. With -v lines begin with the
date. It goes on until Ctrl-C, or until the daemon ends (exit code 3).";

/// Follow what changes: health, links, routes, neighbours, verdicts
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Every second: packets that were not forwarded, and those that were, by reason
    #[arg(long)]
    drops: bool,
    /// Routes that come and go
    #[arg(long)]
    routes: bool,
    /// Neighbours that come, change and go
    #[arg(long, visible_alias = "neighbours")]
    neigh: bool,
}

impl Args {
    const fn interest(&self) -> Interest {
        if !(self.drops || self.routes || self.neigh) {
            return Interest::USUAL;
        }
        Interest {
            drops: self.drops,
            routes: self.routes,
            neighbours: self.neigh,
            links: false,
        }
    }
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let format = globals.format();
    let family = globals.v6();
    let each = |event: Event| {
        if family.is_some_and(|v6| is_v6(&event.what).is_some_and(|is| is != v6)) {
            return Ok(());
        }
        output::print(&if format.json {
            // A line each, whatever -p says.
            let stream = Format {
                pretty: false,
                ..format
            };
            stream.json(&event)?
        } else {
            line(&event, format)
        })
    };
    globals.client().monitor(args.interest(), each).await?;
    Err(Error::new(
        Kind::NotRunning,
        codes::NOT_RUNNING,
        "the daemon has ended",
    ))
}

/// The family of what has one.
fn is_v6(what: &What) -> Option<bool> {
    match what {
        What::Route { route, .. } => Some(route.dst.addr().is_ipv6()),
        What::Neighbour { neighbour, .. } => Some(neighbour.ip.is_ipv6()),
        _ => None,
    }
}

fn line(event: &Event, format: Format) -> String {
    let time = sys::local_time(event.time_ms / 1000);
    let date = if format.verbose {
        format!("{:04}-{:02}-{:02} ", time.year, time.month, time.day)
    } else {
        String::new()
    };
    format!(
        "{date}{:02}:{:02}:{:02}.{:03}  {}",
        time.hour,
        time.minute,
        time.second,
        event.time_ms % 1000,
        text(&event.what)
    )
}

fn text(what: &What) -> String {
    match what {
        What::State { state } => {
            let (style, word) = match state {
                State::Forwarding => (GOOD, "forwarding"),
                State::Starting => (WARN, "starting"),
                State::Degraded => (BAD, "degraded"),
            };
            format!("{BOLD}state{BOLD:#} {style}{word}{style:#}")
        }
        What::Problem {
            gone: true,
            problem,
        } => {
            format!(
                "{BOLD}problem{BOLD:#} {GOOD}gone:{GOOD:#} {}",
                problem.message
            )
        }
        What::Problem {
            gone: false,
            problem,
        } => {
            let help = match problem.help.as_str() {
                "" => String::new(),
                help => format!("  {HELP}help:{HELP:#} {help}"),
            };
            let message = &problem.message;
            format!("{BOLD}problem{BOLD:#} {WARN}{message}{WARN:#}{help}")
        }
        What::Trunk { trunk } => format!("{BOLD}trunk{BOLD:#} {}", of_trunk(trunk)),
        What::Network { gone, network } => {
            format!(
                "{BOLD}network{BOLD:#} {}{}",
                deleted(*gone),
                of_network(network)
            )
        }
        What::Route { gone, route } => {
            format!(
                "{BOLD}route{BOLD:#} {}{}",
                deleted(*gone),
                routes::oneline(route)
            )
        }
        What::Neighbour { gone, neighbour } => format!(
            "{BOLD}neigh{BOLD:#} {}{}",
            deleted(*gone),
            neigh::oneline(neighbour)
        ),
        What::Verdicts {
            milliseconds,
            verdicts,
        } => {
            let rates: Vec<String> = verdicts
                .iter()
                .map(|verdict| rate(verdict, *milliseconds))
                .collect();
            format!("{BOLD}verdicts{BOLD:#} {}", rates.join("  "))
        }
        What::Overrun {} => {
            let why = "the kernel announced more than could be heard";
            format!("{BOLD}overrun{BOLD:#} {WARN}{why}{WARN:#}")
        }
        What::Missed { events } => {
            format!("{BOLD}missed{BOLD:#} {WARN}{events} events: read faster{WARN:#}")
        }
    }
}

/// As `ip monitor` says it.
const fn deleted(gone: bool) -> &'static str {
    if gone { "Deleted " } else { "" }
}

fn of_trunk(trunk: &TrunkStatus) -> String {
    let mut text = format!("{} xdp {}", trunk.interface, trunk.xdp_mode);
    match trunk.ifindex {
        None => text += " no such device",
        Some(ifindex) => text += &format!(" ifindex {ifindex}"),
    }
    if let Some(id) = trunk.prog_id {
        text += &format!(" prog router#{id}");
    }
    text
}

fn of_network(network: &NetworkStatus) -> String {
    let mut text = format!("{} dev {}", network.name, network.interface);
    if let Some(vlan) = network.vlan {
        text += &format!(" vlan {vlan}");
    }
    for gateway in &network.gateways {
        text += &format!(" {gateway}");
    }
    if let Some(mtu) = network.mtu {
        text += &format!(" mtu {mtu}");
    }
    format!("{text} state {}", network.state)
}

fn rate(verdict: &VerdictCount, milliseconds: u64) -> String {
    let seconds = Duration::from_millis(milliseconds).as_secs_f64();
    format!(
        "{} {:.0}/s",
        verdict.reason,
        per_second(verdict.packets, seconds)
    )
}
