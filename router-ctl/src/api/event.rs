//! What `GET /v1/monitor` and `router-ctl -j monitor` say, one document a line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Neighbour, NetworkStatus, Problem, Route, State, TrunkStatus, VerdictCount};

/// Something has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When: milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What has changed; `event` says which kind it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum What {
    /// The daemon's health: as it is when the stream begins, and then each
    /// change.
    State {
        /// As it is now.
        state: State,
    },
    /// A problem has appeared, or gone.
    Problem {
        /// It is mended.
        gone: bool,
        /// The problem.
        problem: Problem,
    },
    /// A trunk has changed.
    Trunk {
        /// As it is now.
        trunk: TrunkStatus,
    },
    /// A network has changed.
    Network {
        /// It is not configured any more.
        gone: bool,
        /// As it is now, or as it was last.
        network: NetworkStatus,
    },
    /// The kernel has a new route, or one less.
    Route {
        /// It has gone.
        gone: bool,
        /// The route.
        route: Route,
    },
    /// A neighbour is new, has changed or gone.
    Neighbour {
        /// It has gone.
        gone: bool,
        /// The neighbour.
        neighbour: Neighbour,
    },
    /// Frames of the last second, by verdict.
    Verdicts {
        /// How long that second was.
        milliseconds: u64,
        /// Those that were given; packets and bytes of that time.
        verdicts: Vec<VerdictCount>,
    },
    /// The kernel announced more than could be heard: changes of routes and
    /// neighbours may be missing here. Everything is read anew.
    Overrun {},
    /// The reader was too slow: so many events were thrown away.
    Missed {
        /// How many.
        events: u64,
    },
}
