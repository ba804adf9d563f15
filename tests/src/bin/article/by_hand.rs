//! What the article types at node1 to make it a router: for comparison, and to
//! try the machines without a daemon.

use anyhow::Result;
use router_tests::{
    netns::Netns,
    topology::{TRUNK, VLANS},
};

use crate::report::{self, Clock};

/// `vconfig add`, `ifconfig`, `sysctl`, in their words of today.
pub(crate) fn route(node: &Netns, clock: &Clock) -> Result<()> {
    let mut lines = String::new();
    for vlan in VLANS {
        let interface = vlan.interface();
        lines += &format!(
            "link add link {TRUNK} name {interface} type vlan id {}\n\
             link set {interface} up\n\
             address add {}/24 dev {interface}\n\
             address add {}/64 dev {interface} nodad\n",
            vlan.vid, vlan.gateway4, vlan.gateway6
        );
    }
    clock.say("node1, by hand, as in the article: sysctl net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip ...");
    report::quote(&lines);
    node.sysctl("ipv4/ip_forward", "1")?;
    node.sysctl("ipv6/conf/all/forwarding", "1")?;
    node.ip_batch(&lines)
}
