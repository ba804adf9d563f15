//! Whatever was changed, `down` puts back.
//!
//! The whole footprint before `run` and after `down` is compared, with the
//! daemon ended in every way, at every moment.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use router_tests::{
    footprint::Footprint,
    kernel_objects::KernelObjects,
    lab::{self, Kind, Lab},
    router_daemon::RouterDaemon,
};

/// Instants at which the daemon is killed while it starts; under software
/// emulation fewer have to do.
fn kills() -> u32 {
    if lab::slow() { 5 } else { 20 }
}

/// The same while it reloads.
fn reload_kills() -> u32 {
    if lab::slow() { 2 } else { 8 }
}

/// A router with sub-interfaces to make, or to adopt where the kernel has no
/// 802.1Q, and one to adopt in any case.
struct Scene {
    // It goes before what surrounds it.
    daemon: RouterDaemon,
    lab: Lab,
}

/// Which configuration.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    First,
    /// A network less, a network more, and one that is not what it was.
    Second,
}

impl Scene {
    fn or_skip(test: &str) -> Option<Self> {
        let lab = Lab::or_skip(test, 2)?;
        let scene = Self::build(lab).unwrap_or_else(|error| panic!("{test}: {error:#}"));
        Some(scene)
    }

    fn build(lab: Lab) -> Result<Self> {
        let trunk = &lab.trunks()[0];
        let router = lab.router();
        match lab.kind() {
            Kind::Tagged => {
                router.ip(&format!(
                    "link add link {trunk} name adopted type vlan id 201"
                ))?;
            }
            Kind::Untagged => {
                // Their other ends are out of sight: a carrier gives those
                // addresses of their own.
                let wire = lab.namespaces().nth(1).context("a lab has a wire")?;
                for name in ["adopted", "lan1", "lan2", "lan3"] {
                    router.ip(&format!(
                        "link add {name} type veth peer name {name} netns {}",
                        wire.name()
                    ))?;
                    wire.ip(&format!("link set {name} up"))?;
                    // The first time up gives a device its queueing discipline
                    // for good.
                    router.ip(&format!("link set {name} up"))?;
                    router.ip(&format!("link set {name} down"))?;
                }
            }
        }
        router.ip_batch(
            "link set adopted mtu 1400 up\n\
             address add 192.0.2.1/24 dev adopted\n\
             route add 198.51.100.0/24 via 192.0.2.9\n\
             neigh add 192.0.2.9 lladdr 02:00:00:00:00:99 dev adopted nud permanent\n",
        )?;
        // What is unusual must come back, too.
        router.sysctl("ipv4/conf/all/accept_redirects", "0")?;
        router.sysctl("ipv4/conf/adopted/forwarding", "1")?;
        router.sysctl("ipv6/conf/adopted/accept_ra", "0")?;
        router.sysctl(&format!("ipv4/conf/{trunk}/rp_filter"), "2")?;
        let mut daemon = RouterDaemon::configure(&lab, "")?;
        daemon.options(["--stand-in"]);
        let scene = Self { lab, daemon };
        scene.write(Which::First)?;
        Ok(scene)
    }

    fn write(&self, which: Which) -> Result<()> {
        let trunk = &self.lab.trunks()[0];
        let interface = |number: u16| match self.lab.kind() {
            Kind::Tagged => String::new(),
            Kind::Untagged => format!("interface = \"lan{number}\"\n"),
        };
        let mut text = format!("[[trunk]]\ninterface = \"{trunk}\"\n");
        let mut network = |name: &str, vlan: u16, interface: &str, gateways: &str| {
            text += &format!(
                "[[network]]\nname = \"{name}\"\nvlan = {vlan}\n{interface}gateway = [{gateways}]\n"
            );
        };
        let adopted = "interface = \"adopted\"\n";
        match which {
            Which::First => {
                network("a", 101, &interface(1), "\"10.1.0.1/24\", \"fd00:1::1/64\"");
                network("b", 102, &interface(2), "\"10.2.0.1/24\"");
                network("kept", 201, adopted, "\"10.9.0.1/24\", \"fd00:9::1/64\"");
            }
            Which::Second => {
                network(
                    "a",
                    101,
                    &interface(1),
                    "\"10.1.0.254/24\", \"fd00:1::1/64\"",
                );
                network("kept", 201, adopted, "\"10.9.0.1/24\", \"fd00:9::1/64\"");
                network("c", 103, &interface(3), "\"10.2.0.1/24\", \"fd00:3::1/64\"");
            }
        }
        text += "[[network]]\nname = \"uplink\"\n";
        text += "[[route]]\nto = \"10.77.0.0/16\"\nvia = \"10.9.0.7\"\n";
        text += "[[route]]\nto = \"fd00:77::/32\"\nvia = \"fd00:1::7\"\n";
        self.daemon.write_config(&text)
    }

