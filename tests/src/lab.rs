//! A router's surroundings for tests of the real daemon: networks with a host
//! each, every one a namespace with a kernel of its own behind it, so that ARP,
//! ND and the kernel's own forwarding are real.
//!
//! ```text
//! Tagged: the kernel has 802.1Q             Untagged: it has not
//!
//!  router            wire                    router
//!   trunk0 ========= wire0                    trunk0 ========= eth0 of host 0
//!    |-- trunk0.101    |-- .101: eth0, host 0 trunk1 ========= eth0 of host 1
//!    '-- trunk0.102    '-- .102: eth0, host 1
//! ```
//!
//! Both kinds forward with XDP and without: tagged by `XDP_TX` on the one trunk,
//! untagged by `XDP_REDIRECT` between two. The same test runs on both: which it
//! is, the kernel decides.
//!
//! ```no_run
//! use router_tests::{flow::Flow, lab::Lab, router_daemon::RouterDaemon};
//!
//! # fn test() -> anyhow::Result<()> {
//! let Some(lab) = Lab::or_skip("name_of_the_test", 2) else { return Ok(()) };
//! let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
//! daemon.start()?;                       // and waits until it forwards
//! let flow = Flow::start(&lab, 0, 1)?;   // numbered packets, both ways
//! daemon.kill()?;
//! daemon.start()?;
//! flow.finish(&lab)?.assert_hitless();
//! daemon.down()?;
//! # Ok(()) }
//! ```
//!
//! What to know:
//! * [`Lab::router`] is the namespace under test: `lab.router().ip("route add ...")`.
//! * Interfaces and addresses of a network are in [`Network`]; sub-interfaces
//!   and gateway addresses are the daemon's to make.
//! * [`Lab::unplug`] and [`Lab::plug`] are a trunk that goes and comes back.
//! * Names are unique to the process and the lab; everything is gone on drop.

use std::{
    env,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    process::Command,
    sync::OnceLock,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::{
    forwarded,
    netns::{self, Netns},
    packet::Mac,
    pass::PassProgram,
    topology::{AS_ON_A_WIRE, mac_text, offloads_off},
};

/// More than any test wants; VIDs and addresses are made from the number.
const MOST: usize = 8;

/// The end of the wire where the hosts of a tagged lab are.
const WIRE: &str = "wire0";

/// Every host's only interface.
pub const HOST_INTERFACE: &str = "eth0";

/// How the networks reach the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One trunk, a VLAN each.
    Tagged,
    /// A trunk each, no tags.
    Untagged,
}

/// A network, its gateway and its one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// As in the configuration.
    pub name: String,
    /// The router's NIC.
    pub trunk: String,
    /// `None`: untagged.
    pub vid: Option<u16>,
    /// The router's interface: the sub-interface, or the trunk.
    pub interface: String,
    /// The router's MAC there.
    pub gateway_mac: Mac,
    /// The router's address, /24.
    pub gateway4: Ipv4Addr,
    /// The router's address, /64.
    pub gateway6: Ipv6Addr,
    /// The host's MAC.
    pub host_mac: Mac,
    /// The host's address, /24.
    pub host4: Ipv4Addr,
    /// The host's address, /64.
    pub host6: Ipv6Addr,
}

impl Network {
    fn new(kind: Kind, index: u8) -> Self {
        let vid = 101 + u16::from(index);
        let (trunk, vid, interface) = match kind {
            Kind::Tagged => ("trunk0".to_owned(), Some(vid), format!("trunk0.{vid}")),
            Kind::Untagged => (format!("trunk{index}"), None, format!("trunk{index}")),
        };
        let trunk_index = match kind {
            Kind::Tagged => 0,
            Kind::Untagged => index,
        };
        let host6 = |host| Ipv6Addr::new(0xfd00, 0x100 + u16::from(index), 0, 0, 0, 0, 0, host);
        Self {
            name: format!("net{index}"),
            trunk,
            vid,
            interface,
            gateway_mac: [0x02, 0, 0, 0, 1, trunk_index],
            gateway4: Ipv4Addr::new(172, 16, 10 + index, 1),
            gateway6: host6(1),
            host_mac: [0x02, 0, 0, 0, 2, index],
            host4: Ipv4Addr::new(172, 16, 10 + index, 10),
            host6: host6(0x10),
        }
    }

