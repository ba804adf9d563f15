//! `/metrics`: counters as OpenMetrics text. No per-address labels: a scan
//! must not make series.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode as encode_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::model::{Neighbour, Status};

/// What [`encode`] makes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of a snapshot.
pub(super) fn encode(status: Status, neighbours: &[Neighbour]) -> String {
    let mut states = BTreeMap::new();
    for neighbour in neighbours {
        *states.entry(neighbour.state.to_lowercase()).or_default() += 1;
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { status, states }));
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode_text(&mut text, &registry);
    text
}

/// The daemon keeps its counters in the program's maps: a scrape shows them as
/// they were a moment ago, there is nothing to count here.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    /// Neighbours, by their state.
    states: BTreeMap<String, u64>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.status;
        let pairs = &status.stats.pairs;
        counters(
            &mut encoder,
            "routerctl_forwarded_packets",
            "Frames that XDP forwarded",
            pairs
                .iter()
                .map(|p| ([("from", &*p.from), ("to", &*p.to)], p.packets)),
        )?;
        counters(
            &mut encoder,
            "routerctl_forwarded_bytes",
            "Bytes that XDP forwarded, as received, Ethernet header included",
            pairs
                .iter()
                .map(|p| ([("from", &*p.from), ("to", &*p.to)], p.bytes)),
        )?;
        counters(
            &mut encoder,
            "routerctl_verdict_packets",
            "Frames that XDP saw, by what became of them",
            status
                .stats
                .verdicts
                .iter()
                .map(|v| ([("reason", &*v.reason), ("action", &*v.action)], v.packets)),
        )?;
        if let Some(errors) = &status.stats.redirect_errors {
            counters(
                &mut encoder,
                "routerctl_redirect_errors",
                "Frames that XDP redirected and the kernel lost, since the daemon started",
                errors.iter().map(|e| ([("errno", &*e.errno)], e.packets)),
            )?;
        }
        for (name, help, value) in [
            (
                "routerctl_netlink_resyncs",
                "Times that all of the kernel's tables were read",
                status.following.resyncs,
            ),
            (
                "routerctl_netlink_dumps",
                "Tables that were read from the kernel",
                status.following.dumps,
            ),
            (
                "routerctl_netlink_overruns",
                "Times that the kernel announced more than could be heard",
                status.following.overruns,
            ),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(encoder)?;
        }
        let gauge = encoder.encode_descriptor(
            "routerctl_config_last_reload_successful",
            "Whether the last attempt to apply the configuration file succeeded",
            None,
            MetricType::Gauge,
        )?;
        let successful = u64::from(status.config_state.last_apply_successful);
        ConstGauge::new(successful).encode(gauge)?;
        gauges(
            &mut encoder,
            "routerctl_neighbours",
            "Neighbours on the networks, by the kernel's state of them",
            self.states
                .iter()
                .map(|(state, count)| ([("state", &**state)], *count)),
        )?;
        infos(
            &mut encoder,
            "routerctl_xdp_info",
            "XDP program of each trunk",
            status.trunks.iter().map(|t| {
                [
                    ("device", &*t.interface),
                    ("mode", &*t.xdp_mode),
                    ("tag", t.prog_tag.as_deref().unwrap_or("")),
                ]
            }),
        )?;
        infos(
            &mut encoder,
            "routerctl_build_info",
            "Version of the daemon",
            std::iter::once([
                ("version", &*status.version),
                ("instance", &*status.instance),
            ]),
        )
    }
}

fn counters<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = ([(&'a str, &'a str); N], u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in series {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn infos<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = [(&'a str, &'a str); N]>,
) -> fmt::Result {
    gauges(encoder, name, help, series.map(|labels| (labels, 1)))
}

fn gauges<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = ([(&'a str, &'a str); N], u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
