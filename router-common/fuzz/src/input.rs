//! Bytes of the fuzzer as tables and a frame.
//!
//! ```text
//! 0       answers of the kernel and of the tables, one bit each
//! 1       headroom, bytes
//! 2..8    next hop's MAC      8..14   egress gateway's MAC
//! 14..118 INGRESS entry       118..150 EGRESS entry, as the maps hold them
//! 150..   the frame
//! ```

use router_common::{
    abi::{Control, Egress, Ingress, LocalAddress, MapBytes as _, egress_flags, ingress_flags},
    datapath::{FibQuery, NextHop, Reason, Tables},
    wire::{IfIndex, MacAddr, TrunkSlot, Vid},
};

/// Bytes in front of the frame.
pub(crate) const HEAD: usize = 150;

/// Bits of the first byte.
const NO_INGRESS: u8 = 1 << 0;
const LOCAL: u8 = 1 << 1;
const NO_PORT: u8 = 1 << 2;
const REFUSED: u8 = 1 << 3;
const NO_EGRESS: u8 = 1 << 4;
const WAY_BACK: u8 = 1 << 5;
const SAME_NETWORK: u8 = 1 << 6;
const EXPIRED: u8 = 1 << 7;

/// Jiffies.
const NOW: u64 = 4711;

/// Ingress device is what its entry says, egress device this one.
const EGRESS_DEVICE: u32 = 4711;

#[derive(Debug)]
pub(crate) struct Input {
    answers: u8,
    headroom: u8,
    pub(crate) next_mac: [u8; 6],
    pub(crate) own_mac: [u8; 6],
    pub(crate) ingress: Ingress,
    pub(crate) egress: Egress,
    pub(crate) frame: Vec<u8>,
}

impl Input {
    /// Tables and frame as the bytes say; what lacks is 0.
    pub(crate) fn any(data: &[u8]) -> Self {
        let mut head = [0; HEAD];
        let given = data.len().min(HEAD);
        head[..given].copy_from_slice(&data[..given]);
        let take = |at: usize| -> [u8; 6] { core::array::from_fn(|i| head[at + i]) };
        Self {
            answers: head[0],
            headroom: head[1],
            next_mac: take(2),
            own_mac: take(8),
            ingress: Ingress::from_bytes(&core::array::from_fn(|i| head[14 + i])),
            egress: Egress::from_bytes(&core::array::from_fn(|i| head[118 + i])),
            frame: data.get(HEAD..).unwrap_or_default().to_vec(),
        }
    }

    /// All bytes are the frame, and every frame is to this gateway.
    pub(crate) fn open(data: &[u8]) -> Self {
        use ingress_flags::{FORWARD_V4, FORWARD_V6, UP};
        let mut input = Self::any(&[]);
        input.next_mac = [2, 0, 0, 0, 0, 1];
        input.ingress.ifindex = IfIndex::new(11);
        input.ingress.flags = UP | FORWARD_V4 | FORWARD_V6;
        if let Some(mac) = data.first_chunk() {
            input.ingress.mac = MacAddr::new(*mac);
        }
        input.egress.flags = egress_flags::UP;
        input.egress.mtu4 = 65535;
        input.egress.mtu6 = 65535 + 40;
        input.frame = data.to_vec();
        input
    }

    pub(crate) fn headroom(&self) -> usize {
        self.headroom.into()
    }

    /// Whether the lease holds.
    pub(crate) fn may_forward(&self) -> bool {
        !self.says(EXPIRED)
    }

    fn says(&self, bit: u8) -> bool {
        self.answers & bit != 0
    }

    fn hop(&self) -> Result<NextHop, Reason> {
        if self.says(REFUSED) {
            return Err(Reason::NoNeighbour);
        }
        let device = if self.says(SAME_NETWORK) {
            self.ingress.ifindex
        } else {
            IfIndex::new(EGRESS_DEVICE)
        };
        Ok(NextHop {
            ifindex: device,
            source: MacAddr::new(self.own_mac),
            destination: MacAddr::new(self.next_mac),
        })
    }
}

impl Tables for Input {
    fn trunk(&self) -> TrunkSlot {
        TrunkSlot::new(0)
    }

    fn control(&self) -> Option<Control> {
        Some(Control {
            cache_lease: 0,
            direct_lease: if self.may_forward() { NOW + 1 } else { NOW },
        })
    }

    fn now(&self) -> u64 {
        NOW
    }

    fn ingress(&self, _: Vid) -> Option<&Ingress> {
        (!self.says(NO_INGRESS)).then_some(&self.ingress)
    }

    fn egress(&self, _: IfIndex) -> Option<&Egress> {
        (!self.says(NO_EGRESS)).then_some(&self.egress)
    }

    fn is_local(&self, _: &LocalAddress) -> bool {
        self.says(LOCAL)
    }

    fn can_redirect(&self, _: TrunkSlot) -> bool {
        !self.says(NO_PORT)
    }

    fn fib_lookup_v4(&self, _: &FibQuery<[u8; 4]>) -> Result<NextHop, Reason> {
        self.hop()
    }

    fn fib_lookup_v6(&self, _: &FibQuery<[u8; 16]>) -> Result<NextHop, Reason> {
        self.hop()
    }

    fn fib_device_v4(&self, _: &FibQuery<[u8; 4]>) -> Option<IfIndex> {
        self.says(WAY_BACK).then_some(self.ingress.ifindex)
    }
}
