//! Conformance section C: IPv6, cases 54 to 71.

use std::net::Ipv6Addr;

use crate::{
    packet::{Frame, Transport},
    prog::{
        Network::{A, B, C, N, U},
        forward, row, up,
    },
    tables::Stage,
};
use router_common::datapath::Reason;

/// Offset of the payload length in the header.
const PAYLOAD_LEN: usize = 4;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Eight bytes of padding options, as hop-by-hop and destination options have.
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn from_source(source: &str) -> Frame {
    A.v6_to(B).from6(v6(source))
}

fn to_destination(destination: &str) -> Frame {
    A.v6_to(B).to6(v6(destination))
}

/// Class and flow label.
pub fn class_and_flow_label<S: Stage>(scene: &mut S) {
    for class in 0..=u8::MAX {
        let frame = A.v6_to(B).tos(class).flow_label(0xf_edcb);
        scene.check([row(54, format!("class {class:#04x}"), frame, forward(A, B))]);
    }
    for label in [0, 1, 0x8_0000, 0xf_ffff, 0x1_2345] {
        let what = format!("flow label {label:#x}");
        scene.check([
            row(
                54,
                what.clone(),
                A.v6_to(B).flow_label(label),
                forward(A, B),
            ),
            row(
                54,
                what.clone(),
                N.v6_to(A).flow_label(label),
                forward(N, A),
            ),
            row(54, what, A.v6_to(U).flow_label(label), forward(A, U)),
        ]);
    }
}

/// Hop limit.
pub fn hop_limit<S: Stage>(scene: &mut S) {
    for limit in [255, 128, 64, 3, 2] {
        let what = format!("hop limit {limit}");
        scene.check([
            row(54, what.clone(), A.v6_to(B).ttl(limit), forward(A, B)),
            row(54, what, A.v6_to(C).ttl(limit), forward(A, C)),
        ]);
    }
    for (case, limit) in [(55, 1), (56, 0)] {
        let what = format!("hop limit {limit}");
        let expect = up(Reason::TtlExceeded);
        scene.check([
            row(case, what.clone(), A.v6_to(B).ttl(limit), expect).kernel_answers(),
            row(case, what, N.v6_to(U).ttl(limit), expect)
                .on(N)
                .kernel_answers(),
        ]);
    }
}

/// Addresses.
pub fn addresses<S: Stage>(scene: &mut S) {
    let (link, martian) = (up(Reason::LinkLocal), up(Reason::Martian));
    let (multicast, not_forwarded) = (up(Reason::Multicast), up(Reason::NotForwarded));
    scene.check([
        // The kernel's "beyond scope" finds no neighbour to go to here.
        row(57, "from link-local", from_source("fe80::10"), link).kernel_drops(),
        row(
            57,
            "from the last link-local /10",
            from_source("febf::10"),
            link,
        )
        .kernel_drops(),
        row(58, "to link-local", to_destination("fe80::11"), link).kernel_answers(),
        row(59, "from ::1", from_source("::1"), martian).kernel_drops(),
        row(59, "to ::1", to_destination("::1"), martian).kernel_drops(),
        row(60, "from ::", from_source("::"), martian).kernel_drops(),
        row(60, "to ::", to_destination("::"), martian),
        // RFC 6890 says never; Linux forwards it.
        row(
            60,
            "from a v4-mapped",
            from_source("::ffff:172.16.10.10"),
            martian,
        )
        .kernel_forwards(B),
        row(
            60,
            "to a v4-mapped",
            to_destination("::ffff:172.16.20.10"),
            martian,
        ),
        row(
            60,
            "from a v4-compatible",
            from_source("::172.16.10.10"),
            martian,
        ),
        row(61, "from multicast", from_source("ff0e::1"), martian).kernel_drops(),
        row(61, "from link multicast", from_source("ff02::1"), martian).kernel_drops(),
        row(62, "to all nodes", to_destination("ff02::1"), multicast),
        row(
            62,
            "to global multicast",
            to_destination("ff0e::1234"),
            multicast,
        )
        .kernel_drops(),
        row(
            62,
            "to a solicited-node address",
            to_destination("ff02::1:ff00:10"),
            multicast,
        ),
        row(
            71,
            "to A's subnet-router anycast",
            to_destination("fd00:10::"),
            not_forwarded,
        ),
        row(
            71,
            "to B's subnet-router anycast",
            to_destination("fd00:20::"),
            not_forwarded,
        ),
        row(
            50,
            "to its own gateway",
            to_destination("fd00:10::1"),
            not_forwarded,
        ),
        row(
            50,
            "to B's gateway",
            to_destination("fd00:20::1"),
            not_forwarded,
        ),
        row(
            50,
            "to U's gateway",
            to_destination("fd00:50::1"),
            not_forwarded,
        ),
        row(
            48,
            "from its own gateway",
            from_source("fd00:10::1"),
            up(Reason::LocalSource),
        ),
        row(
            48,
            "from B's gateway",
            from_source("fd00:20::1"),
            up(Reason::LocalSource),
        ),
        row(
            48,
            "from A's subnet-router anycast",
            from_source("fd00:10::"),
            up(Reason::LocalSource),
        ),
        row(
            57,
            "from site-local",
            from_source("fec0::10"),
            forward(A, B),
        ),
        row(
            57,
            "from elsewhere",
            from_source("2001:db8::1"),
            forward(A, B),
        ),
        row(
            57,
            "source = destination",
            from_source("fd00:20::10"),
            forward(A, B),
        ),
    ]);
}

