//! `router-ctl status`

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use tokio::time::{Instant, sleep};

use super::{globals::Globals, networks::per_second, stats::percent, watch};
use crate::{
    api::{
        Client,
        model::{NetworkStatus, Problem, State, Stats, Status, TrunkStatus, VerdictCount},
    },
    error::{Error, Kind},
    instance::{DEFAULT, router_ctl},
    output::{BAD, BOLD, GOOD, HELP, WARN},
};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(100);
/// Reasons named in the line about what the kernel forwards.
const REASONS: usize = 3;
/// Verdicts after which a frame is nowhere.
const DROPS: &[&str] = &["abort", "drop"];
/// Networks shown one by one.
const NETWORKS: usize = 8;

const EXAMPLES: &str = "\
Examples:
  router-ctl                               the same as `router-ctl status`
  router-ctl status --wait 10 && echo up   in scripts, behind `systemctl start`
  router-ctl status --watch                again each second, with packets a second
  router-ctl -j status | jq -r '.problems[].help'

XDP: mode and program of each trunk; rxvlan must be off. Fast: how much XDP forwards
itself, and why the kernel forwards the rest. Every problem names what mends it.";

/// Show health at a glance: XDP, networks, fast share, problems
///
/// Exit code 0 while forwarding, 5 while starting or degraded, 3 without a daemon.
#[derive(clap::Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Wait until it forwards: 0 as soon as it does, 5 when time is up
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
}

impl Args {
    pub(super) const fn repeats(&self) -> bool {
        self.wait.is_none()
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, as in 10 or 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "seconds, as in 10 or 0.5")
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let client = globals.client();
    let waited = match args.wait {
        Some(time) => Some(wait(&client, time).await?),
        None => None,
    };
    let mut state = State::Starting;
    let mut last: Option<(Instant, Stats)> = None;
    watch::repeat(globals, async || {
        let status = match &waited {
            Some(status) => status.clone(),
            None => client.status().await?,
        };
        state = status.state;
        let now = Instant::now();
        let since = last.as_ref().map(|(then, before)| Since {
            seconds: now.duration_since(*then).as_secs_f64(),
            before,
        });
        let text = render(&status, since.as_ref(), globals)?;
        last = Some((now, status.stats));
        Ok(text)
    })
    .await?;
    Ok(match state {
        State::Forwarding => ExitCode::SUCCESS,
        State::Starting | State::Degraded => ExitCode::from(Kind::Degraded.exit_code()),
    })
}

/// The first status that forwards, else the last one there was. A daemon that
/// does not answer yet may only be starting.
async fn wait(client: &Client, time: Duration) -> Result<Status, Error> {
    let end = Instant::now() + time;
    loop {
        let answer = client.status().await;
        let late = Instant::now() >= end;
        match answer {
            Ok(status) if late || status.state == State::Forwarding => return Ok(status),
            Err(error) if error.kind == Kind::NotPermitted => return Err(error),
            Err(error) if late => {
                return Err(Error {
                    kind: Kind::Degraded,
                    ..error
                });
            }
            Ok(_) | Err(_) => sleep(LOOK).await,
        }
    }
}

/// Counters of the look before, to make rates of.
struct Since<'s> {
    seconds: f64,
    before: &'s Stats,
}

impl Since<'_> {
    /// `12 /s` of what `count` counts.
    fn rate(&self, now: &Stats, count: impl Fn(&Stats) -> u64) -> String {
        let grown = count(now).saturating_sub(count(self.before));
        format!("{:.0}/s", per_second(grown, self.seconds))
    }
}

fn render(status: &Status, since: Option<&Since>, globals: &Globals) -> Result<String, Error> {
    let format = globals.format();
    if format.json {
        return format.json(status);
    }
    let lines = lines(status, since, format.verbose);
    Ok(if format.oneline {
        // The spaces line things up: there is nothing to line up with.
        let flat = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.iter().map(flat).collect::<Vec<_>>().join("; ")
    } else {
        lines.join("\n")
    })
}

