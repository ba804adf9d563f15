//! Requests and answers: paths, bodies, errors.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`](super::model::Status) |
//! | `GET /v1/networks` | [`NetworkStatus`](super::model::NetworkStatus) list |
//! | `GET /v1/routes?family=4` | [`Route`](super::model::Route) list; `family` 4 or 6, left out: both |
//! | `GET /v1/routes/get?dst=IP&from=IP` | [`RouteAnswer`](super::model::RouteAnswer) |
//! | `POST /v1/routes` | takes a [`RouteChange`] |
//! | `GET /v1/neighbours?family=4&network=NAME` | [`Neighbour`](super::model::Neighbour) list |
//! | `GET /v1/monitor?routes=true` | [`Event`](super::event::Event)s as they come, one a line; `drops`, `routes`, `neighbours`; none: all but drops |
//! | `GET /v1/stats` | [`Stats`](super::model::Stats) |
//! | `POST /v1/down` | detaches, removes, ends the daemon |
//! | `... /v1/config...` | see [`configuration`] |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /healthz` | 200 while forwarding, else 503 |
//!
//! Errors are an [`ErrorBody`](super::model::ErrorBody), with a status that
//! tells the [`Kind`].

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{FromRequestParts, Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    configuration,
    listings::Listings,
    metrics,
    model::{self, RouteChange, RouteVerb},
    monitor,
    server::Access,
};
use crate::{
    codes,
    config::StaticRoute,
    error::{Error, Kind},
    service::{NeighbourFilter, RouteFilter, Service},
};

/// Longest body of a request, bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// Longest time for the body of a request.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Paths, as [`Client`](super::Client) asks for them, too.
pub(super) mod path {
    pub(crate) const STATUS: &str = "/v1/status";
    pub(crate) const NETWORKS: &str = "/v1/networks";
    pub(crate) const ROUTES: &str = "/v1/routes";
    pub(crate) const ROUTE_GET: &str = "/v1/routes/get";
    pub(crate) const NEIGHBOURS: &str = "/v1/neighbours";
    pub(crate) const MONITOR: &str = "/v1/monitor";
    pub(crate) const STATS: &str = "/v1/stats";
    pub(crate) const DOWN: &str = "/v1/down";
}

pub(super) fn router<S: Service>(service: Arc<S>) -> Router {
    Router::new()
        .route(path::STATUS, get(status::<S>))
        .route(path::NETWORKS, get(networks::<S>))
        .route(path::ROUTES, get(routes::<S>).post(route_change::<S>))
        .route(path::ROUTE_GET, get(route_get::<S>))
        .route(path::NEIGHBOURS, get(neighbours::<S>))
        .route(path::MONITOR, get(monitor::monitor::<S>))
        .route(path::STATS, get(stats::<S>))
        .route(path::DOWN, post(down::<S>))
        .merge(configuration::router())
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(healthz::<S>))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(service)
}

pub(super) type Answer<T> = Result<Json<T>, Refusal>;

async fn status<S: Service>(State(service): State<Arc<S>>) -> Answer<model::Status> {
    Ok(Json(service.status().await?))
}

async fn networks<S: Service>(State(service): State<Arc<S>>) -> Answer<Vec<model::NetworkStatus>> {
    Ok(Json(service.networks().await?))
}

/// Query of `GET /v1/routes`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutesQuery {
    /// 4 or 6; `None`: both.
    family: Option<u8>,
}

async fn routes<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    Extension(listings): Extension<Listings>,
    Params(query): Params<RoutesQuery>,
) -> Result<Response, Refusal> {
    let filter = families(query.family)?;
    let turn = listings.turn(access).await?;
    Ok(turn.json(&service.routes(filter).await?)?)
}

/// Both, if none is named.
fn families(family: Option<u8>) -> Result<RouteFilter, Error> {
    match family {
        None => Ok(RouteFilter { v4: true, v6: true }),
        Some(4 | 6) => Ok(RouteFilter {
            v4: family == Some(4),
            v6: family == Some(6),
        }),
        Some(other) => Err(bad_request(format!("family is 4 or 6, not {other}"))),
    }
}

/// Query of `GET /v1/neighbours`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeighboursQuery {
    /// 4 or 6; `None`: both.
    family: Option<u8>,
    /// A network's name; `None`: all.
    network: Option<String>,
}

async fn neighbours<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    Extension(listings): Extension<Listings>,
    Params(query): Params<NeighboursQuery>,
) -> Result<Response, Refusal> {
    let filter = NeighbourFilter {
        families: families(query.family)?,
        network: query.network,
    };
    let turn = listings.turn(access).await?;
    Ok(turn.json(&service.neighbours(filter).await?)?)
}

