//! Output with XDP = output without: the conformance tables on a wire, by the
//! real daemon.

mod changes;
mod checksums;
mod dead_legs;
mod fib;
mod learnt;
mod mtu;
mod odd_routes;
mod slow_path;
mod super_frames;
mod together;
mod transfers;
mod wire;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use router_tests::{
    lab, netns,
    oracle::{Twin, report},
    tables::{Table, a_l2_vlan, a_priorities, b_ipv4, c_ipv6, disagreements, e_mtu, f_fib},
};

/// One pair of twins at a time: there are two CPUs.
static ONE: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tables that change nothing, or nothing that stays.
const PLAIN: &[(&str, Table<Twin>)] = &[
    (
        "networks_reach_each_other",
        a_l2_vlan::networks_reach_each_other,
    ),
    ("unknown_vids", a_l2_vlan::unknown_vids),
    ("priority_tags", a_l2_vlan::priority_tags),
    ("stacked_tags", a_l2_vlan::stacked_tags),
    ("macs", a_l2_vlan::macs),
    ("other_protocols", a_l2_vlan::other_protocols),
    ("matched_by_vid_alone", a_l2_vlan::matched_by_vid_alone),
    ("ipv4::time_to_live", b_ipv4::time_to_live),
    ("ipv4::checksum_corners", b_ipv4::checksum_corners),
    ("every_identification", checksums::every_identification),
    ("ipv4::broken_headers", b_ipv4::broken_headers),
    ("ipv4::trailers", b_ipv4::trailers),
    ("ipv4::options_and_fragments", b_ipv4::options_and_fragments),
    ("ipv4::martians", b_ipv4::martians),
    ("ipv4::gateway_addresses", b_ipv4::gateway_addresses),
    ("ipv6::class_and_flow_label", c_ipv6::class_and_flow_label),
    ("ipv6::hop_limit", c_ipv6::hop_limit),
    ("ipv6::addresses", c_ipv6::addresses),
    ("ipv6::extension_headers", c_ipv6::extension_headers),
    ("ipv6::broken_headers", c_ipv6::broken_headers),
    ("ipv6::icmpv6", c_ipv6::icmpv6),
    ("ipv6::transports", c_ipv6::transports),
    ("tags_do_not_count", e_mtu::tags_do_not_count),
    ("long_trailers", disagreements::long_trailers),
    ("no_vlan_offload", slow_path::no_vlan_offload),
    ("large_ifindexes", slow_path::large_ifindexes),
    ("traceroute", slow_path::traceroute),
    ("no_errors_about", slow_path::no_errors_about),
    ("kernel_counters", slow_path::kernel_counters),
];

/// Tables that change routes, links or sysctls. Rules come last: a namespace
/// that once had one validates sources more strictly for ever.
const CHANGING: &[(&str, Table<Twin>)] = &[
    ("same_network", a_l2_vlan::same_network),
    ("ingress_down", a_l2_vlan::ingress_down),
    ("ipv4::as_the_kernel", b_ipv4::as_the_kernel),
    ("device_mtu", e_mtu::device_mtu),
    ("route_mtu", e_mtu::route_mtu),
    ("route_types", f_fib::route_types),
    ("neighbours", f_fib::neighbours),
    ("many_routes", fib::many_routes),
    ("equal_legs", fib::equal_legs),
    ("carrier_loss", dead_legs::carrier_loss),
    ("carrier_loss_ignored", dead_legs::carrier_loss_ignored),
    ("failed_leg", dead_legs::failed_leg),
    ("leg_down", dead_legs::leg_down),
    ("tunnels", odd_routes::tunnels),
    ("forced_forwarding", odd_routes::forced_forwarding),
    ("mid_traffic", changes::mid_traffic),
    ("mtu::device", mtu::device),
    ("mtu::routes", mtu::routes),
    ("mtu::learnt_mtu", mtu::learnt_mtu),
    ("learnt::gateway", learnt::gateway),
    ("failed_neighbours", slow_path::failed_neighbours),
    ("redirects", slow_path::redirects),
    ("directed_broadcast", slow_path::directed_broadcast),
    ("link_local", slow_path::link_local),
    ("no_way_out_for_xdp", slow_path::no_way_out_for_xdp),
    ("longest_match", f_fib::longest_match),
    ("next_hops_of_other_kinds", f_fib::next_hops_of_other_kinds),
    ("ipv4_forwarding", disagreements::ipv4_forwarding),
    ("ipv6_forwarding", disagreements::ipv6_forwarding),
    ("ipv6_disabled", disagreements::ipv6_disabled),
    ("local_sources", disagreements::local_sources),
    ("spoofed_sources", disagreements::spoofed_sources),
    (
        "sources_under_custom_rules",
        disagreements::sources_under_custom_rules,
    ),
    (
        "way_back_by_iif_rules",
        disagreements::way_back_by_iif_rules,
    ),
    ("rules_and_narrow_routes", f_fib::rules_and_narrow_routes),
    ("local_prefixes", disagreements::local_prefixes),
];

