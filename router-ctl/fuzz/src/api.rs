//! Bodies of the API, in both directions.

use std::fmt::Debug;

use router_ctl::api::model;
use serde::{Serialize, de::DeserializeOwned};

/// A body that a client sends or a daemon answers: what is understood is
/// written as something that is understood the same.
pub fn api(data: &[u8]) -> bool {
    let understood = [
        again::<model::RouteChange>(data),
        again::<model::Status>(data),
        again::<Vec<model::NetworkStatus>>(data),
        again::<Vec<model::Route>>(data),
        again::<model::RouteAnswer>(data),
        again::<Vec<model::Neighbour>>(data),
        again::<model::Stats>(data),
        again::<model::ErrorBody>(data),
    ];
    understood.contains(&true)
}

fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<T>(data) else {
        return false;
    };
    let text = serde_json::to_vec(&body).expect("JSON");
    let twin: T = serde_json::from_slice(&text).expect("what was written is understood");
    assert_eq!(body, twin);
    true
}
