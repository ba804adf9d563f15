//! `EGRESS`: sizes and multipath.

use super::*;

#[test]
fn mtu_is_the_smallest_of_all() {
    let mtus = |change: fn(&mut Kernel)| {
        let entry = egress_after(change);
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(mtus(|k| k.tables.links[1].mtu = 1400), (1400, 1400));
    assert_eq!(mtus(|k| k.tables.links[0].mtu = 1300), (1300, 1300));
    assert_eq!(mtus(|k| interface(k).v6_mtu = Some(1280)), (1500, 1280));
    assert_eq!(mtus(|k| interface(k).v6_mtu = None), (1500, 1500));
    assert_eq!(mtus(|k| interface(k).v6_disabled = true), (1500, 0));
    let with_route = |dst: &str, devices: &[IfIndex], nexthop: Option<u32>| {
        let entry = egress_after(|kernel| {
            let mut route = unicast(dst, devices);
            route.mtu = Some(1350);
            route.nexthop_object = nexthop;
            kernel.tables.routes.push(route);
        });
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(with_route("10.0.0.0/8", &[MAC10], None), (1350, 1500));
    assert_eq!(with_route("2001:db8::/32", &[MAC10], None), (1500, 1350));
    assert_eq!(with_route("10.0.0.0/8", &[MAC20], None), (1500, 1500));
    assert_eq!(
        with_route("10.0.0.0/8", &[MAC20, MAC10], None),
        (1350, 1500)
    );
    assert_eq!(with_route("10.0.0.0/8", &[], Some(7)), (1350, 1500));
    assert_eq!(
        with_route("10.0.0.0/8", &[], None),
        (1500, 1500),
        "a blackhole"
    );
}

/// `ip_forward_use_pmtu=1`: the helper does not see a learnt MTU behind a route's.
#[test]
fn nothing_fits_where_a_learnt_mtu_may_be_smaller_than_a_routes() {
    let mtus = |dst: &str, own| {
        let entry = egress_after(|kernel| {
            let mut route = unicast(dst, &[MAC10]);
            route.mtu = own;
            kernel.tables.routes.push(route);
            kernel.forwarding.v4_uses_pmtu = true;
        });
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(mtus("10.0.0.0/8", None), (1500, 1500));
    assert_eq!(mtus("10.0.0.0/8", Some(1400)), (0, 1500));
    assert_eq!(mtus("2001:db8::/32", Some(1400)), (1500, 1400));
}

/// The helper does not see the gateway of a redirect either.
#[test]
fn nothing_fits_where_redirects_are_believed() {
    let mtus = |all, own| {
        let entry = egress_after(|kernel| {
            kernel.forwarding.v4_redirects = all;
            interface(kernel).v4_redirects = own;
        });
        (entry.mtu4, entry.mtu6)
    };
    assert_eq!(mtus(false, true), (1500, 1500));
    assert_eq!(mtus(true, false), (1500, 1500));
    assert_eq!(mtus(true, true), (0, 1500));
}

#[test]
fn multipath_legs_are_marked() {
    use egress_flags::{MULTIPATH_LEG, MULTIPATH_V4_UNREPEATABLE, MULTIPATH_V6_UNREPEATABLE, UP};
    let flags = |dst: &str, devices: &[IfIndex], nexthop, v4_policy, v6_policy| {
        egress_after(|kernel| {
            let mut route = unicast(dst, devices);
            route.nexthop_object = nexthop;
            kernel.tables.routes.push(route);
            kernel.forwarding.v4_hash_policy = v4_policy;
            kernel.forwarding.v6_hash_policy = v6_policy;
        })
        .flags
    };
    let legs = [MAC10, MAC20];
    assert_eq!(flags("10.0.0.0/8", &[MAC10], None, 1, 1), UP);
    assert_eq!(flags("10.0.0.0/8", &[MAC20, OTHER], None, 1, 1), UP);
    assert_eq!(flags("10.0.0.0/8", &legs, None, 0, 1), UP | MULTIPATH_LEG);
    assert_eq!(
        flags("10.0.0.0/8", &legs, None, 1, 0),
        UP | MULTIPATH_LEG | MULTIPATH_V4_UNREPEATABLE
    );
    assert_eq!(
        flags("2001:db8::/32", &legs, None, 1, 3),
        UP | MULTIPATH_LEG | MULTIPATH_V6_UNREPEATABLE
    );
    assert_eq!(
        flags("10.0.0.0/8", &[], Some(5), 1, 0),
        UP | MULTIPATH_LEG | MULTIPATH_V4_UNREPEATABLE,
        "a next-hop object that may be a group"
    );
}

/// A rule by ports or protocol: the kernel hashes ICMPv6 by what it took apart.
#[test]
fn rules_that_look_into_packets_make_ipv6_legs_unrepeatable() {
    use egress_flags::{MULTIPATH_LEG, MULTIPATH_V6_UNREPEATABLE, UP};
    let flags = |dst: &str, devices: &[IfIndex]| {
        egress_after(|kernel| {
            kernel.tables.routes.push(unicast(dst, devices));
            kernel.tables.rules_v4.dissecting = true;
            kernel.tables.rules_v6.dissecting = true;
        })
        .flags
    };
    let legs = [MAC10, MAC20];
    assert_eq!(flags("2001:db8::/32", &[MAC10]), UP);
    assert_eq!(
        flags("2001:db8::/32", &legs),
        UP | MULTIPATH_LEG | MULTIPATH_V6_UNREPEATABLE
    );
    assert_eq!(flags("10.0.0.0/8", &legs), UP | MULTIPATH_LEG);
}
