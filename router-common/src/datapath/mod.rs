//! What happens to one frame, from its first byte to its verdict.
//!
//! ```text
//! parse -> lease -> ingress -> L3 checks -> source -> [flow] -> lookup -> egress checks -> rewrite -> verdict
//! '------------------------------- decide: reads -----------------------------------------' '- writes -'
//! ```
//!
//! [`route`] is written once. In the kernel, [`Packet`] is the XDP context and
//! [`Tables`] the maps and `bpf_fib_lookup`; in host tests both are plain
//! memory.
//!
//! Invariant: everything is decided before the first byte is written. The
//! signatures say so: [`decide`] borrows the packet, [`rewrite`] has it
//! mutably and no tables. A frame that passes up is byte-identical.
//!
//! Invariant: what this program is not sure of passes up. The kernel drops,
//! counts and answers properly; XDP only repeats what it would forward.
//!
//! Places that are prepared, not built:
//! * `[flow]` - the flow table of stateful network pairs stands between source
//!   validation and lookup in [`decide`]: it needs the parsed datagram, and its
//!   translation becomes a field of [`Forward`].
//! * the route cache stands in front of `Tables::fib_lookup_*` inside
//!   [`lookup::lookup_egress_v4`] and its twin, keyed by the ingress network
//!   and the query, and holds a [`Forward`] less what is the packet's own.

mod ipv4;
mod ipv6;
mod l4;
mod lease;
mod lookup;
mod packet;
mod parse;
mod rewrite;
mod source;
mod tables;
mod verdict;

pub use packet::{NoHeadroom, Packet};
pub use rewrite::{Forward, TagChange};
pub use tables::{FibQuery, NextHop, Tables};
pub use verdict::{Action, Pair, Reason, Verdict};

use self::parse::Layer3;

/// Routes one frame: the whole story.
#[inline(always)]
pub fn route<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let forward = match decide(packet, tables) {
        Ok(forward) => forward,
        Err(reason) => return Verdict::Pass(reason),
    };
    if let Err(verdict) = rewrite::rewrite(packet, &forward) {
        return verdict;
    }
    if forward.trunk == tables.trunk() {
        Verdict::Transmit(forward.pair)
    } else {
        Verdict::Redirect(forward.pair, forward.trunk)
    }
}

/// Decides what becomes of the frame, and writes nothing.
///
/// # Errors
/// The reason for which the kernel takes the frame.
#[inline(always)]
pub fn decide<P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Forward, Reason> {
    let frame = parse::parse_frame(packet)?;
    lease::check_lease(tables)?;
    let ingress = lookup::lookup_ingress(&frame, tables)?;
    match frame.layer3 {
        Layer3::V4 => {
            let datagram = ipv4::parse_datagram(packet, &frame)?;
            let way_back = source::check_v4(ingress, &datagram, tables)?;
            // [flow]
            let forward = lookup::lookup_egress_v4(&frame, ingress, &datagram, tables)?;
            source::check_way_back(way_back, ingress, &datagram, forward.device, tables)?;
            Ok(forward)
        }
        Layer3::V6 => {
            let datagram = ipv6::parse_datagram(packet, &frame)?;
            source::check_v6(ingress, &datagram, tables)?;
            // [flow]
            lookup::lookup_egress_v6(&frame, ingress, &datagram, tables)
        }
    }
}
