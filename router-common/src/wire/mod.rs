//! What stands in a frame: header views and the field types of their values.
//!
//! Views are over `&[u8; N]`, so that one bounds check per header is made by
//! whoever holds the packet, and none here. Values in network order stay
//! behind constructors and getters that speak host order.

mod ethernet;
mod ids;
mod ip;
mod ipv4;
mod ipv6;
mod vlan;

pub use ethernet::{ETHERNET_LEN, EtherType, EthernetView, MacAddr, TAGGED_LEN, VLAN_TAG_LEN};
pub use ids::{IfIndex, NetworkId, TrunkSlot};
pub use ip::IpProto;
pub use ipv4::{IPV4_LEN, Ipv4View};
pub use ipv6::{IPV6_LEN, Ipv6View};
pub use vlan::{Pcp, Tci, Vid};
