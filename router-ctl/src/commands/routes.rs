//! `router-ctl routes`: in the words of `ip route`.

use std::process::ExitCode;

use clap::Subcommand;
use ipnet::IpNet;

use super::{globals::Globals, networks::or_dash, route_get, route_select::Selection, watch};
use crate::{
    api::model::{Route, RouteChange, RouteVerb, RunningConfig},
    codes,
    config::{Edited, RouteEdit, StaticRoute},
    error::{Error, Kind},
    instance::router_ctl,
    output::{Format, table},
};

/// Who made it, as the kernel's tables say of our routes.
const OURS: &str = "router-ctl";

const EXAMPLES: &str = "\
Examples:
  router-ctl routes                                  both families; -4 or -6 for one
  router-ctl routes list dev mac10 proto bird        some of them
  router-ctl routes get 10.9.0.1 from 172.16.20.10
  router-ctl routes add 10.9.0.0/16 via 172.16.10.9
  router-ctl routes replace default via 192.0.2.1 dev wan metric 100
  router-ctl routes del 10.9.0.0/16
  router-ctl routes add --persist 10.7.0.0/16 via 172.16.10.9
  router-ctl routes flush dev mac10                  all that were added here

Changes go into the kernel's main table, with proto router-ctl: `ip route` shows
them, too. They last until the daemon's `down` or a reboot; with --persist they are
written into the daemon's file, which keeps its comments. Only routes of that
proto can be deleted here; `ip route` deletes others.";

/// List, ask for and change the kernel's routes
#[derive(clap::Args, Debug)]
#[command(
    after_help = EXAMPLES,
    infer_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// All routes that concern the networks [default]
    #[command(visible_aliases = ["ls", "show"])]
    List(RouteFilterWords),
    /// The route that the kernel chooses: IP [from IP]
    Get(route_get::Args),
    /// Make a route; refuses one that exists
    Add(Words),
    /// Make or change a route
    Replace(Words),
    /// Delete a route that router-ctl made
    #[command(visible_alias = "delete")]
    Del(Words),
    /// Delete the routes that router-ctl made and that are not in the configuration
    Flush(RouteFilterWords),
}

/// As `ip route show` and `flush` take them.
#[derive(clap::Args, Debug, Default)]
struct RouteFilterWords {
    /// [PREFIX] [via IP] [dev NETWORK] [proto NAME]
    #[arg(value_name = "ROUTES")]
    words: Vec<String>,
}

/// What `ip route` takes, too.
#[derive(clap::Args, Debug)]
struct Words {
    /// PREFIX via IP [dev NETWORK] [metric N] [src IP]; PREFIX may be `default`
    #[arg(required = true, value_name = "ROUTE")]
    words: Vec<String>,
    /// Write it into the daemon's configuration file, too
    #[arg(long)]
    persist: bool,
}

impl Args {
    pub(super) const fn repeats(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List(_)))
    }
}

