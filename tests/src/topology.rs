//! The article's machines: a switch, a router and two container hosts on trunk
//! ports, four containers on two VLANs.
//!
//! ```text
//!                        switch (bridge, vlan_filtering, VIDs 100 and 200 tagged)
//!              swp1            swp2                        swp3
//!               |               |                           |
//!   node1    enp0s3    node2 enp0s3              node3   enp0s3
//!   (router)                  |-- .100 - box1              |-- .100 - box3
//!                             `-- .200 - box2              `-- .200 - box4
//! ```
//!
//! Every line is a veth pair, every name a network namespace, boxes are macvlan
//! devices in bridge mode. node1 has nothing but `enp0s3`: what makes it a
//! router is under test.
//!
//! A veth is not a NIC, and these differences would spoil a proof:
//! * Tags, checksums and segmentation are left to a "hardware" that does not
//!   exist: a frame crosses with its tag and a half-made checksum beside it, and
//!   up to 64 KiB long. So the port towards node1 does all of it in software, as
//!   a wire needs it ([`AS_ON_A_WIRE`]). What has come through node1 is made of
//!   wire frames: the other ports need nothing.
//! * `XDP_TX` at node1 needs an XDP program at its peer: [`PassProgram`].
//! * A veth's ring has 256 places: see the boxes' `tcp_rmem`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    netns::{self, Netns},
    pass::PassProgram,
    wait,
};

/// The trunk's name on every node.
pub const TRUNK: &str = "enp0s3";

/// The port of the switch that the router is at.
const ROUTER_PORT: &str = "swp1";

/// What makes a veth send what a NIC would put on the wire. Measured on 6.12, one
/// by one:
/// * `txvlan` on: XDP sees no tags, and forwards nothing at all.
/// * `tx` on: every TCP segment leaves node1 with half a checksum, and pings work
///   while no connection is ever made. Off, it takes `tso` with it, so that
///   super-frames are cut here.
/// * `gro` comes on with XDP. Whatever it glues is cut again on its way out, but
///   need not be cut alike.
///
/// `rxvlan`, `gso` and `tso` by itself made no difference.
pub const AS_ON_A_WIRE: &[&str] = &["txvlan", "tx", "gro"];

/// MAC of node1's trunk, and so of its sub-interfaces: the gateway's.
pub const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// Everything is local; a limit is reached under software emulation at worst.
const LIMIT: Duration = Duration::from_secs(60);

/// A VLAN, and the macvlan network on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The network's name.
    pub name: &'static str,
    /// 1 to 4094.
    pub vid: u16,
    /// The gateway in 172.16.x.0/24.
    pub gateway4: Ipv4Addr,
    /// The gateway in fd00:x::/64.
    pub gateway6: Ipv6Addr,
}

/// VLAN 100.
pub const MAC10: Vlan = Vlan {
    name: "mac10",
    vid: 100,
    gateway4: Ipv4Addr::new(172, 16, 10, 1),
    gateway6: Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1),
};
/// VLAN 200.
pub const MAC20: Vlan = Vlan {
    name: "mac20",
    vid: 200,
    gateway4: Ipv4Addr::new(172, 16, 20, 1),
    gateway6: Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, 1),
};
/// Both.
pub const VLANS: [Vlan; 2] = [MAC10, MAC20];

impl Vlan {
    /// `enp0s3.100`.
    #[must_use]
    pub fn interface(&self) -> String {
        format!("{TRUNK}.{}", self.vid)
    }

    fn host4(&self, host: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.gateway4.octets();
        Ipv4Addr::new(a, b, c, host)
    }

    /// The last group reads as the IPv4 address' last number does.
    fn host6(&self, host: u8) -> Ipv6Addr {
        let mut groups = self.gateway6.segments();
        groups[7] = u16::from(host / 10) << 4 | u16::from(host % 10);
        Ipv6Addr::from(groups)
    }
}

/// A container host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// With box1 and box2.
    Node2,
    /// With box3 and box4.
    Node3,
}

impl Host {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Node2, Self::Node3];

    /// `node2`, `node3`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node2 => "node2",
            Self::Node3 => "node3",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Node2 => "swp2",
            Self::Node3 => "swp3",
        }
    }
}

/// A container: where it is and how it is called on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// `box1` to `box4`.
    pub name: &'static str,
    /// The host it is on.
    pub host: Host,
    /// The VLAN it is in.
    pub vlan: Vlan,
    /// Its IPv4 address; /24.
    pub v4: Ipv4Addr,
    /// Its IPv6 address; /64.
    pub v6: Ipv6Addr,
}

