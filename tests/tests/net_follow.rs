//! Whatever happens on the host, the maps follow: at once, and without reading
//! what has not changed.

use std::{fmt::Write as _, thread, time::Duration};

use nix::sys::signal::Signal;
use router_common::abi::{egress_flags, ingress_flags};
use router_tests::follow::{BLUE, Maps, RED, Scene, elsewhere};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_device_that_is_another_is_out_of_the_maps() {
    let Some(mut scene) = Scene::or_skip("a_device_that_is_another_is_out_of_the_maps") else {
        return;
    };
    let red = scene.index(RED.name);
    let blue = scene.index(BLUE.name);
    let out = |maps: &Maps| maps.is_out(RED, red);
    let back = |maps: &Maps| maps.is_in(RED, red);
    scene.follows(
        "renamed",
        |s| s.ip("link set red down\nlink set red name was-red\n"),
        out,
    );
    scene.follows(
        "named back",
        |s| s.ip("link set was-red name red\nlink set red up\n"),
        back,
    );
    scene.ip("link add name br0 type bridge\n");
    scene.follows(
        "port of a bridge",
        |s| s.ip("link set red master br0\n"),
        out,
    );
    scene.follows(
        "no port any more",
        |s| s.ip("link set red nomaster\n"),
        back,
    );
    let other = elsewhere().unwrap();
    scene.follows(
        "moved to another namespace",
        |s| s.ip(&format!("link set red netns {}\n", other.name())),
        out,
    );
    let home = scene.lab().router().name().to_owned();
    scene.follows(
        "moved back",
        |s| {
            other.ip(&format!("link set red netns {home}")).unwrap();
            s.ip("link set red up\n");
            s.address(RED);
        },
        // It may have got another number.
        |maps| scene.has(maps, RED),
    );
    let red = scene.index(RED.name);
    scene.follows(
        "deleted",
        |s| s.ip("link del red\n"),
        |maps| maps.is_out(RED, red),
    );
    // Its number is given to a device that is none of ours, and that is up.
    let reused = |maps: &Maps| maps.egress(red).is_some() || maps.ingress(RED.vid).is_some();
    scene.make("green", 399, Some(red.get()));
    for _ in 0..50 {
        assert!(!reused(&scene.maps()), "the number of red is green's");
        thread::sleep(Duration::from_millis(2));
    }
    scene.follows(
        "recreated",
        |s| s.make(RED.name, RED.vid, None),
        |maps| scene.has(maps, RED),
    );
    let red = scene.index(RED.name);
    if scene.has_vlans() {
        // Of the other VLAN, and with the name, so that frames would leave with
        // the wrong tag.
        scene.follows(
            "recreated with another VID",
            |s| {
                s.ip("link del red\n");
                s.make(RED.name, 398, Some(red.get()));
            },
            |maps| maps.is_out(RED, red) && maps.ingress(398).is_none(),
        );
        // The VID goes to another name.
        scene.make("pink", RED.vid, None);
        thread::sleep(Duration::from_millis(300));
        assert!(
            scene.maps().ingress(RED.vid).is_none(),
            "pink is no network"
        );
    } else {
        println!("VIDs: stand-ins have none");
    }
    assert!(
        scene.maps().is_in(BLUE, blue),
        "the other network has gone on"
    );
    let said = if scene.has_vlans() {
        "red has VLAN 398, not 301"
    } else {
        "red has lost its gateway address"
    };
    scene.says_within(SECOND, Some(said));
    scene.daemon().down().unwrap();
}

