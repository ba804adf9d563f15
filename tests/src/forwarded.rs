//! What a kernel says it forwarded.

use anyhow::{Context as _, Result};

use crate::netns;

/// What the kernel of the calling thread's namespace forwarded, IPv4 and IPv6.
/// Errors that it sends itself and neighbour discovery are not in these
/// counters; a packet that waits for a neighbour's answer is.
///
/// # Errors
/// Where the counters cannot be read.
pub fn by_kernel() -> Result<u64> {
    let snmp = netns::proc_net("snmp")?;
    // Two lines a protocol: names, then values.
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next(), lines.next());
    let v4 = names
        .zip(values)
        .and_then(|(names, values)| {
            let place = names
                .split_whitespace()
                .position(|name| name == "ForwDatagrams")?;
            values.split_whitespace().nth(place)?.parse::<u64>().ok()
        })
        .context("/proc/net/snmp has no Ip ForwDatagrams")?;
    let v6 = netns::proc_net("snmp6")?
        .lines()
        .find_map(|line| line.strip_prefix("Ip6OutForwDatagrams"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .context("/proc/net/snmp6 has no Ip6OutForwDatagrams")?;
    Ok(v4 + v6)
}
