//! A daemon that is killed at any instant of its life, over and over, under
//! traffic: nothing is lost, and nothing is left behind in the kernel.

use std::{env, mem, thread, time::Duration};

use router_tests::{
    flow::Flow,
    hitless::{assert_attached, assert_by_xdp, forwarding, until},
    kernel_objects::KernelObjects,
    lab,
    router_daemon::RouterDaemon,
};

/// The instants differ from run to run, and are the same for the same seed.
const SEED: &str = "ROUTER_TESTS_SEED";

/// <https://prng.di.unimi.it/splitmix64.c>
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn seed() -> u64 {
    let seed = env::var(SEED).ok().and_then(|text| text.parse().ok());
    seed.unwrap_or_else(|| u64::from(std::process::id()))
}

/// What there is once it changes no more: the kernel frees what was replaced a
/// moment later.
fn settled(daemon: &RouterDaemon) -> KernelObjects {
    let mut before = KernelObjects::default();
    until("replaced programs to be gone", || {
        thread::sleep(Duration::from_millis(300));
        let now = KernelObjects::of(daemon)?;
        Ok(mem::replace(&mut before, now.clone()) == now)
    });
    before
}

#[test]
fn kills_at_any_instant_lose_nothing_and_leave_no_orphans() {
    let test = "kills_at_any_instant_lose_nothing_and_leave_no_orphans";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let kills = if lab::slow() { 8 } else { 100 };
    // A start from end to end, to know how long the interesting part is.
    daemon.kill().unwrap();
    let start = daemon.start().unwrap();
    let first = settled(&daemon);
    assert_eq!(first.links.len(), lab.trunks().len(), "{first:?}");

    let seed = seed();
    println!("{SEED}={seed} repeats these instants; a start takes {start:?}");
    let mut random = SplitMix64(seed);
    let window = u64::try_from((start + start / 4).as_micros()).unwrap();
    let flow = Flow::start(&lab, 0, 1).unwrap();
    daemon.kill().unwrap();
    for _ in 0..kills {
        daemon.spawn().unwrap();
        thread::sleep(Duration::from_micros(random.next() % window));
        daemon.kill().unwrap();
    }
    daemon.start().unwrap();
    let report = flow.finish(&lab).unwrap();
    report.assert_hitless();
    assert_eq!(report.by_kernel, 0, "{report}");

    // Programs are new, all else is what it was: no map, link or pin more.
    let last = settled(&daemon);
    assert_eq!(last.pins, first.pins);
    assert_eq!(last.links, first.links);
    assert_eq!(last.programs.len(), first.programs.len(), "{last:?}");
    assert_eq!(last.maps.len(), first.maps.len(), "{last:?}");
    assert_attached(&lab, &daemon.attachments().unwrap());
    assert_by_xdp(&lab, &daemon);

    daemon.down().unwrap();
    assert!(!daemon.pins().exists());
    until("everything to be gone from the kernel", || {
        let left = [first.that_are_left()?, last.that_are_left()?];
        Ok(left.iter().all(|left| *left == KernelObjects::default()))
    });
}