/// 63 to 65: what may carry options is the kernel's.
pub fn extension_headers<S: Stage>(scene: &mut S) {
    let options = up(Reason::IpOptions);
    let fragment = up(Reason::Fragment);
    let router_alert = [0, 0, 5, 2, 0, 0, 1, 0];
    let jumbo = [0, 0, 0xc2, 4, 0, 1, 0, 0];
    let routing0 = [[0, 2, 0, 1, 0, 0, 0, 0].to_vec(), B.v6(9).octets().to_vec()].concat();
    let segment = [[0, 2, 4, 0, 0, 0, 0, 0].to_vec(), B.v6(9).octets().to_vec()].concat();
    let authentication = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let ab = || A.v6_to(B);
    scene.check([
        row(
            63,
            "hop-by-hop",
            ab().extension(HOP_BY_HOP, &PADDING),
            options,
        )
        .kernel_forwards(B),
        row(
            63,
            "router alert",
            ab().extension(HOP_BY_HOP, &router_alert),
            options,
        ),
        row(
            63,
            "jumbo payload",
            ab().extension(HOP_BY_HOP, &jumbo),
            options,
        )
        .kernel_unasked(),
        row(
            64,
            "routing header 0",
            ab().extension(ROUTING, &routing0),
            options,
        ),
        row(
            64,
            "segment routing header",
            ab().extension(ROUTING, &segment),
            options,
        ),
        row(
            65,
            "destination options",
            ab().extension(DESTINATION_OPTIONS, &PADDING),
            options,
        )
        .kernel_forwards(B),
        row(
            65,
            "authentication",
            ab().extension(AUTHENTICATION, &authentication),
            options,
        )
        .kernel_forwards(B),
        row(65, "mobility", ab().extension(MOBILITY, &PADDING), options).kernel_forwards(B),
        row(65, "HIP", ab().extension(HIP, &PADDING), options).kernel_forwards(B),
        row(65, "Shim6", ab().extension(SHIM6, &PADDING), options).kernel_forwards(B),
        row(
            65,
            "hop-by-hop, destination options, fragment",
            ab().extension(HOP_BY_HOP, &PADDING)
                .extension(DESTINATION_OPTIONS, &PADDING)
                .extension(FRAGMENT, &[0, 0, 0, 0, 0, 0, 0, 7]),
            options,
        ),
        row(
            89,
            "first fragment",
            ab().extension(FRAGMENT, &[0, 0, 0, 1, 0, 0, 0, 7]),
            fragment,
        ),
        row(
            89,
            "last fragment",
            ab().extension(FRAGMENT, &[0, 0, 0, 8, 0, 0, 0, 7]),
            fragment,
        ),
        row(
            89,
            "atomic fragment",
            ab().extension(FRAGMENT, &[0, 0, 0, 0, 0, 0, 0, 7]),
            fragment,
        ),
    ]);
    // Any other number is a payload.
    let extensions = [
        HOP_BY_HOP,
        ROUTING,
        FRAGMENT,
        AUTHENTICATION,
        DESTINATION_OPTIONS,
        MOBILITY,
        HIP,
        SHIM6,
    ];
    for protocol in (0..=u8::MAX).filter(|protocol| !extensions.contains(protocol)) {
        // 0xee is no type of neighbour discovery.
        let frame = A
            .v6_to(B)
            .transport(Transport::Raw(protocol, vec![0xee; 24]));
        scene.check([row(
            65,
            format!("next header {protocol}"),
            frame,
            forward(A, B),
        )]);
        let frame = A
            .v6_to(B)
            .transport(Transport::Raw(protocol, vec![0xee; 3]));
        scene.check([row(
            65,
            format!("next header {protocol}, 3 bytes"),
            frame,
            forward(A, B),
        )]);
    }
}