    fn footprint(&self) -> Footprint {
        Footprint::settled(self.lab.router()).unwrap()
    }

    fn assert_restored(&self, before: &Footprint, when: &str) {
        if let Err(error) = before.is_restored(self.lab.router()) {
            panic!("{when}: {error:#}\n{}", self.daemon.log_text());
        }
        let pins = self.daemon.bpffs().join("router-ctl");
        assert!(!pins.exists(), "{when}: pins are left");
    }
}

/// A small generator of instants; the seed is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |time| u64::from(time.subsec_nanos()) << 20 | 1);
        let seed = std::env::var("SEED").map_or(seed, |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        Self(seed)
    }

    /// Below `limit`.
    fn instant(&mut self, limit: Duration) -> Duration {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        limit.mul_f64((self.0 % 10_000) as f64 / 10_000.0)
    }
}

#[test]
fn down_puts_everything_back() {
    let Some(mut scene) = Scene::or_skip("down_puts_everything_back") else {
        return;
    };
    let before = scene.footprint();
    scene.daemon.start().unwrap();
    scene
        .daemon
        .call(&["routes", "add", "10.88.0.0/16", "via", "10.1.0.8"])
        .unwrap();
    let objects = KernelObjects::of(&scene.daemon).unwrap();
    assert!(!objects.programs.is_empty() && !objects.maps.is_empty());
    assert_ne!(scene.footprint(), before, "it did something");
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down");
    let left = objects.that_are_left().unwrap();
    assert_eq!(left, KernelObjects::default(), "in the kernel");
    // Again, and without a daemon.
    scene.daemon.start().unwrap();
    scene.daemon.terminate().unwrap();
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down after SIGTERM");
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down twice");
}

#[test]
fn down_after_a_reload_puts_everything_back() {
    let Some(mut scene) = Scene::or_skip("down_after_a_reload_puts_everything_back") else {
        return;
    };
    let before = scene.footprint();
    scene.daemon.start().unwrap();
    scene
        .daemon
        .call(&["routes", "add", "10.88.0.0/16", "via", "10.9.0.8"])
        .unwrap();
    for which in [Which::Second, Which::First, Which::Second] {
        scene.write(which).unwrap();
        scene.daemon.call(&["config", "apply"]).unwrap();
    }
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down after three reloads");
    // With a file that was changed while the daemon was away.
    scene.daemon.start().unwrap();
    scene.daemon.kill().unwrap();
    scene.write(Which::First).unwrap();
    scene.daemon.start().unwrap();
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down after a restart with another file");
}

#[test]
fn killed_while_it_starts() {
    let Some(mut scene) = Scene::or_skip("killed_while_it_starts") else {
        return;
    };
    let before = scene.footprint();
    let took = scene.daemon.start().unwrap();
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down");
    println!("a start takes {took:?}");
    let mut random = Random::new();
    let begun = Instant::now();
    for kill in 0..kills() {
        let instant = random.instant(took);
        scene.daemon.spawn().unwrap();
        std::thread::sleep(instant);
        scene.daemon.kill().unwrap();
        scene.daemon.down().unwrap();
        scene.assert_restored(
            &before,
            &format!("kill {kill}, {instant:?} after the start"),
        );
    }
    println!("{} kills in {:?}", kills(), begun.elapsed());
}

#[test]
fn killed_while_it_reloads() {
    let Some(mut scene) = Scene::or_skip("killed_while_it_reloads") else {
        return;
    };
    let before = scene.footprint();
    let mut random = Random::new();
    scene.daemon.start().unwrap();
    let begun = Instant::now();
    scene.write(Which::Second).unwrap();
    scene.daemon.call(&["config", "apply"]).unwrap();
    let took = begun.elapsed();
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down");
    for kill in 0..reload_kills() {
        scene.write(Which::First).unwrap();
        scene.daemon.start().unwrap();
        scene.write(Which::Second).unwrap();
        let instant = random.instant(took);
        scene.daemon.signal(Signal::SIGHUP).unwrap();
        std::thread::sleep(instant);
        scene.daemon.kill().unwrap();
        if kill % 2 == 0 {
            // Half of them go on with what they find.
            scene.daemon.start().unwrap();
        }
        scene.daemon.down().unwrap();
        scene.assert_restored(&before, &format!("kill {kill}, {instant:?} after SIGHUP"));
    }
}

#[test]
fn a_start_that_fails_puts_everything_back() {
    let Some(mut scene) = Scene::or_skip("a_start_that_fails_puts_everything_back") else {
        return;
    };
    let router = scene.lab.router();
    // Somebody else's route is where ours would be: the last step fails.
    router
        .ip("route add 10.77.0.0/16 via 192.0.2.9 metric 50")
        .unwrap();
    let before = scene.footprint();
    scene.daemon.spawn().unwrap();
    let status = scene.daemon.wait_ended().unwrap();
    assert_eq!(status.code(), Some(1), "{}", scene.daemon.log_text());
    scene.assert_restored(&before, "a start that fails");
}

