//! Routes that users made with `routes add`: they stay when the configuration
//! changes, and are put back where the device that they went by is made anew.

use std::net::IpAddr;

use ipnet::IpNet;
use tracing::{info, warn};

use crate::{
    daemon::{engine::Engine, host::Host},
    error::Error,
    journal::Effect,
    netlink::{
        PROTOCOL,
        types::{Route, RouteChange, RouteSpec, TABLE_MAIN, Tables},
    },
};

impl Engine {
    /// Notes what there is of them, before anything is done.
    pub(super) async fn remember_users_routes(&mut self) -> Result<(), Error> {
        let now = users_routes(&self.host).await?;
        // Those that had no place in the configuration before may have one in
        // this one.
        let known = |spec: &RouteSpec| now.iter().any(|(other, _)| is_same(spec, other));
        self.aside
            .routes
            .retain(|(spec, _)| !known(spec) && is_users(&self.host, spec.dst, spec.metric));
        self.aside.routes.extend(now.iter().cloned());
        Ok(())
    }

    /// Puts back users' routes that went with a device.
    pub(super) async fn restore_users_routes(&mut self) -> Result<(), Error> {
        if self.aside.routes.is_empty() || self.host.is_rehearsing() {
            return Ok(());
        }
        let tables = self.host.tables().await?;
        for (mut spec, device) in self.aside.routes.clone() {
            let is_it =
                |route: &Route| ours(route) && (route.dst, route.metric) == (spec.dst, spec.metric);
            if tables.routes.iter().any(is_it) {
                continue;
            }
            // The subnet of the next hop may be another device's by now.
            let is_local = spec.via.is_none_or(is_link_local);
            spec.device = device
                .filter(|_| is_local)
                .and_then(|name| Some(tables.link(&name)?.ifindex));
            let added = self
                .host
                .change_route(RouteChange::Add, &spec, false)
                .await?;
            match added {
                Ok(()) => info!(dst = %spec.dst, "put back a route that went with its device"),
                Err(error) => warn!(dst = %spec.dst, %error, "a user's route is lost"),
            }
        }
        Ok(())
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn ours(route: &Route) -> bool {
    route.table == TABLE_MAIN && route.protocol == PROTOCOL
}

fn is_same(a: &RouteSpec, b: &RouteSpec) -> bool {
    (a.dst, a.metric) == (b.dst, b.metric)
}

/// Whether `routes add` made this route.
fn is_users(host: &Host, to: IpNet, with: u32) -> bool {
    host.journal.entries().iter().any(|entry| {
        matches!(entry.effect, Effect::Route { dst, metric, configured: false }
            if dst == to && metric == with)
    })
}

/// The routes that `routes add` made, each with the name of its device.
async fn users_routes(host: &Host) -> Result<Vec<(RouteSpec, Option<String>)>, Error> {
    let has_some = host.journal.entries().iter().any(|entry| {
        matches!(
            entry.effect,
            Effect::Route {
                configured: false,
                ..
            }
        )
    });
    if !has_some {
        return Ok(Vec::new());
    }
    let tables: Tables = host.tables().await?;
    let routes = tables
        .routes
        .iter()
        .filter(|route| ours(route) && is_users(host, route.dst, route.metric));
    Ok(routes
        .filter_map(|route| {
            let [leg] = &route.legs[..] else { return None };
            let device = leg.device.and_then(|device| tables.link_of(device));
            let spec = RouteSpec {
                dst: route.dst,
                via: leg.via,
                device: None,
                metric: route.metric,
                source: route.source,
            };
            Some((spec, device.map(|link| link.name.clone())))
        })
        .collect())
}