impl Container {
    /// As Docker makes them: 02:42 and the IPv4 address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        let [a, b, c, d] = self.v4.octets();
        [0x02, 0x42, a, b, c, d]
    }

    /// Its address in one family.
    #[must_use]
    pub const fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `IPv4`, `IPv6`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// box1 to box4.
#[must_use]
pub fn containers() -> [Container; 4] {
    let container = |name, host, vlan: Vlan, number| Container {
        name,
        host,
        vlan,
        v4: vlan.host4(number),
        v6: vlan.host6(number),
    };
    [
        container("box1", Host::Node2, MAC10, 10),
        container("box2", Host::Node2, MAC20, 10),
        container("box3", Host::Node3, MAC10, 11),
        container("box4", Host::Node3, MAC20, 11),
    ]
}

/// The machines, running. Dropping it removes them.
#[derive(Debug)]
pub struct Topology {
    // Fields are dropped in this order. The program holds no namespace.
    _port_program: PassProgram,
    boxes: [(Container, Netns); 4],
    node2: Netns,
    node3: Netns,
    router: Netns,
    switch: Netns,
}

impl Topology {
    /// Builds it and waits until the switch forwards. Namespaces are named
    /// `node1-SUFFIX` and so on.
    ///
    /// # Errors
    /// Where the kernel lacks 802.1Q, macvlan, veth or bridge, names are taken,
    /// or this user may not. Nothing is left behind.
    pub fn build(suffix: &str) -> Result<Self> {
        let create = |name: &str| Netns::create(&format!("{name}-{suffix}"));
        let switch = create("switch")?;
        let router = create("node1")?;
        let node2 = create(Host::Node2.name())?;
        let node3 = create(Host::Node3.name())?;
        let [box1, box2, box3, box4] = containers();
        let with =
            |container: Container| Ok::<_, anyhow::Error>((container, create(container.name)?));
        let boxes = [with(box1)?, with(box2)?, with(box3)?, with(box4)?];

        build_switch(&switch, [&router, &node2, &node3]).context("cannot build the switch")?;
        router.ip(&format!(
            "link set {TRUNK} address {} up",
            mac_text(ROUTER_MAC)
        ))?;
        for (host, node) in [(Host::Node2, &node2), (Host::Node3, &node3)] {
            build_host(
                node,
                boxes.iter().filter(|(container, _)| container.host == host),
            )
            .with_context(|| format!("cannot build {}", host.name()))?;
        }
        for (container, netns) in &boxes {
            build_container(container, netns)
                .with_context(|| format!("cannot build {}", container.name))?;
        }
        let port_program = PassProgram::attach(&switch, ROUTER_PORT)?;
        // Attaching a program turned GRO on again.
        offloads_off(&switch, ROUTER_PORT, AS_ON_A_WIRE)?;

        let topology = Self {
            _port_program: port_program,
            boxes,
            node2,
            node3,
            router,
            switch,
        };
        topology.wait_for_switch()?;
        Ok(topology)
    }

    /// node1, which is to route.
    #[must_use]
    pub const fn router(&self) -> &Netns {
        &self.router
    }

    /// The switch.
    #[must_use]
    pub const fn switch(&self) -> &Netns {
        &self.switch
    }

    /// A container host.
    #[must_use]
    pub const fn host(&self, host: Host) -> &Netns {
        match host {
            Host::Node2 => &self.node2,
            Host::Node3 => &self.node3,
        }
    }

    /// box1 to box4.
    #[must_use]
    pub const fn boxes(&self) -> &[(Container, Netns); 4] {
        &self.boxes
    }

    /// Every namespace.
    pub fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        let nodes = [&self.switch, &self.router, &self.node2, &self.node3];
        nodes
            .into_iter()
            .chain(self.boxes.iter().map(|(_, netns)| netns))
    }

    /// Removes everything, and says what could not be.
    ///
    /// # Errors
    /// The first refusal; all else is removed nevertheless.
    pub fn delete(self) -> Result<()> {
        let Self {
            _port_program,
            boxes,
            node2,
            node3,
            router,
            switch,
        } = self;
        let namespaces = boxes.into_iter().map(|(_, netns)| netns);
        let namespaces: Vec<_> = namespaces.chain([node2, node3, router, switch]).collect();
        let results: Vec<_> = namespaces.into_iter().map(Netns::delete).collect();
        results.into_iter().collect()
    }

    fn wait_for_switch(&self) -> Result<()> {
        wait::until("the switch to forward", LIMIT, || {
            let links = self.switch.ip("-j -d link show")?;
            let links: serde_json::Value =
                serde_json::from_str(&links).context("cannot read what ip prints")?;
            let links = links.as_array().map_or(&[][..], Vec::as_slice);
            let forwarding = |link: &&serde_json::Value| {
                link["linkinfo"]["info_slave_data"]["state"] == "forwarding"
            };
            Ok((links.iter().filter(forwarding).count() == 3).then_some(()))
        })
    }
}

