//! Announcements in, changes of the maps out: no kernel.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use router_common::{
    abi::{egress_flags, ingress_flags},
    wire::Vid,
};

use super::{dumps::TABLES, *};
use crate::{
    config::{DirectLease, Network, PcpPolicy, Trunk, XdpMode},
    daemon::keeper::Keeper,
    dataplane::MemoryDataplane,
    netlink::{
        self, Dump,
        fixture::{self, address, device},
        types::{Route, Rules, Tables},
    },
    reconcile::{Numbering, Operation},
    sysctl::Sysctls,
};

const TRUNK: IfIndex = IfIndex::new(2);
const LAN: IfIndex = IfIndex::new(10);
const DMZ: IfIndex = IfIndex::new(20);

/// A kernel of plain data.
#[derive(Clone, Debug)]
struct Twin {
    dump: Arc<Mutex<Dump>>,
    asked: Arc<Mutex<Vec<&'static str>>>,
    used: Arc<Mutex<Vec<IpAddr>>>,
    root: Arc<tempfile::TempDir>,
    sysctls: Sysctls,
}

impl Twin {
    fn new() -> Self {
        let root = Arc::new(tempfile::tempdir().unwrap());
        let twin = Self {
            dump: Arc::default(),
            asked: Arc::default(),
            used: Arc::default(),
            sysctls: Sysctls::at(root.path()),
            root,
        };
        twin.set("ipv6/conf/all/forwarding", "1");
        for name in ["eth0.100", "eth0.200"] {
            twin.set(&format!("ipv4/conf/{name}/forwarding"), "1");
        }
        let mut dump = twin.dump.lock().unwrap();
        dump.tables.links = vec![device(TRUNK, "eth0"), vlan(LAN, 100), vlan(DMZ, 200)];
        dump.tables.addresses = vec![address(LAN, "10.0.0.1/24"), address(DMZ, "10.0.1.1/24")];
        dump.tables.routes = vec![route("10.0.0.0/24", LAN), route("10.0.1.0/24", DMZ)];
        drop(dump);
        twin
    }

    fn set(&self, name: &str, value: &str) {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }

    fn ask(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }

    /// What was dumped since the last time.
    fn dumped(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Source for Twin {
    async fn everything(&self) -> Result<Dump, netlink::Error> {
        self.ask("everything");
        Ok(self.dump.lock().unwrap().clone())
    }

    async fn routes(&self, v6: bool) -> Result<Vec<Route>, netlink::Error> {
        self.ask(if v6 { "routes 6" } else { "routes 4" });
        let routes = self.dump.lock().unwrap().tables.routes.clone();
        let wanted = |route: &Route| route.dst.addr().is_ipv6() == v6;
        Ok(routes.into_iter().filter(wanted).collect())
    }

    async fn rules(&self, v6: bool) -> Result<Rules, netlink::Error> {
        self.ask(if v6 { "rules 6" } else { "rules 4" });
        let tables = &self.dump.lock().unwrap().tables;
        Ok(if v6 { tables.rules_v6 } else { tables.rules_v4 })
    }

    async fn link(&self, name: &str) -> Result<Option<Link>, netlink::Error> {
        let dump = self.dump.lock().unwrap();
        Ok(dump.tables.link(name).cloned())
    }

    async fn use_neighbour(&self, _: IfIndex, address: IpAddr) -> Result<(), netlink::Error> {
        self.used.lock().unwrap().push(address);
        Ok(())
    }

    fn sysctls(&self) -> &Sysctls {
        &self.sysctls
    }

    fn takes_tags_off(&self, _: &str) -> Option<bool> {
        Some(false)
    }
}

fn vlan(ifindex: IfIndex, vid: u16) -> Link {
    fixture::vlan(ifindex, &device(TRUNK, "eth0"), vid)
}

fn route(dst: &str, device: IfIndex) -> Route {
    fixture::unicast(dst, &[device])
}

fn config() -> Config {
    let network = |name: &str, vid| Network {
        name: name.into(),
        trunk: "eth0".into(),
        vlan: Vid::new(vid).unwrap(),
        interface: format!("eth0.{vid}"),
        gateways: Vec::new(),
        pcp: PcpPolicy::Map,
    };
    Config {
        source: None,
        direct_lease: DirectLease::default(),
        trunks: vec![Trunk {
            interface: "eth0".into(),
            xdp: XdpMode::Native,
        }],
        networks: vec![network("lan", 100), network("dmz", 200)],
        routes: Vec::new(),
    }
}

/// A follower, the keeper behind it, and the maps.
struct Scene {
    twin: Twin,
    config: Config,
    follower: Follower<Twin>,
    keeper: Keeper,
    dataplane: MemoryDataplane,
}

impl Scene {
    /// Everything is read, and the maps are filled.
    async fn new() -> Self {
        let twin = Twin::new();
        let mut scene = Self {
            follower: Follower::new(twin.clone()),
            twin,
            config: config(),
            keeper: Keeper::default(),
            dataplane: MemoryDataplane::default(),
        };
        scene.follower.read(&scene.config).await.unwrap();
        assert_eq!(scene.twin.dumped(), ["everything"]);
        scene.keep();
        scene
    }

    fn keep(&mut self) {
        let numbering = Numbering::default().adapted(&self.config);
        let kernel = self.follower.kernel(&self.config);
        let config = Arc::new(self.config.clone());
        self.keeper
            .keep(config, numbering, kernel, Some(&mut self.dataplane));
    }

    /// Hears, and reconciles if that is called for. What was done to the maps.
    fn hear(&mut self, deltas: &[Delta]) -> Vec<Operation> {
        self.dataplane.operations.clear();
        let heard = Heard::Deltas(deltas.to_vec());
        let heed = self.follower.hear(heard, Instant::now());
        if heed.changed {
            self.keep();
        }
        std::mem::take(&mut self.dataplane.operations)
    }

    /// Runs what is due, to the end. What was dumped.
    async fn settle(&mut self) -> Vec<&'static str> {
        while let Some(due) = self.follower.due() {
            // Not before it is.
            self.follower.start(&self.config, due);
            while self.follower.running.any() {
                let answer = self.follower.answered().await;
                if self.follower.take(answer, due).changed {
                    self.keep();
                }
            }
        }
        self.twin.dumped()
    }

    fn ingress(&self, vid: u32) -> Option<u16> {
        let entry = self.dataplane.contents.ingress.get(&vid)?;
        Some(entry.flags)
    }
}

#[tokio::test]
async fn a_device_that_goes_is_out_of_the_maps_without_a_dump() {
    let mut scene = Scene::new().await;
    let done = scene.hear(&[Delta::LinkGone(LAN)]);
    assert!(done.contains(&Operation::RemoveEgress(LAN)), "{done:?}");
    assert!(done.contains(&Operation::ClearIngress(100)), "{done:?}");
    assert_eq!(scene.twin.dumped(), [""; 0], "at once");
    let done = scene.hear(&[Delta::Link(vlan(LAN, 100))]);
    assert!(
        matches!(&done[..], [.., Operation::SetIngress(100, _)]),
        "{done:?}"
    );
}

#[tokio::test]
async fn whatever_makes_it_another_device_takes_it_out() {
    let other = |change: fn(&mut Link)| {
        let mut link = vlan(LAN, 100);
        change(&mut link);
        link
    };
    let changes: [(&str, Link); 6] = [
        ("renamed", other(|link| link.name = "other".into())),
        ("VID", other(|link| link.vlan.as_mut().unwrap().vid = 300)),
        ("port of a bridge", other(|link| link.master = Some(DMZ))),
        ("another parent", other(|link| link.parent = Some(DMZ))),
        (
            "parent elsewhere",
            other(|link| {
                link.parent = None;
                link.parent_elsewhere = true;
            }),
        ),
        ("number of another kind", device(LAN, "veth7")),
    ];
    for (what, changed) in changes {
        let mut scene = Scene::new().await;
        let heard = Heard::Deltas(vec![Delta::Link(changed)]);
        let heed = scene.follower.hear(heard, Instant::now());
        assert_eq!(heed.shut, [LAN], "{what}");
        // Should reconciling have to wait.
        scene.keeper.shut(&heed.shut, &mut scene.dataplane);
        assert_eq!(scene.ingress(100), None, "{what}");
        scene.keep();
        let contents = &scene.dataplane.contents;
        assert!(!contents.egress.contains_key(&LAN), "{what}");
        assert_eq!(scene.ingress(100), None, "{what}");
        assert!(scene.ingress(200).is_some(), "the other goes on: {what}");
        // And back.
        scene.hear(&[Delta::Link(vlan(LAN, 100))]);
        assert!(scene.ingress(100).is_some(), "{what}");
        assert_eq!(scene.dataplane.contents, scene.keeper.contents);
    }
}

#[tokio::test]
async fn what_is_shut_without_need_comes_back() {
    let mut scene = Scene::new().await;
    let before = scene.keeper.contents.clone();
    scene
        .keeper
        .shut(&[LAN, IfIndex::new(99)], &mut scene.dataplane);
    assert_ne!(scene.dataplane.contents, before);
    scene.keep();
    assert_eq!(scene.dataplane.contents, before);
}

#[tokio::test]
async fn forwarding_sysctls_are_announced() {
    let mut scene = Scene::new().await;
    let flags = scene.ingress(100).unwrap();
    assert!(flags & ingress_flags::FORWARD_V4 != 0);
    let conf = |v6, scope, forwarding| {
        Delta::Netconf(netlink::Netconf {
            v6,
            scope,
            forwarding: Some(forwarding),
            rp_filter: None,
            proxy: None,
        })
    };
    let device = netlink::Scope::Device(LAN);
    assert_eq!(scene.hear(&[conf(false, device, true)]), [], "no news");
    scene.hear(&[conf(false, device, false)]);
    assert!(scene.ingress(100).unwrap() & ingress_flags::FORWARD_V4 == 0);
    assert!(scene.ingress(200).unwrap() & ingress_flags::FORWARD_V4 != 0);
    scene.hear(&[conf(true, netlink::Scope::All, false)]);
    assert!(scene.ingress(200).unwrap() & ingress_flags::FORWARD_V6 == 0);
    assert_eq!(scene.settle().await, [""; 0], "and nothing is dumped");
}

/// `wg-quick up`, and down.
#[tokio::test]
async fn a_rule_that_suppresses_ipv6_routes_stops_it_while_it_is_there() {
    let mut scene = Scene::new().await;
    let forwards = |scene: &Scene| {
        [100, 200].map(|vid| scene.ingress(vid).unwrap() & ingress_flags::FORWARD_V6 != 0)
    };
    let asked = Rules {
        custom: true,
        suppressing: true,
        dissecting: false,
    };
    scene.twin.dump.lock().unwrap().tables.rules_v6 = asked;
    scene.hear(&[Delta::Rules { v6: true, asked }]);
    assert_eq!(forwards(&scene), [false; 2], "at once");
    assert_eq!(scene.settle().await, ["rules 6"]);
    assert_eq!(forwards(&scene), [false; 2]);
    scene.twin.dump.lock().unwrap().tables.rules_v6 = Rules::default();
    let asked = Rules::default();
    scene.hear(&[Delta::Rules { v6: true, asked }]);
    assert_eq!(scene.settle().await, ["rules 6"]);
    assert_eq!(forwards(&scene), [true; 2]);
}

/// `disable_ipv6`, and the rest of what is not announced.
#[tokio::test]
async fn what_is_not_announced_is_read_each_second() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    assert!(!scene.follower.tick(&scene.config, now));
    scene.twin.set("ipv6/conf/eth0.100/disable_ipv6", "1");
    assert!(scene.follower.tick(&scene.config, now));
    scene.keep();
    assert!(scene.ingress(100).unwrap() & ingress_flags::FORWARD_V6 == 0);
    scene.twin.set("ipv4/fib_multipath_hash_policy", "1");
    assert!(scene.follower.tick(&scene.config, now));
    assert!(!scene.follower.tick(&scene.config, now));
    assert_eq!(scene.settle().await, [""; 0]);
}