#[test]
fn devices_and_addresses_are_followed() {
    let Some(mut scene) = Scene::or_skip("devices_and_addresses_are_followed") else {
        return;
    };
    let red = scene.index(RED.name);
    let trunk = scene.lab().networks()[0].trunk.clone();
    // What is in doubt is out for a moment.
    let ingress = |maps: &Maps| maps.ingress(RED.vid).unwrap_or_default();
    let egress = |maps: &Maps| maps.egress(red).unwrap_or_default();
    scene.follows(
        "MTU",
        |s| s.ip("link set red mtu 1400\n"),
        |maps| (egress(maps).mtu4, egress(maps).mtu6) == (1400, 1400),
    );
    scene.follows(
        "MTU back, IPv6 too",
        |s| s.ip("link set red mtu 1500\n"),
        |maps| (egress(maps).mtu4, egress(maps).mtu6) == (1500, 1500),
    );
    scene.follows(
        "MTU of the trunk",
        |s| s.ip(&format!("link set {trunk} mtu 1300\n")),
        |maps| egress(maps).mtu4 == 1300,
    );
    scene.ip(&format!(
        "link set {trunk} mtu 1500\nlink set red mtu 1500\n"
    ));
    scene.follows(
        "MAC",
        |s| s.ip("link set red address 02:00:00:00:99:01\n"),
        |maps| ingress(maps).mac.octets() == [2, 0, 0, 0, 0x99, 1],
    );
    let up =
        |maps: &Maps| ingress(maps).has(ingress_flags::UP) && egress(maps).has(egress_flags::UP);
    scene.follows("down", |s| s.ip("link set red down\n"), |maps| !up(maps));
    let took = scene.says_within(SECOND, Some("sub-interface red is down"));
    println!("said after {took:?}");
    scene.follows("up", |s| s.ip("link set red up\n"), up);
    scene.address(RED);
    scene.follows(
        "trunk down",
        |s| s.ip(&format!("link set {trunk} down\n")),
        |maps| !up(maps),
    );
    scene.follows("trunk up", |s| s.ip(&format!("link set {trunk} up\n")), up);
    scene.address(RED);

    scene.follows(
        "address added",
        |s| s.ip("addr add 10.30.9.1/24 dev red\n"),
        |maps| {
            let entry = ingress(maps);
            entry.prefixes4_len == 2
                && entry.has(ingress_flags::TRUST_PREFIXES)
                && maps.has_local([10, 30, 9, 1])
                && maps.has_local([10, 30, 9, 255])
        },
    );
    // The routes that go with it go in silence.
    scene.follows(
        "address removed",
        |s| s.ip("addr del 10.30.9.1/24 dev red\n"),
        |maps| {
            ingress(maps).prefixes4_len == 1
                && !maps.has_local([10, 30, 9, 1])
                && !maps.has_local([10, 30, 9, 255])
        },
    );
    scene.daemon().down().unwrap();
}

#[test]
fn routes_and_rules_are_followed() {
    let Some(mut scene) = Scene::or_skip("routes_and_rules_are_followed") else {
        return;
    };
    let red = scene.index(RED.name);
    let egress = |maps: &Maps| maps.egress(red).unwrap_or_default();
    let several = |maps: &Maps| egress(maps).has(egress_flags::MULTIPATH_LEG);
    let trusted = |maps: &Maps| {
        let entry = maps.ingress(RED.vid).unwrap_or_default();
        entry.has(ingress_flags::TRUST_PREFIXES)
    };
    let filtered = |maps: &Maps| {
        let entry = maps.ingress(RED.vid).unwrap_or_default();
        entry.has(ingress_flags::RP_FILTER)
    };
    scene.follows(
        "route with an MTU",
        |s| s.ip("route add 198.51.100.0/24 via 10.30.1.9 mtu 1400\n"),
        |maps| egress(maps).mtu4 == 1400,
    );
    scene.follows(
        "the MTU goes, the route stays",
        |s| s.ip("route replace 198.51.100.0/24 via 10.30.1.9\n"),
        |maps| egress(maps).mtu4 == 1500,
    );
    scene.follows(
        "IPv6 route with an MTU",
        |s| s.ip("route add 2001:db8::/32 via fd00:301::9 mtu 1350\n"),
        |maps| egress(maps).mtu6 == 1350,
    );
    scene.follows(
        "and gone",
        |s| s.ip("route del 2001:db8::/32\n"),
        |maps| egress(maps).mtu6 == 1500,
    );
    scene.follows(
        "multipath",
        |s| {
            s.ip("route replace 198.51.100.0/24 nexthop via 10.30.1.9 nexthop via 10.30.2.9\n");
        },
        several,
    );
    scene.follows(
        "one leg",
        |s| s.ip("route replace 198.51.100.0/24 via 10.30.2.9\n"),
        |maps| !several(maps),
    );
    scene.follows(
        "IPv6 multipath, leg by leg",
        |s| {
            s.ip("route add 2001:db8::/32 via fd00:301::9\n\
                  route append 2001:db8::/32 via fd00:302::9\n");
        },
        several,
    );
    scene.follows(
        "and a leg less",
        |s| s.ip("route del 2001:db8::/32 via fd00:302::9\n"),
        |maps| !several(maps),
    );
    scene.ip("route del 2001:db8::/32\n\
              nexthop add id 5 via 10.30.1.9 dev red\n\
              nexthop add id 6 via 10.30.2.9 dev blue\n\
              nexthop add id 10 group 5\n");
    scene.ip("route replace 198.51.100.0/24 nhid 10\n");
    scene.follows(
        "next-hop object becomes a group of two",
        |s| s.ip("nexthop replace id 10 group 5/6\n"),
        several,
    );
    scene.follows(
        "and loses one",
        |s| s.ip("nexthop del id 6\n"),
        |maps| !several(maps),
    );
    scene.ip("route del 198.51.100.0/24\n");
    scene.follows(
        "route inside a network's prefix",
        |s| s.ip("route add 10.30.1.128/25 dev blue\n"),
        |maps| !trusted(maps),
    );
    scene.follows("gone", |s| s.ip("route del 10.30.1.128/25\n"), trusted);
    scene.follows(
        "routes go with their device, in silence",
        |s| {
            s.ip("route add 10.30.1.128/25 dev blue\n");
            s.ip("link set blue down\n");
            thread::sleep(Duration::from_millis(100));
            s.ip("link set blue up\nroute add 198.51.100.0/24 via 10.30.1.9 mtu 1280\n");
        },
        |maps| trusted(maps) && egress(maps).mtu4 == 1280,
    );
    scene.follows(
        "rule",
        |s| s.ip("rule add fwmark 7 lookup 100\n"),
        |maps| !trusted(maps) && filtered(maps),
    );
    scene.follows(
        "no rule",
        |s| s.ip("rule del fwmark 7 lookup 100\n"),
        |maps| trusted(maps) && !filtered(maps),
    );
    scene.daemon().down().unwrap();
}