/// Query of `GET /v1/routes/get`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteGetQuery {
    /// Destination.
    dst: IpAddr,
    /// Source of the packet.
    from: Option<IpAddr>,
}

async fn route_get<S: Service>(
    State(service): State<Arc<S>>,
    Params(query): Params<RouteGetQuery>,
) -> Answer<model::RouteAnswer> {
    Ok(Json(service.route_get(query.dst, query.from).await?))
}

async fn route_change<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    body: Body,
) -> Answer<()> {
    // Before the body is read: nobody's bytes are parsed who may not send them.
    may_change(access)?;
    let change: RouteChange = read_json(body).await?;
    if change.verb != RouteVerb::Del {
        // Our own commands have done so: this one may be somebody else's.
        let route = StaticRoute {
            to: change.dst,
            via: change.via,
            network: change.network.clone(),
            metric: change.metric,
            src: change.src,
        };
        route.check()?;
    }
    service.route_change(change).await?;
    Ok(Json(()))
}

async fn stats<S: Service>(State(service): State<Arc<S>>) -> Answer<model::Stats> {
    Ok(Json(service.stats().await?))
}

async fn down<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
) -> Answer<()> {
    may_change(access)?;
    service.down().await?;
    Ok(Json(()))
}

async fn metrics<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    Extension(listings): Extension<Listings>,
) -> Result<Response, Refusal> {
    let all = NeighbourFilter {
        families: RouteFilter { v4: true, v6: true },
        network: None,
    };
    let turn = listings.turn(access).await?;
    let neighbours = service.neighbours(all).await?;
    let text = metrics::encode(service.status().await?, &neighbours);
    Ok(turn.answer(metrics::CONTENT_TYPE, text.into_bytes()))
}

async fn healthz<S: Service>(State(service): State<Arc<S>>) -> Result<Response, Refusal> {
    let state = service.status().await?.state;
    let code = match state {
        model::State::Forwarding => StatusCode::OK,
        model::State::Starting | model::State::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((code, Json(state)).into_response())
}

async fn no_such_path() -> Response {
    let error = bad_request("there is no such path".to_owned());
    (StatusCode::NOT_FOUND, Json(error.body())).into_response()
}

async fn no_such_method() -> Response {
    let error = bad_request("this path does not have that method".to_owned());
    (StatusCode::METHOD_NOT_ALLOWED, Json(error.body())).into_response()
}

pub(super) fn may_change(access: Access) -> Result<(), Error> {
    match access {
        Access::Change => Ok(()),
        Access::Read => Err(Error::new(
            Kind::NotPermitted,
            codes::NOT_PERMITTED,
            "only root may change the router",
        )
        .help("run the command with sudo")),
    }
}

pub(super) fn bad_request(message: String) -> Error {
    Error::new(Kind::Usage, codes::BAD_REQUEST, message)
}

pub(super) async fn read_json<T: DeserializeOwned>(body: Body) -> Result<T, Error> {
    let bytes = timeout(BODY_TIME, to_bytes(body, BODY_LIMIT))
        .await
        .map_err(|_| bad_request("the request's body did not come in time".to_owned()))?
        .map_err(|error| {
            bad_request(format!(
                "the request's body is not readable or above {BODY_LIMIT} bytes"
            ))
            .cause(error)
        })?;
    let not_this =
        |why| bad_request("the request's body is not what it should be".to_owned()).cause(why);
    // serde would take a list's elements for the fields, in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(not_this("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(&bytes).map_err(|error| not_this(error.to_string()))
}

/// [`Query`], with our errors in place of axum's plain text.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(bad_request(rejection.body_text()).into()),
        }
    }
}

/// An error on its way to the client.
pub(super) struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = self.0.body();
        // Who asks may not be able to read the file that it is about.
        body.rendered = self.0.report.map(|report| report.rendered);
        (status_of(self.0.kind), Json(body)).into_response()
    }
}

const fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotPermitted => StatusCode::FORBIDDEN,
        Kind::Failed | Kind::HalfDown => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::NotRunning | Kind::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The kind that a status tells: the client's side of `status_of`.
pub(super) fn kind_of(status: StatusCode) -> Kind {
    [Kind::Usage, Kind::NotPermitted, Kind::NotRunning]
        .into_iter()
        .find(|kind| status_of(*kind) == status)
        .unwrap_or(Kind::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_may_not_change() {
        assert!(may_change(Access::Change).is_ok());
        let refused = may_change(Access::Read).unwrap_err();
        assert_eq!(refused.kind, Kind::NotPermitted);
    }

    #[test]
    fn kinds_survive_the_way_to_the_client() {
        for kind in [
            Kind::Failed,
            Kind::Usage,
            Kind::NotPermitted,
            Kind::NotRunning,
        ] {
            assert_eq!(kind_of(status_of(kind)), kind);
        }
    }
}