/// Devices are known by their number: what bears the old name now is not ours.
#[test]
fn renamed_and_replaced_devices() {
    let Some(mut scene) = Scene::or_skip("renamed_and_replaced_devices") else {
        return;
    };
    scene.lab.router().ip("link set adopted down").unwrap();
    let before = scene.footprint();
    scene.daemon.start().unwrap();
    scene.daemon.kill().unwrap();
    // The one that was switched up and given addresses has another name, and
    // its old one is another device's, which has an address of ours by chance.
    let router = scene.lab.router();
    let addresses = |name: &str| router.ip(&format!("-br address show dev {name}")).unwrap();
    router
        .ip("link set adopted name other")
        .or_else(|_| {
            // Before 6.2 a device that is up keeps its name.
            router.ip("link set adopted down")?;
            router.ip("link set adopted name other")
        })
        .unwrap();
    router
        .ip("link add adopted type veth peer name far")
        .unwrap();
    router.ip("link set adopted up").unwrap();
    router.ip("address add 10.9.0.1/24 dev adopted").unwrap();
    scene.daemon.down().unwrap();
    let kept = addresses("adopted");
    assert!(kept.contains("10.9.0.1/24"), "{kept}");
    assert!(
        router
            .ip("link show adopted up")
            .unwrap()
            .contains("adopted")
    );
    let undone = addresses("other");
    assert!(
        !undone.contains("10.9.0.1/24") && undone.contains("192.0.2.1/24"),
        "{undone}"
    );
    router.ip("link del adopted").unwrap();
    router.ip("link set other name adopted").unwrap();
    // Renaming loses static IPv6 settings of nobody here; the rest is as it was.
    scene.assert_restored(&before, "renamed");
}

/// Two instances in one namespace: forwarding stays until the last of them goes.
#[test]
fn forwarding_stays_for_the_other_instance() {
    let Some(mut scene) = Scene::or_skip("forwarding_stays_for_the_other_instance") else {
        return;
    };
    let before = scene.footprint();
    let trunks = scene.lab.trunks();
    let text = |trunk: &str, body: &str| {
        format!("[[trunk]]\ninterface = \"{trunk}\"\nxdp = \"off\"\n{body}")
    };
    let (first, second) = match scene.lab.kind() {
        Kind::Tagged => (
            text(
                &trunks[0],
                "[[network]]\nname = \"a\"\nvlan = 101\ngateway = \"10.1.0.1/24\"\n",
            ),
            text(
                &trunks[0],
                "[[network]]\nname = \"b\"\nvlan = 102\ngateway = \"10.2.0.1/24\"\n",
            ),
        ),
        Kind::Untagged => (
            text(
                &trunks[0],
                "[[network]]\nname = \"a\"\ngateway = \"10.1.0.1/24\"\n",
            ),
            text(
                &trunks[1],
                "[[network]]\nname = \"b\"\ngateway = \"10.2.0.1/24\"\n",
            ),
        ),
    };
    scene.daemon.write_config(&first).unwrap();
    let mut other = RouterDaemon::configure(&scene.lab, &second).unwrap();
    assert_eq!(forwarding(&scene.lab), [false, false]);
    scene.daemon.start().unwrap();
    other.start().unwrap();
    scene.daemon.down().unwrap();
    assert_eq!(
        forwarding(&scene.lab),
        [true, true],
        "the other one needs it"
    );
    other.down().unwrap();
    scene.assert_restored(&before, "both are down");
}

/// IPv4 and IPv6.
fn forwarding(lab: &Lab) -> [bool; 2] {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(|name| {
        let path = format!("/proc/sys/net/{name}");
        let value = lab.router().run(move || Ok(fs::read_to_string(path)?));
        value.unwrap().trim() == "1"
    })
}

/// In another namespace nothing can be put back: nothing is done or forgotten.
#[test]
fn down_in_another_namespace_says_where_to_go() {
    let Some(mut scene) = Scene::or_skip("down_in_another_namespace_says_where_to_go") else {
        return;
    };
    let before = scene.footprint();
    scene.daemon.start().unwrap();
    scene.daemon.kill().unwrap();
    let elsewhere = || {
        let words = ["--instance", scene.daemon.instance(), "down"];
        let output = scene
            .lab
            .host(0)
            .command(program())
            .args(words)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for _ in 0..2 {
        let (code, told) = elsewhere();
        assert_eq!(code, Some(1), "{told}");
        let router = scene.lab.router().path();
        let way = format!("nsenter --net={} router-ctl --instance", router.display());
        assert!(told.contains("RC0504") && told.contains(&way), "{told}");
    }
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down where it belongs");
}

fn program() -> std::path::PathBuf {
    router_tests::router_daemon::program().unwrap()
}

/// What a process holds in the kernel.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    files: usize,
    bpf: usize,
}

