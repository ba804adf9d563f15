//! The daemon as the API sees it.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::oneshot;

use super::{
    bringup,
    configure::{self, Request},
    engine::{Command, Shared},
    fail,
    host::Host,
    view,
};
use crate::{
    api::model::{
        ConfigApplied, ConfigApply, ConfigChange, Neighbour, NetworkStatus, Route, RouteAnswer,
        RouteChange, RouteVerb, RunningConfig, Stats, Status,
    },
    codes,
    config::{StaticRoute, diff},
    error::{Error, Kind},
    hub::{Ear, Interest},
    instance::router_ctl,
    netlink::{self, types, types::RouteKind},
    service::{NeighbourFilter, RouteFilter, Service},
};

/// A running daemon.
#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn read_stats(&self) -> Result<Stats, Error> {
        let counters = match self.shared.dataplane().as_ref() {
            Some(dataplane) => dataplane
                .counters()
                .map_err(|error| fail::dataplane(&error))?,
            None => Default::default(),
        };
        let known = self.shared.known();
        Ok(view::stats(&known.config, &known.numbering, &counters))
    }

    /// The network that a source is a host of: packets from there come in by
    /// its device.
    fn device_of(&self, source: IpAddr) -> Result<router_common::wire::IfIndex, Error> {
        let known = self.shared.known();
        let addresses = &known.kernel.tables.addresses;
        let mut own = addresses.iter().filter(|address| {
            address.address.contains(&source) && known.network_of(address.ifindex).is_some()
        });
        own.next().map(|address| address.ifindex).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                codes::DEVICE_UNKNOWN,
                format!("{source} is in none of the networks"),
            )
            .help(format!(
                "`{} networks` shows what is in them",
                router_ctl(&self.shared.instance)
            ))
        })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command + Send,
    ) -> Result<T, Error> {
        let ending = || {
            Error::new(Kind::NotRunning, codes::NOT_RUNNING, "the daemon is ending").help(format!(
                "start it again once it has ended: `{} run`",
                router_ctl(&self.shared.instance)
            ))
        };
        let (answer, answered) = oneshot::channel();
        let sent = self.shared.commands.send(command(answer)).await;
        sent.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }
}

impl Service for Handle {
    async fn status(&self) -> Result<Status, Error> {
        let stats = self.read_stats()?;
        let known = self.shared.known();
        let config = &known.config;
        let health = known.health();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.shared.instance.clone(),
            state: health.state,
            problems: health.problems,
            warnings: [health.warnings, known.warnings.clone()].concat(),
            pid: std::process::id(),
            uptime_seconds: self.shared.started.elapsed().as_secs(),
            config: config
                .source
                .as_ref()
                .map(|path| path.display().to_string()),
            config_state: self.shared.config_notes().state(),
            trunks: known.trunks(),
            networks: known.networks(),
            following: known.following.clone(),
            stats,
        })
    }

    async fn networks(&self) -> Result<Vec<NetworkStatus>, Error> {
        Ok(self.shared.known().networks())
    }

    async fn routes(&self, filter: RouteFilter) -> Result<Vec<Route>, Error> {
        let mut routes = self
            .shared
            .netlink
            .routes()
            .await
            .map_err(|error| fail::refused(codes::NETLINK, "cannot read the routes", &error))?;
        if filter.v4 != filter.v6 {
            routes.retain(|route| route.dst.addr().is_ipv4() == filter.v4);
        }
        Ok(self.shared.known().routes(&routes))
    }

    async fn route_get(&self, dst: IpAddr, from: Option<IpAddr>) -> Result<RouteAnswer, Error> {
        let from = match from {
            Some(source) => Some((source, self.device_of(source)?)),
            None => None,
        };
        let answer = self
            .shared
            .netlink
            .lookup(dst, from)
            .await
            .map_err(|error| {
                fail::refused(
                    codes::ROUTE_REFUSED,
                    format!("the kernel does not say where {dst} is"),
                    &error,
                )
                .or_help(|| what_is_known(&self.shared.instance))
            })?;
        let leaves = |kind| !matches!(kind, RouteKind::Local | RouteKind::Broadcast);
        let device = answer.device.filter(|_| leaves(answer.kind));
        let way = device.map(|device| self.shared.known().name_of(Some(device)));
        Ok(RouteAnswer {
            dst,
            via: answer.via,
            network: way.as_ref().map(|(network, _)| network.clone()),
            vlan: way.and_then(|(_, vlan)| vlan),
            src: answer.source,
            kind: answer.kind.name().into(),
        })
    }

    async fn neighbours(&self, filter: NeighbourFilter) -> Result<Vec<Neighbour>, Error> {
        let all =
            self.shared.netlink.neighbours().await.map_err(|error| {
                fail::refused(codes::NETLINK, "cannot read the neighbours", &error)
            })?;
        let known = self.shared.known();
        if let Some(name) = &filter.network
            && !known
                .config
                .networks
                .iter()
                .any(|network| network.name == *name)
        {
            return Err(Error::new(
                Kind::Failed,
                codes::NETWORK_UNKNOWN,
                format!("there is no network {name}"),
            )
            .help(format!(
                "`{} networks` lists them",
                router_ctl(&self.shared.instance)
            )));
        }
        Ok(known.neighbours(&all, &filter))
    }

    async fn route_change(&self, change: RouteChange) -> Result<(), Error> {
        self.ask(|answer| Command::Route(change, answer)).await
    }

    async fn monitor(&self, interest: Interest) -> Result<Ear, Error> {
        Ok(self.shared.news.listen(interest, &self.shared.known()))
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.read_stats()
    }

    async fn config(&self, effective: bool) -> Result<RunningConfig, Error> {
        let config = self.shared.config();
        Ok(RunningConfig {
            source: config
                .source
                .as_ref()
                .map(|path| path.display().to_string()),
            toml: config.to_toml(effective),
            config: config.to_json(effective),
        })
    }

    async fn config_diff(&self) -> Result<Vec<ConfigChange>, Error> {
        let running = self.shared.config();
        let loaded = configure::load(&self.shared.instance, &running)?;
        Ok(diff(&running, &loaded.config))
    }

    async fn config_apply(&self, request: ConfigApply) -> Result<ConfigApplied, Error> {
        self.ask(|answer| Command::Configure(Request::Apply(request), answer))
            .await
    }

    async fn config_confirm(&self) -> Result<(), Error> {
        self.ask(|answer| Command::Configure(Request::Confirm, answer))
            .await
            .map(drop)
    }

    async fn config_rollback(&self) -> Result<ConfigApplied, Error> {
        self.ask(|answer| Command::Configure(Request::Rollback, answer))
            .await
    }

    async fn down(&self) -> Result<(), Error> {
        // It may take longer than a watchdog waits.
        self.shared.supervisor.stopping();
        self.ask(Command::Down).await
    }
}