#[test]
fn forwarding_is_followed_and_said() {
    let Some(mut scene) = Scene::or_skip("forwarding_is_followed_and_said") else {
        return;
    };
    let red = scene.index(RED.name);
    let blue = scene.index(BLUE.name);
    let has = |flag: u16| move |maps: &Maps| maps.ingress(RED.vid).unwrap_or_default().has(flag);
    let (v4, v6) = (
        has(ingress_flags::FORWARD_V4),
        has(ingress_flags::FORWARD_V6),
    );
    scene.follows(
        "IPv4 forwarding of the interface",
        |s| s.sysctl("ipv4/conf/red/forwarding", "0"),
        |maps| !v4(maps),
    );
    scene.says_within(SECOND, Some("does not forward IPv4 of red"));
    scene.follows("and on", |s| s.sysctl("ipv4/conf/red/forwarding", "1"), v4);
    scene.says_within(SECOND, None);
    scene.follows(
        "ip_forward",
        |s| s.sysctl("ipv4/ip_forward", "0"),
        |maps| !v4(maps),
    );
    scene.says_within(SECOND, Some("the kernel does not forward IPv4"));
    scene.follows("and on", |s| s.sysctl("ipv4/ip_forward", "1"), v4);
    scene.follows(
        "IPv6 forwarding",
        |s| s.sysctl("ipv6/conf/all/forwarding", "0"),
        |maps| !v6(maps),
    );
    scene.says_within(SECOND, Some("the kernel does not forward IPv6"));
    scene.follows("and on", |s| s.sysctl("ipv6/conf/all/forwarding", "1"), v6);
    scene.follows(
        "rp_filter of all",
        |s| s.sysctl("ipv4/conf/all/rp_filter", "2"),
        has(ingress_flags::RP_FILTER),
    );
    scene.sysctl("ipv4/conf/all/rp_filter", "0");
    scene.says_within(SECOND, None);
    // What the kernel does not announce, or only by the way.
    let seconds = Duration::from_millis(1500);
    scene.follows_within(
        seconds,
        "disable_ipv6",
        |s| s.sysctl("ipv6/conf/red/disable_ipv6", "1"),
        |maps| !v6(maps),
    );
    scene.sysctl("ipv6/conf/red/disable_ipv6", "0");
    scene.follows_within(
        seconds,
        "IPv6 MTU",
        |s| s.sysctl("ipv6/conf/blue/mtu", "1280"),
        |maps| maps.egress(blue).is_some_and(|entry| entry.mtu6 == 1280),
    );
    scene.ip("route add 198.51.100.0/24 nexthop via 10.30.1.9 nexthop via 10.30.2.9\n");
    scene.follows_within(
        seconds,
        "hash policy",
        |s| s.sysctl("ipv4/fib_multipath_hash_policy", "1"),
        |maps| {
            let entry = maps.egress(red);
            entry.is_some_and(|entry| entry.has(egress_flags::MULTIPATH_V4_UNREPEATABLE))
        },
    );
    scene.daemon().down().unwrap();
}

