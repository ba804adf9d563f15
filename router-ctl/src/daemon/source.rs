//! Where the follower learns what the kernel has: the only things that it asks
//! of the system, so that tests can answer in its place.

use std::{future::Future, net::IpAddr};

use router_common::wire::IfIndex;

use crate::{
    netlink::{
        Dump, Error, Netlink,
        types::{Link, Route, Rules},
    },
    sys::{self, Offload},
    sysctl::Sysctls,
};

/// What can be asked.
pub(super) trait Source: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// Every table.
    fn everything(&self) -> impl Future<Output = Result<Dump, Error>> + Send;

    /// The routes of one family.
    fn routes(&self, v6: bool) -> impl Future<Output = Result<Vec<Route>, Error>> + Send;

    /// What the rules of one family ask.
    fn rules(&self, v6: bool) -> impl Future<Output = Result<Rules, Error>> + Send;

    /// One device.
    fn link(&self, name: &str) -> impl Future<Output = Result<Option<Link>, Error>> + Send;

    /// Tells the kernel that a neighbour is in use.
    fn use_neighbour(
        &self,
        ifindex: IfIndex,
        address: IpAddr,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The sysctls.
    fn sysctls(&self) -> &Sysctls;

    /// Whether a NIC takes VLAN tags off; `None`: it cannot say.
    fn takes_tags_off(&self, interface: &str) -> Option<bool>;
}

/// The kernel.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) netlink: Netlink,
    pub(super) sysctls: Sysctls,
}

impl Source for Kernel {
    async fn everything(&self) -> Result<Dump, Error> {
        self.netlink.everything().await
    }

    async fn routes(&self, v6: bool) -> Result<Vec<Route>, Error> {
        self.netlink.routes_of(v6).await
    }

    async fn rules(&self, v6: bool) -> Result<Rules, Error> {
        self.netlink.rules_of(v6).await
    }

    async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        self.netlink.link(name).await
    }

    async fn use_neighbour(&self, ifindex: IfIndex, address: IpAddr) -> Result<(), Error> {
        self.netlink.use_neighbour(ifindex, address).await
    }

    fn sysctls(&self) -> &Sysctls {
        &self.sysctls
    }

    fn takes_tags_off(&self, interface: &str) -> Option<bool> {
        sys::offload(interface, Offload::RxVlan).ok()
    }
}
