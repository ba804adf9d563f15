//! What `-j` prints is what docs/api.schema.json says.

use std::fs;

use router_ctl::api::{self, model::State};
use serde_json::{Map, Value};

use crate::{router_ctl, said, twin::Daemon};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.schema.json");

fn in_file() -> Value {
    serde_json::from_str(&fs::read_to_string(FILE).unwrap()).unwrap()
}

#[test]
fn the_file_is_up_to_date() {
    assert_eq!(
        in_file(),
        api::schema(),
        "docs/api.schema.json is stale: cargo run -p router-ctl -- __schema > docs/api.schema.json"
    );
    let printed = router_ctl("__schema").output().unwrap();
    assert_eq!(said(&printed).0, fs::read_to_string(FILE).unwrap());
}

/// The schema of one command, which takes no field that it does not name: what
/// is printed must be documented.
fn strict(command: &str) -> jsonschema::Validator {
    let mut schema = in_file();
    let of_command = schema["properties"][command].take();
    assert!(!of_command.is_null(), "{command} is not in the schema");
    let mut root = Map::new();
    root.insert("$defs".to_owned(), schema["$defs"].take());
    root.insert("allOf".to_owned(), Value::Array(vec![of_command]));
    let mut root = Value::Object(root);
    close(&mut root);
    jsonschema::validator_for(&root).unwrap()
}

fn close(schema: &mut Value) {
    match schema {
        // The branches belong together: only all of them know every field.
        Value::Object(object) if object.contains_key("oneOf") => {
            object.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            for branch in object["oneOf"].as_array_mut().into_iter().flatten() {
                if let Some(properties) = branch.get_mut("properties") {
                    close(properties);
                }
            }
        }
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(array) => array.iter_mut().for_each(close),
        _ => {}
    }
}

pub(crate) fn fits(command: &str, words: &str, text: &[u8]) {
    let value: Value = serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("{words}: {error}: {}", String::from_utf8_lossy(text)));
    let validator = strict(command);
    let wrong: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{words}: {wrong:#?}");
}

#[test]
fn every_command_prints_what_the_schema_says() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good.toml");
    fs::write(
        &good,
        "[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"a\"\nvlan = 7\n",
    )
    .unwrap();
    let check = format!("config check {}", good.display());
    for (command, words) in [
        ("config check", check.as_str()),
        ("status", ""),
        ("status", "status"),
        ("networks", "networks"),
        ("routes", "routes"),
        ("routes", "-6 routes list"),
        ("routes get", "routes get 10.9.0.1"),
        ("config show", "config show"),
        ("config diff", "config diff"),
        ("config apply", "config apply --dry-run"),
        ("config rollback", "config rollback"),
        ("neigh", "neigh"),
        ("stats", "stats"),
        ("explain", "explain"),
        ("explain CODE", "explain RC0107"),
        ("version", "version"),
    ] {
        let output = daemon.command(&format!("-j {words}")).output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        fits(command, words, &output.stdout);
    }
    daemon.set(State::Degraded);
    let output = daemon.command("-j status").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    fits("status", "a degraded status", &output.stdout);
}

#[test]
fn every_error_is_what_the_schema_says() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.toml");
    fs::write(&bad, "[[trunk]]\nname = 1\n[[network]]\nvlan = 5000\n").unwrap();
    let check = format!("config check {}", bad.display());
    for words in [
        "statsu",
        "routes get 10.66.0.1",
        "routes add 10.9.0.0/16 via 172.16.10.9 metric 17",
        "neigh nowhere",
        "explain RC9999",
        "--socket /no/such.sock status",
        check.as_str(),
    ] {
        let output = daemon.command(&format!("-j {words}")).output().unwrap();
        assert!(!output.status.success(), "{words}");
        assert_eq!(said(&output).0, "", "{words}");
        fits("error", words, &output.stderr);
    }
}

#[test]
fn what_is_not_documented_does_not_fit() {
    let validator = strict("version");
    let with = |json: &str| validator.is_valid(&serde_json::from_str(json).unwrap());
    assert!(with(r#"{"version":"0.1.0","abi":1}"#));
    assert!(!with(r#"{"version":"0.1.0","abi":1,"more":2}"#));
    assert!(!with(r#"{"version":"0.1.0"}"#));
    assert!(!with(r#"{"version":1,"abi":1}"#));
}