fn lines(status: &Status, since: Option<&Since>, verbose: bool) -> Vec<String> {
    let mut lines = vec![headline(status)];
    let mut labelled = |label: &str, texts: &mut dyn Iterator<Item = String>| {
        for (i, text) in texts.enumerate() {
            let label = if i == 0 { label } else { "" };
            lines.push(format!("{BOLD}{label:<10}{BOLD:#}{text}"));
        }
    };
    labelled(
        "XDP",
        &mut status.trunks.iter().map(|trunk| xdp(trunk, verbose)),
    );
    labelled("Networks", &mut std::iter::once(networks(status)));
    labelled("Fast", &mut std::iter::once(fast(&status.stats, since)));
    labelled("Dropped", &mut dropped(&status.stats, since).into_iter());
    let file = status.config.iter().filter(|_| verbose).cloned();
    labelled("Config", &mut file.chain(config_notes(status)));
    for (label, problems) in [("Problem", &status.problems), ("Warning", &status.warnings)] {
        for problem in problems {
            labelled(label, &mut std::iter::once(problem_line(problem)));
        }
    }
    lines
}

fn headline(status: &Status) -> String {
    let (style, state) = match status.state {
        State::Forwarding => (GOOD, "forwarding"),
        State::Starting => (WARN, "starting"),
        State::Degraded => (BAD, "degraded"),
    };
    let instance = match status.instance.as_str() {
        DEFAULT => String::new(),
        name => format!("  instance {name}"),
    };
    format!(
        "router-ctl {}{instance}  {style}{state}{style:#}  up {}  config {}",
        status.version,
        uptime(status.uptime_seconds),
        config(status)
    )
}

/// Whether what is in force is what the file said last, and since when.
fn config(status: &Status) -> String {
    let state = &status.config_state;
    let word = match &status.config {
        Some(file) if !state.last_apply_successful => {
            format!("{WARN}not as in {file}{WARN:#}")
        }
        Some(_) => "ok".to_owned(),
        None => "from the command line".to_owned(),
    };
    match &state.applied {
        // To the minute: `2026-11-20T09:14:00Z`.
        Some(time) => {
            let minute = time.get(..16).unwrap_or(time).replace('T', " ");
            format!("{word} (applied {minute} UTC)")
        }
        None => word,
    }
}

/// What has to be done about the configuration.
fn config_notes(status: &Status) -> Vec<String> {
    let state = &status.config_state;
    let mut notes = Vec::new();
    notes.extend(state.confirm_seconds.map(|seconds| {
        format!(
            "{WARN}goes back in {seconds} s{WARN:#}  {HELP}help:{HELP:#} {} config confirm",
            router_ctl(&status.instance)
        )
    }));
    notes.extend(state.note.as_ref().map(problem_line));
    notes
}

fn problem_line(problem: &Problem) -> String {
    let mut text = format!("{WARN}{}{WARN:#}", problem.message);
    if !problem.help.is_empty() {
        // Writing into a string does not fail.
        let _ = write!(text, "  {HELP}help:{HELP:#} {}", problem.help);
    }
    text
}

/// The two largest units: `3d4h`, `12m5s`.
fn uptime(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    parts[first..]
        .iter()
        .take(2)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect()
}

fn xdp(trunk: &TrunkStatus, verbose: bool) -> String {
    let mut words = vec![
        format!("{:<8}", trunk.interface),
        format!("{:<8}", trunk.xdp_mode),
    ];
    if trunk.ifindex.is_none() {
        words.push("no such device".to_owned());
    }
    if let Some(id) = trunk.prog_id {
        words.push(format!("prog router#{id}"));
        words.push(if trunk.pinned { "pinned" } else { "not pinned" }.to_owned());
    }
    if let Some(on) = trunk.rx_vlan_offload {
        words.push(format!("rxvlan {}", if on { "on" } else { "off" }));
    }
    if verbose {
        words.extend(trunk.prog_tag.iter().map(|tag| format!("tag {tag}")));
        words.extend(trunk.link_id.iter().map(|id| format!("link#{id}")));
    }
    words.join("   ").trim_end().to_owned()
}