fn build_switch(switch: &Netns, nodes: [&Netns; 3]) -> Result<()> {
    // A switch has no addresses; less chatter on the wire.
    switch.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    let mut lines = String::from(
        // Multicast snooping would have to learn first who wants ND.
        "link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0 mcast_snooping 0 \
         forward_delay 0\n\
         link set br0 up\n",
    );
    let ports = [ROUTER_PORT, Host::Node2.port(), Host::Node3.port()];
    for (port, node) in ports.iter().zip(nodes) {
        lines += &format!(
            "link add {port} type veth peer name {TRUNK} netns {}\n\
             link set {port} master br0 up\n",
            node.name()
        );
    }
    switch.ip_batch(&lines)?;
    for port in ports {
        for vlan in VLANS {
            netns::run(
                switch
                    .command("bridge")
                    .args(["vlan", "add", "dev", port, "vid"])
                    .arg(vlan.vid.to_string()),
            )?;
        }
    }
    offloads_off(switch, ROUTER_PORT, AS_ON_A_WIRE)
}

fn build_host<'a>(node: &Netns, boxes: impl Iterator<Item = &'a (Container, Netns)>) -> Result<()> {
    // The host has no addresses on the trunk, as in the article.
    node.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    let mut lines = format!("link set {TRUNK} promisc on up\n");
    for vlan in VLANS {
        let interface = vlan.interface();
        lines += &format!(
            "link add link {TRUNK} name {interface} type vlan id {}\n\
             link set {interface} up\n",
            vlan.vid
        );
    }
    for (container, netns) in boxes {
        let parent = container.vlan.interface();
        lines += &format!(
            "link add link {parent} name {name} address {mac} type macvlan mode bridge\n\
             link set {name} netns {netns} name eth0\n",
            name = container.name,
            mac = mac_text(container.mac()),
            netns = netns.name(),
        );
    }
    node.ip_batch(&lines)
}

fn build_container(container: &Container, netns: &Netns) -> Result<()> {
    netns.run(|| {
        // No second of duplicate address detection, no waiting for routers.
        for key in [
            "ipv6/conf/all/accept_dad",
            "ipv6/conf/eth0/accept_dad",
            "ipv6/conf/eth0/accept_ra",
        ] {
            netns::sysctl(key, "0")?;
        }
        // At most 64 KiB in flight: the ring of a veth with an XDP program has
        // 256 places, and what overflows there is counted by XDP and by no sink.
        netns::sysctl("ipv4/tcp_rmem", "4096 65536 65536")?;
        let Container { v4, v6, vlan, .. } = container;
        netns::ip_batch(&format!(
            "link set eth0 up\n\
             address add {v4}/24 dev eth0\n\
             address add {v6}/64 dev eth0 nodad\n\
             route add default via {}\n\
             route add default via {}\n",
            vlan.gateway4, vlan.gateway6
        ))
    })?;
    // Whole frames from the start: checksums are made and super-frames cut here, as
    // if there were a NIC. (A sum of zero is then written as 0xffff.)
    offloads_off(netns, "eth0", &["tx"])
}

/// Turns offloads of a device off, one by one: a kernel that does not know one
/// refuses the whole command.
///
/// # Errors
/// Where ethtool refuses.
pub fn offloads_off(netns: &Netns, device: &str, features: &[&str]) -> Result<()> {
    offloads(netns, device, features, "off")
}

/// The contrary of [`offloads_off`].
///
/// # Errors
/// As there.
pub fn offloads_on(netns: &Netns, device: &str, features: &[&str]) -> Result<()> {
    offloads(netns, device, features, "on")
}

fn offloads(netns: &Netns, device: &str, features: &[&str], to: &str) -> Result<()> {
    netns.run(|| {
        for feature in features {
            netns::run(Command::new("ethtool").args(["-K", device, feature, to]))?;
        }
        Ok(())
    })
}

/// As `ip` writes it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_the_articles() {
        let [box1, _, _, box4] = containers();
        assert_eq!(box1.v4.to_string(), "172.16.10.10");
        assert_eq!(box4.v4.to_string(), "172.16.20.11");
        assert_eq!(box4.v6.to_string(), "fd00:20::11");
        // As the article's `ifconfig` shows box1.
        assert_eq!(mac_text(box1.mac()), "02:42:ac:10:0a:0a");
    }
}
