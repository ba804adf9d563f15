//! As many networks as a trunk can carry: work must grow with their number, and
//! not with its square.

use std::time::{Duration, Instant};

use super::*;

/// Networks on VLANs 1 to `count`, a /24 and a /64 each, as the kernel has them
/// after bring-up, with `others` routes of others besides.
fn many(count: u16, others: u32) -> (Config, Kernel) {
    let mut config = config();
    config.networks.clear();
    let mut kernel = kernel();
    kernel.tables.links.truncate(1);
    kernel.tables.addresses.clear();
    kernel.tables.routes.clear();
    let tables = &mut kernel.tables;
    for vid in 1..=count {
        config.networks.push(network(&format!("net{vid}"), vid));
        let ifindex = IfIndex::new(u32::from(vid) + 10);
        let [high, low] = vid.to_be_bytes();
        let v4 = |host: u8| format!("10.{high}.{low}.{host}");
        tables.links.push(vlan(ifindex, vid));
        for held in [format!("{}/24", v4(1)), format!("fd00:{vid:x}::1/64")] {
            tables.addresses.push(address(ifindex, &held));
        }
        tables
            .routes
            .push(unicast(&format!("{}/24", v4(0)), &[ifindex]));
        tables.routes.push(local(&format!("{}/32", v4(1))));
        let broadcast = format!("{}/32", v4(255));
        tables
            .routes
            .push(route(RouteKind::Broadcast, 255, &broadcast, &[ifindex]));
        tables.routes.push(local(&format!("fd00:{vid:x}::1/128")));
        let interface = InterfaceForwarding {
            v4: true,
            v6_mtu: Some(1500),
            ..InterfaceForwarding::default()
        };
        kernel.forwarding.interfaces.insert(ifindex, interface);
    }
    for other in 0..others {
        let [_, a, b, c] = other.to_be_bytes();
        let mut several = unicast(&format!("{}.{b}.{c}.0/24", 20 + a), &[MAC10, MAC20]);
        several.mtu = Some(1400);
        tables.routes.push(several);
    }
    (config, kernel)
}

fn took(config: &Config, kernel: &Kernel) -> (Duration, Plan) {
    let numbering = Numbering::default().adapted(config);
    let start = Instant::now();
    let plan = reconcile(config, &numbering, kernel, &Wanted::default());
    (start.elapsed(), plan)
}

/// Linear searches made it take minutes. The limit is for a debug build on a
/// slow machine; see `--nocapture` for the figure.
#[test]
fn four_thousand_networks_are_reconciled_at_once() {
    let (config, kernel) = many(4094, 0);
    let (time, plan) = took(&config, &kernel);
    println!("4,094 networks: {time:?}");
    assert_eq!(plan.contents.ingress.len(), 4094);
    assert_eq!(plan.contents.locals.len(), 3 * 4094);
    let believed = |entry: &Ingress| entry.flags & ingress_flags::TRUST_PREFIXES != 0;
    assert!(plan.contents.ingress.values().all(believed));
    assert!(time < Duration::from_secs(2), "{time:?}");
}

#[test]
fn a_hundred_thousand_routes_are_gone_through_once() {
    let (config, kernel) = many(1000, 100_000);
    let (time, plan) = took(&config, &kernel);
    println!("1,000 networks, 100,000 multipath routes: {time:?}");
    assert_eq!(plan.contents.egress[&MAC20].mtu4, 1400);
    assert_eq!(plan.contents.egress[&IfIndex::new(40)].mtu4, 1500);
    assert!(time < Duration::from_secs(2), "{time:?}");
}