/// Nothing is read while nothing happens, nor when something happens that is
/// none of our business.
#[test]
fn an_idle_daemon_reads_nothing() {
    let Some(mut scene) = Scene::or_skip("an_idle_daemon_reads_nothing") else {
        return;
    };
    // What start-up and the addresses have brought about is over.
    thread::sleep(SECOND * 2);
    let before = scene.followed("dumps");
    thread::sleep(SECOND * 4);
    assert_eq!(scene.followed("dumps"), before, "idle");
    let mut routes = String::new();
    for number in 0..2000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let _ = writeln!(routes, "route add 100.{high}.{low}.0/24 via 10.30.1.9");
    }
    scene.ip(&routes);
    scene.ip(&routes
        .replace("route add", "route replace")
        .replace("1.9", "2.9"));
    thread::sleep(SECOND * 2);
    assert_eq!(
        scene.followed("dumps"),
        before,
        "2,000 routes of others, twice"
    );
    scene.daemon().down().unwrap();
}

/// A daemon that was stopped while more happened than its socket can hold.
#[test]
fn an_overrun_is_made_good_within_a_second() {
    let Some(mut scene) = Scene::or_skip("an_overrun_is_made_good_within_a_second") else {
        return;
    };
    let red = scene.index(RED.name);
    scene.daemon().signal(Signal::SIGSTOP).unwrap();
    let mut lines = String::new();
    for _ in 0..6_000 {
        lines += "link set blue mtu 1400\nlink set blue mtu 1500\n";
    }
    scene.ip(&lines);
    // These are lost.
    scene.ip("link del red\nroute add 198.51.100.0/24 via 10.30.2.9 mtu 1390\n");
    let blue = scene.index(BLUE.name);
    scene.daemon().signal(Signal::SIGSTOP).unwrap();
    let resumed = std::cell::Cell::new(false);
    let pid = scene.daemon().pid().unwrap();
    scene.follows_within(
        SECOND,
        "made good",
        |_| {
            nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
            resumed.set(true);
        },
        |maps| {
            let blue = maps.egress(blue);
            resumed.get() && maps.is_out(RED, red) && blue.is_some_and(|entry| entry.mtu4 == 1390)
        },
    );
    assert!(
        scene.followed("overruns") >= 1,
        "nothing was lost: more has to happen"
    );
    assert!(scene.followed("resyncs") >= 2);
    scene.says_within(SECOND, Some("red is missing"));
    scene.daemon().down().unwrap();
}

/// `status` straight after `routes add` knows of the route.
#[test]
fn a_route_that_was_just_added_is_known() {
    let Some(mut scene) = Scene::or_skip("a_route_that_was_just_added_is_known") else {
        return;
    };
    let config = std::fs::read_to_string(scene.daemon().config()).unwrap();
    let route = "\n[[route]]\nto = \"198.51.100.0/24\"\nvia = \"10.30.1.9\"\n";
    scene.daemon().down().unwrap();
    scene
        .daemon()
        .write_config(&format!("{config}{route}"))
        .unwrap();
    scene.daemon().start().unwrap();
    for _ in 0..5 {
        let words = ["routes", "del", "198.51.100.0/24"];
        scene.daemon().call(&words).unwrap();
        let status = scene.daemon().json(&["status"]).unwrap();
        assert_eq!(status["state"], "degraded", "it is not installed");
        let words = ["routes", "add", "198.51.100.0/24", "via", "10.30.1.9"];
        scene.daemon().call(&words).unwrap();
        let status = scene.daemon().json(&["status"]).unwrap();
        assert_eq!(status["problems"], serde_json::json!([]));
    }
    scene.daemon().down().unwrap();
}
