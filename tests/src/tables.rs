//! The conformance cases as tables, written once and played on several rungs.
//!
//! A table is a function that changes a [`Stage`] as an operator would (routes,
//! rules, sysctls, links) and gives it rows of {case number, what, frame, fate}
//! to [check](Stage::check). There are two stages:
//! * [`prog::Scene`](crate::prog::Scene): the program under `BPF_PROG_TEST_RUN`,
//!   its maps filled by hand; `tests/prog_*.rs`
//! * [`oracle::Twin`](crate::oracle::Twin): the real daemon on a wire, with XDP
//!   and without, side by side; `tests/net_oracle.rs`
//!
//! Networks, hosts, addresses, MACs and names of devices are the same on both:
//! [`prog::Network`](crate::prog::Network).

pub mod a_l2_vlan;
pub mod a_priorities;
pub mod b_ipv4;
pub mod c_ipv6;
pub mod disagreements;
pub mod e_mtu;
pub mod f_fib;

use router_common::abi::{Egress, Ingress};

use crate::prog::{Network, Row};

/// Where tables are played. Every method panics where the kernel refuses, with
/// its words: a table that cannot be played is a failure.
pub trait Stage: Sized {
    /// Plays rows; what is wrong is told at the end of the test, all at once.
    fn check(&mut self, rows: impl IntoIterator<Item = Row>);

    /// Runs lines of `ip`; one that is empty is ignored.
    fn ip(&mut self, lines: &str);

    /// Runs `ip -6` with these words: a batch cannot change the family, and
    /// rules do not tell it by their addresses.
    fn ip6(&mut self, words: &str);

    /// Writes `/proc/sys/net/KEY`.
    fn sysctl(&mut self, key: &str, value: &str);

    /// Where there is no daemon, changes the entry of a network as the daemon
    /// would; `|_| ()` is the daemon's own entry. Rows that are about an entry
    /// which does *not* fit the kernel are [`Row::by_hand`].
    fn change_ingress(&mut self, network: Network, change: impl FnOnce(&mut Ingress));

    /// [`Stage::change_ingress`] for `EGRESS`.
    fn change_egress(&mut self, network: Network, change: impl FnOnce(&mut Egress));

    /// Gives a network's VLAN device this egress-qos-map: the PCP by priority.
    fn egress_map(&mut self, network: Network, pcp: [u8; 16]);

    /// Gives a network's VLAN device this ingress-qos-map: the priority by PCP.
    fn ingress_map(&mut self, network: Network, priority: [u32; 8]);

    /// Where there is no daemon, fills `LOCALS` as the daemon would.
    fn sync_locals(&mut self);
}

/// A table.
pub type Table<S> = fn(&mut S);