#[tokio::test]
async fn of_many_networks_some_are_read_each_second() {
    let mut scene = Scene::new().await;
    let network = scene.config.networks[0].clone();
    for number in 0..300 {
        scene.config.networks.insert(
            0,
            Network {
                interface: format!("none{number}"),
                ..network.clone()
            },
        );
    }
    scene.twin.set("ipv6/conf/eth0.200/disable_ipv6", "1");
    let now = Instant::now();
    let found = (1..10).find(|_| scene.follower.tick(&scene.config, now));
    assert_eq!(found, Some(5), "302 networks, 64 a second");
}

/// The kernel adjusts them after it has announced the device's change.
#[tokio::test]
async fn sysctls_that_follow_a_device_are_read_twice() {
    let mut scene = Scene::new().await;
    // The devices are not new any more.
    while scene.follower.is_unsure() {
        scene.keep();
    }
    let mut larger = vlan(LAN, 100);
    larger.mtu = 9000;
    scene.hear(&[Delta::Link(larger)]);
    assert!(scene.follower.is_unsure());
    scene.twin.set("ipv6/conf/eth0.100/mtu", "1280");
    scene.keep();
    assert_eq!(scene.dataplane.contents.egress[&LAN].mtu6, 1280);
    assert!(!scene.follower.is_unsure());
}

