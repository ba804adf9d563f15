//! What the packet path asks: the maps and the kernel's FIB.

use super::Reason;
use crate::{
    abi::{Control, Egress, Ingress, LocalAddress},
    wire::{IfIndex, IpProto, MacAddr, TrunkSlot, Vid},
};

/// A question to the kernel's FIB, in the terms of `struct bpf_fib_lookup`
/// (include/uapi/linux/bpf.h). `A` is `[u8; 4]` or `[u8; 16]`, network order.
///
/// Always filled completely: policy rules, TOS routes, source-prefix routes
/// and multipath choose by any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibQuery<A> {
    /// The *sub-interface* that the packet came in on, never the trunk: its
    /// forwarding sysctl, `iif` rules and VRF count.
    pub ifindex: IfIndex,
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// IPv4: TOS in the first byte, the others 0. IPv6: traffic class and flow
    /// label as on the wire, version cleared.
    pub class: [u8; 4],
    /// Protocol of the payload.
    pub protocol: IpProto,
    /// Source port, host order; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port, host order; 0 where the protocol has none.
    pub destination_port: u16,
    /// Packet length in bytes from its IP header on; 0: leave MTU out.
    pub length: u16,
}

/// What the kernel's FIB and neighbour table answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Device that the packet leaves by: a sub-interface.
    pub ifindex: IfIndex,
    /// That device's MAC.
    pub source: MacAddr,
    /// The next hop's MAC.
    pub destination: MacAddr,
}

/// The maps and the FIB.
pub trait Tables {
    /// The trunk that this program serves.
    fn trunk(&self) -> TrunkSlot;

    /// The leases; `None` cannot be.
    fn control(&self) -> Option<Control>;

    /// The kernel's clock, jiffies64.
    fn now(&self) -> u64;

    /// The network of `vid` on this trunk.
    fn ingress(&self, vid: Vid) -> Option<&Ingress>;

    /// The network whose sub-interface is `ifindex`.
    fn egress(&self, ifindex: IfIndex) -> Option<&Egress>;

    /// Whether the namespace has this address.
    fn is_local(&self, address: &LocalAddress) -> bool;

    /// Whether frames can be redirected to this trunk now.
    fn can_redirect(&self, trunk: TrunkSlot) -> bool;

    /// Asks the kernel where an IPv4 packet goes.
    ///
    /// # Errors
    /// Why the kernel does not say, or says no.
    fn fib_lookup_v4(&self, query: &FibQuery<[u8; 4]>) -> Result<NextHop, Reason>;

    /// Asks the kernel where an IPv6 packet goes.
    ///
    /// # Errors
    /// Why the kernel does not say, or says no.
    fn fib_lookup_v6(&self, query: &FibQuery<[u8; 16]>) -> Result<NextHop, Reason>;

    /// The device by which an IPv4 packet would leave, whether or not the
    /// neighbour is known; `None` if it would not be forwarded.
    fn fib_device_v4(&self, query: &FibQuery<[u8; 4]>) -> Option<IfIndex>;
}
