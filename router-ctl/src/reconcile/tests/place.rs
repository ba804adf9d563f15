//! Which device is which network, and on which trunk.

use super::*;

#[test]
fn devices_that_are_not_the_networks_are_not_installed() {
    type Change = fn(&mut Vec<Link>);
    let cases: &[(Change, &str)] = &[
        (
            |l| {
                l.remove(1);
            },
            "missing",
        ),
        (
            |l| {
                l.remove(0);
            },
            "trunk missing",
        ),
        (
            |l| l[1].master = Some(OTHER),
            "eth0.100 is a port of another device",
        ),
        (
            |l| l[1].master = Some(MAC20),
            "eth0.100 is a port of eth0.200",
        ),
        (
            |l| l[1].vlan = None,
            "eth0.100 is a vlan device, not 802.1Q",
        ),
        (
            |l| {
                l[1].vlan = None;
                l[1].kind = Some("macvlan".into());
            },
            "eth0.100 is a macvlan device, not 802.1Q",
        ),
        (
            |l| l[1].vlan.as_mut().unwrap().protocol = 0x88a8,
            "eth0.100 is 802.1ad, not 802.1Q",
        ),
        (
            |l| l[1].vlan.as_mut().unwrap().vid = 300,
            "eth0.100 has VLAN 300, not 100",
        ),
        (
            |l| l[1].parent = Some(MAC20),
            "eth0.100 stands on eth0.200, not on eth0",
        ),
        (
            |l| l[1].parent = None,
            "eth0.100 stands on a device of another network namespace, not on eth0",
        ),
    ];
    for (change, why) in cases {
        let mut kernel = kernel();
        change(&mut kernel.tables.links);
        let plan = plan(&kernel);
        let absence = plan.networks[0].as_ref().unwrap_err();
        assert_eq!(absence.to_string(), *why);
        assert!(!plan.contents.ingress.contains_key(&100), "{why}");
        assert!(!plan.contents.egress.contains_key(&MAC10), "{why}");
    }
}

#[test]
fn any_device_can_stand_in_where_that_is_wanted() {
    let mut kernel = kernel();
    kernel.tables.links[1].vlan = None;
    kernel.tables.links[1].kind = Some("veth".into());
    kernel.tables.links[1].parent = None;
    let wanted = Wanted {
        stand_in: true,
        ..Wanted::default()
    };
    let plan = reconciled(&config(), &kernel, &wanted);
    assert_eq!(plan.networks[0], Ok(MAC10));
    assert_eq!(plan.contents.egress[&MAC10].vid.get(), 100);
    // A real VLAN device must still be the right one.
    kernel.tables.links[2].vlan.as_mut().unwrap().vid = 300;
    assert!(reconciled(&config(), &kernel, &wanted).networks[1].is_err());
}

#[test]
fn the_untagged_network_is_the_trunk() {
    let mut config = config();
    config.networks.push(network("wan", 0));
    let plan = reconciled(&config, &kernel(), &Wanted::default());
    assert_eq!(plan.networks[2], Ok(TRUNK));
    assert_eq!(plan.contents.ingress[&0].ifindex, TRUNK);
    assert!(plan.contents.egress[&TRUNK].vid.is_untagged());
    config.networks[2].interface = "eth0.100".into();
    let plan = reconciled(&config, &kernel(), &Wanted::default());
    assert!(plan.networks[2].is_err());
}

/// `ip link add link eth0 name eth0.0 type vlan id 0`: frames that are tagged
/// with a priority alone are that device's, not the untagged network's.
#[test]
fn a_device_of_vlan_0_takes_the_untagged_network_off_xdp() {
    let mut config = config();
    config.networks.push(network("wan", 0));
    let placed = |change: fn(&mut Link)| {
        let mut kernel = kernel();
        let mut taker = vlan(OTHER, 0);
        change(&mut taker);
        kernel.tables.links.push(taker);
        let plan = reconciled(&config, &kernel, &Wanted::default());
        assert_eq!(plan.networks[..2], [Ok(MAC10), Ok(MAC20)]);
        assert_eq!(
            plan.contents.ingress.contains_key(&0),
            plan.networks[2].is_ok()
        );
        plan.networks[2].clone().map_err(|why| why.to_string())
    };
    assert_eq!(
        placed(|_| ()),
        Err("eth0.0 takes its frames with VLAN 0".into())
    );
    // Of another device; of 802.1ad, which XDP passes up by itself.
    assert_eq!(placed(|taker| taker.parent = Some(MAC10)), Ok(TRUNK));
    let provider = |taker: &mut Link| taker.vlan.as_mut().unwrap().protocol = 0x88a8;
    assert_eq!(placed(provider), Ok(TRUNK));
}

#[test]
fn second_trunk_has_its_own_rows_and_ports() {
    let mut config = config();
    config.trunks.push(Trunk {
        interface: "eth1".into(),
        xdp: XdpMode::Native,
    });
    config.networks[1].trunk = "eth1".into();
    let mut kernel = kernel();
    kernel.tables.links.push(device(OTHER, "eth1"));
    kernel.tables.links[2].parent = Some(OTHER);
    let slot = TrunkSlot::new;
    let wanted = Wanted {
        stand_in: false,
        transmitters: [slot(0), slot(1)].into(),
        ..Wanted::default()
    };
    let contents = reconciled(&config, &kernel, &wanted).contents;
    assert_eq!(
        contents.ingress.keys().collect::<Vec<_>>(),
        [&100, &(4096 + 200)]
    );
    assert_eq!(contents.egress[&MAC20].trunk, slot(1));
    assert_eq!(contents.ports, [(slot(0), TRUNK), (slot(1), OTHER)].into());
    let alone = Wanted {
        stand_in: false,
        transmitters: [slot(1)].into(),
        buffer_senders: [slot(1)].into(),
        ..Wanted::default()
    };
    let contents = reconciled(&config, &kernel, &alone).contents;
    assert_eq!(contents.ports, [(slot(1), OTHER)].into());
    // Jumbo frames to the second, and none to the first.
    let sends = |device| contents.egress[&device].has(egress_flags::SENDS_BUFFERS);
    assert!(sends(MAC20) && !sends(MAC10));
}
