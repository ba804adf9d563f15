//! Where `bpf_fib_lookup` and the kernel disagree (measured), and the flags in
//! the maps that make up for it.
//!
//! Every disagreement is shown twice: with the flags that the daemon sets XDP
//! passes up, and the kernel does what the row says; without them ("the helper
//! alone") XDP would forward what the kernel does not. The second kind tells
//! when a kernel changes its mind. Route MTUs are in `prog_e_mtu`, TOS routes,
//! `from` routes and multipath in `prog_f_fib`.

use std::net::Ipv4Addr;

use crate::{
    packet::{Frame, Transport},
    prog::{
        Network::{A, B, C, N},
        forward, row, up,
    },
    tables::Stage,
};
use router_common::{abi::ingress_flags, datapath::Reason};

/// From A's host to B's, with another source.
fn from(source: &str) -> Frame {
    let source: Ipv4Addr = source.parse().expect("an address");
    A.v4_to(B).from4(source)
}

fn from6(source: &str) -> Frame {
    A.v6_to(B).from6(source.parse().expect("an address"))
}

/// Ipv6 forwarding.
pub fn ipv6_forwarding<S: Stage>(scene: &mut S) {
    // `all` = 0 writes 0 to every interface first.
    scene.sysctl("ipv6/conf/all/forwarding", "0");
    scene.sysctl("ipv6/conf/net-a/forwarding", "1");
    scene.sysctl("ipv6/conf/net-b/forwarding", "1");
    let off = up(Reason::ForwardingOff);
    scene.check([row(
        105,
        "all 0, interface 1: the helper alone",
        A.v6_to(B),
        forward(A, B),
    )
    .by_hand()
    .kernel_drops()]);
    scene.change_ingress(A, |entry| entry.flags &= !ingress_flags::FORWARD_V6);
    scene.check([
        row(105, "all 0, interface 1", A.v6_to(B), off).kernel_drops(),
        row(105, "IPv4 all the same", A.v4_to(B), forward(A, B)),
    ]);
    scene.change_ingress(A, |_| ());

    scene.sysctl("ipv6/conf/all/forwarding", "1");
    scene.sysctl("ipv6/conf/net-a/forwarding", "0");
    let helper = up(Reason::HelperForwardingOff);
    scene.check([
        row(105, "all 1, interface 0", A.v6_to(B), helper).kernel_forwards(B),
        row(105, "all 1, egress 0", N.v6_to(A), forward(N, A)),
    ]);
}

/// An interface on which IPv6 is off.
pub fn ipv6_disabled<S: Stage>(scene: &mut S) {
    scene.sysctl("ipv6/conf/net-a/disable_ipv6", "1");
    scene.check([
        row(105, "disabled: the helper alone", A.v6_to(B), forward(A, B))
            .by_hand()
            .kernel_drops(),
        row(
            105,
            "to it: its routes are gone",
            N.v6_to(A),
            up(Reason::NotForwarded),
        ),
        row(105, "IPv4 all the same", A.v4_to(B), forward(A, B)),
    ]);
    scene.change_ingress(A, |entry| entry.flags &= !ingress_flags::FORWARD_V6);
    scene.check([row(105, "disabled", A.v6_to(B), up(Reason::ForwardingOff)).kernel_drops()]);
}

/// Ipv4 forwarding.
pub fn ipv4_forwarding<S: Stage>(scene: &mut S) {
    scene.sysctl("ipv4/conf/net-a/forwarding", "0");
    let (off, helper) = (up(Reason::ForwardingOff), up(Reason::HelperForwardingOff));
    scene.check([
        row(105, "interface 0, not told", A.v4_to(B), helper)
            .by_hand()
            .kernel_drops(),
        row(105, "IPv6 all the same", A.v6_to(B), forward(A, B)),
    ]);
    // It believes redirects now: `IN_DEV_RX_REDIRECTS`.
    scene.change_egress(A, |entry| entry.mtu4 = 0);
    let exceeded = up(Reason::MtuExceeded);
    let believed = row(105, "egress 0, redirects believed", N.v4_to(A), exceeded);
    scene.check([believed.on(N).kernel_forwards(A)]);
    scene.change_egress(A, |_| ());
    scene.sysctl("ipv4/conf/net-a/accept_redirects", "0");
    scene.check([row(105, "egress 0", N.v4_to(A), forward(N, A))]);
    scene.change_ingress(A, |entry| entry.flags &= !ingress_flags::FORWARD_V4);
    scene.check([
        row(105, "interface 0", A.v4_to(B), off).kernel_drops(),
        row(105, "IPv6 all the same", A.v6_to(B), forward(A, B)),
    ]);
    // Without it redirects are believed.
    scene.sysctl("ipv4/ip_forward", "0");
    scene.sysctl("ipv4/conf/all/accept_redirects", "0");
    scene.sysctl("ipv4/conf/net-b/accept_redirects", "0");
    scene.sysctl("ipv4/conf/net-a/forwarding", "1");
    scene.change_ingress(A, |_| ());
    scene.check([row(105, "all 0, interface 1", A.v4_to(B), forward(A, B))]);
}

