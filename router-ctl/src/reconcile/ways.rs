//! What the routes say, in a form that can be asked for one network at a time:
//! there may be thousands of networks, and very many routes.

use std::collections::HashMap;

use ipnet::{IpNet, Ipv4Net};
use router_common::wire::IfIndex;

use crate::netlink::types::{Route, RouteKind, TABLE_MAIN};

/// What the routes that lead out by a device ask of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Smallest `mtu` of its IPv4 routes.
    pub(super) mtu4: Option<u32>,
    /// The same of IPv6.
    pub(super) mtu6: Option<u32>,
    /// It is one leg of several of an IPv4 route.
    pub(super) leg4: bool,
    /// The same of IPv6.
    pub(super) leg6: bool,
}

impl Limits {
    fn add(&mut self, route: &Route) {
        // A next-hop object that does not show its legs may be a group.
        let several =
            route.legs.len() > 1 || (route.legs.is_empty() && route.nexthop_object.is_some());
        let (mtu, leg) = match route.dst {
            IpNet::V4(_) => (&mut self.mtu4, &mut self.leg4),
            IpNet::V6(_) => (&mut self.mtu6, &mut self.leg6),
        };
        *mtu = smaller(*mtu, route.mtu);
        *leg |= several;
    }

    fn merge(self, other: Self) -> Self {
        Self {
            mtu4: smaller(self.mtu4, other.mtu4),
            mtu6: smaller(self.mtu6, other.mtu6),
            leg4: self.leg4 || other.leg4,
            leg6: self.leg6 || other.leg6,
        }
    }
}

fn smaller(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

/// What the routes say.
#[derive(Debug, Default)]
pub(super) struct Ways<'k> {
    devices: HashMap<IfIndex, Limits>,
    /// Of routes that may lead out by any device.
    any: Limits,
    /// IPv4 routes by their first address.
    v4: Vec<(u32, Ipv4Net, &'k Route)>,
}

impl<'k> Ways<'k> {
    pub(super) fn of(routes: &'k [Route]) -> Self {
        let mut ways = Self::default();
        for route in routes {
            if let IpNet::V4(dst) = route.dst {
                ways.v4.push((dst.network().to_bits(), dst, route));
            }
            if route.legs.is_empty() {
                // Only the next-hop object knows.
                if route.nexthop_object.is_some() {
                    ways.any.add(route);
                }
                continue;
            }
            for leg in &route.legs {
                match leg.device {
                    Some(device) => ways.devices.entry(device).or_default().add(route),
                    None => ways.any.add(route),
                }
            }
        }
        ways.v4.sort_by_key(|(first, ..)| *first);
        ways
    }

    /// What is asked of packets that leave by a device.
    pub(super) fn limits(&self, device: IfIndex) -> Limits {
        let own = self.devices.get(&device).copied().unwrap_or_default();
        own.merge(self.any)
    }

    /// Whether every way back to a source inside `net` is by `ifindex`, so that
    /// no reverse lookup is needed: there is the connected route, and no route
    /// inside the prefix leads elsewhere. (Only IPv4 has rp_filter.)
    pub(super) fn lead_back(&self, net: Ipv4Net, ifindex: IfIndex) -> bool {
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        let from = self.v4.partition_point(|(start, ..)| *start < first);
        let mut connected = false;
        for (start, dst, route) in self.v4.get(from..).unwrap_or_default() {
            if *start > last {
                break;
            }
            if !net.contains(dst) {
                continue;
            }
            let here =
                !route.legs.is_empty() && route.legs.iter().all(|leg| leg.device == Some(ifindex));
            let edge = dst.addr() == net.network() || dst.addr() == net.broadcast();
            match route.kind {
                RouteKind::Unicast if here => {
                    connected |= *dst == net.trunc() && route.tos == 0 && route.table == TABLE_MAIN;
                }
                // CHECK_LOCALS finds these.
                RouteKind::Local => {}
                // The prefix's own are no hosts to begin with.
                RouteKind::Broadcast if edge && dst.prefix_len() == 32 => {}
                _ => return false,
            }
        }
        connected
    }
}