#[tokio::test]
async fn routes_that_went_in_silence_are_read_again() {
    let mut scene = Scene::new().await;
    let with_mtu = Route {
        mtu: Some(1400),
        ..route("20.0.0.0/8", LAN)
    };
    let done = scene.hear(&[Delta::Route {
        route: with_mtu,
        replaces: false,
    }]);
    assert!(matches!(&done[..], [Operation::SetEgress(LAN, entry)] if entry.mtu4 == 1400));
    assert_eq!(scene.settle().await, [""; 0], "it is known already");
    let mut down = vlan(LAN, 100);
    down.up = false;
    scene.hear(&[Delta::Link(down)]);
    let flags = scene.dataplane.contents.egress[&LAN].flags;
    assert!(flags & egress_flags::UP == 0);
    // In no order: both run at once.
    let mut dumped = scene.settle().await;
    dumped.sort_unstable();
    assert_eq!(dumped, ["routes 4", "routes 6"]);
    assert_eq!(scene.dataplane.contents.egress[&LAN].mtu4, 1500);
    assert_eq!(scene.follower.counts().dumps, TABLES + 2);
}

#[tokio::test]
async fn an_announcement_during_a_dump_outlives_it() {
    let mut scene = Scene::new().await;
    scene.hear(&[Delta::AddressGone(address(DMZ, "10.0.1.1/24"))]);
    let due = scene.follower.due().unwrap();
    scene.follower.start(&scene.config, due);
    // The dump, which has been read by now, does not know it.
    let answer = scene.follower.answered().await;
    let with_mtu = Route {
        mtu: Some(1400),
        ..route("20.0.0.0/8", LAN)
    };
    scene.hear(&[Delta::Route {
        route: with_mtu,
        replaces: false,
    }]);
    scene.follower.take(answer, due);
    scene.keep();
    assert_eq!(scene.dataplane.contents.egress[&LAN].mtu4, 1400);
}

#[tokio::test]
async fn an_overrun_has_everything_read_anew() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    assert!(scene.follower.is_current());
    scene.follower.hear(Heard::Overrun, now);
    assert!(!scene.follower.is_current());
    assert!(scene.follower.due().unwrap() <= now, "at once");
    scene.twin.dump.lock().unwrap().tables.links.truncate(2);
    assert_eq!(scene.settle().await, ["everything"]);
    assert!(scene.follower.is_current());
    assert_eq!(scene.ingress(200), None, "the one that was lost");
    let expected = Following {
        dumps: 2 * TABLES,
        resyncs: 2,
        overruns: 1,
    };
    assert_eq!(*scene.follower.counts(), expected);
}

#[tokio::test]
async fn a_dump_during_which_something_was_lost_is_not_believed() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    scene.follower.hear(Heard::Overrun, now);
    scene.follower.start(&scene.config, now);
    let answer = scene.follower.answered().await;
    scene.follower.hear(Heard::Overrun, now);
    let heed = scene.follower.take(answer, now);
    assert_eq!(heed, Heed::default());
    assert!(!scene.follower.is_current());
    assert_eq!(scene.settle().await, ["everything", "everything"]);
    assert!(scene.follower.is_current());
}

#[tokio::test]
async fn overruns_without_rest_are_a_problem() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    for _ in 0..LOOPING {
        assert!(scene.follower.problems().is_empty());
        scene.follower.hear(Heard::Overrun, now);
    }
    let [problem] = <[Problem; 1]>::try_from(scene.follower.problems()).unwrap();
    assert!(problem.message.contains("faster than they can be followed"));
    assert!(!problem.help.is_empty());
    scene.follower.tick(&scene.config, now + LOOPING_PERIOD * 2);
    assert!(scene.follower.problems().is_empty(), "it is over");
}

