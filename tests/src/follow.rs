//! What the `net_follow*` tests share: a router whose two sub-interfaces are the
//! test's to change, and its maps, read from their pins and not told by the
//! daemon.
//!
//! Sub-interfaces are 802.1Q where the kernel has it, else veth devices that
//! stand in.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use router_common::{
    abi::{Egress, Ingress, LocalAddress, MapBytes as _, ingress_index, names},
    wire::IfIndex,
};
use serde_json::Value;

use crate::{
    lab::{self, Lab},
    netns,
    router_daemon::RouterDaemon,
};

/// "Maps right within 200 ms", on a machine that is one.
const LIMIT: Duration = Duration::from_millis(200);

/// The trunk's only slot.
const SLOT: u32 = 0;

/// A sub-interface of the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sub {
    /// Of network and device.
    pub name: &'static str,
    /// 1 to 4094.
    pub vid: u16,
    /// The gateway and its prefix length.
    pub gateway4: &'static str,
    /// The same of IPv6.
    pub gateway6: &'static str,
}

/// One network.
pub const RED: Sub = Sub {
    name: "red",
    vid: 301,
    gateway4: "10.30.1.1/24",
    gateway6: "fd00:301::1/64",
};
/// The other.
pub const BLUE: Sub = Sub {
    name: "blue",
    vid: 302,
    gateway4: "10.30.2.1/24",
    gateway6: "fd00:302::1/64",
};

/// A router with a daemon that forwards between [`RED`] and [`BLUE`].
#[derive(Debug)]
pub struct Scene {
    // Ends before its surroundings.
    daemon: RouterDaemon,
    lab: Lab,
    vlans: bool,
}

impl Scene {
    /// Starts it; `None`: this test cannot run here, and has said so.
    ///
    /// # Panics
    /// When the daemon does not come to forward.
    #[must_use]
    pub fn or_skip(test: &str) -> Option<Self> {
        let lab = Lab::or_skip(test, 1)?;
        let vlans = lab::kernel_has_vlans().unwrap();
        for sub in [RED, BLUE] {
            make(&lab, vlans, sub.name, sub.vid, None).unwrap();
        }
        let trunk = &lab.networks()[0].trunk;
        let mut config = format!("[[trunk]]\ninterface = \"{trunk}\"\n");
        for sub in [RED, BLUE] {
            config += &format!(
                "\n[[network]]\nname = \"{0}\"\nvlan = {1}\ninterface = \"{0}\"\ngateway = [\"{2}\", \"{3}\"]\n",
                sub.name, sub.vid, sub.gateway4, sub.gateway6
            );
        }
        let mut daemon = RouterDaemon::configure(&lab, &config).unwrap();
        if !vlans {
            daemon.options(["--stand-in"]);
        }
        daemon.start().unwrap();
        Some(Self { daemon, lab, vlans })
    }

    /// The daemon.
    pub const fn daemon(&mut self) -> &mut RouterDaemon {
        &mut self.daemon
    }

    /// The lab; of its router the scene uses the first trunk only.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Whether sub-interfaces are 802.1Q.
    #[must_use]
    pub const fn has_vlans(&self) -> bool {
        self.vlans
    }

    /// `ip` in the router, a line each.
    ///
    /// # Panics
    /// When it refuses.
    pub fn ip(&self, lines: &str) {
        self.lab.router().ip_batch(lines).unwrap();
    }

