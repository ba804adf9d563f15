//! What is printed: progress, the table, a decoded frame.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    time::Instant,
};

use comfy_table::{CellAlignment, Table, presets};
use router_tests::{
    packet::{Decoded, Mac},
    topology::{ROUTER_MAC, containers, mac_text},
};

use crate::proof::Counts;

/// Prints a line at once, whatever reads it; a reader that is gone is no
/// reason to leave namespaces behind.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints what some other program said, indented.
pub(crate) fn quote(text: &str) {
    for quoted in text.trim_end().lines() {
        line(format!("    {quoted}").trim_end());
    }
}

/// Progress, with the time since the start.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn say(&self, text: &str) {
        line(&format!(
            "[{:6.1} s] {text}",
            self.0.elapsed().as_secs_f64()
        ));
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) step: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) counts: Counts,
}

/// The table: every step before and after, and who forwarded its packets.
pub(crate) fn table(rows: &[Row], total: Counts) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "step",
        "before",
        "after",
        "over VLANs",
        "by kernel",
        "by XDP",
    ]);
    for row in rows {
        let numbers = row.counts.columns().map(|count| count.to_string());
        let words = [&row.step, &row.before, &row.after].map(String::clone);
        table.add_row(words.into_iter().chain(numbers));
    }
    let shares = total.columns().map(|count| match total.sent {
        0 => count.to_string(),
        sent => format!("{count} ({})", percent(count, sent)),
    });
    let words = ["total", "", ""].map(str::to_owned);
    table.add_row(words.into_iter().chain([
        total.sent.to_string(),
        shares[1].clone(),
        shares[2].clone(),
    ]));
    for column in 3..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Rounded down: 100 % means all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let tenths = part.saturating_mul(1000) / whole.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A frame, layer by layer, and its bytes.
pub(crate) fn frame(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    if let Some(frame) = Decoded::read(bytes) {
        lines.push(format!(
            "Ethernet  {} > {}",
            who_has(frame.source),
            who_has(frame.destination)
        ));
        for tag in &frame.tags {
            lines.push(format!(
                "802.1Q    VLAN {}, PCP {}, DEI {}",
                tag.vid,
                tag.pcp,
                u8::from(tag.dei)
            ));
        }
        let right = |ok| if ok { "right" } else { "WRONG" };
        let (version, ttl, header) = match frame.from {
            IpAddr::V4(_) => (
                "IPv4",
                "ttl",
                format!(", header checksum {}", right(frame.header_checksum_ok)),
            ),
            IpAddr::V6(_) => ("IPv6", "hop limit", String::new()),
        };
        lines.push(format!(
            "{version}      {} > {}, {ttl} {}{header}",
            who_is(frame.from),
            who_is(frame.to),
            frame.ttl,
        ));
        let protocol = match frame.protocol {
            1 => "ICMP".to_owned(),
            6 => "TCP".to_owned(),
            17 => "UDP".to_owned(),
            58 => "ICMPv6".to_owned(),
            other => format!("protocol {other}"),
        };
        lines.push(format!(
            "{protocol:<10}checksum {}",
            right(frame.transport_checksum_ok)
        ));
    }
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("{:04x}      {}", row * 16, hex.join(" ")));
    }
    lines.join("\n")
}

fn who_has(mac: Mac) -> String {
    let owner = containers()
        .into_iter()
        .find(|container| container.mac() == mac);
    let name = match owner {
        Some(container) => container.name,
        None if mac == ROUTER_MAC => "node1",
        None => return mac_text(mac),
    };
    format!("{} ({name})", mac_text(mac))
}

fn who_is(address: IpAddr) -> String {
    containers()
        .iter()
        .find(|container| [IpAddr::V4(container.v4), IpAddr::V6(container.v6)].contains(&address))
        .map_or_else(
            || address.to_string(),
            |container| format!("{address} ({})", container.name),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_never_round_up_to_all() {
        assert_eq!(percent(999, 1000), "99.9 %");
        assert_eq!(percent(9999, 10000), "99.9 %");
        assert_eq!(percent(5, 5), "100.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}