#[tokio::test]
async fn everything_is_read_from_time_to_time() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    scene.follower.tick(&scene.config, now + PERIOD / 2);
    assert_eq!(scene.settle().await, [""; 0]);
    scene.follower.tick(&scene.config, now + PERIOD * 2);
    assert_eq!(scene.settle().await, ["everything"]);
}

/// A program that is detached from a trunk is not announced.
#[tokio::test]
async fn trunks_are_looked_at() {
    let mut scene = Scene::new().await;
    scene.follower.look_at(vec!["eth0".into(), "eth9".into()]);
    let answer = scene.follower.answered().await;
    let heed = scene.follower.take(answer, Instant::now());
    assert_eq!(heed, Heed::default(), "all is as it was");
    scene.twin.dump.lock().unwrap().tables.links[0].up = false;
    scene.follower.look_at(vec!["eth0".into()]);
    let answer = scene.follower.answered().await;
    assert!(scene.follower.take(answer, Instant::now()).changed);
    scene.keep();
    assert!(scene.ingress(100).unwrap() & ingress_flags::UP == 0);
    scene.twin.dump.lock().unwrap().tables.links.clear();
    scene.follower.look_at(vec!["eth0".into()]);
    let answer = scene.follower.answered().await;
    assert_eq!(scene.follower.take(answer, Instant::now()).shut, [TRUNK]);
    assert_eq!(scene.twin.dumped(), [""; 0]);
}

/// The answer may be older than what was announced before it came.
#[tokio::test]
async fn a_look_does_not_bring_back_what_has_gone() {
    let mut scene = Scene::new().await;
    scene.follower.look_at(vec!["eth0".into()]);
    let answer = scene.follower.answered().await;
    scene.hear(&[Delta::LinkGone(TRUNK)]);
    let heed = scene.follower.take(answer, Instant::now());
    assert_eq!(heed, Heed::default());
    assert_eq!(scene.follower.mirror().link(TRUNK), None);
}

#[tokio::test]
async fn neighbours_are_declared_in_use() {
    let mut scene = Scene::new().await;
    let address: IpAddr = [10, 0, 0, 9].into();
    scene.follower.use_neighbours(vec![(LAN, address)]);
    assert!(matches!(scene.follower.answered().await, Answer::Used));
    assert_eq!(*scene.twin.used.lock().unwrap(), [address]);
}

/// The whole way of one event with as many networks as a trunk carries. The
/// limit is for a debug build on a slow machine; see `--nocapture` for the
/// figures.
#[tokio::test]
async fn an_event_among_four_thousand_networks() {
    const NETWORKS: u16 = 4094;
    let mut scene = Scene::new().await;
    let network = scene.config.networks[0].clone();
    scene.config.networks.clear();
    {
        let tables = &mut scene.twin.dump.lock().unwrap().tables;
        *tables = Tables::default();
        tables.links.push(device(TRUNK, "eth0"));
        for vid in 1..=NETWORKS {
            let ifindex = IfIndex::new(u32::from(vid) + 10);
            let [high, low] = vid.to_be_bytes();
            tables.links.push(vlan(ifindex, vid));
            tables
                .addresses
                .push(address(ifindex, &format!("10.{high}.{low}.1/24")));
            tables
                .routes
                .push(route(&format!("10.{high}.{low}.0/24"), ifindex));
            scene.config.networks.push(Network {
                name: format!("net{vid}"),
                vlan: Vid::new(vid).unwrap(),
                interface: format!("eth0.{vid}"),
                ..network.clone()
            });
        }
    }
    scene.follower.read(&scene.config).await.unwrap();
    scene.keep();
    assert_eq!(scene.dataplane.contents.egress.len(), usize::from(NETWORKS));
    let gone = IfIndex::new(2000);
    let start = Instant::now();
    let heard = Heard::Deltas(vec![Delta::LinkGone(gone)]);
    let heed = scene.follower.hear(heard, start);
    scene.keeper.shut(&heed.shut, &mut scene.dataplane);
    let shut = start.elapsed();
    assert!(!scene.dataplane.contents.egress.contains_key(&gone));
    let start = Instant::now();
    scene.keep();
    let kept = start.elapsed();
    println!("4,094 networks: out of the maps after {shut:?}, reconciled in {kept:?}");
    assert!(shut < Duration::from_millis(100), "{shut:?}");
    assert!(kept < Duration::from_secs(5), "{kept:?}");
}