/// 48: whatever rp_filter says, the kernel drops its own addresses.
pub fn local_sources<S: Stage>(scene: &mut S) {
    scene.ip("address add 172.16.10.77/24 dev net-a\n\
         address add fd00:10::77/64 dev net-a nodad\n\
         address add 10.255.0.1/32 dev lo\n\
         address add fd00:ff::1/128 dev lo");
    let local = up(Reason::LocalSource);
    scene.check([
        row(
            48,
            "second address of A, not told",
            from("172.16.10.77"),
            forward(A, B),
        )
        .by_hand()
        .kernel_drops(),
        row(
            48,
            "address of lo, not told",
            from("10.255.0.1"),
            forward(A, B),
        )
        .by_hand()
        .kernel_drops(),
        // The kernel checks no IPv6 source but by rules of its own.
        row(
            48,
            "second address of A, IPv6, not told",
            from6("fd00:10::77"),
            forward(A, B),
        )
        .by_hand(),
        row(
            48,
            "address of lo, IPv6, not told",
            from6("fd00:ff::1"),
            forward(A, B),
        )
        .by_hand(),
    ]);
    scene.sync_locals();
    scene.change_ingress(A, |entry| entry.flags |= ingress_flags::CHECK_LOCALS);
    scene.check([
        row(48, "second address of A", from("172.16.10.77"), local).kernel_drops(),
        row(48, "address of lo", from("10.255.0.1"), local).kernel_drops(),
        row(48, "B's gateway", from("172.16.20.1"), local).kernel_drops(),
        row(48, "second address of A, IPv6", from6("fd00:10::77"), local).kernel_forwards(B),
        row(48, "address of lo, IPv6", from6("fd00:ff::1"), local).kernel_forwards(B),
        row(48, "a host of A", A.v4_to(B), forward(A, B)),
        row(48, "a host of A, IPv6", A.v6_to(B), forward(A, B)),
        row(
            48,
            "next to the second address",
            from("172.16.10.78"),
            forward(A, B),
        ),
        row(48, "a host elsewhere", from("10.255.0.2"), forward(A, B)),
    ]);
    scene.change_ingress(A, |entry| entry.flags |= ingress_flags::LOCALS_INCOMPLETE);
    let unverified = up(Reason::SourceUnverified);
    scene.check([
        row(
            48,
            "table too small: a host of A",
            A.v4_to(B),
            forward(A, B),
        )
        .by_hand(),
        row(
            48,
            "table too small: a host elsewhere",
            from("10.255.0.2"),
            unverified,
        )
        .by_hand()
        .kernel_forwards(B),
        row(
            48,
            "table too small: elsewhere, IPv6",
            from6("2001:db8::1"),
            unverified,
        )
        .by_hand()
        .kernel_forwards(B),
    ]);
}

/// Spoofed sources.
pub fn spoofed_sources<S: Stage>(scene: &mut S) {
    scene.ip(&format!(
        "route add 10.9.0.0/16 via {}\nroute add 10.8.0.0/16 via {}",
        A.v4(9),
        B.v4(9)
    ));
    let unverified = up(Reason::SourceUnverified);
    // rp_filter 0: anything that is not local.
    scene.check([
        row(49, "0: own prefix", A.v4_to(B), forward(A, B)),
        row(
            49,
            "0: behind a router of A",
            from("10.9.0.1"),
            forward(A, B),
        ),
        row(49, "0: B's host on A", from("172.16.20.77"), forward(A, B)),
        row(49, "0: no way back", from("192.0.2.1"), forward(A, B)),
    ]);

    scene.sysctl("ipv4/conf/net-a/rp_filter", "1");
    scene.check([row(
        49,
        "1, not told: B's host on A",
        from("172.16.20.77"),
        forward(A, B),
    )
    .by_hand()
    .kernel_drops()]);
    scene.change_ingress(A, |entry| entry.flags |= ingress_flags::RP_FILTER);
    scene.check([
        row(49, "1: own prefix", A.v4_to(B), forward(A, B)),
        row(
            49,
            "1: own prefix, host with no neighbour entry",
            from("172.16.10.99"),
            forward(A, B),
        ),
        row(
            49,
            "1: behind a router of A",
            from("10.9.0.1"),
            forward(A, B),
        ),
        row(49, "1: behind a router of B", from("10.8.0.1"), unverified).kernel_drops(),
        row(49, "1: B's host on A", from("172.16.20.77"), unverified).kernel_drops(),
        row(
            49,
            "1: B's broadcast on A",
            from("172.16.20.255"),
            up(Reason::LocalSource),
        )
        .kernel_drops(),
        row(49, "1: no way back", from("192.0.2.1"), unverified).kernel_drops(),
        row(
            49,
            "1: IPv6 has no rp_filter",
            from6("2001:db8::1"),
            forward(A, B),
        ),
        row(49, "1: not on B", B.v4_to(A).from4(A.v4(77)), forward(B, A)).kernel_unasked(),
    ]);

    // 2 asks only for some way back: what XDP is not sure of the kernel forwards.
    scene.sysctl("ipv4/conf/net-a/rp_filter", "2");
    scene.check([
        row(49, "2: own prefix", A.v4_to(B), forward(A, B)),
        row(
            49,
            "2: behind a router of A",
            from("10.9.0.1"),
            forward(A, B),
        ),
        row(49, "2: B's host on A", from("172.16.20.77"), unverified).kernel_forwards(B),
        row(49, "2: no way back", from("192.0.2.1"), unverified).kernel_drops(),
    ]);

    // A route inside the own prefix leads elsewhere: the prefix is no proof.
    scene.sysctl("ipv4/conf/net-a/rp_filter", "1");
    scene.ip(&format!("route add 172.16.10.128/25 via {}", B.v4(9)));
    scene.check([row(
        49,
        "narrower route, not told",
        from("172.16.10.200"),
        forward(A, B),
    )
    .by_hand()
    .kernel_drops()]);
    scene.change_ingress(A, |entry| {
        entry.flags |= ingress_flags::RP_FILTER;
        entry.flags &= !ingress_flags::TRUST_PREFIXES;
    });
    scene.check([
        row(49, "narrower route", from("172.16.10.200"), unverified).kernel_drops(),
        row(49, "beside the narrower route", A.v4_to(B), forward(A, B)),
        row(49, "no way back", from("192.0.2.1"), unverified).kernel_drops(),
    ]);
}

