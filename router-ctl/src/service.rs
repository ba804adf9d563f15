//! What a running daemon offers, apart from how it is asked.
//!
//! The API (`api`) turns requests into these calls; the daemon implements them.
//! The seam lets the API be tested without a kernel.

use std::{future::Future, net::IpAddr};

use crate::{
    api::model::{
        ConfigApplied, ConfigApply, ConfigChange, Neighbour, NetworkStatus, Route, RouteAnswer,
        RouteChange, RunningConfig, Stats, Status,
    },
    error::Error,
    hub::{Ear, Interest},
};

/// Which routes to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteFilter {
    /// IPv4 routes.
    pub v4: bool,
    /// IPv6 routes.
    pub v6: bool,
}

/// Which neighbours to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeighbourFilter {
    /// Families.
    pub families: RouteFilter,
    /// Network by name; `None`: all.
    pub network: Option<String>,
}

/// A running daemon.
pub trait Service: Send + Sync + 'static {
    /// Health at a glance.
    fn status(&self) -> impl Future<Output = Result<Status, Error>> + Send;

    /// The networks, as they are now.
    fn networks(&self) -> impl Future<Output = Result<Vec<NetworkStatus>, Error>> + Send;

    /// Routes of the kernel's main table (and of the networks' VRFs).
    fn routes(&self, filter: RouteFilter)
    -> impl Future<Output = Result<Vec<Route>, Error>> + Send;

    /// The route that the kernel chooses for `dst`, asked as `ip route get`;
    /// with `from`, for a packet that comes from there.
    fn route_get(
        &self,
        dst: IpAddr,
        from: Option<IpAddr>,
    ) -> impl Future<Output = Result<RouteAnswer, Error>> + Send;

    /// Changes one route in the kernel's main table, `proto router-ctl`.
    fn route_change(&self, change: RouteChange) -> impl Future<Output = Result<(), Error>> + Send;

    /// Neighbours on the networks, by network and address.
    fn neighbours(
        &self,
        filter: NeighbourFilter,
    ) -> impl Future<Output = Result<Vec<Neighbour>, Error>> + Send;

    /// Hears what changes from now on.
    fn monitor(&self, interest: Interest) -> impl Future<Output = Result<Ear, Error>> + Send;

    /// Counters since the maps were made.
    fn stats(&self) -> impl Future<Output = Result<Stats, Error>> + Send;

    /// The configuration in force; `effective`: with every default.
    fn config(&self, effective: bool) -> impl Future<Output = Result<RunningConfig, Error>> + Send;

    /// What the daemon's file would change.
    fn config_diff(&self) -> impl Future<Output = Result<Vec<ConfigChange>, Error>> + Send;

    /// Puts the daemon's file into force.
    fn config_apply(
        &self,
        request: ConfigApply,
    ) -> impl Future<Output = Result<ConfigApplied, Error>> + Send;

    /// Keeps what was applied.
    fn config_confirm(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Puts the configuration before the last apply into force again.
    fn config_rollback(&self) -> impl Future<Output = Result<ConfigApplied, Error>> + Send;

    /// Detaches, removes what the daemon created, and ends the daemon once
    /// the answer is on its way.
    fn down(&self) -> impl Future<Output = Result<(), Error>> + Send;
}