/// Broken headers.
pub fn broken_headers<S: Stage>(scene: &mut S) {
    let bad = up(Reason::BadIpHeader);
    for version in (0..16).filter(|version| *version != 6) {
        let frame = A.v6_to(B).patch(0, &[version << 4]);
        scene.check([row(67, format!("version {version}"), frame, bad).kernel_drops()]);
    }
    // 72 bytes of UDP.
    for (what, len) in [("one more", 73_u16), ("1000", 1000), ("65535", 0xffff)] {
        let what = format!("payload_len {what}");
        let frame = A.v6_to(B).patch(PAYLOAD_LEN, &len.to_be_bytes());
        scene.check([row(66, what, frame, bad).kernel_drops()]);
    }
    for len in [0_u16, 1, 71] {
        let what = format!("payload_len {len}, and more behind it");
        let frame = A.v6_to(B).patch(PAYLOAD_LEN, &len.to_be_bytes());
        scene.check([row(66, what, frame, up(Reason::Trailer))]);
    }
    let sound = A.v6_to(B);
    for len in 14..sound.bytes().len() {
        let expect = if len < 18 {
            up(Reason::FrameTooShort)
        } else {
            bad
        };
        let frame = sound.clone().cut(len);
        scene.check([row(66, format!("cut to {len} bytes"), frame, expect)]);
    }
    let empty = A.v6_to(B).transport(Transport::Raw(59, Vec::new()));
    let padded = empty.clone().padded_to(64);
    let longer = empty.clone().padded_to(65);
    scene.check([
        row(66, "a header and nothing else", empty, forward(A, B)),
        row(66, "padded to 64 bytes", padded, forward(A, B)),
        row(66, "a longer trailer", longer, up(Reason::Trailer)).kernel_forwards(B),
    ]);
}

/// Icmpv6.
pub fn icmpv6<S: Stage>(scene: &mut S) {
    // 69: neighbour discovery is the kernel's, wherever it goes.
    for kind in 0..=u8::MAX {
        let frame = A.v6_to(B).transport(Transport::icmp(kind, 0, &[0; 20]));
        let expect = match kind {
            133..=137 => up(Reason::NeighbourDiscovery),
            _ => forward(A, B),
        };
        scene.check([row(69, format!("ICMPv6 type {kind}"), frame, expect)]);
    }
    let solicit = A
        .v6_to(B)
        .to6(v6("ff02::1:ff00:1"))
        .ttl(255)
        .transport(Transport::icmp(135, 0, &[0; 20]));
    let listener = A
        .v6_to(B)
        .from6(v6("fe80::10"))
        .to6(v6("ff02::16"))
        .ttl(1)
        .extension(HOP_BY_HOP, &[0, 0, 5, 2, 0, 0, 1, 0])
        .transport(Transport::icmp(143, 0, &[0; 4]));
    scene.check([
        row(
            69,
            "neighbour solicitation as sent",
            solicit,
            up(Reason::Multicast),
        ),
        row(69, "MLDv2 report as sent", listener, up(Reason::IpOptions)),
    ]);
}

/// Transports.
pub fn transports<S: Stage>(scene: &mut S) {
    let no_checksum = Transport::UdpNoChecksum {
        ports: (4000, 5000),
        payload: vec![1; 64],
    };
    for (case, what, transport) in [
        (70, "UDP without a checksum", no_checksum),
        (54, "UDP", Transport::udp(1)),
        (54, "UDP without payload", Transport::udp(0)),
        (54, "TCP", Transport::tcp(999)),
        (54, "echo request", Transport::echo(56)),
    ] {
        let frame = A.v6_to(B).transport(transport.clone());
        scene.check([row(case, what, frame, forward(A, B))]);
        let frame = A.v4_to(B).transport(transport);
        scene.check([row(case, format!("{what}, IPv4"), frame, forward(A, B))]);
    }
}