fn play(test: &str, tables: &[(&str, Table<Twin>)]) {
    let _guard = one_at_a_time();
    let Some(mut twin) = Twin::or_skip(test, 1500) else {
        return;
    };
    for (name, table) in tables {
        let start = Instant::now();
        twin.play(name, *table);
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    twin.finish();
}

#[test]
fn plain_tables() {
    play("plain_tables", PLAIN);
}

#[test]
fn changing_tables() {
    play("changing_tables", CHANGING);
}

/// Whether there are 802.1Q sub-interfaces, which this test is about; a SKIP line
/// where there are none.
fn has_vlans_or_skip(test: &str) -> bool {
    if netns::private_or_skip(test).is_none() {
        return false;
    }
    let has = lab::kernel_has_vlans().expect("a namespace");
    if !has {
        println!("SKIP {test}: this kernel has no 802.1Q");
    }
    has
}

/// Tables about what the kernel's VLAN devices write.
const PRIORITIES: &[(&str, Table<Twin>)] = &[
    ("ipv4_from_tos", a_priorities::ipv4_from_tos),
    (
        "ipv6_from_the_ingress_map",
        a_priorities::ipv6_from_the_ingress_map,
    ),
    ("no_map_holds_it", a_priorities::no_map_holds_it),
    ("ipv4_may_keep_its_own", a_priorities::ipv4_may_keep_its_own),
];

/// 10, 9: only with 802.1Q.
#[test]
fn priority_maps() {
    if has_vlans_or_skip("priority_maps") {
        play("priority_maps", PRIORITIES);
    }
}

/// 5: only with 802.1Q.
#[test]
fn device_of_vlan_0() {
    if has_vlans_or_skip("device_of_vlan_0") {
        play(
            "device_of_vlan_0",
            &[("device_of_vlan_0", a_l2_vlan::device_of_vlan_0)],
        );
    }
}

/// 2: only with 802.1Q. The VIDs of `prog_a_l2_vlan`, on the networks A, B and C.
#[test]
fn nine_vids() {
    if !has_vlans_or_skip("nine_vids") {
        return;
    }
    let _guard = one_at_a_time();
    for vids in [[1, 2, 10], [50, 100, 1000], [2000, 4000, 4094]] {
        let Some(mut twin) = Twin::with_vids_or_skip("nine_vids", 1500, vids) else {
            return;
        };
        twin.play("every_pair", a_l2_vlan::every_vid);
        twin.finish();
    }
}

/// 95: only where the kernel has VRFs, which is in virtual machines.
#[test]
fn vrf() {
    if netns::private_or_skip("vrf").is_none() {
        return;
    }
    if !fib::has_vrf() {
        println!("SKIP vrf: this kernel has no vrf");
        report::lacking(95, "vrf");
        return;
    }
    play("vrf", &[("vrf", fib::vrf)]);
}

/// 87, 90, 91.
#[test]
fn tcp_across_mtus() {
    let _guard = one_at_a_time();
    transfers::tcp_across_mtus();
}

/// 90.
#[test]
fn super_frames() {
    let _guard = one_at_a_time();
    super_frames::super_frames();
}

/// 87: frames that need more than one buffer.
#[test]
fn jumbo_frames() {
    let _guard = one_at_a_time();
    let Some(mut twin) = Twin::or_skip("jumbo_frames", 9000) else {
        return;
    };
    twin.play("jumbo_frames", e_mtu::jumbo_frames);
    twin.finish();
}

/// Every kernel's results come with the list that they are held to.
#[test]
fn the_list() {
    report::tell_cases();
}
