//! The configuration over the API: shapes and requests.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/config?effective=true` | [`RunningConfig`] |
//! | `GET /v1/config/diff` | [`ConfigChange`] list: what the file would change |
//! | `POST /v1/config/apply` | takes a [`ConfigApply`], gives a [`ConfigApplied`] |
//! | `POST /v1/config/confirm` | what was applied stays |
//! | `POST /v1/config/rollback` | a [`ConfigApplied`] |

use std::{ops::RangeInclusive, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::State,
    routing::{get, post},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    model::Problem,
    routes::{Answer, Params, bad_request, may_change, read_json},
    server::Access,
};
use crate::service::Service;

/// What `status` says of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigState {
    /// When the configuration in force was put there (RFC 3339, UTC).
    pub applied: Option<String>,
    /// Seconds left to confirm it; then the one before comes back. `None`: it
    /// stays.
    pub confirm_seconds: Option<u64>,
    /// Whether the last attempt to apply the file succeeded. `false` also while
    /// the daemon runs an older configuration than its file, because that one
    /// was not confirmed or was rolled back.
    pub last_apply_successful: bool,
    /// What has to be known about it, with the command that mends it.
    pub note: Option<Problem>,
}

/// `router-ctl config show`: the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunningConfig {
    /// The daemon's file; `None`: its command line.
    pub source: Option<String>,
    /// The text of a file that says the same.
    pub toml: String,
    /// The same, with the keys of the file.
    pub config: serde_json::Value,
}

/// `router-ctl config diff`: something that is configured in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// What becomes of it.
    pub change: ConfigChangeKind,
    /// `trunk`, `network`, `route`, or `file` for what is of none of them.
    pub section: String,
    /// What it is known by, before the change.
    pub name: String,
    /// The keys that differ; of what is added or removed, those that are said.
    pub keys: Vec<ConfigKeyChange>,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConfigChangeKind {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// Some of its keys change.
    Changed,
}

/// One value of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigKeyChange {
    /// As in the file.
    pub key: String,
    /// `None`: it was not there.
    pub before: Option<String>,
    /// `None`: it will not be there.
    pub after: Option<String>,
}

/// `router-ctl config apply`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigApply {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Seconds after which the configuration before comes back, unless this one
    /// is confirmed.
    pub confirm_seconds: Option<u64>,
}

/// Seconds that there may be to confirm: to a day.
pub(crate) const CONFIRM: RangeInclusive<u64> = 1..=86_400;

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigApplied {
    /// What differs from the configuration before.
    pub changes: Vec<ConfigChange>,
    /// What was done to the system, in order; with `dry_run`, what would be. Not
    /// only what the changes ask for: what was not as configured is mended, too.
    pub steps: Vec<String>,
    /// Seconds left to confirm it.
    pub confirm_seconds: Option<u64>,
}

/// Paths, as [`Client`](super::Client) asks for them, too.
pub(super) mod path {
    pub(in crate::api) const CONFIG: &str = "/v1/config";
    pub(in crate::api) const DIFF: &str = "/v1/config/diff";
    pub(in crate::api) const APPLY: &str = "/v1/config/apply";
    pub(in crate::api) const CONFIRM: &str = "/v1/config/confirm";
    pub(in crate::api) const ROLLBACK: &str = "/v1/config/rollback";
}

pub(super) fn router<S: Service>() -> Router<Arc<S>> {
    Router::new()
        .route(path::CONFIG, get(show::<S>))
        .route(path::DIFF, get(diff::<S>))
        .route(path::APPLY, post(apply::<S>))
        .route(path::CONFIRM, post(confirm::<S>))
        .route(path::ROLLBACK, post(rollback::<S>))
}

/// Query of `GET /v1/config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// With everything that may be left out.
    #[serde(default)]
    effective: bool,
}

async fn show<S: Service>(
    State(service): State<Arc<S>>,
    Params(query): Params<ShowQuery>,
) -> Answer<RunningConfig> {
    Ok(Json(service.config(query.effective).await?))
}

async fn diff<S: Service>(State(service): State<Arc<S>>) -> Answer<Vec<ConfigChange>> {
    Ok(Json(service.config_diff().await?))
}

async fn apply<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    body: Body,
) -> Answer<ConfigApplied> {
    may_change(access)?;
    let request: ConfigApply = read_json(body).await?;
    if let Some(seconds) = request.confirm_seconds
        && !CONFIRM.contains(&seconds)
    {
        return Err(bad_request(format!(
            "confirm_seconds is {} to {}, not {seconds}",
            CONFIRM.start(),
            CONFIRM.end()
        ))
        .into());
    }
    Ok(Json(service.config_apply(request).await?))
}

async fn confirm<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
) -> Answer<()> {
    may_change(access)?;
    Ok(Json(service.config_confirm().await?))
}

async fn rollback<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
) -> Answer<ConfigApplied> {
    may_change(access)?;
    Ok(Json(service.config_rollback().await?))
}
