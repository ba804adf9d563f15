//! The JSON schema of what `-j` prints, made from [`model`].

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{event, model};

/// An object with a property for each command: what `router-ctl -j COMMAND`
/// prints, and with that what the API answers. A stream prints one such
/// document a line. `error` is what comes on standard error.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let commands = [
        ("status", of::<model::Status>(&mut generator)),
        ("networks", of::<Vec<model::NetworkStatus>>(&mut generator)),
        ("routes", of::<Vec<model::Route>>(&mut generator)),
        ("routes get", of::<model::RouteAnswer>(&mut generator)),
        ("neigh", of::<Vec<model::Neighbour>>(&mut generator)),
        ("stats", of::<model::Stats>(&mut generator)),
        ("monitor", of::<event::Event>(&mut generator)),
        ("config show", of::<model::RunningConfig>(&mut generator)),
        ("config check", of::<model::ConfigCheck>(&mut generator)),
        (
            "config diff",
            of::<Vec<model::ConfigChange>>(&mut generator),
        ),
        ("config apply", of::<model::ConfigApplied>(&mut generator)),
        (
            "config rollback",
            of::<model::ConfigApplied>(&mut generator),
        ),
        ("explain", of::<Vec<model::Explanation>>(&mut generator)),
        ("explain CODE", of::<model::Explanation>(&mut generator)),
        ("version", of::<model::Version>(&mut generator)),
        ("error", of::<model::ErrorBody>(&mut generator)),
    ];
    // What the API takes.
    of::<model::RouteChange>(&mut generator);
    of::<model::ConfigApply>(&mut generator);
    let properties: Map<String, Value> = commands
        .into_iter()
        .map(|(command, schema)| (command.to_owned(), schema))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "router-ctl",
        "description": "What `router-ctl -j COMMAND` prints, by command. Fields are added, never renamed or removed: ignore those that you do not know.",
        "type": "object",
        "properties": properties,
        "$defs": generator.take_definitions(true),
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
