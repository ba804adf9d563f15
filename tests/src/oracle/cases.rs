//! The list of conformance cases, A to F: every number that has to have a test.
//! Numbers that are not in the list are nobody's.

/// One case of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// 1 to 108.
    pub number: u16,
    /// What it says.
    pub what: &'static str,
    /// Where the list and the kernel disagree, the kernel is right: what is
    /// tested instead, and why. Empty: as listed.
    pub note: &'static str,
}

const fn case(number: u16, what: &'static str) -> Case {
    Case {
        number,
        what,
        note: "",
    }
}

const fn mended(number: u16, what: &'static str, note: &'static str) -> Case {
    Case { number, what, note }
}

/// Letter, title, and its cases.
pub type Section = (char, &'static str, &'static [Case]);

/// All of them.
pub const SECTIONS: &[Section] = &[
    ('A', "L2 and VLAN", A),
    ('B', "IPv4", B),
    ('C', "IPv6", C),
    ('D', "ICMP slow path", D),
    ('E', "MTU and fragments", E),
    ('F', "FIB and neighbours", F),
];

const A: &[Case] = &[
    case(1, "A to B, forwarded"),
    case(2, "the same for VIDs 1 to 4094"),
    case(3, "untagged to tagged: four bytes more"),
    case(4, "tagged to untagged: four bytes less"),
    case(5, "VID 0 with PCP 5 is untagged, and never leaves"),
    case(6, "VID 4095"),
    case(7, "unknown VID, never on another network"),
    case(8, "sub-interface down"),
    case(9, "PCP and DEI set: matched by VID alone"),
    case(
        10,
        "PCP and DEI as the egress-qos-map gives; kept where asked",
    ),
    case(11, "802.1ad outside"),
    case(12, "TPID 0x88a8 with a VID that 802.1Q knows"),
    case(13, "egress is no network of ours (QinQ)"),
    case(14, "three tags"),
    case(15, "tag A around tag B, never in B"),
    case(16, "unicast to a MAC that is not the gateway's"),
    case(17, "broadcast or multicast MAC with a unicast packet"),
    case(18, "multicast source MAC"),
    case(19, "ARP, LLDP, STP, LACP, EAPOL, PTP"),
    case(20, "802.3 length frame"),
    case(21, "rx-vlan-offload is switched off by the daemon"),
    mended(
        22,
        "same network in and out, sent once",
        "the kernel forwards it and sends a redirect besides: one frame and one ICMP",
    ),
    case(23, "second trunk"),
];

const B: &[Case] = &[
    case(24, "TTL 64 becomes 63"),
    case(25, "TTL 2 becomes 1"),
    case(
        26,
        "TTL 1: time exceeded from the ingress network's gateway",
    ),
    mended(27, "TTL 0", "the kernel answers it as it answers TTL 1"),
    case(
        28,
        "checksum 0x0000, and outputs around 0xffff and 0x0000; exhaustive: every identification \
         (65,536, so every checksum) at TTL 2, 64 and 255 on the wire (in VMs every 61st), at TTL \
         2, 3, 64, 128 and 255 by the program (in VMs 2 and 255)",
    ),
    case(
        29,
        "incremental update equals full recomputation; exhaustive: every identification under \
         every TTL (2 to 255) in plain memory",
    ),
    case(31, "bad checksum"),
    case(32, "version not 4"),
    case(33, "IHL below 5"),
    case(34, "tot_len below the header"),
    case(35, "frame shorter than the header"),
    case(36, "tot_len beyond the frame"),
    case(37, "padding up to the least frame, and longer trailers"),
    case(38, "options"),
    case(39, "source routing"),
    case(40, "127/8 as source or destination"),
    mended(
        41,
        "0/8 as source or destination",
        "since Linux 5.3 only 0.0.0.0 is special: the kernel forwards from 0.1.2.3; XDP passes \
         all of 0/8 up",
    ),
    case(42, "224/4 as source"),
    case(43, "255.255.255.255 as source"),
    case(44, "255.255.255.255 as destination"),
    case(46, "directed broadcast"),
    case(47, "multicast"),
    mended(
        48,
        "source is the router itself",
        "the kernel drops its own IPv4 addresses, and forwards from its own IPv6 ones, which it \
         does not validate",
    ),
    case(49, "spoofed source under rp_filter 0, 1 and 2"),
    case(50, "to any gateway address"),
    case(51, "DSCP and ECN kept"),
    case(52, "every protocol"),
    case(53, "class E, link-local destination, source = destination"),
];

