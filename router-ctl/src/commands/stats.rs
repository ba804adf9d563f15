//! `router-ctl stats`

use std::{process::ExitCode, time::Instant};

use super::{globals::Globals, networks::per_second, watch};
use crate::{
    api::model::{Count, Stats},
    error::Error,
    output::{Format, table},
};

const EXAMPLES: &str = "\
Examples:
  router-ctl stats                     since the maps were made
  router-ctl stats --watch 1           packets per second, too
  router-ctl -j stats | jq .fast       all that XDP forwarded itself
  router-ctl monitor --drops           only what changes

`pass`: the kernel takes the frame as it came. The sum of all verdicts is the number of
frames that XDP saw. Redirect errors: frames for another trunk that the kernel lost
after XDP had counted them as forwarded, since the daemon started.";

/// Count what XDP forwarded, by network pair, and what it passed to the kernel, by reason
///
/// The counters outlive the daemon. With --watch also packets per second.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) async fn run(_: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let client = globals.client();
    let format = globals.format();
    let mut last: Option<(Instant, Stats)> = None;
    watch::repeat(globals, async || {
        let stats = client.stats().await?;
        if format.json {
            return format.json(&stats);
        }
        if format.oneline {
            return Ok(oneline(&stats));
        }
        let now = Instant::now();
        let since = last
            .as_ref()
            .map(|(then, before)| (now.duration_since(*then).as_secs_f64(), before));
        let text = listing(&stats, globals.watch.is_some(), since, format);
        last = Some((now, stats));
        Ok(text)
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn listing(stats: &Stats, rates: bool, since: Option<(f64, &Stats)>, format: Format) -> String {
    let rate = |now: u64, before: &dyn Fn(&Stats) -> Option<u64>| match since {
        None => "-".to_owned(),
        Some((seconds, stats)) => {
            let grown = now.saturating_sub(before(stats).unwrap_or(0));
            format!("{:.0}", per_second(grown, seconds))
        }
    };
    let with_rate = |header: &[&'static str]| {
        let mut header = header.to_vec();
        if rates {
            header.push("PPS");
        }
        header
    };

    let total: u64 = stats.verdicts.iter().map(|verdict| verdict.packets).sum();
    let verdicts = stats.verdicts.iter().map(|verdict| {
        let mut row = vec![
            verdict.reason.clone(),
            verdict.action.clone(),
            verdict.packets.to_string(),
            verdict.bytes.to_string(),
            percent(verdict.packets, total),
        ];
        if rates {
            row.push(rate(verdict.packets, &|before| {
                let same = |v: &&_| is_same(v, &verdict.reason, &verdict.action);
                before.verdicts.iter().find(same).map(|v| v.packets)
            }));
        }
        row
    });
    let verdicts = table(
        &with_rate(&["VERDICT", "ACTION", "PACKETS", "BYTES", "SHARE"]),
        verdicts.collect(),
        format,
    );
    let mut tables = vec![verdicts];
    let errors = stats.redirect_errors.iter().flatten().map(|error| {
        let mut row = vec![error.errno.clone(), error.packets.to_string()];
        if rates {
            row.push(rate(error.packets, &|before| {
                let mut errors = before.redirect_errors.iter().flatten();
                errors.find(|e| e.errno == error.errno).map(|e| e.packets)
            }));
        }
        row
    });
    let errors: Vec<_> = errors.collect();
    if !errors.is_empty() {
        tables.push(table(
            &with_rate(&["REDIRECT ERROR", "LOST"]),
            errors,
            format,
        ));
    }
    let pairs = stats.pairs.iter().map(|pair| {
        let mut row = vec![
            pair.from.clone(),
            pair.to.clone(),
            pair.packets.to_string(),
            pair.bytes.to_string(),
        ];
        if rates {
            row.push(rate(pair.packets, &|before| {
                let mut pairs = before.pairs.iter();
                pairs
                    .find(|p| p.from == pair.from && p.to == pair.to)
                    .map(|p| p.packets)
            }));
        }
        row
    });
    let pairs: Vec<_> = pairs.collect();
    if !pairs.is_empty() {
        let header = with_rate(&["FROM", "TO", "PACKETS", "BYTES"]);
        tables.insert(0, table(&header, pairs, format));
    }
    tables.join("\n\n")
}

fn is_same(verdict: &crate::api::model::VerdictCount, reason: &str, action: &str) -> bool {
    verdict.reason == reason && verdict.action == action
}

fn oneline(stats: &Stats) -> String {
    let Count { packets, bytes } = stats.fast;
    let fast = std::iter::once(format!("fast packets {packets} bytes {bytes}"));
    let pairs = stats.pairs.iter().map(|pair| {
        format!(
            "pair from {} to {} packets {} bytes {}",
            pair.from, pair.to, pair.packets, pair.bytes
        )
    });
    let verdicts = stats.verdicts.iter().map(|verdict| {
        format!(
            "verdict {} action {} packets {} bytes {}",
            verdict.reason, verdict.action, verdict.packets, verdict.bytes
        )
    });
    let errors = stats.redirect_errors.iter().flatten();
    let errors =
        errors.map(|error| format!("redirect-error {} packets {}", error.errno, error.packets));
    fast.chain(pairs)
        .chain(verdicts)
        .chain(errors)
        .collect::<Vec<_>>()
        .join("\n")
}

/// `part` of `whole` with one decimal; `-` of nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // In integers, tenths of a percent, rounded: no float needed.
    let tenths = (u128::from(part) * 2000 + u128::from(whole)) / (2 * u128::from(whole));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percents_are_rounded() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(2, 3), "66.7 %");
        assert_eq!(percent(3, 3), "100.0 %");
        assert_eq!(percent(0, 3), "0.0 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!(percent(0, 0), "-");
    }
}
