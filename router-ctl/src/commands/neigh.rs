//! `router-ctl neigh`: in the words of `ip neigh`.

use std::process::ExitCode;

use super::{globals::Globals, networks::or_dash, watch};
use crate::{
    api::model::Neighbour,
    codes,
    error::{Error, Kind},
    netlink::types::NeighbourState,
    output::{Format, table},
    service::NeighbourFilter,
};

const EXAMPLES: &str = "\
Examples:
  router-ctl neigh                     both families; -4 or -6 for one
  router-ctl neigh dev mac10           of one network; `dev` may be left out
  router-ctl neigh nud failed          those that do not answer

States are the kernel's (ip-neighbour(8)): REACHABLE, STALE, DELAY, PROBE, FAILED,
INCOMPLETE, PERMANENT. XDP forwards to a neighbour while the kernel has its MAC;
the daemon has the kernel probe stale ones of networks with traffic.";

/// List the neighbours on the networks: IP, MAC, network, state
#[derive(clap::Args, Debug)]
#[command(
    after_help = EXAMPLES,
    override_usage = "router-ctl neigh [OPTIONS] [list] [[dev] NETWORK] [nud STATE]"
)]
pub(super) struct Args {
    /// [list] [[dev] NETWORK] [nud STATE]
    #[arg(value_name = "NEIGHBOURS", hide = true)]
    words: Vec<String>,
}

/// What the words ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    network: Option<String>,
    /// In upper case.
    state: Option<String>,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let asked = read(&args.words)?;
    let client = globals.client();
    let format = globals.format();
    let filter = NeighbourFilter {
        families: globals.families(),
        network: asked.network,
    };
    watch::repeat(globals, async || {
        let mut neighbours = client.neighbours(&filter).await?;
        if let Some(state) = &asked.state {
            neighbours.retain(|neighbour| neighbour.state == *state);
        }
        if format.json {
            format.json(&neighbours)
        } else if format.oneline {
            Ok(neighbours
                .iter()
                .map(oneline)
                .collect::<Vec<_>>()
                .join("\n"))
        } else {
            Ok(listing(&neighbours, format))
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn read(words: &[String]) -> Result<Asked, Error> {
    let mut words: &[String] = words;
    if let Some((first, rest)) = words.split_first()
        && ["list", "ls", "show"].contains(&first.as_str())
    {
        words = rest;
    }
    let mut asked = Asked::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let nothing = || usage(format!("nothing behind `{word}`"));
        let (place, value) = match word.as_str() {
            "dev" => (&mut asked.network, rest.next().ok_or_else(nothing)?.clone()),
            "nud" => (&mut asked.state, state(rest.next().ok_or_else(nothing)?)?),
            _ => (&mut asked.network, word.clone()),
        };
        if place.is_some() {
            return Err(usage(format!("`{value}` is one too many")));
        }
        *place = Some(value);
    }
    Ok(asked)
}

/// A state as the listing shows it.
fn state(word: &str) -> Result<String, Error> {
    let found = NeighbourState::NAMED.iter().map(|state| state.name());
    match found
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(word))
    {
        Some(name) => Ok(name.to_uppercase()),
        None => Err(usage(format!("there is no nud {word}"))),
    }
}

fn usage(wrong: String) -> Error {
    Error::new(Kind::Usage, codes::USAGE, wrong).help("router-ctl neigh dev mac10 nud stale")
}

fn listing(neighbours: &[Neighbour], format: Format) -> String {
    let rows = neighbours.iter().map(|neighbour| {
        vec![
            neighbour.ip.to_string(),
            or_dash(neighbour.mac.as_ref()),
            neighbour.network.clone(),
            or_dash(neighbour.vlan),
            neighbour.state.clone(),
        ]
    });
    let header = ["IP", "MAC", "NETWORK", "VLAN", "STATE"];
    table(&header, rows.collect(), format)
}

/// As `ip neigh` would print it.
pub(super) fn oneline(neighbour: &Neighbour) -> String {
    let mut text = format!("{} dev {}", neighbour.ip, neighbour.network);
    if let Some(vlan) = neighbour.vlan {
        text += &format!(" vlan {vlan}");
    }
    if let Some(mac) = &neighbour.mac {
        text += &format!(" lladdr {mac}");
    }
    if neighbour.router {
        text += " router";
    }
    format!("{text} {}", neighbour.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_iproute2() {
        let read = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
            super::read(&words).map(|asked| (asked.network, asked.state))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("").unwrap(), (None, None));
        assert_eq!(read("show").unwrap(), (None, None));
        assert_eq!(read("mac10").unwrap(), (some("mac10"), None));
        assert_eq!(
            read("ls dev mac10 nud stale").unwrap(),
            (some("mac10"), some("STALE"))
        );
        // A network may have such a name.
        assert_eq!(read("dev dev").unwrap(), (some("dev"), None));
        for wrong in ["dev", "nud", "nud bogus", "mac10 mac20", "dev mac10 mac20"] {
            assert_eq!(read(wrong).unwrap_err().code, codes::USAGE, "{wrong}");
        }
    }
}
