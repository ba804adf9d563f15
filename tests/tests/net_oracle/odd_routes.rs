//! 104, 105: routes and switches that few use.

use std::path::Path;

use router_common::datapath::Reason;
use router_tests::{
    oracle::Twin,
    prog::{
        Network::{A, B},
        forward, row, up,
    },
    tables::Stage as _,
};

/// 104: the tunnels of routes besides SRv6's own.
pub(crate) fn tunnels(twin: &mut Twin) {
    twin.ip(&format!(
        "route add 10.20.0.0/16 encap ip id 7 dst 10.99.0.2 via {v4} dev net-b\n\
         route add 10.22.0.0/16 encap ip6 id 7 dst fd00:99::2 via {v4} dev net-b\n\
         route add fd20::/64 encap ip6 id 7 dst fd00:99::2 via {v6} dev net-b\n\
         route add fd22::/64 encap seg6local action End.DX6 nh6 {v6} dev net-b",
        v4 = B.v4(9),
        v6 = B.v6(9),
    ));
    let tunnel = up(Reason::LightweightTunnel);
    let to4 = |net: u8| A.v4_to(B).to4([10, net, 0, 1].into());
    let to6 = |to: &str| A.v6_to(B).to6(to.parse().expect("an address"));
    twin.check([
        row(104, "encap ip", to4(20), tunnel).kernel_forwards_by_router(B),
        row(104, "encap ip6, IPv4", to4(22), tunnel).kernel_forwards_by_router(B),
        row(104, "encap ip6", to6("fd20::1"), tunnel).kernel_forwards_by_router(B),
        row(104, "seg6local", to6("fd22::1"), tunnel).kernel_drops(),
    ]);
}

/// 105: `force_forwarding` of one interface, where the kernel has it (6.17).
pub(crate) fn forced_forwarding(twin: &mut Twin) {
    if !Path::new("/proc/sys/net/ipv6/conf/all/force_forwarding").exists() {
        println!("forced_forwarding: this kernel has no force_forwarding");
        return;
    }
    twin.sysctl("ipv6/conf/all/forwarding", "0");
    let off = up(Reason::ForwardingOff);
    twin.check([row(105, "not forced", A.v6_to(B), off).kernel_drops()]);
    twin.sysctl("ipv6/conf/net-a/force_forwarding", "1");
    let helper = up(Reason::HelperForwardingOff);
    twin.check([row(105, "forced, interface 0", A.v6_to(B), helper).kernel_forwards(B)]);
    twin.sysctl("ipv6/conf/net-a/forwarding", "1");
    twin.check([row(105, "forced, interface 1", A.v6_to(B), forward(A, B))]);
}
