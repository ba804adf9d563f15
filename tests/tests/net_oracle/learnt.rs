//! What the kernel learns of a destination by ICMP errors about its own packets.

use std::net::Ipv4Addr;

use router_tests::{oracle::Twin, packet::Transport, prog::Network::B};

/// B's second router sends an ICMP message of this type and code, with these four
/// bytes behind its checksum, about an echo reply of B's gateway to `far`: the
/// kernel believes it, for it is about a packet of its own.
pub(crate) fn tell(
    twin: &mut Twin,
    case: u16,
    what: &str,
    (kind, code): (u8, u8),
    rest: [u8; 4],
    far: Ipv4Addr,
) {
    let about = B.sends4(B.v4(1), far).transport(Transport::icmp(0, 0, &[]));
    let payload = about.bytes().split_off(about.network_offset());
    let told = Transport::Icmp {
        kind,
        code,
        rest,
        payload,
    };
    let message = B.sends4(B.v4(9), B.v4(1)).transport(told);
    if let Some(bytes) = twin.frame(B, &message) {
        twin.same(case, what, B, &[bytes]);
    }
}
