//! What the kernel learns of a destination by ICMP errors about its own packets.

use std::net::Ipv4Addr;

use router_tests::{
    oracle::{Fate, Twin},
    packet::Transport,
    prog::Network::{A, B},
    tables::Stage as _,
};

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

/// 92: where redirects are believed (`accept_redirects`, which `ip_forward=1` turns
/// off), packets that are forwarded go by the gateway that one told of, too.
pub(crate) fn gateway(twin: &mut Twin) {
    twin.sysctl("ipv4/conf/all/accept_redirects", "1");
    twin.ip(&format!("route add 10.84.0.0/16 via {}", B.v4(9)));
    let far = Ipv4Addr::new(10, 84, 0, 1);
    let Some(bytes) = twin.frame(A, &A.v4_to(B).to4(far)) else {
        return;
    };
    for (what, mac) in [("before", B.router_mac()), ("after", B.host_mac())] {
        let what = format!("{what} a redirect");
        let (on, _, fate) = twin.same(92, &what, A, std::slice::from_ref(&bytes));
        let leaves = matches!(on.frames.as_slice(), [(_, frame)] if frame.starts_with(&mac));
        if !leaves || fate != Fate::Kernel {
            twin.fail(92, &what, &format!("{fate}: {on:?}"));
        }
        tell(twin, 92, "a redirect", (5, 1), B.v4(10).octets(), far);
    }
}