/// The kernel asks for the way back as if the answer came in on the *egress*
/// network.
pub fn way_back_by_iif_rules<S: Stage>(scene: &mut S) {
    scene.sysctl("ipv4/conf/net-a/rp_filter", "1");
    scene.change_ingress(A, |entry| {
        entry.flags |= ingress_flags::RP_FILTER;
        entry.flags &= !ingress_flags::TRUST_PREFIXES;
    });
    scene.ip(&format!(
        "route add table 7 10.9.0.0/16 via {}\n\
         route add 10.9.0.0/16 via {}\n\
         rule add iif net-b lookup 7",
        C.v4(9),
        A.v4(9)
    ));
    let unverified = up(Reason::SourceUnverified);
    scene.check([
        row(49, "to B: by C from there", from("10.9.0.1"), unverified).kernel_drops(),
        row(
            49,
            "to C: by A from there",
            from("10.9.0.1").to4(C.v4(10)),
            forward(A, C),
        ),
    ]);
}

/// With a rule of one's own (or once there has been a local route of one's own)
/// the kernel checks sources in full even where rp_filter is off
/// (`fib_validate_source`): a broadcast address is refused.
pub fn sources_under_custom_rules<S: Stage>(scene: &mut S) {
    let broadcast = || from("172.16.20.255");
    let local = up(Reason::LocalSource);
    let unverified = up(Reason::SourceUnverified);
    scene.check([row(49, "B's broadcast on A", broadcast(), local).kernel_forwards(B)]);
    scene.ip("rule add from 10.99.0.0/16 lookup 7");
    scene.check([row(49, "under a custom rule", broadcast(), local).kernel_drops()]);
    // The daemon has the way back asked for under custom rules, too.
    scene.change_ingress(A, |entry| entry.flags |= ingress_flags::RP_FILTER);
    scene.check([
        row(
            49,
            "no way back under a custom rule",
            from("192.0.2.1"),
            unverified,
        )
        .kernel_forwards(B),
        row(
            49,
            "a host of A under a custom rule",
            A.v4_to(B),
            forward(A, B),
        ),
    ]);
}

/// A whole prefix of local addresses, which no table of addresses holds.
pub fn local_prefixes<S: Stage>(scene: &mut S) {
    scene.ip("route add local 10.55.0.0/16 dev lo");
    let unverified = up(Reason::SourceUnverified);
    scene.check([
        row(48, "inside, not told", from("10.55.1.2"), forward(A, B))
            .by_hand()
            .kernel_drops(),
        row(
            50,
            "to it",
            A.v4_to(B).to4([10, 55, 1, 2].into()),
            up(Reason::NotForwarded),
        ),
    ]);
    scene.change_ingress(A, |entry| entry.flags |= ingress_flags::LOCALS_INCOMPLETE);
    scene.check([
        row(48, "inside", from("10.55.1.2"), unverified).kernel_drops(),
        row(48, "elsewhere", from("10.56.1.2"), unverified).kernel_forwards(B),
        row(48, "a host of A", A.v4_to(B), forward(A, B)),
    ]);
}

/// tot_len 30 in a frame of 1400 bytes: the kernel sends 44 bytes.
pub fn long_trailers<S: Stage>(scene: &mut S) {
    let v4 = A.v4_to(B).transport(Transport::udp(2)).padded_to(1400);
    let v6 = A.v6_to(B).transport(Transport::udp(2)).padded_to(1400);
    let trailer = up(Reason::Trailer);
    scene.check([
        row(37, "tot_len 30 in 1400 bytes", v4, trailer).kernel_forwards(B),
        row(37, "payload_len 10 in 1400 bytes", v6, trailer).kernel_forwards(B),
    ]);
}
