//! `router-ctl networks`

use std::{collections::HashMap, process::ExitCode, time::Instant};

use ipnet::IpNet;

use super::{globals::Globals, watch};
use crate::{
    api::model::{NetworkStatus, Stats},
    codes,
    error::{Error, Kind},
    instance::router_ctl,
    output::{Format, table},
    service::RouteFilter,
};

const EXAMPLES: &str = "\
Examples:
  router-ctl networks                  all of them
  router-ctl networks mac10            one; `router-ctl net show dev mac10` is the same
  router-ctl --watch networks          packets per second that XDP forwards from each

States: up, down, missing, or why XDP does not forward for it. With -v also MAC and
ifindex.";

/// List the networks: VLAN, sub-interface, gateways, MTU, state
#[derive(clap::Args, Debug)]
#[command(
    after_help = EXAMPLES,
    override_usage = "router-ctl networks [OPTIONS] [list] [[dev] NETWORK]..."
)]
pub(super) struct Args {
    /// [list] [[dev] NETWORK]...
    #[arg(value_name = "NETWORK", hide = true)]
    words: Vec<String>,
}

/// The networks asked for; none: all.
fn named(words: &[String]) -> Result<Vec<&str>, Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["list" | "ls" | "show", rest @ ..] | rest => rest,
    };
    match words {
        ["dev"] => Err(
            Error::new(Kind::Usage, codes::USAGE, "nothing behind `dev`")
                .help("router-ctl networks dev mac10"),
        ),
        ["dev", rest @ ..] | rest => Ok(rest.to_vec()),
    }
}

/// Those of `names`, in their order.
fn chosen(
    instance: &str,
    networks: Vec<NetworkStatus>,
    names: &[&str],
) -> Result<Vec<NetworkStatus>, Error> {
    let missing = names
        .iter()
        .find(|name| !networks.iter().any(|network| network.name == **name));
    if let Some(name) = missing {
        return Err(unknown_network(instance, name));
    }
    let wanted =
        |network: &NetworkStatus| names.is_empty() || names.contains(&network.name.as_str());
    Ok(networks.into_iter().filter(wanted).collect())
}

pub(super) fn unknown_network(instance: &str, name: &str) -> Error {
    Error::new(
        Kind::Failed,
        codes::NETWORK_UNKNOWN,
        format!("there is no network {name}"),
    )
    .help(format!("`{} networks` lists them", router_ctl(instance)))
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let client = globals.client();
    let format = globals.format();
    let families = globals.families();
    let names = named(&args.words)?;
    let mut rates = globals.watch.map(|_| Rates::default());
    watch::repeat(globals, async || {
        let mut networks = chosen(&globals.instance, client.networks().await?, &names)?;
        for network in &mut networks {
            network.gateways.retain(|net| wanted(*net, families));
        }
        if format.json {
            return format.json(&networks);
        }
        let pps = match &mut rates {
            Some(rates) => Some(rates.next(&client.stats().await?)),
            None => None,
        };
        Ok(if format.oneline {
            let lines: Vec<String> = networks.iter().map(oneline).collect();
            lines.join("\n")
        } else {
            listing(&networks, pps.as_ref(), format)
        })
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(net: IpNet, families: RouteFilter) -> bool {
    match net {
        IpNet::V4(_) => families.v4,
        IpNet::V6(_) => families.v6,
    }
}

fn listing(networks: &[NetworkStatus], pps: Option<&Pps>, format: Format) -> String {
    let mut header = vec!["NAME", "VLAN", "INTERFACE", "GATEWAYS", "MTU", "STATE"];
    if pps.is_some() {
        header.push("PPS");
    }
    if format.verbose {
        header.extend(["MAC", "IFINDEX"]);
    }
    let rows = networks.iter().map(|network| {
        let mut row = vec![
            network.name.clone(),
            or_dash(network.vlan),
            network.interface.clone(),
            gateways(network, ", "),
            or_dash(network.mtu),
            network.state.clone(),
        ];
        if let Some(pps) = pps {
            row.push(
                pps.get(&network.name)
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}")),
            );
        }
        if format.verbose {
            row.extend([or_dash(network.mac.as_ref()), or_dash(network.ifindex)]);
        }
        row
    });
    table(&header, rows.collect(), format)
}

fn oneline(network: &NetworkStatus) -> String {
    format!(
        "{} vlan {} dev {} trunk {} gateway {} mac {} mtu {} state {}",
        network.name,
        or_dash(network.vlan),
        network.interface,
        network.trunk,
        gateways(network, ","),
        or_dash(network.mac.as_ref()),
        or_dash(network.mtu),
        network.state,
    )
}

fn gateways(network: &NetworkStatus, between: &str) -> String {
    if network.gateways.is_empty() {
        return "-".to_owned();
    }
    let all: Vec<String> = network.gateways.iter().map(IpNet::to_string).collect();
    all.join(between)
}

/// What there is, or `-`.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Packets per second by network.
type Pps = HashMap<String, f64>;

/// Counters of the last look, to make rates of.
#[derive(Debug, Default)]
struct Rates {
    last: Option<(Instant, HashMap<String, u64>)>,
}

impl Rates {
    /// Rates since the last look; empty at the first.
    fn next(&mut self, stats: &Stats) -> Pps {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for pair in &stats.pairs {
            *counts.entry(pair.from.clone()).or_default() += pair.packets;
        }
        let now = Instant::now();
        let rates = match &self.last {
            None => HashMap::new(),
            Some((then, before)) => {
                let seconds = now.duration_since(*then).as_secs_f64();
                counts
                    .iter()
                    .map(|(name, count)| {
                        let grown = count.saturating_sub(before.get(name).copied().unwrap_or(0));
                        (name.clone(), per_second(grown, seconds))
                    })
                    .collect()
            }
        };
        self.last = Some((now, counts));
        rates
    }
}

/// `grown` in `seconds`, as a rate.
pub(super) fn per_second(grown: u64, seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 0.0;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people: 2^53 packets is exact enough"
    )]
    let grown = grown as f64;
    grown / seconds
}