/// Changes a route as a user asked.
pub(super) async fn change_route(
    shared: &Shared,
    host: &mut Host,
    change: RouteChange,
) -> Result<(), Error> {
    let tables =
        types::Tables {
            links: host.netlink.links().await.map_err(|error| {
                fail::refused(codes::NETLINK, "cannot read the devices", &error)
            })?,
            ..types::Tables::default()
        };
    let verb = change.verb;
    let dst = change.dst;
    let metric = match (verb, change.metric) {
        (_, Some(metric)) => Some(StaticRoute::kernel_metric(dst, metric)),
        // As `ip route del`: the one that the kernel would choose.
        (RouteVerb::Del, None) => host
            .our_metric(dst, None)
            .await
            .map_err(|error| fail::refused(codes::NETLINK, "cannot read the routes", &error))?,
        (RouteVerb::Add | RouteVerb::Replace, None) => None,
    };
    let route = StaticRoute {
        to: dst,
        via: change.via,
        network: change.network,
        metric,
        src: change.src,
    };
    if verb != RouteVerb::Del {
        needs_device(&route)?;
    }
    let persist = change.persist;
    let mut spec = bringup::route_spec(&shared.config(), &route, &tables)?;
    if verb == RouteVerb::Del && route.network.is_none() {
        // Whatever device it is by.
        spec.device = None;
    }
    if verb == RouteVerb::Replace {
        // The kernel would replace anybody's.
        let tables = host
            .netlink
            .tables()
            .await
            .map_err(|error| fail::refused(codes::NETLINK, "cannot read the routes", &error))?;
        bringup::ours_in_place(&spec, &tables)?;
    }
    let kind = match verb {
        RouteVerb::Add => types::RouteChange::Add,
        RouteVerb::Replace => types::RouteChange::Replace,
        RouteVerb::Del => types::RouteChange::Delete,
    };
    host.change_route(kind, &spec, persist)
        .await?
        .map_err(|error| refusal(&shared.instance, verb, dst, &error))?;
    if persist {
        // The file says so, too: it is no change any more.
        let mut config = (*shared.config()).clone();
        let metric = |route: &StaticRoute| route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
        let same = |other: &StaticRoute| other.to == dst && metric(other) == metric(&route);
        match config.routes.iter_mut().find(|other| same(other)) {
            Some(_) if verb == RouteVerb::Del => config.routes.retain(|other| !same(other)),
            Some(other) => *other = route,
            None if verb == RouteVerb::Del => {}
            None => config.routes.push(route),
        }
        host.saved.amend(&config);
        shared.set_config(config);
    }
    Ok(())
}

/// A link-local next hop is on every network: one has to be named.
pub(super) fn needs_device(route: &StaticRoute) -> Result<(), Error> {
    match route.via {
        Some(IpAddr::V6(via)) if via.is_unicast_link_local() && route.network.is_none() => {
            Err(Error::new(
                Kind::Usage,
                codes::NEXT_HOP_INVALID,
                format!("next hop {via} is link-local: it exists on every network"),
            )
            .help("say on which: dev NETWORK"))
        }
        _ => Ok(()),
    }
}

fn what_is_known(instance: &str) -> String {
    format!(
        "`{0} networks` says whether the network is up, `{0} routes` what the kernel knows",
        router_ctl(instance)
    )
}

fn refusal(instance: &str, verb: RouteVerb, dst: ipnet::IpNet, error: &netlink::Error) -> Error {
    let router_ctl = router_ctl(instance);
    match (verb, error.errno()) {
        (RouteVerb::Add, Some(libc::EEXIST)) => Error::new(
            Kind::Failed,
            codes::ROUTE_EXISTS,
            format!("there is a route to {dst} with this metric already"),
        )
        .help(format!(
            "change it with `{router_ctl} routes replace`, or give this one another metric"
        )),
        (RouteVerb::Del, Some(libc::ESRCH)) => Error::new(
            Kind::Failed,
            codes::ROUTE_MISSING,
            format!("there is no route to {dst} of `proto router-ctl`"),
        )
        .help(format!(
            "`{router_ctl} routes` shows those there are; those of others are theirs to remove"
        )),
        _ => {
            let word = match verb {
                RouteVerb::Add => "add",
                RouteVerb::Replace => "replace",
                RouteVerb::Del => "delete",
            };
            let message = format!("cannot {word} the route to {dst}");
            fail::refused(codes::ROUTE_REFUSED, message, error).or_help(|| what_is_known(instance))
        }
    }
}
