//! Storms of what XDP does not forward, at full rate, while a measured flow
//! passes: what it loses, next to what it loses without XDP.

use std::{
    fmt,
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    net::if_::if_nametoindex,
    sys::socket::{MsgFlags, send},
};
use router_common::datapath::Reason;
use router_tests::{
    flow::Flow,
    lab::{self, Lab},
    oracle::{Fate, report},
    packet::{Frame, Transport},
    router_daemon::RouterDaemon,
    sys,
};

/// The measured flow is between these networks, storms come from the third.
const FLOW: (usize, usize) = (0, 1);
const STORM: usize = 2;

/// Losses that mean nothing where two CPUs do everything: one in a hundred.
const NOISE: u64 = 100;

fn duration() -> Duration {
    Duration::from_millis(if lab::slow() { 2500 } else { 1000 })
}

/// What a storm consists of, and what XDP counts it as.
fn storms(lab: &Lab) -> Vec<(&'static str, Reason, Frame)> {
    let (from, to) = (&lab.networks()[STORM], &lab.networks()[FLOW.0]);
    let vid = from.vid.unwrap_or(0);
    let udp = || {
        let frame = Frame::ipv4(
            from.gateway_mac,
            from.host_mac,
            from.host4,
            to.host4,
            Transport::udp(26),
        );
        frame.vlan(vid)
    };
    // Who has the gateway?
    let mut question = vec![0, 1, 8, 0, 6, 4, 0, 1];
    question.extend(from.host_mac);
    question.extend(from.host4.octets());
    question.extend([0; 6]);
    question.extend(from.gateway4.octets());
    question.resize(46, 0);
    vec![
        ("TTL 1", Reason::TtlExceeded, udp().ttl(1)),
        (
            "ARP",
            Reason::Arp,
            Frame::raw([0xff; 6], from.host_mac, 0x0806, &question).vlan(vid),
        ),
        ("fragments", Reason::Fragment, udp().fragment(100, false)),
        ("an unknown VID", Reason::UnknownVid, udp().vlan(999)),
        (
            "other MACs",
            Reason::OtherMac,
            udp().to_mac([0x02, 0, 0, 0, 9, 9]),
        ),
    ]
}

/// What the flow lost under one storm.
#[derive(Clone, Copy, Debug)]
struct Loss {
    lost: u64,
    sent: u64,
    storm: u64,
    /// Frames of the storm's kind that XDP counted.
    counted: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, sent, .. } = self;
        let Self { storm, counted, .. } = self;
        write!(
            f,
            "lost {lost} of {sent} among {storm} frames of the storm, {counted} counted"
        )
    }
}

/// Frames that XDP has passed up for this reason.
fn counted_as(daemon: &RouterDaemon, reason: Reason) -> u64 {
    let stats = daemon.json(&["stats"]).expect("stats");
    let verdicts = stats["verdicts"].as_array().expect("verdicts");
    let of = verdicts
        .iter()
        .find(|verdict| verdict["reason"] == reason.name());
    of.and_then(|verdict| verdict["packets"].as_u64())
        .unwrap_or(0)
}

/// A flow without any storm, and one under each.
fn measure(xdp: bool) -> Option<Vec<(&'static str, Loss)>> {
    let lab = Lab::or_skip("storms", 3)?;
    let mut config = lab.config(&[0, 1, 2], "");
    if !xdp {
        config = config.replace("[[trunk]]\n", "[[trunk]]\nxdp = \"off\"\n");
    }
    let mut daemon = RouterDaemon::configure(&lab, &config).expect("a daemon");
    daemon.start().expect("the daemon to forward");
    let calm = (
        "no storm",
        Reason::OtherMac,
        Frame::raw([0; 6], [0; 6], 0, &[]),
    );
    let storms = [calm].into_iter().chain(storms(&lab));
    let losses = storms.map(|(what, reason, frame)| {
        let before = counted_as(&daemon, reason);
        let flow = Flow::start(&lab, FLOW.0, FLOW.1).expect("a flow");
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let (netns, port) = lab.sink(STORM);
        let blowing = (what != "no storm").then(|| {
            let (stop, count, bytes) = (Arc::clone(&stop), Arc::clone(&count), frame.bytes());
            netns.spawn(move || {
                let index = if_nametoindex(port).context("no such interface")?;
                let socket = sys::packet_socket(index).context("no packet socket")?;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..32 {
                        // A full queue is what a storm is about.
                        if send(socket.as_raw_fd(), &bytes, MsgFlags::empty()).is_ok() {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                Ok(())
            })
        });
        flow.run_for(duration());
        stop.store(true, Ordering::Relaxed);
        if let Some(blowing) = blowing {
            blowing
                .expect("a thread")
                .join()
                .expect("a storm")
                .expect("a socket");
        }
        let report = flow.finish(&lab).expect("the flow's end");
        for direction in &report.directions {
            assert_eq!(
                (&direction.wrong, direction.duplicated),
                (&None, 0),
                "{report}"
            );
        }
        let loss = Loss {
            lost: report.lost() as u64,
            sent: report.sent(),
            storm: count.load(Ordering::Relaxed),
            counted: counted_as(&daemon, reason) - before,
        };
        (what, loss)
    });
    Some(losses.collect())
}

/// 74, and its kin.
#[test]
fn storms_cost_the_fast_path_no_more_than_the_kernels() {
    let Some(on) = measure(true) else {
        return;
    };
    let Some(off) = measure(false) else {
        return;
    };
    let mut wrong = Vec::new();
    for ((what, on), (_, off)) in on.iter().zip(&off) {
        println!("{what}: with XDP {on}; without {off}");
        // As shares: the two runs did not send equally many.
        let allowed = off.lost * on.sent / off.sent.max(1) + on.sent / NOISE;
        if on.lost > allowed {
            wrong.push(format!("{what}: with XDP {on}, without {off}"));
        }
        if *what != "no storm" {
            assert!(on.storm > on.sent, "{what}: no storm at all: {on}");
            // It came as far as XDP, and was what it is called; a full queue in
            // front of it has lost the rest.
            assert!(on.counted * 10 > on.storm, "{what}: another storm: {on}");
            assert_eq!(off.counted, 0, "{what}: without XDP {off}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    report::shown(
        74,
        Fate::Xdp,
        "storms_cost_the_fast_path_no_more_than_the_kernels",
    );
}