    /// One of a tagged lab that is not there.
    #[cfg(test)]
    pub(crate) fn new_for_tests(index: u8) -> Self {
        Self::new(Kind::Tagged, index)
    }

    /// Its `[[network]]` entry.
    #[must_use]
    pub fn config(&self) -> String {
        let vlan = match self.vid {
            Some(vid) => format!("vlan = {vid}\n"),
            None => String::new(),
        };
        format!(
            "[[network]]\nname = \"{}\"\ntrunk = \"{}\"\n{vlan}gateway = [\"{}/24\", \"{}/64\"]\n",
            self.name, self.trunk, self.gateway4, self.gateway6
        )
    }
}

/// Router, wire and hosts. Dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    // Programs hold no namespace; they go first.
    ports: Vec<Option<PassProgram>>,
    kind: Kind,
    networks: Vec<Network>,
    router: Netns,
    wire: Netns,
    hosts: Vec<Netns>,
}

impl Lab {
    /// A lab for the test of this name; `None`, with the reason on a SKIP line,
    /// where this user may not make one.
    ///
    /// # Panics
    /// When anything but permission is missing.
    #[must_use]
    pub fn or_skip(test: &str, networks: usize) -> Option<Self> {
        drop(netns::private_or_skip(test)?);
        match Self::build(networks) {
            Ok(lab) => Some(lab),
            Err(error) => panic!("{test}: cannot build a lab: {error:#}"),
        }
    }

    /// [`Lab::or_skip`], but a trunk each on every kernel: for what happens
    /// between two.
    ///
    /// # Panics
    /// As [`Lab::or_skip`].
    #[must_use]
    pub fn untagged_or_skip(test: &str, networks: usize) -> Option<Self> {
        drop(netns::private_or_skip(test)?);
        match Self::build_as(Kind::Untagged, networks) {
            Ok(lab) => Some(lab),
            Err(error) => panic!("{test}: cannot build a lab: {error:#}"),
        }
    }

    /// A lab of this kernel's kind.
    ///
    /// # Errors
    /// Where the kernel refuses. Nothing is left behind.
    pub fn build(networks: usize) -> Result<Self> {
        let kind = if kernel_has_vlans()? {
            Kind::Tagged
        } else {
            Kind::Untagged
        };
        Self::build_as(kind, networks)
    }

    fn build_as(kind: Kind, networks: usize) -> Result<Self> {
        ensure!((1..=MOST).contains(&networks), "a lab of {networks}");
        let suffix = netns::unique_suffix();
        let create = |name: &str| Netns::create(&format!("lab-{name}-{suffix}"));
        let networks: Vec<_> = (0..u8::try_from(networks)?)
            .map(|index| Network::new(kind, index))
            .collect();
        let mut lab = Self {
            ports: Vec::new(),
            kind,
            router: create("router")?,
            wire: create("wire")?,
            hosts: (0..networks.len())
                .map(|index| create(&format!("host{index}")))
                .collect::<Result<_>>()?,
            networks,
        };
        // No second of duplicate address detection; no chatter on the wire.
        for netns in lab.hosts.iter().chain([&lab.router]) {
            netns.sysctl("ipv6/conf/default/accept_dad", "0")?;
            netns.sysctl("ipv6/conf/default/router_solicitations", "0")?;
        }
        lab.wire.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        for trunk in 0..lab.trunks().len() {
            lab.ports.push(None);
            lab.plug(trunk)?;
        }
        Ok(lab)
    }

    /// Tagged or untagged.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the router is to run.
    #[must_use]
    pub const fn router(&self) -> &Netns {
        &self.router
    }

    /// All networks; a configuration need not have them all.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// The host of a network.
    ///
    /// # Panics
    /// When there is no such network.
    #[must_use]
    pub fn host(&self, network: usize) -> &Netns {
        &self.hosts[network]
    }

