//! `router-ctl routes get IP [from IP]`

use std::{net::IpAddr, process::ExitCode};

use super::globals::Globals;
use crate::{
    api::model::RouteAnswer,
    codes,
    error::{Error, Kind},
    instance::router_ctl,
    output,
};

/// Kinds of routes that lead nowhere.
const NOWHERE: [&str; 4] = ["unreachable", "prohibit", "blackhole", "throw"];

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// IP [from IP]: where to, and where the packet comes from
    #[arg(required = true, value_name = "IP")]
    words: Vec<String>,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let (dst, from) = match words.as_slice() {
        ["to", dst] | [dst] => (address(dst)?, None),
        [dst, "from", from] | ["from", from, dst] => (address(dst)?, Some(address(from)?)),
        _ => {
            let wrong = format!("`{}` is not IP [from IP]", words.join(" "));
            return Err(Error::new(Kind::Usage, codes::USAGE, wrong)
                .help("router-ctl routes get 10.9.0.1 from 172.16.20.10"));
        }
    };
    let answer = globals.client().route_get(dst, from).await?;
    let format = globals.format();
    let nowhere = NOWHERE.contains(&answer.kind.as_str());
    if format.json {
        output::print(&format.json(&answer)?)?;
    } else if nowhere {
        let message = format!("there is no way to {dst}: {}", answer.kind);
        return Err(
            Error::new(Kind::Failed, codes::ROUTE_REFUSED, message).help(format!(
                "`{0} routes` shows what the kernel knows; `{0} routes add {dst} via IP` makes one",
                router_ctl(&globals.instance)
            )),
        );
    } else {
        output::print(&sentence(&answer, from))?;
    }
    Ok(if nowhere {
        ExitCode::from(Kind::Failed.exit_code())
    } else {
        ExitCode::SUCCESS
    })
}

fn address(word: &str) -> Result<IpAddr, Error> {
    word.parse().map_err(|_| {
        Error::new(
            Kind::Usage,
            codes::BAD_ADDRESS,
            format!("\"{word}\" is not an IP address"),
        )
        .help("router-ctl routes get 10.9.0.1 from 172.16.20.10")
    })
}

/// As `ip route get` would print it.
fn sentence(answer: &RouteAnswer, from: Option<IpAddr>) -> String {
    let mut words = Vec::new();
    if answer.kind != "unicast" {
        words.push(answer.kind.clone());
    }
    words.push(answer.dst.to_string());
    words.extend(from.map(|from| format!("from {from}")));
    words.extend(answer.via.map(|via| format!("via {via}")));
    words.extend(
        answer
            .network
            .as_ref()
            .map(|network| format!("dev {network}")),
    );
    words.extend(answer.vlan.map(|vlan| format!("vlan {vlan}")));
    words.extend(answer.src.map(|src| format!("src {src}")));
    words.join(" ")
}