    /// A sysctl of the router.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.lab.router().sysctl(key, value).unwrap();
    }

    /// Makes a sub-interface, up and without addresses; `index`: its number.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn make(&self, name: &str, vid: u16, index: Option<u32>) {
        make(&self.lab, self.vlans, name, vid, index).unwrap();
    }

    /// Gives a sub-interface its addresses.
    pub fn address(&self, sub: Sub) {
        let Sub {
            name,
            gateway4,
            gateway6,
            ..
        } = sub;
        self.ip(&format!(
            "addr replace {gateway4} dev {name}\naddr replace {gateway6} dev {name} nodad\n"
        ));
    }

    /// The number of a device.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn index(&self, name: &str) -> IfIndex {
        let text = self.lab.router().ip(&format!("-j link show {name}"));
        let links: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let index = links[0]["ifindex"].as_u64().unwrap();
        IfIndex::new(u32::try_from(index).unwrap())
    }

    /// Whether a network is in the maps, by the device that bears its name now.
    #[must_use]
    pub fn has(&self, maps: &Maps, sub: Sub) -> bool {
        let shown = self.lab.router().ip(&format!("link show {}", sub.name));
        shown.is_ok() && maps.is_in(sub, self.index(sub.name))
    }

    /// The maps.
    ///
    /// # Panics
    /// When they are not pinned.
    #[must_use]
    pub fn maps(&self) -> Maps {
        Maps::open(&self.daemon.pins()).unwrap()
    }

    /// Does something, and waits until the maps are `right`, which they were not
    /// before: in time, or it is a failure.
    ///
    /// # Panics
    /// When they are right before, or not in time.
    pub fn follows(&self, what: &str, event: impl FnOnce(&Self), right: impl Fn(&Maps) -> bool) {
        self.follows_within(LIMIT, what, event, right);
    }

    /// [`follows`](Self::follows) with another limit.
    ///
    /// # Panics
    /// As there.
    pub fn follows_within(
        &self,
        limit: Duration,
        what: &str,
        event: impl FnOnce(&Self),
        right: impl Fn(&Maps) -> bool,
    ) {
        let limit = limit * patience();
        let maps = self.maps();
        assert!(!right(&maps), "{what}: they are so before it happens");
        event(self);
        // It has happened by now, and the daemon may have seen it already.
        let start = Instant::now();
        while !right(&maps) {
            assert!(
                start.elapsed() < limit * 10,
                "{what}: the maps are wrong for good\n{}",
                self.daemon.log_text()
            );
            thread::sleep(Duration::from_millis(1));
        }
        let took = start.elapsed();
        println!("{what}: {took:?}");
        assert!(took < limit, "{what} took {took:?}, longer than {limit:?}");
    }

    /// Number `key` of how the daemon follows: `dumps`, `resyncs`, `overruns`.
    ///
    /// # Panics
    /// When the daemon does not say.
    #[must_use]
    pub fn followed(&self, key: &str) -> u64 {
        let status = self.daemon.json(&["status"]).unwrap();
        status["following"][key].as_u64().unwrap()
    }

    /// Waits until `status` has a problem that holds `words`; or, with none,
    /// until it has no problems.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub fn says_within(&self, limit: Duration, words: Option<&str>) -> Duration {
        let limit = limit * patience();
        let start = Instant::now();
        loop {
            let status = self.daemon.json(&["status"]).unwrap();
            let problems = status["problems"].as_array().unwrap();
            let said = match words {
                None => status["state"] == "forwarding",
                Some(words) => problems.iter().any(|problem| {
                    let message = problem["message"].as_str().unwrap_or_default();
                    message.contains(words)
                }),
            };
            if said {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < limit,
                "{words:?} is not said after {limit:?}: {}",
                status["problems"]
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How much longer things may take than on a machine of one's own: under software
/// emulation, or where others keep the processors busy.
fn patience() -> u32 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: usize = load
        .split('.')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    match (lab::slow(), load >= 2 * processors) {
        (true, _) => 20,
        (false, true) => 5,
        (false, false) => 1,
    }
}

fn make(lab: &Lab, vlans: bool, name: &str, vid: u16, index: Option<u32>) -> Result<()> {
    let index = index.map_or_else(String::new, |index| format!("index {index}"));
    let trunk = &lab.networks()[0].trunk;
    // Routers have no privacy addresses, and DAD is not under test.
    let lines = if vlans {
        format!("link add link {trunk} name {name} {index} type vlan id {vid}\n")
    } else {
        format!(
            "link add name {name} {index} type veth peer name {name}-far\nlink set {name}-far up\n"
        )
    };
    lab.router().ip_batch(&lines)?;
    lab.router()
        .sysctl(&format!("ipv6/conf/{name}/accept_dad"), "0")?;
    lab.router().ip(&format!("link set {name} up")).map(drop)
}

/// The pinned maps of a daemon.
pub struct Maps {
    ingress: Array<MapData, [u8; Ingress::SIZE]>,
    egress: HashMap<MapData, u32, [u8; Egress::SIZE]>,
    locals: HashMap<MapData, [u8; 16], u8>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}

impl Maps {
    fn open(pins: &Path) -> Result<Self> {
        let abi = fs::read_dir(pins)
            .with_context(|| format!("no pins in {}", pins.display()))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.join(names::INGRESS).exists())
            .context("no maps among the pins")?;
        let map = |name: &str| -> Result<Map> {
            let data = MapData::from_pin(abi.join(name))?;
            Map::from_map_data(data).context("an odd map")
        };
        Ok(Self {
            ingress: map(names::INGRESS)?.try_into()?,
            egress: map(names::EGRESS)?.try_into()?,
            locals: map(names::LOCALS)?.try_into()?,
        })
    }

    /// What comes in on a VLAN of the trunk; `None`: nothing that is ours.
    ///
    /// # Panics
    /// When the map cannot be read.
    #[must_use]
    pub fn ingress(&self, vid: u16) -> Option<Ingress> {
        let bytes = self.ingress.get(&ingress_index(SLOT, vid), 0).unwrap();
        let entry = Ingress::from_bytes(&bytes);
        (entry.ifindex != IfIndex::default()).then_some(entry)
    }

    /// What goes out by a device; `None`: it is no network's.
    ///
    /// # Panics
    /// When the map cannot be read.
    #[must_use]
    pub fn egress(&self, device: IfIndex) -> Option<Egress> {
        match self.egress.get(&device.get(), 0) {
            Ok(bytes) => Some(Egress::from_bytes(&bytes)),
            Err(MapError::KeyNotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the kernel's IPv4 address is known as one of its own.
    ///
    /// # Panics
    /// When the map cannot be read.
    #[must_use]
    pub fn has_local(&self, address: [u8; 4]) -> bool {
        match self.locals.get(&LocalAddress::v4(address).to_bytes(), 0) {
            Ok(_) => true,
            Err(MapError::KeyNotFound) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// No frame of this VLAN comes in, and none goes out by it or by `device`.
    #[must_use]
    pub fn is_out(&self, sub: Sub, device: IfIndex) -> bool {
        self.ingress(sub.vid).is_none() && self.egress(device).is_none()
    }

    /// Frames of this VLAN come in, and go out by `device`.
    #[must_use]
    pub fn is_in(&self, sub: Sub, device: IfIndex) -> bool {
        let egress = self.egress(device);
        self.ingress(sub.vid)
            .is_some_and(|entry| entry.ifindex == device)
            && egress.is_some_and(|entry| entry.vid.get() == sub.vid)
    }
}

/// A namespace beside the lab's, for a device to be moved to.
///
/// # Errors
/// Where there can be none.
pub fn elsewhere() -> Result<netns::Netns> {
    netns::Netns::create(&format!("elsewhere-{}", netns::unique_suffix()))
}
