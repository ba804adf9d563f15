//! Conformance section B: IPv4, cases 24 to 53, and fragments (89).

use std::net::Ipv4Addr;

use crate::{
    packet::{Frame, Transport},
    prog::{
        Network::{A, B, C, N, U},
        Row, forward, row, up,
    },
    tables::Stage,
};
use router_common::datapath::Reason;

/// Offset of fields in the header.
const TOTAL_LEN: usize = 2;
const CHECKSUM: usize = 10;

fn v4(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// The checksum that a frame from A carries.
fn checksum(frame: &Frame) -> u16 {
    let at = frame.network_offset() + CHECKSUM;
    let bytes = frame.bytes();
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A to B, with the identification that gives the header this checksum: it is
/// the complement of a sum in which the identification is one of the words.
fn with_checksum(wanted: u16) -> Frame {
    let without = u32::from(checksum(&A.v4_to(B).identification(0)));
    let sum = u32::from(!wanted) + without;
    let id = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
    // Zero is there twice.
    [id, id.wrapping_add(1), 0, u16::MAX]
        .into_iter()
        .map(|id| A.v4_to(B).identification(id))
        .find(|frame| checksum(frame) == wanted)
        .unwrap_or_else(|| panic!("no identification gives {wanted:#06x}"))
}

/// Time to live.
pub fn time_to_live<S: Stage>(scene: &mut S) {
    for (case, ttl) in [(24, 64), (24, 255), (24, 128), (25, 3), (25, 2)] {
        let what = format!("TTL {ttl}");
        scene.check([
            row(case, what.clone(), A.v4_to(B).ttl(ttl), forward(A, B)),
            row(case, what.clone(), N.v4_to(A).ttl(ttl), forward(N, A)),
            row(case, what, A.v4_to(U).ttl(ttl), forward(A, U)),
        ]);
    }
    for (case, ttl) in [(26, 1), (27, 0)] {
        let what = format!("TTL {ttl}");
        let bad = A.v4_to(B).ttl(ttl).patch(CHECKSUM, &[0xde, 0xad]);
        scene.check([
            row(
                case,
                what.clone(),
                A.v4_to(B).ttl(ttl),
                up(Reason::TtlExceeded),
            )
            .kernel_answers(),
            row(
                case,
                what.clone(),
                N.v4_to(U).ttl(ttl),
                up(Reason::TtlExceeded),
            )
            .on(N)
            .kernel_answers(),
            row(
                case,
                format!("{what}, bad checksum"),
                bad,
                up(Reason::BadChecksum),
            )
            .kernel_drops(),
        ]);
    }
}

/// TTL 64 becomes 63, so 0x0100 is added in ones' complement: carries and both
/// zeros. Every checksum there is: `prog_invariants`.
pub fn checksum_corners<S: Stage>(scene: &mut S) {
    for wanted in [
        0x0000, 0x0001, 0x00ff, 0x0100, 0xfdff, 0xfe00, 0xfefe, 0xfeff, 0xff00, 0xff01, 0xfffe,
    ] {
        let frame = with_checksum(wanted);
        scene.check([row(
            28,
            format!("checksum {wanted:#06x}"),
            frame,
            forward(A, B),
        )]);
    }
    // 0xffff is the other zero: no sender computes it, every receiver takes it.
    let zero = with_checksum(0);
    let other_zero = zero.clone().patch(CHECKSUM, &[0xff, 0xff]);
    let becomes = zero.routed(B.host_mac(), B.gateway_mac(), B.tag());
    scene
        .check([row(28, "checksum 0xffff for 0x0000", other_zero, forward(A, B)).becomes(becomes)]);
}

/// Broken headers.
pub fn broken_headers<S: Stage>(scene: &mut S) {
    let frame = || A.v4_to(B);
    let bad = |case, what: String, frame: Frame| {
        row(case, what, frame, up(Reason::BadIpHeader)).kernel_drops()
    };

    // Any single bit of the header makes the checksum wrong. The first byte is
    // version and length, bytes 2 and 3 the total length: judged before it.
    let sound = frame().bytes();
    let at = frame().network_offset();
    for bit in (0..160).filter(|bit| !(16..32).contains(bit) && *bit >= 8) {
        let byte = bit / 8;
        let flipped = sound[at + byte] ^ (0x80 >> (bit % 8));
        let frame = frame().patch(byte, &[flipped]);
        let expect = up(Reason::BadChecksum);
        scene.check([row(31, format!("bit {bit} flipped"), frame, expect).kernel_drops()]);
    }
    for version in (0..16).filter(|version| *version != 4) {
        let frame = frame().patch_with_checksum(0, &[version << 4 | 5]);
        scene.check([bad(32, format!("version {version}"), frame)]);
    }
    for words in 0..5 {
        let frame = frame().patch_with_checksum(0, &[0x40 | words]);
        scene.check([bad(33, format!("IHL {words}"), frame)]);
    }
    for total_len in [0, 1, 19] {
        let frame = frame().patch_with_checksum(TOTAL_LEN, &[0, total_len]);
        scene.check([bad(34, format!("tot_len {total_len}"), frame)]);
    }
    for (what, total_len) in [("one more", 93_u16), ("two more", 94), ("65535", 0xffff)] {
        let what = format!("tot_len {what} than the frame holds");
        let frame = frame().patch_with_checksum(TOTAL_LEN, &total_len.to_be_bytes());
        scene.check([bad(36, what, frame)]);
    }
    // Every cut inside the header, and inside the payload.
    let offset = frame().network_offset();
    for len in offset..sound.len() {
        let case = if len < offset + 20 { 35 } else { 36 };
        let frame = frame().cut(len);
        let expect = up(Reason::BadIpHeader);
        scene.check([row(case, format!("cut to {len} bytes"), frame, expect)]);
    }
    for len in 14..offset {
        let frame = frame().cut(len);
        let expect = up(Reason::FrameTooShort);
        scene.check([row(
            35,
            format!("cut to {len} bytes, inside the tag"),
            frame,
            expect,
        )]);
    }
    // As short as a datagram can be.
    let empty = frame().transport(Transport::Raw(17, Vec::new()));
    scene.check([row(34, "a header and nothing else", empty, forward(A, B))]);
}

/// Trailers.
pub fn trailers<S: Stage>(scene: &mut S) {
    // A datagram of 28 bytes: 46 with Ethernet header and tag, 42 without.
    let small = |from: crate::prog::Network, to| from.v4_to(to).transport(Transport::udp(0));
    for len in [47, 50, 60, 63, 64] {
        let what = format!("padded to {len} bytes");
        scene.check([
            row(37, what.clone(), small(A, B).padded_to(len), forward(A, B)),
            row(37, what.clone(), small(A, N).padded_to(len), forward(A, N)),
            row(37, what.clone(), small(N, A).padded_to(len), forward(N, A)),
            row(37, what.clone(), small(N, U).padded_to(len), forward(N, U)),
            row(37, what, small(A, C).padded_to(len), forward(A, C)),
        ]);
    }
    for len in [65, 66, 100, 1400, 1514] {
        let what = format!("a trailer up to {len} bytes");
        let trailer = up(Reason::Trailer);
        scene.check([
            row(37, what.clone(), small(A, B).padded_to(len), trailer).kernel_forwards(B),
            row(37, what, small(N, A).padded_to(len), trailer)
                .on(N)
                .kernel_forwards(A),
        ]);
    }
    // No padding is due behind a packet that is long enough.
    let trailer = up(Reason::Trailer);
    scene.check([
        row(37, "one byte behind 92", A.v4_to(B).trailer(1), trailer).kernel_forwards(B),
        row(37, "four bytes behind 92", A.v4_to(B).trailer(4), trailer).kernel_forwards(B),
    ]);
}

/// Options and fragments.
pub fn options_and_fragments<S: Stage>(scene: &mut S) {
    let expect = up(Reason::IpOptions);
    for (case, what, options) in [
        (38, "no-operation", &[1, 1, 1, 1][..]),
        (38, "end of list", &[0, 0, 0, 0]),
        (38, "router alert", &[0x94, 4, 0, 0]),
        (38, "record route", &[7, 7, 4, 0, 0, 0, 0, 0]),
        (38, "timestamp", &[68, 8, 5, 0, 0, 0, 0, 0]),
        (38, "an option of wrong length", &[7, 99, 4, 0]),
        (38, "40 bytes of them", &[1; 40]),
        (39, "loose source route", &[131, 7, 4, 172, 16, 20, 9, 0]),
        (39, "strict source route", &[137, 7, 4, 172, 16, 20, 9, 0]),
    ] {
        scene.check([
            row(case, what, A.v4_to(B).options(options), expect),
            row(case, what, N.v4_to(U).options(options), expect),
        ]);
    }
    let expect = up(Reason::Fragment);
    for (what, offset, more) in [
        ("first fragment", 0, true),
        ("middle fragment", 8, true),
        ("last fragment", 8, false),
        ("last fragment at the far end", 0x1fff, false),
    ] {
        scene.check([row(89, what, A.v4_to(B).fragment(offset, more), expect)]);
    }
    let reserved = A.v4_to(B).patch_with_checksum(6, &[0x80, 0]);
    let may = A.v4_to(B).with4(|header| header.dont_fragment = false);
    let becomes = may
        .clone()
        .ttl(63)
        .to_mac(B.host_mac())
        .from_mac(B.gateway_mac())
        .vlan(B.vid())
        .patch_with_checksum(6, &[0x80, 0]);
    scene.check([
        row(89, "neither flag nor offset", may, forward(A, B)),
        // RFC 3514's evil bit, which the kernel does not look at.
        row(89, "the reserved flag", reserved, forward(A, B)).becomes(becomes),
    ]);
}

/// From A's host to B's, other source or destination.
fn from_source(source: &str) -> Frame {
    A.v4_to(B).from4(v4(source))
}

fn to_destination(destination: &str) -> Frame {
    A.v4_to(B).to4(v4(destination))
}

/// Martians.
pub fn martians<S: Stage>(scene: &mut S) {
    let martian = |case, source: &str| -> Row {
        let what = format!("from {source}");
        row(case, what, from_source(source), up(Reason::Martian)).kernel_drops()
    };
    scene.check([
        martian(40, "127.0.0.1"),
        martian(40, "127.255.255.254"),
        martian(41, "0.0.0.0"),
        martian(42, "224.0.0.1"),
        martian(42, "239.255.255.255"),
        martian(43, "255.255.255.255"),
        row(
            40,
            "to 127.0.0.1",
            to_destination("127.0.0.1"),
            up(Reason::Martian),
        )
        .kernel_drops(),
        row(
            41,
            "to 0.0.0.0",
            to_destination("0.0.0.0"),
            up(Reason::Martian),
        )
        .kernel_drops(),
        // RFC 6890 says never; Linux routes 0/8 but for 0.0.0.0 since 5.3.
        row(
            41,
            "from 0.1.2.3",
            from_source("0.1.2.3"),
            up(Reason::Martian),
        )
        .kernel_forwards(B),
        row(
            41,
            "to 0.1.2.3",
            to_destination("0.1.2.3"),
            up(Reason::Martian),
        )
        .kernel_answers(),
        row(
            44,
            "to 255.255.255.255",
            to_destination("255.255.255.255"),
            up(Reason::Multicast),
        )
        .kernel_drops(),
        row(
            47,
            "to 224.0.0.5",
            to_destination("224.0.0.5"),
            up(Reason::Multicast),
        )
        .kernel_drops(),
        row(
            47,
            "to 239.1.2.3",
            to_destination("239.1.2.3"),
            up(Reason::Multicast),
        )
        .kernel_drops(),
        row(
            46,
            "to B's broadcast",
            to_destination("172.16.20.255"),
            up(Reason::NotForwarded),
        )
        .kernel_drops(),
        row(
            46,
            "to A's broadcast",
            to_destination("172.16.10.255"),
            up(Reason::NotForwarded),
        )
        .kernel_drops(),
    ]);
}

/// Gateway addresses.
pub fn gateway_addresses<S: Stage>(scene: &mut S) {
    let local = up(Reason::LocalSource);
    scene.check([
        row(
            48,
            "from its own gateway",
            from_source("172.16.10.1"),
            local,
        )
        .kernel_drops(),
        row(48, "from B's gateway", from_source("172.16.20.1"), local).kernel_drops(),
        row(48, "from U's gateway", from_source("172.16.50.1"), local).kernel_drops(),
        // Nobody's source; the kernel does not mind.
        row(
            48,
            "from its own broadcast",
            from_source("172.16.10.255"),
            local,
        )
        .kernel_forwards(B),
        row(
            48,
            "from its own network",
            from_source("172.16.10.0"),
            local,
        )
        .kernel_forwards(B),
        row(
            50,
            "to its own gateway",
            to_destination("172.16.10.1"),
            up(Reason::NotForwarded),
        ),
        row(
            50,
            "to B's gateway",
            to_destination("172.16.20.1"),
            up(Reason::NotForwarded),
        ),
        row(
            50,
            "to U's gateway",
            to_destination("172.16.50.1"),
            up(Reason::NotForwarded),
        ),
    ]);
}

/// As the kernel.
pub fn as_the_kernel<S: Stage>(scene: &mut S) {
    scene.ip(&format!(
        "route add 240.0.0.0/4 via {router}\nroute add 169.254.0.0/16 via {router}",
        router = B.v4(9)
    ));
    let by_router = forward(A, B).by_router();
    scene.check([
        row(
            53,
            "class E destination",
            to_destination("240.0.0.1"),
            by_router,
        ),
        row(
            53,
            "class E source",
            from_source("250.1.2.3"),
            forward(A, B),
        ),
        row(
            53,
            "link-local destination",
            to_destination("169.254.1.1"),
            by_router,
        ),
        row(
            53,
            "link-local source",
            from_source("169.254.1.1"),
            forward(A, B),
        ),
        row(
            53,
            "source = destination",
            from_source("172.16.20.10"),
            forward(A, B),
        ),
        row(
            53,
            "private, documentation, benchmark",
            from_source("198.18.0.1"),
            forward(A, B),
        ),
    ]);
    // 51: every TOS goes through as it is.
    for tos in 0..=u8::MAX {
        let frame = A.v4_to(B).tos(tos);
        scene.check([row(51, format!("TOS {tos:#04x}"), frame, forward(A, B))]);
    }
    // 52: whatever the protocol.
    for protocol in 0..=u8::MAX {
        let frame = A
            .v4_to(B)
            .transport(Transport::Raw(protocol, vec![0xee; 24]));
        scene.check([row(
            52,
            format!("protocol {protocol}"),
            frame,
            forward(A, B),
        )]);
        let frame = A
            .v4_to(B)
            .transport(Transport::Raw(protocol, vec![0xee; 3]));
        scene.check([row(
            52,
            format!("protocol {protocol}, 3 bytes"),
            frame,
            forward(A, B),
        )]);
    }
}