pub(super) async fn run(args: Args, globals: &Globals) -> Result<ExitCode, Error> {
    match args.verb.unwrap_or(Verb::List(RouteFilterWords::default())) {
        Verb::List(words) => list(&Selection::read(&words.words)?, globals).await?,
        Verb::Flush(words) => flush(&Selection::read(&words.words)?, globals).await?,
        Verb::Get(args) => return route_get::run(&args, globals).await,
        Verb::Add(words) => change(RouteVerb::Add, &words, globals).await?,
        Verb::Replace(words) => change(RouteVerb::Replace, &words, globals).await?,
        Verb::Del(words) => change(RouteVerb::Del, &words, globals).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(selection: &Selection, globals: &Globals) -> Result<(), Error> {
    let client = globals.client();
    let format = globals.format();
    watch::repeat(globals, async || {
        let mut routes = client.routes(globals.families()).await?;
        let networks = client.networks().await?;
        selection.check(&globals.instance, &networks, &routes)?;
        routes.retain(|route| selection.takes(route));
        if format.json {
            format.json(&routes)
        } else if format.oneline {
            Ok(routes.iter().map(oneline).collect::<Vec<_>>().join("\n"))
        } else {
            Ok(listing(&routes, format))
        }
    })
    .await
}

fn listing(routes: &[Route], format: Format) -> String {
    let rows = routes.iter().map(|route| {
        vec![
            destination(route),
            or_dash(route.via),
            route.network.clone(),
            or_dash(route.vlan),
            route.proto.clone(),
            route.metric.to_string(),
        ]
    });
    let header = ["DST", "VIA", "NETWORK", "VLAN", "PROTO", "METRIC"];
    table(&header, rows.collect(), format)
}

/// As `ip route` would print it.
pub(super) fn oneline(route: &Route) -> String {
    let via = route
        .via
        .map_or_else(String::new, |via| format!(" via {via}"));
    let vlan = route
        .vlan
        .map_or_else(String::new, |vlan| format!(" vlan {vlan}"));
    format!(
        "{}{via} dev {}{vlan} proto {} metric {}",
        destination(route),
        route.network,
        route.proto,
        route.metric
    )
}

fn destination(route: &Route) -> String {
    let dst = route.dst;
    match dst.prefix_len() {
        0 => "default".to_owned(),
        len if len == dst.max_prefix_len() => dst.addr().to_string(),
        _ => dst.to_string(),
    }
}

async fn change(verb: RouteVerb, words: &Words, globals: &Globals) -> Result<(), Error> {
    let (name, done) = match verb {
        RouteVerb::Add => ("add", "added"),
        RouteVerb::Replace => ("replace", "set"),
        RouteVerb::Del => ("del", "deleted"),
    };
    // A route to delete may be named by its prefix alone.
    let way = verb != RouteVerb::Del;
    let route =
        StaticRoute::from_words(&format!("routes {name}"), &words.words, globals.v6(), way)?;
    let dst = route.to;
    let client = globals.client();
    let edited = if words.persist {
        Some(edit(
            &globals.instance,
            verb,
            &route,
            &client.config(false).await?,
        )?)
    } else {
        None
    };
    let metric = match &edited {
        // It may have been left out.
        Some((edited, _)) => edited.route.metric,
        None => route.metric,
    };
    let persist = edited.is_some();
    client
        .route_change(&RouteChange {
            verb,
            dst,
            via: route.via,
            network: route.network,
            metric: match metric {
                None if persist => Some(StaticRoute::DEFAULT_METRIC),
                metric => metric,
            },
            src: route.src,
            persist,
        })
        .await?;
    let format = globals.format();
    match edited {
        None => format.done(&format!("{done}: {dst}")),
        Some((edited, file)) => {
            edited.commit()?;
            format.done(&format!("{done}: {dst}, and in {file}"))
        }
    }
}

/// The daemon's file with the change, ready to be put into its place: what can
/// go wrong there goes wrong before the daemon is asked.
fn edit(
    instance: &str,
    verb: RouteVerb,
    route: &StaticRoute,
    running: &RunningConfig,
) -> Result<(Edited, String), Error> {
    let Some(file) = &running.source else {
        return Err(Error::new(
            Kind::Failed,
            codes::CONFIG_WITHOUT_FILE,
            "the daemon has no configuration file to write to",
        )
        .help(format!(
            "leave --persist out, or start the daemon with `{} run --config FILE`",
            router_ctl(instance)
        )));
    };
    let edit = match verb {
        RouteVerb::Add => RouteEdit::Add,
        RouteVerb::Replace => RouteEdit::Set,
        RouteVerb::Del => RouteEdit::Remove,
    };
    let edited = Edited::prepare(instance, file.as_ref(), edit, route)?;
    Ok((edited, file.clone()))
}

/// Deletes those that were added here: what the configuration wants would come
/// back, and until then be missing.
async fn flush(selection: &Selection, globals: &Globals) -> Result<(), Error> {
    let client = globals.client();
    let configured = configured(&client.config(false).await?);
    let mut routes = client.routes(globals.families()).await?;
    selection.check(&globals.instance, &client.networks().await?, &routes)?;
    routes.retain(|route| {
        route.proto == OURS
            && selection.takes(route)
            && !configured.contains(&(route.dst, route.metric))
    });
    for route in &routes {
        let change = RouteChange {
            verb: RouteVerb::Del,
            dst: route.dst,
            via: route.via,
            network: device(&route.network),
            metric: Some(route.metric),
            src: None,
            persist: false,
        };
        client.route_change(&change).await?;
    }
    let format = globals.format();
    match routes.len() {
        0 => format.done("nothing to delete"),
        1 => format.done("deleted: 1 route"),
        all => format.done(&format!("deleted: {all} routes")),
    }
}

/// The network or interface that a route leaves by, as a change names it.
fn device(network: &str) -> Option<String> {
    let name = network.strip_prefix("dev:").unwrap_or(network);
    (name != "-").then(|| name.to_owned())
}

/// Destinations and metrics of the routes in the configuration.
fn configured(running: &RunningConfig) -> Vec<(IpNet, u32)> {
    let routes = running.config["route"].as_array();
    let routes = routes.into_iter().flatten().filter_map(|route| {
        let to = route["to"].as_str()?.parse::<IpNet>().ok()?.trunc();
        let metric = route["metric"].as_u64().and_then(|n| u32::try_from(n).ok());
        Some((to, metric.unwrap_or(StaticRoute::DEFAULT_METRIC)))
    });
    routes.collect()
}