/// All of a few networks; of many, those that are not up.
fn networks(status: &Status) -> String {
    let is_up = |network: &&NetworkStatus| network.state == "up";
    let all = status.networks.len();
    let up = status.networks.iter().filter(is_up).count();
    let mut parts = vec![match all - up {
        0 => format!("{up} up"),
        others => format!("{up} up, {others} not"),
    }];
    let shown = status
        .networks
        .iter()
        .filter(|network| all <= NETWORKS || !is_up(network));
    parts.extend(shown.map(|network| {
        let mut text = match network.vlan {
            Some(vlan) => format!("{} vlan {vlan}", network.name),
            None => format!("{} untagged", network.name),
        };
        for gateway in &network.gateways {
            let _ = write!(text, " {gateway}");
        }
        if !is_up(&network) {
            let _ = write!(text, " {WARN}{}{WARN:#}", network.state);
        }
        text
    }));
    parts.join("    ")
}

/// How much XDP forwards itself, and why not the rest.
fn fast(stats: &Stats, since: Option<&Since>) -> String {
    let seen: u64 = stats.verdicts.iter().map(|verdict| verdict.packets).sum();
    if seen == 0 {
        return "no traffic yet".to_owned();
    }
    let mut passed: Vec<_> = stats
        .verdicts
        .iter()
        .filter(|v| v.action == "pass" && v.packets > 0)
        .collect();
    passed.sort_by_key(|verdict| std::cmp::Reverse(verdict.packets));
    let total: u64 = passed.iter().map(|verdict| verdict.packets).sum();
    let mut text = format!(
        "{} XDP   {} kernel",
        percent(stats.fast.packets, seen),
        percent(total, seen)
    );
    let reasons: Vec<String> = passed
        .iter()
        .take(REASONS)
        .map(|v| {
            format!(
                "{} {}",
                v.reason,
                percent(v.packets, seen).trim_end_matches(" %")
            )
        })
        .collect();
    if !reasons.is_empty() {
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    if let Some(since) = since {
        let by_xdp = since.rate(stats, |stats| stats.fast.packets);
        let by_kernel = since.rate(stats, |stats| packets(stats, &["pass"]));
        let _ = write!(text, "   now {by_xdp} XDP   {by_kernel} kernel");
    }
    text
}

/// Frames that came to one of these ends.
fn packets(stats: &Stats, actions: &[&str]) -> u64 {
    let ended = |verdict: &&VerdictCount| actions.contains(&verdict.action.as_str());
    let verdicts = stats.verdicts.iter().filter(ended);
    verdicts.map(|verdict| verdict.packets).sum()
}

/// Frames that nobody will see again; `None` where there are none.
fn dropped(stats: &Stats, since: Option<&Since>) -> Option<String> {
    let rate = since.map(|since| since.rate(stats, |stats| packets(stats, DROPS)));
    let reasons: Vec<String> = stats
        .verdicts
        .iter()
        .filter(|v| DROPS.contains(&v.action.as_str()) && v.packets > 0)
        .map(|v| format!("{} {}", v.reason, v.packets))
        .collect();
    let all = rate.into_iter().chain(reasons.iter().cloned());
    (!reasons.is_empty()).then(|| all.collect::<Vec<_>>().join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::Count;

    #[test]
    fn rates_are_of_what_came_since_the_last_look() {
        let stats = |forwarded, passed, dropped| Stats {
            fast: Count {
                packets: forwarded,
                bytes: 0,
            },
            verdicts: [
                ("forwarded", "tx", forwarded),
                ("arp", "pass", passed),
                ("missing-port", "abort", dropped),
            ]
            .map(|(reason, action, packets)| VerdictCount {
                reason: reason.into(),
                action: action.into(),
                packets,
                bytes: 0,
            })
            .into(),
            ..Stats::default()
        };
        let before = stats(100, 10, 1);
        let since = Since {
            seconds: 2.0,
            before: &before,
        };
        let now = stats(300, 14, 11);
        let text = fast(&now, Some(&since));
        assert!(text.ends_with("   now 100/s XDP   2/s kernel"), "{text}");
        let text = dropped(&now, Some(&since)).unwrap();
        assert_eq!(text, "5/s  missing-port 11");
        assert_eq!(dropped(&now, None).unwrap(), "missing-port 11");
        // Counters of new maps begin anew.
        let text = fast(&stats(1, 0, 0), Some(&since));
        assert!(text.ends_with("now 0/s XDP   0/s kernel"), "{text}");
    }

    #[test]
    fn uptimes_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3600, "1h0m"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