const C: &[Case] = &[
    case(54, "forwarded, flow label and class kept"),
    case(55, "hop limit 1: time exceeded"),
    mended(
        56,
        "hop limit 0",
        "the kernel answers it as it answers hop limit 1",
    ),
    case(57, "link-local source to global"),
    case(58, "link-local destination"),
    case(59, "::1"),
    case(60, "source ::"),
    case(61, "multicast source"),
    case(62, "multicast destination"),
    case(63, "hop-by-hop"),
    case(64, "routing header 0"),
    case(65, "extension chain: routed as the kernel does"),
    case(66, "payload_len beyond the frame"),
    case(67, "version not 6"),
    mended(
        69,
        "NS, NA, RS, RA, MLD",
        "to a unicast address the kernel forwards them as any other packet",
    ),
    case(70, "UDP checksum 0 unchanged"),
    case(71, "subnet-router anycast"),
];

const D: &[Case] = &[
    case(72, "traceroute shows the ingress gateway for each pair"),
    case(73, "no error about errors, later fragments, broadcast"),
    case(74, "a TTL=1 flood costs the fast path nothing"),
    case(75, "no route"),
    case(76, "neighbour failed"),
    case(77, "prohibit, unreachable, blackhole"),
    case(78, "redirect still sent"),
    case(79, "kernel counters still rise"),
];

const E: &[Case] = &[
    case(80, "size = MTU"),
    case(81, "MTU + 1 with DF: frag-needed with the egress MTU"),
    case(82, "MTU + 1 without DF: fragments"),
    case(83, "IPv6 MTU + 1: packet too big, no slack"),
    case(84, "sub-interface MTU below the trunk's"),
    case(85, "route MTU"),
    case(86, "MTU changed at run time"),
    case(87, "9000-byte frames"),
    case(88, "full-size tagged frames"),
    case(89, "fragments"),
    case(90, "no super-frame on the wire"),
    case(91, "2 MiB over TCP both ways across MTU 9000, 1500, 1400"),
];

const F: &[Case] = &[
    case(92, "longest match, any insertion order"),
    case(93, "add 1000, delete 100, add 1000: each right"),
    case(94, "rule by tos or iif"),
    case(95, "VRF"),
    case(96, "ECMP shares within 15 %"),
    case(97, "per-flow stickiness"),
    case(98, "dead leg falls over"),
    case(99, "nexthop objects, resilient groups"),
    case(100, "IPv4 by an IPv6 next hop"),
    case(101, "STALE forwarded, FAILED not"),
    case(102, "never to 00:00:00:00:00:00"),
    case(103, "egress that XDP cannot transmit on"),
    case(104, "lightweight tunnels"),
    case(105, "forwarding off"),
    case(106, "link down: same next hop as the kernel"),
    case(107, "ifindex above 64 and above 1000"),
    case(
        108,
        "route or neighbour change: nothing on the old path after 10 ms",
    ),
];

/// Every case with its letter.
pub fn all() -> impl Iterator<Item = (char, Case)> {
    let sections = SECTIONS.iter();
    sections.flat_map(|(letter, _, cases)| cases.iter().map(|case| (*letter, *case)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_those_that_are_missing_are_known() {
        let numbers: Vec<_> = all().map(|(_, case)| case.number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        let missing: Vec<_> = (1..=108).filter(|n| !numbers.contains(n)).collect();
        assert_eq!(missing, [30, 45, 68]);
        assert_eq!(numbers.len(), 105);
    }
}