    /// Every namespace.
    pub fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        [&self.router, &self.wire].into_iter().chain(&self.hosts)
    }

    /// The router's NICs.
    #[must_use]
    pub fn trunks(&self) -> Vec<String> {
        let mut trunks: Vec<_> = self.networks.iter().map(|net| net.trunk.clone()).collect();
        trunks.dedup();
        trunks
    }

    /// The configuration with these networks. `head`: keys that go before the
    /// tables, a line each.
    ///
    /// # Panics
    /// When there is no such network.
    #[must_use]
    pub fn config(&self, networks: &[usize], head: &str) -> String {
        let networks: Vec<_> = networks
            .iter()
            .map(|&index| &self.networks[index])
            .collect();
        let mut trunks: Vec<_> = networks.iter().map(|net| &net.trunk).collect();
        trunks.dedup();
        let mut text = format!("{head}\n");
        for trunk in trunks {
            let _ = write!(text, "\n[[trunk]]\ninterface = \"{trunk}\"\n");
        }
        for network in networks {
            text.push('\n');
            text += &network.config();
        }
        text
    }

    /// Where frames for a host can be seen as they are on the wire: the
    /// namespace and the interface they come in at.
    #[must_use]
    pub fn sink(&self, network: usize) -> (&Netns, &'static str) {
        match self.kind {
            Kind::Tagged => (&self.wire, WIRE),
            Kind::Untagged => (&self.hosts[network], HOST_INTERFACE),
        }
    }

    /// Packets that the router's kernel forwarded, IPv4 and IPv6.
    ///
    /// # Errors
    /// Where the counters cannot be read.
    pub fn forwarded_by_kernel(&self) -> Result<u64> {
        self.router.run(forwarded::by_kernel)
    }

    /// The other end of the router's NIC of this number takes nothing from XDP
    /// any more: what is redirected there is lost, and the kernel's own is not.
    ///
    /// # Panics
    /// When there is no such trunk.
    pub fn deafen(&mut self, trunk: usize) {
        self.ports[trunk] = None;
    }

    /// Deletes the router's NIC of this number, and the hosts' interfaces with
    /// it.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Panics
    /// When there is no such trunk.
    pub fn unplug(&mut self, trunk: usize) -> Result<()> {
        self.ports[trunk] = None;
        self.router
            .ip(&format!("link del {}", self.trunks()[trunk]))?;
        Ok(())
    }

    /// Makes the router's NIC of this number (anew), with its hosts on it; it is
    /// up when this returns.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Panics
    /// When there is no such trunk.
    pub fn plug(&mut self, trunk: usize) -> Result<()> {
        let name = self.trunks()[trunk].clone();
        let (far, port) = self.sink(trunk);
        let members = || self.members(&name);
        let (_, first) = members().next().context("a trunk without networks")?;
        let mut port_words = String::new();
        if self.kind == Kind::Untagged {
            let _ = write!(port_words, "address {}", mac_text(first.host_mac));
        }
        self.router.ip(&format!(
            "link add {name} address {} type veth peer name {port} {port_words} netns {}",
            mac_text(first.gateway_mac),
            far.name()
        ))?;
        far.ip(&format!("link set {port} up"))?;
        let program = PassProgram::attach(far, port)?;
        // Attaching a program turned GRO on again.
        offloads_off(far, port, AS_ON_A_WIRE)?;
        for (index, network) in members() {
            self.plug_host(index, network)
                .with_context(|| format!("cannot build the host of {}", network.name))?;
        }
        self.router.ip(&format!("link set {name} up"))?;
        self.ports[trunk] = Some(program);
        Ok(())
    }

    /// What an operator (or the daemon) makes of a trunk that has come back:
    /// sub-interfaces and gateway addresses.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Panics
    /// When there is no such trunk.
    pub fn address(&self, trunk: usize) -> Result<()> {
        let name = self.trunks()[trunk].clone();
        let mut lines = String::new();
        for (_, network) in self.members(&name) {
            let interface = &network.interface;
            if let Some(vid) = network.vid {
                let _ = writeln!(
                    lines,
                    "link add link {name} name {interface} type vlan id {vid}\n\
                     link set {interface} up"
                );
            }
            let _ = writeln!(
                lines,
                "address add {}/24 dev {interface}\n\
                 address add {}/64 dev {interface} nodad",
                network.gateway4, network.gateway6
            );
        }
        self.router.ip_batch(&lines)
    }

    /// The networks on a trunk, with their numbers.
    fn members(&self, trunk: &str) -> impl Iterator<Item = (usize, &Network)> {
        let networks = self.networks.iter().enumerate();
        networks.filter(move |(_, network)| network.trunk == trunk)
    }

    fn plug_host(&self, index: usize, network: &Network) -> Result<()> {
        let host = &self.hosts[index];
        if let Some(vid) = network.vid {
            self.wire.ip(&format!(
                "link add link {WIRE} name {HOST_INTERFACE} netns {} address {} type vlan id {vid}",
                host.name(),
                mac_text(network.host_mac)
            ))?;
        }
        host.ip_batch(&format!(
            "link set {HOST_INTERFACE} up\n\
             address add {}/24 dev {HOST_INTERFACE}\n\
             address add {}/64 dev {HOST_INTERFACE} nodad\n\
             route add default via {}\n\
             route add default via {}\n",
            network.host4, network.host6, network.gateway4, network.gateway6
        ))
    }

    /// Where frames were dropped: for a failure. Interfaces with their counters,
    /// the router's neighbours and IP counters.
    #[must_use]
    pub fn diagnosis(&self) -> String {
        let mut text = String::new();
        for netns in self.namespaces() {
            let links = netns
                .ip("-s link show")
                .unwrap_or_else(|error| format!("{error:#}"));
            let _ = writeln!(text, "--- {}\n{links}", netns.name());
        }
        for words in ["neigh show", "address show", "route show"] {
            let shown = self
                .router
                .ip(words)
                .unwrap_or_else(|error| format!("{error:#}"));
            let _ = writeln!(text, "--- router: {words}\n{shown}");
        }
        let counters = self.router.run(|| netns::proc_net("snmp"));
        let _ = writeln!(text, "--- router: snmp\n{}", counters.unwrap_or_default());
        for trunk in self.trunks() {
            let shown = netns::run(self.router.command("ethtool").args(["-S", &trunk]));
            let _ = writeln!(text, "--- router: {trunk}\n{}", shown.unwrap_or_default());
        }
        text
    }
}

