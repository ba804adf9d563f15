//! Names from the running system; none where it does not answer.

use std::{ffi::OsStr, fs, path::Path, time::Duration};

use tokio::time::timeout;

use super::{
    super::globals::Globals,
    candidates::{Candidate, Daemon, Given, Live},
};
use crate::api::{Client, socket_path};

/// Whoever presses TAB waits no longer.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) async fn names(live: &Live, globals: &Globals, daemon: &Daemon) -> Given {
    match live {
        Live::Networks => networks(globals, daemon).await,
        Live::Interfaces => interfaces(),
        Live::Instances => instances(),
    }
}

async fn networks(globals: &Globals, daemon: &Daemon) -> Given {
    let client = match (&daemon.socket, &daemon.instance) {
        (None, None) => globals.client(),
        (socket, instance) => Client::new(
            instance.as_deref().unwrap_or("default"),
            socket.as_deref().map(Path::new),
        ),
    };
    let Ok(Ok(networks)) = timeout(PATIENCE, client.networks()).await else {
        return Vec::new();
    };
    networks
        .into_iter()
        .map(|network| {
            let vlan = match network.vlan {
                Some(vlan) => format!("vlan {vlan}"),
                None => "untagged".to_owned(),
            };
            let gateways: Vec<String> = network.gateways.iter().map(ToString::to_string).collect();
            Candidate {
                about: format!("{vlan} {}", gateways.join(" "))
                    .trim_end()
                    .to_owned(),
                value: network.name,
            }
        })
        .collect()
}

/// Those of this network namespace: /sys/class/net may show another's.
fn interfaces() -> Given {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    names
        .map(|(name, _)| plain(name.trim()))
        .filter(|candidate| candidate.value != "lo")
        .collect()
}

/// Those with a socket, dead or alive.
fn instances() -> Given {
    let socket = socket_path("any");
    let Some(Ok(entries)) = socket.parent().map(fs::read_dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let socket = path.extension() == Some(OsStr::new("sock"));
            socket.then(|| path.file_stem()?.to_str().map(ToOwned::to_owned))?
        })
        .collect();
    names.sort();
    names.iter().map(|name| plain(name)).collect()
}

fn plain(value: &str) -> Candidate {
    Candidate {
        value: value.to_owned(),
        about: String::new(),
    }
}
