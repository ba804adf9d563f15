//! What becomes of a frame: the one verdict table.
//!
//! Invariant: a number is the index of a counter that dashboards read. Numbers
//! are explicit, and a retired one is never used again.

use crate::wire::{NetworkId, TrunkSlot};

/// The outcome of [`route`](super::route).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame was rewritten and leaves by the trunk it came in on.
    Transmit(Pair),
    /// The frame was rewritten and leaves by another trunk.
    Redirect(Pair, TrunkSlot),
    /// The kernel takes the frame, which is untouched.
    Pass(Reason),
    /// The frame was half rewritten: it must not be seen anywhere.
    Abort(Reason),
}

/// The networks that a forwarded frame came in on and went out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Ingress network.
    pub from: NetworkId,
    /// Egress network.
    pub to: NetworkId,
}

/// What XDP does with a frame that it does not forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `XDP_PASS`: up to the kernel's stack.
    Pass,
    /// `XDP_ABORTED`: dropped, and seen at the tracepoint `xdp:xdp_exception`.
    Abort,
}

impl Action {
    /// The word that users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Abort => "abort",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why a frame was not forwarded by XDP. The number is its index in
        /// `VERDICTS`.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Reason {
            /// Every reason, by rising number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that users see, in counters and traces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    // Ethernet and 802.1Q
    /// Shorter than its Ethernet header or tag. The NIC or its driver is odd.
    FrameTooShort = 0, "frame-too-short";
    /// ARP: the kernel answers and learns. Normal.
    Arp = 1, "arp";
    /// Neither IPv4 nor IPv6: LLDP, STP, 802.3 and others. Normal.
    NotIp = 2, "not-ip";
    /// A second tag, or an 802.1ad one: never matched by its inner VID
    /// (VLAN hopping).
    StackedTags = 3, "stacked-tags";
    /// No network has this VID on this trunk. The switch sends more VLANs than
    /// are configured here, or a network is missing.
    UnknownVid = 4, "unknown-vid";
    /// The network's sub-interface is down. `ip link set IF up`.
    NetworkDown = 5, "network-down";
    /// Not addressed to the gateway's MAC: seen because the trunk is
    /// promiscuous, and broadcasts. Normal.
    OtherMac = 6, "other-mac";
    /// The source MAC is a group address. A host is odd, or lies.
    BadSourceMac = 7, "bad-source-mac";

    // IPv4 and IPv6 headers
    /// Version, header length, total length or payload length are wrong.
    /// The kernel counts `InHdrErrors`.
    BadIpHeader = 10, "bad-ip-header";
    /// The IPv4 header checksum is wrong. The kernel counts `InHdrErrors`.
    BadChecksum = 11, "bad-checksum";
    /// TTL or hop limit of 0 or 1: the kernel answers time exceeded.
    TtlExceeded = 12, "ttl-exceeded";
    /// IPv4 options or IPv6 extension headers.
    IpOptions = 13, "ip-options";
    /// A fragment: conntrack may have to put it together.
    Fragment = 14, "fragment";
    /// Bytes behind the packet that are more than Ethernet's padding: the
    /// kernel trims them.
    Trailer = 15, "trailer";
    /// A source or destination that is never routed (RFC 1812 5.3.7,
    /// RFC 6890): loopback, unspecified, multicast source.
    Martian = 16, "martian";
    /// Multicast or broadcast destination.
    Multicast = 17, "multicast";
    /// IPv6 link-local source or destination.
    LinkLocal = 18, "link-local";
    /// Neighbour discovery (ICMPv6 133 to 137): the kernel's.
    NeighbourDiscovery = 19, "neighbour-discovery";

    // Source validation
    /// The source is an address of this gateway, or of its network as such:
    /// spoofed. The kernel counts a martian.
    LocalSource = 20, "local-source";
    /// `rp_filter` is on, and the way back to the source is not this network.
    SourceUnverified = 21, "source-unverified";
    /// Forwarding is off here: `ip_forward`, `conf.IF.forwarding`,
    /// `conf.all.forwarding`; or an IPv6 rule suppresses routes.
    ForwardingOff = 22, "forwarding-off";
    /// The ingress-qos-map gives a priority above 15.
    PriorityUnmapped = 23, "priority-unmapped";

    // bpf_fib_lookup
    /// A `blackhole` route. The kernel drops.
    Blackhole = 30, "blackhole";
    /// No route, or an `unreachable` one. The kernel answers.
    Unreachable = 31, "unreachable";
    /// A `prohibit` route. The kernel answers.
    Prohibit = 32, "prohibit";
    /// Not to be forwarded: a local, broadcast or anycast address, or no route
    /// (the kernel's helper tells them apart no further).
    NotForwarded = 33, "not-forwarded";
    /// The helper says that forwarding is off on the interface.
    HelperForwardingOff = 34, "helper-forwarding-off";
    /// The route has a lightweight tunnel (MPLS, SRv6, ...).
    LightweightTunnel = 35, "lightweight-tunnel";
    /// The next hop's MAC is not known: the kernel asks for it. Normal at the
    /// start of a conversation.
    NoNeighbour = 36, "no-neighbour";
    /// Larger than the MTU that the helper knows. The kernel answers, or
    /// fragments.
    FragmentationNeeded = 37, "frag-needed";
    /// The helper refused, or answered what this program does not know.
    HelperError = 38, "helper-error";

    // Egress
    /// The route leaves by a device that is no network of ours (an uplink
    /// without XDP, a tunnel, a QinQ device).
    EgressUnknown = 40, "egress-unknown";
    /// The egress network or its trunk is down, or cannot transmit from XDP.
    EgressDown = 41, "egress-down";
    /// In and out on the same network: the kernel owes a redirect.
    SameNetwork = 42, "same-network";
    /// Larger than the MTU of the device or of a route through it; or nothing fits,
    /// because the kernel may have learnt another MTU or gateway.
    MtuExceeded = 43, "mtu-exceeded";
    /// A leg of a multipath route whose choice XDP cannot repeat.
    Multipath = 44, "multipath";
    /// No room in front of the frame for a tag. The driver gives too little
    /// headroom.
    NoHeadroom = 45, "no-headroom";
    /// For another trunk, and in several buffers (a jumbo frame), which that
    /// trunk's driver or this kernel (before 6.3) does not send for XDP.
    SeveralBuffers = 46, "several-buffers";

    // The daemon
    /// No daemon has renewed the lease for as long as `direct_lease` says, so
    /// the maps may be wrong by now. Start it: `router-ctl run`.
    LeaseExpired = 50, "lease-expired";

    /// A bounds check failed that had held before. Cannot happen; a bug.
    Internal = 63, "internal";
}

impl Reason {
    /// Index in `VERDICTS`.
    #[must_use]
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// What XDP does with a frame of this reason.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Internal => Action::Abort,
            _ => Action::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::MAX_REASONS;

    #[test]
    fn numbers_fit_the_map_and_rise() {
        for pair in Reason::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        assert!(
            Reason::ALL
                .iter()
                .all(|reason| reason.index() < MAX_REASONS)
        );
    }

    #[test]
    fn names_are_distinct() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            for other in &Reason::ALL[i + 1..] {
                assert_ne!(reason.name(), other.name());
            }
        }
    }
}