/// Whether everything takes about ten times as long: software emulation, as
/// `cargo xtask test` says of its virtual machines.
#[must_use]
pub fn slow() -> bool {
    env::var_os("ROUTER_TESTS_SLOW").is_some()
}

/// Whether the kernel that runs is Linux `major.minor` or later.
///
/// # Errors
/// Where it does not say what it is.
pub fn kernel_is_since(major: u32, minor: u32) -> Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(this)), Some(Ok(that))) => Ok((this, that) >= (major, minor)),
        _ => bail!("this kernel calls itself {release}"),
    }
}

/// Tried, in a namespace that is gone with its thread.
///
/// # Errors
/// Where it could not be tried.
pub fn kernel_has_vlans() -> Result<bool> {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(&answer) = ANSWER.get() {
        return Ok(answer);
    }
    let attempt = thread::spawn(|| {
        let _guard = netns::private().context("cannot make a network namespace")?;
        netns::ip("link add p0 type veth peer name p1")?;
        let done = Command::new("ip")
            .args("link add link p0 name v0 type vlan id 5".split(' '))
            .output()
            .context("cannot run ip")?;
        let words = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() && !words.contains("Unknown device type") {
            bail!("a VLAN device was refused: {}", words.trim());
        }
        Ok(done.status.success())
    });
    let answer = attempt
        .join()
        .map_err(|_| anyhow!("trying for VLANs panicked"))??;
    Ok(*ANSWER.get_or_init(|| answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_the_labs() {
        let Some(lab) = Lab::or_skip("a_configuration_is_the_labs", 3) else {
            return;
        };
        let text = lab.config(&[0, 2], "policy_default = \"accept\"");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let config = router_ctl::config::Config::load(file.path()).unwrap();
        let names: Vec<_> = config.networks.iter().map(|net| &net.name[..]).collect();
        assert_eq!(names, ["net0", "net2"], "{text}");
        let interfaces: Vec<_> = config.networks.iter().map(|net| &net.interface).collect();
        assert_eq!(
            interfaces,
            [&lab.networks()[0].interface, &lab.networks()[2].interface]
        );
    }
}
