//! No two networks' subnets overlap: a router cannot tell which one an address
//! is in.

use ipnet::IpNet;

use super::{Diagnostics, Draft, Span};
use crate::codes;

/// A subnet of a network.
#[derive(Debug)]
pub(super) struct Subnet<'f> {
    /// The gateway's address in it, with the subnet's prefix length.
    pub(super) net: IpNet,
    /// Where the network's entry begins: tells networks apart even where
    /// their names are wrong.
    pub(super) entry: usize,
    /// The network's name.
    pub(super) network: &'f str,
    pub(super) span: Span,
}

/// Reports each subnet that lies in, or equals, one of another network.
///
/// Prefixes nest or are disjoint. In the order of address and length, those
/// that a prefix lies in are on the stack when it comes: linear, and there may
/// be thousands.
pub(super) fn check(subnets: &[Subnet<'_>], wrong: &mut Diagnostics) {
    let mut sorted: Vec<&Subnet<'_>> = subnets.iter().collect();
    sorted.sort_by_key(|subnet| (subnet.net.network(), subnet.net.prefix_len(), subnet.entry));
    let mut around: Vec<&Subnet<'_>> = Vec::new();
    for subnet in sorted {
        while around
            .last()
            .is_some_and(|outer| !outer.net.contains(&subnet.net.trunc()))
        {
            around.pop();
        }
        let other = around
            .iter()
            .rev()
            .find(|outer| outer.entry != subnet.entry);
        if let Some(other) = other {
            report(subnet, other, wrong);
        }
        around.push(subnet);
    }
}

fn report(a: &Subnet<'_>, b: &Subnet<'_>, wrong: &mut Diagnostics) {
    let (first, second) = if a.span.start < b.span.start {
        (a, b)
    } else {
        (b, a)
    };
    let diagnostic = if a.net.addr() == b.net.addr() {
        Draft::new(
            codes::DUPLICATE,
            format!(
                "networks {} and {} have the same gateway {}",
                first.network,
                second.network,
                a.net.addr()
            ),
        )
    } else {
        Draft::new(
            codes::OVERLAP,
            format!(
                "networks {} ({}) and {} ({}) overlap",
                first.network,
                first.net.trunc(),
                second.network,
                second.net.trunc()
            ),
        )
    };
    wrong.push(
        diagnostic
            .at(second.span.clone(), "addresses of both networks")
            .see(first.span.clone(), "the other network")
            .help("give each network a subnet of its own"),
    );
}
