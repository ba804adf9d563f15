//! Packets that XDP forwards do not tell the kernel that a neighbour is in use:
//! the daemon does.

use std::{
    collections::BTreeSet,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use router_tests::{
    lab::{self, HOST_INTERFACE, Lab},
    router_daemon::RouterDaemon,
};
use serde_json::Value;

const PORT: u16 = 4000;

/// A lab with a daemon, and neighbours that go stale after 1.5 to 4.5 seconds and
/// are probed a second later. Were it sooner, one that was declared in use a second
/// ago would go from REACHABLE to DELAY at once, and never be stale.
fn scene(test: &str) -> Option<(Lab, RouterDaemon)> {
    let lab = Lab::or_skip(test, 2)?;
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    daemon.start().unwrap();
    for network in lab.networks() {
        for (key, value) in [
            ("base_reachable_time_ms", "3000"),
            ("delay_first_probe_time", "1"),
            ("retrans_time_ms", "200"),
            ("ucast_solicit", "2"),
        ] {
            let key = format!("ipv4/neigh/{}/{key}", network.interface);
            lab.router().sysctl(&key, value).unwrap();
        }
        // One that is known already has its time from before.
        let flush = format!("neigh flush dev {}", network.interface);
        lab.router().ip(&flush).unwrap();
    }
    Some((lab, daemon))
}

fn patience() -> u32 {
    if lab::slow() { 8 } else { 2 }
}

/// What the router's kernel believes of the host of network 1: state and MAC.
fn neighbour(lab: &Lab) -> Option<(String, String)> {
    let network = &lab.networks()[1];
    let words = format!("-j neigh show {} dev {}", network.host4, network.interface);
    let shown: Value = serde_json::from_str(&lab.router().ip(&words).unwrap()).unwrap();
    let state = shown[0]["state"][0].as_str()?.to_owned();
    let mac = shown[0]["lladdr"].as_str().unwrap_or_default().to_owned();
    Some((state, mac))
}

/// Datagrams from host 0 to host 1, which never answers and so says nothing of
/// itself.
struct Monologue {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<anyhow::Result<()>>>,
}

impl Monologue {
    fn start(lab: &Lab) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(AtomicU64::new(0));
        let to = lab.networks()[1].host4;
        let (ended, count) = (Arc::clone(&stop), Arc::clone(&heard));
        let listen = move || {
            let socket = UdpSocket::bind((to, PORT))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            while !ended.load(Ordering::Relaxed) {
                if socket.recv(&mut [0; 16]).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let ended = Arc::clone(&stop);
        let speak = move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            while !ended.load(Ordering::Relaxed) {
                // That nobody is reached is what this is about.
                let _ = socket.send_to(b"hello", (to, PORT));
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        };
        let threads = vec![
            lab.host(1).spawn(listen).unwrap(),
            lab.host(0).spawn(speak).unwrap(),
        ];
        Self {
            stop,
            heard,
            threads,
        }
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until it is heard (anew).
    fn wait_heard(&self, limit: Duration) -> Duration {
        let (start, before) = (Instant::now(), self.heard());
        while self.heard() == before {
            assert!(start.elapsed() < limit, "nothing is heard for {limit:?}");
            thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap().unwrap();
        }
    }
}

#[test]
fn stale_neighbours_are_probed_while_there_is_traffic() {
    let Some((lab, mut daemon)) = scene("stale_neighbours_are_probed_while_there_is_traffic")
    else {
        return;
    };
    let talk = Monologue::start(&lab);
    talk.wait_heard(Duration::from_secs(10) * patience());
    let before = daemon.forwarded_by_xdp().unwrap();
    // It goes stale, and is probed, and is reachable again.
    let wanted = BTreeSet::from(["STALE", "REACHABLE"].map(str::to_owned));
    let (mut stale, mut confirmed) = (0, 0);
    let mut last = String::new();
    let start = Instant::now();
    while confirmed < 2 {
        assert!(
            start.elapsed() < Duration::from_secs(15) * patience(),
            "stale {stale} times, reachable again {confirmed} times, now {last}\n{}",
            daemon.log_text()
        );
        if let Some((state, _)) = neighbour(&lab)
            && wanted.contains(&state)
            && state != last
        {
            match &*state {
                "STALE" => stale += 1,
                _ if last == "STALE" => confirmed += 1,
                _ => {}
            }
            last = state;
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("twice round in {:?}", start.elapsed());
    assert!(daemon.forwarded_by_xdp().unwrap() > before, "by XDP");
    talk.end();
    // And without traffic it is left alone. Not from the first time that it is
    // stale: what was forwarded while it was reachable counts once more.
    let limit = Instant::now() + Duration::from_secs(20) * patience();
    let mut stale_since = None;
    while stale_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(4)) {
        assert!(
            Instant::now() < limit,
            "it is probed, and nobody has asked for it\n{}",
            daemon.log_text()
        );
        let (state, _) = neighbour(&lab).unwrap();
        if state == "STALE" {
            stale_since.get_or_insert_with(Instant::now);
        } else {
            stale_since = None;
        }
        thread::sleep(Duration::from_millis(100));
    }
    daemon.down().unwrap();
}

/// XDP would go on sending to the old MAC for ever.
#[test]
fn a_host_that_moves_to_another_mac_is_found() {
    let Some((lab, mut daemon)) = scene("a_host_that_moves_to_another_mac_is_found") else {
        return;
    };
    let talk = Monologue::start(&lab);
    talk.wait_heard(Duration::from_secs(10) * patience());
    let moved = "02:00:00:00:77:77";
    // It says nothing of it: arp_notify is off.
    lab.host(1)
        .ip(&format!("link set {HOST_INTERFACE} address {moved}"))
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    let took = talk.wait_heard(Duration::from_secs(10) * patience());
    println!("found after {took:?}");
    let (_, mac) = neighbour(&lab).unwrap();
    assert_eq!(mac, moved);
    // And XDP forwards there.
    let before = daemon.forwarded_by_xdp().unwrap();
    let limit = Instant::now() + Duration::from_secs(5) * patience();
    while daemon.forwarded_by_xdp().unwrap() == before {
        assert!(Instant::now() < limit, "XDP forwards nothing any more");
        thread::sleep(Duration::from_millis(100));
    }
    talk.end();
    daemon.down().unwrap();
}

/// `NTF_USE` would turn it into one that can fail.
#[test]
fn permanent_neighbours_stay_so() {
    let Some((lab, mut daemon)) = scene("permanent_neighbours_stay_so") else {
        return;
    };
    let network = &lab.networks()[1];
    let mac = router_tests::topology::mac_text(network.host_mac);
    lab.router()
        .ip(&format!(
            "neigh replace {} lladdr {mac} nud permanent dev {}",
            network.host4, network.interface
        ))
        .unwrap();
    let talk = Monologue::start(&lab);
    talk.wait_heard(Duration::from_secs(10) * patience());
    for _ in 0..40 {
        let (state, _) = neighbour(&lab).unwrap();
        assert_eq!(state, "PERMANENT");
        thread::sleep(Duration::from_millis(100));
    }
    talk.end();
    daemon.down().unwrap();
}
