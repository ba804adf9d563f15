//! Source validation: what `fib_validate_source` (net/ipv4/fib_frontend.c) does
//! in the kernel and `bpf_fib_lookup` does not.
//!
//! A source that is one of the gateway's own addresses passes up whatever
//! rp_filter says: the kernel drops it, the helper checks nothing.

use super::{Reason, Tables, ipv4::Datagram4, ipv6::Datagram6, tables::FibQuery};
use crate::{
    abi::{Ingress, LocalAddress, ingress_flags},
    wire::IfIndex,
};

/// Whether the way back to a source must still be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayBack {
    /// It is known, or the kernel does not ask.
    Known,
    /// `check_way_back`, once it is known where the packet goes.
    Ask,
}

/// Checks the source of an IPv4 packet that came in on `ingress`.
#[inline(always)]
pub(super) fn check_v4<T: Tables>(
    ingress: &Ingress,
    datagram: &Datagram4,
    tables: &T,
) -> Result<WayBack, Reason> {
    let local = LocalAddress::v4(datagram.source);
    match ingress.prefix4_of(datagram.source) {
        Some(prefix) if !prefix.is_host(datagram.source) => return Err(Reason::LocalSource),
        Some(_) => {
            check_known_prefix(ingress, &local, tables)?;
            if ingress.has(ingress_flags::TRUST_PREFIXES) {
                return Ok(WayBack::Known);
            }
        }
        None => check_foreign(ingress, &local, tables)?,
    }
    Ok(if ingress.has(ingress_flags::RP_FILTER) {
        WayBack::Ask
    } else {
        WayBack::Known
    })
}

/// Asks for the way back: the same packet the other way round, as the kernel
/// asks (`__fib_validate_source` in `__mkroute_input`): as if it came in on the
/// device `egress` by which this one leaves, and without a length. A multipath
/// answer may name another leg than this one: then the kernel decides.
#[inline(always)]
pub(super) fn check_way_back<T: Tables>(
    way_back: WayBack,
    ingress: &Ingress,
    datagram: &Datagram4,
    egress: IfIndex,
    tables: &T,
) -> Result<(), Reason> {
    if way_back == WayBack::Known {
        return Ok(());
    }
    let back = FibQuery {
        ifindex: egress,
        source: datagram.destination,
        destination: datagram.source,
        class: [datagram.tos, 0, 0, 0],
        protocol: datagram.protocol,
        source_port: datagram.l4.destination_port,
        destination_port: datagram.l4.source_port,
        length: 0,
    };
    match tables.fib_device_v4(&back) {
        Some(device) if device == ingress.ifindex => Ok(()),
        _ => Err(Reason::SourceUnverified),
    }
}

/// Checks the source of an IPv6 packet that came in on `ingress`. The kernel
/// has no rp_filter for IPv6.
#[inline(always)]
pub(super) fn check_v6<T: Tables>(
    ingress: &Ingress,
    datagram: &Datagram6,
    tables: &T,
) -> Result<(), Reason> {
    let local = LocalAddress::v6(datagram.source);
    match ingress.prefix6_of(&datagram.source) {
        Some(prefix) if !prefix.is_host(&datagram.source) => Err(Reason::LocalSource),
        Some(_) => check_known_prefix(ingress, &local, tables),
        None => check_foreign(ingress, &local, tables),
    }
}

/// A source inside the network's own prefixes: the gateway is ruled out
/// already, so the table of local addresses is asked only where it holds more.
#[inline(always)]
fn check_known_prefix<T: Tables>(
    ingress: &Ingress,
    source: &LocalAddress,
    tables: &T,
) -> Result<(), Reason> {
    if ingress.has(ingress_flags::CHECK_LOCALS) && tables.is_local(source) {
        return Err(Reason::LocalSource);
    }
    Ok(())
}

/// A source from behind another router of this network, or a spoofed one.
#[inline(always)]
fn check_foreign<T: Tables>(
    ingress: &Ingress,
    source: &LocalAddress,
    tables: &T,
) -> Result<(), Reason> {
    if ingress.has(ingress_flags::LOCALS_INCOMPLETE) {
        return Err(Reason::SourceUnverified);
    }
    if tables.is_local(source) {
        return Err(Reason::LocalSource);
    }
    Ok(())
}