fn held(daemon: &RouterDaemon) -> Result<(Held, u64)> {
    let process = format!("/proc/{}", daemon.pid()?);
    let files = fs::read_dir(format!("{process}/fd"))?.count();
    let bpf = fs::read_dir(format!("{process}/fdinfo"))?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter(|info| {
            ["map_id:", "prog_id:", "link_id:"]
                .iter()
                .any(|id| info.contains(id))
        })
        .count();
    let status = fs::read_to_string(format!("{process}/status"))?;
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .context("no VmRSS")?;
    Ok((Held { files, bpf }, memory))
}

#[test]
fn reloads_leak_nothing() {
    let Some(mut scene) = Scene::or_skip("reloads_leak_nothing") else {
        return;
    };
    // Under software emulation, where the kernel has 802.1Q, fewer have to do.
    // RELOADS=1000 takes two and a half minutes.
    let reloads = match (std::env::var("RELOADS"), scene.lab.kind()) {
        (Ok(number), _) => number.parse().unwrap(),
        (Err(_), Kind::Untagged) => 250,
        (Err(_), Kind::Tagged) => 40,
    };
    let before = scene.footprint();
    scene.daemon.start().unwrap();
    let reload = |scene: &Scene, turn: usize| -> Result<()> {
        scene.write(if turn.is_multiple_of(2) {
            Which::Second
        } else {
            Which::First
        })?;
        scene.daemon.call(&["config", "apply"]).map(drop)
    };
    let warm = 20;
    for turn in 0..warm {
        reload(&scene, turn).unwrap();
    }
    let (held_before, memory_before) = held(&scene.daemon).unwrap();
    let objects = KernelObjects::of(&scene.daemon).unwrap();
    let begun = Instant::now();
    for turn in warm..warm + reloads {
        reload(&scene, turn).unwrap();
    }
    println!("{reloads} reloads in {:?}", begun.elapsed());
    let (held_after, memory_after) = held(&scene.daemon).unwrap();
    assert_eq!(held_after, held_before);
    assert_eq!(KernelObjects::of(&scene.daemon).unwrap(), objects);
    println!("{memory_before} KiB before, {memory_after} KiB after");
    assert!(
        memory_after < memory_before + 4096,
        "{memory_before} KiB before, {memory_after} KiB after"
    );
    scene.daemon.down().unwrap();
    scene.assert_restored(&before, "down after all of them");
}

/// Full or read-only state: nothing is half done.
#[test]
fn a_full_disk_is_said_and_nothing_is_half_done() {
    let Some(scene) = Scene::or_skip("a_full_disk_is_said_and_nothing_is_half_done") else {
        return;
    };
    // More to do than a page of journal holds.
    let addresses: Vec<String> = (1..=64).map(|n| format!("\"10.66.{n}.1/24\"")).collect();
    let trunk = &scene.lab.trunks()[0];
    let text = format!(
        "[[trunk]]\ninterface = \"{trunk}\"\n[[network]]\nname = \"kept\"\nvlan = 201\n\
         interface = \"adopted\"\ngateway = [{}]\n",
        addresses.join(", ")
    );
    scene.daemon.write_config(&text).unwrap();
    let before = scene.footprint();
    // In a mount namespace of its own /var/lib/router-ctl is a tiny tmpfs: no
    // page for anything, one for the journal, and one for the other file.
    for pages in [0, 1, 2] {
        let output = run_with_room(&scene, pages).unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &scene.daemon.log_text();
        assert_eq!(output.status.code(), Some(1), "{pages}: {told}");
        assert!(told.contains("No space left on device"), "{pages}: {told}");
        scene.assert_restored(&before, &format!("{pages} pages of room"));
    }
}

fn run_with_room(scene: &Scene, pages: usize) -> Result<std::process::Output> {
    let script = format!(
        "set -e; mkdir -p /var/lib/router-ctl; \
         mount -t tmpfs -o size={}k none /var/lib/router-ctl; \
         dd if=/dev/zero of=/var/lib/router-ctl/x bs=4k count=1 status=none; \
         exec timeout 60 \"$@\"",
        4 * (pages + 1)
    );
    let config = scene.daemon.config();
    let bpffs = scene.daemon.bpffs();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", "nsenter"]);
    command.arg(format!("--net={}", scene.lab.router().path().display()));
    command.arg(program()).args([
        "--instance",
        scene.daemon.instance(),
        "run",
        "--stand-in",
        "--config",
    ]);
    command.arg(config).arg("--bpffs").arg(bpffs);
    let output = command.output()?;
    ensure!(output.status.code() != Some(124), "it runs");
    Ok(output)
}
