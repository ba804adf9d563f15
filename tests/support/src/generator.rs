//! Which packets are made: mostly sound, with values at the edges of what
//! counts.

use crate::{
    draft::Skeleton,
    mutation::{Case, Hop, Mutation},
    random::Random,
    world::{COUNT, Only, device_of, gateway_mac, host4, host6},
};

/// Packet `number` of the run `seed`.
pub fn case(seed: u64, number: u64) -> Case {
    let random = &Random::of(seed, number);
    let skeleton = skeleton(random);
    let mut mutations = Vec::new();
    let rounds = random.of_these(&[0, 1, 1, 1, 2, 2, 3, 5]);
    for _ in 0..rounds {
        if random.percent(45) {
            mutations.extend(of_the_world(random, &skeleton));
        } else {
            mutations.extend(of_the_frame(random, &skeleton));
        }
    }
    Case {
        skeleton,
        mutations,
    }
}

fn skeleton(random: &Random) -> Skeleton {
    let from = random.below(COUNT);
    let to = if random.percent(3) {
        from
    } else {
        (from + 1 + random.below(COUNT - 1)) % COUNT
    };
    let six = random.percent(50);
    let icmp = if six { 58 } else { 1 };
    Skeleton {
        from,
        to,
        six,
        protocol: match random.below(10) {
            0..=2 => 6,
            3..=5 => 17,
            6 | 7 => icmp,
            8 => random.of_these(&[4, 33, 41, 47, 50, 51, 132, 136]),
            _ => random.byte(),
        },
        payload: match random.below(8) {
            0 => random.below(9),
            1 => random.below(80),
            _ => 40,
        },
    }
}

/// A byte, often one of the edges.
fn edge(random: &Random) -> u8 {
    if random.percent(50) {
        random.of_these(&[0, 1, 2, 3, 63, 64, 127, 128, 254, 255])
    } else {
        random.byte()
    }
}

fn mac(random: &Random, skeleton: &Skeleton) -> [u8; 6] {
    let own = gateway_mac(skeleton.from);
    match random.below(5) {
        0 => [0xff; 6],
        1 => [1, 0, 0x5e, 0, 0, random.byte()],
        2 => gateway_mac(random.below(COUNT)),
        3 => {
            // Off by one bit.
            let mut mac = own;
            mac[usize::from(random.below(6))] ^= 1 << random.below(8);
            mac
        }
        _ => core::array::from_fn(|_| random.byte()),
    }
}

fn address4(random: &Random, skeleton: &Skeleton) -> [u8; 4] {
    let own = host4(skeleton.from, edge(random)).octets();
    let any = host4(random.below(COUNT), edge(random)).octets();
    let host = edge(random);
    random.of_these(&[
        own,
        any,
        any,
        host4(random.below(COUNT), 1).octets(),
        [10, 9, 8, host],
        [10, 4, 0, host & 3],
        [127, 0, 0, host],
        [0, 0, 0, host],
        [224, 0, 0, host],
        [239, 255, 255, host],
        [240, 0, 0, host],
        [255, 255, 255, 255],
        [255, 255, 255, 254],
        [169, 254, 1, host],
        [random.byte(), random.byte(), random.byte(), host],
    ])
}

fn address6(random: &Random, skeleton: &Skeleton) -> [u8; 16] {
    let own = host6(skeleton.from, edge(random)).octets();
    let any = host6(random.below(COUNT), edge(random)).octets();
    let host = edge(random);
    let with = |start: &[u8], end: &[u8]| {
        let mut address = [0; 16];
        address[..start.len()].copy_from_slice(start);
        address[16 - end.len()..].copy_from_slice(end);
        address
    };
    random.of_these(&[
        own,
        any,
        any,
        host6(random.below(COUNT), 1).octets(),
        with(&[0x20, 1, 0x0d, 0xb8], &[host]),
        with(&[0xfd, 0, 0, 4, 0, 4], &[host]),
        with(&[], &[0]),
        with(&[], &[1]),
        with(&[], &[0xff, 0xff, 10, 0, 0, host]),
        with(&[0, 0x64, 0xff, 0x9b], &[10, 0, 0, host]),
        with(&[0xfe, 0x80], &[host]),
        with(&[0xfe, 0xbf], &[host]),
        with(&[0xfe, 0xc0], &[host]),
        with(&[0xfe, 0x7f], &[host]),
        with(&[0xff, 2], &[host]),
        with(&[0xff, 0x0e], &[host]),
        core::array::from_fn(|_| random.byte()),
    ])
}

fn vid(random: &Random) -> u16 {
    let any = random.below(4096);
    random.of_these(&[0, 1, 100, 200, 300, 4094, 4095, any])
}

fn of_the_frame(random: &Random, skeleton: &Skeleton) -> Vec<Mutation> {
    use Mutation::*;
    let one = match random.below(30) {
        0 => ToMac(mac(random, skeleton)),
        1 => FromMac(mac(random, skeleton)),
        2 => Vid(vid(random)),
        3..=5 => Priority(random.byte() & 7, random.percent(50)),
        6 => random.of_these(&[Untagged, Vid(0), Vid(4095)]),
        7 => Tag(
            random.of_these(&[0x8100, 0x88a8, 0x9100]),
            random.half() & 0xf000 | vid(random),
        ),
        8 => {
            let any = random.half();
            Kind(random.of_these(&[0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x88cc, 0x0040, any]))
        }
        9 => random.of_these(&[
            Version(4),
            Version(6),
            Version(5),
            Version(0),
            Words(4),
            Words(6),
        ]),
        10 => Options(1 + random.byte() % 10),
        11 | 12 => Class(edge(random)),
        13 => Label(u32::from(random.half()) << 4),
        14 => {
            let size = if skeleton.six {
                skeleton.payload
            } else {
                skeleton.payload + 20
            };
            let any = random.half();
            Length(random.of_these(&[0, 19, 20, size.wrapping_sub(1), size + 1, 65535, any]))
        }
        15 => Id(random.half()),
        16 => {
            let any = random.half();
            Fragment(random.of_these(&[0, 0x2000, 0x4000, 0x8000, 1, 0x1fff, 0x6000, any]))
        }
        17 | 18 => Hops(edge(random)),
        19 => Protocol(random.of_these(&[0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253, 58, 1])),
        20 => Sum(1 << random.below(16)),
        // Both zeros, and where one less TTL carries, or makes them.
        21 => SumIs(random.of_these(&[0, 0xffff, 0xfeff, 0xfefe, 0xff00, 0xfffe])),
        22 => {
            let (four, six) = (address4(random, skeleton), address6(random, skeleton));
            random.of_these(&[Source4(four), Source6(six)])
        }
        23 => {
            let (four, six) = (address4(random, skeleton), address6(random, skeleton));
            random.of_these(&[To4(four), To6(six)])
        }
        24 => Extension(
            random.of_these(&[0, 43, 44, 51, 60, 135]),
            random.of_these(&[8, 16, 24]),
        ),
        25 => {
            let kinds = [
                0, 1, 2, 3, 4, 5, 8, 11, 12, 127, 128, 132, 133, 135, 137, 138, 143,
            ];
            Start([
                random.of_these(&kinds),
                random.byte(),
                random.byte(),
                random.byte(),
            ])
        }
        26 => Trailer(random.of_these(&[1, 2, 4, 6, 18, 46, 300])),
        27 => PadTo(random.of_these(&[60, 64, 65, 68, 128])),
        28 => Cut(random.below(120)),
        _ => Flip(random.below(64), 1 << random.below(8)),
    };
    match one {
        // The padding of short frames, which cards add.
        PadTo(_) => vec![Payload(random.below(20)), one],
        _ => vec![one],
    }
}

fn only(random: &Random, skeleton: &Skeleton) -> Only {
    let device = device_of(skeleton.from);
    match random.below(12) {
        0 => Only::From(device),
        1 => Only::From(99),
        2 => Only::OfClass(random.of_these(&[0, 2, 0x10])),
        3 => Only::OfLabel(random.of_these(&[0, 0xb_eef5])),
        4 => Only::OfProtocol(random.of_these(&[skeleton.protocol, 6])),
        5 => Only::DestinationPort(random.of_these(&[0x1538, 0])),
        6 => Only::SourcePort(random.of_these(&[0x0800, 0, 0x1538])),
        7 => Only::SourceHost(random.of_these(&[10, 11])),
        _ => Only::Always,
    }
}

fn hop(random: &Random) -> Hop {
    const REFUSALS: [&str; 7] = [
        "blackhole",
        "unreachable",
        "prohibit",
        "not-forwarded",
        "helper-forwarding-off",
        "lightweight-tunnel",
        "helper-error",
    ];
    match random.below(5) {
        0 => Hop::No(random.of_these(&REFUSALS)),
        1 => Hop::Elsewhere,
        _ => Hop::Via(random.below(COUNT)),
    }
}

/// A route to the packet's destination, or back to its source; or to a place
/// outside, and the packet goes there.
fn routes(random: &Random, skeleton: &Skeleton) -> Vec<Mutation> {
    use Mutation::*;
    let (only, hop) = (only(random, skeleton), hop(random));
    let len = random.of_these(&[16, 24, 32]);
    let len6 = random.of_these(&[32, 64, 128]);
    let (to4, to6) = (host4(skeleton.to, 11), host6(skeleton.to, 11));
    let (source4, source6) = (host4(skeleton.from, 10), host6(skeleton.from, 10));
    let outside4 = [10, 9, 8, 7];
    let outside6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let mut mutations = match (random.below(4), skeleton.six) {
        (0, _) => vec![
            RpFilter(skeleton.from, true),
            Route4(source4.octets(), len, only, hop),
            Route6(source6.octets(), len6, only, hop),
        ],
        (1, false) => vec![To4(outside4), Route4(outside4, len, only, hop)],
        (1, true) => vec![To6(outside6), Route6(outside6, len6, only, hop)],
        (2, false) => vec![
            RpFilter(skeleton.from, true),
            Source4(outside4),
            Route4(outside4, len, only, hop),
        ],
        (_, false) => vec![Route4(to4.octets(), len, only, hop)],
        (_, true) => vec![Route6(to6.octets(), len6, only, hop)],
    };
    if random.percent(30) {
        let size = 20 + skeleton.payload;
        mutations.push(RouteMtu(
            random.of_these(&[size, size + 19, size + 20, size.saturating_sub(1), 1300]),
            random.percent(50),
        ));
    }
    mutations
}

fn of_the_world(random: &Random, skeleton: &Skeleton) -> Vec<Mutation> {
    use Mutation::*;
    let either = random.of_these(&[skeleton.from, skeleton.to]);
    let out = skeleton.to;
    let (to4, to6) = (host4(out, 11).octets(), host6(out, 11).octets());
    let header = if skeleton.six { 40 } else { 20 };
    match random.below(21) {
        0 => vec![Gone(either)],
        1 => vec![Down(either)],
        2 => vec![random.of_these(&[NoForwarding4(either), NoForwarding6(either)])],
        3 => vec![RpFilter(skeleton.from, random.percent(70))],
        4 => vec![
            KeepPcp(skeleton.from),
            Priority(random.byte() & 7, random.percent(50)),
        ],
        5 => {
            let pcp = random.byte() & 7;
            let priority = random.of_these(&[0, 1, 7, 15, 16, 255, u32::MAX]);
            vec![
                PriorityOf(skeleton.from, pcp, priority),
                Priority(pcp, false),
            ]
        }
        6 => {
            let priority = random.byte() & 15;
            vec![PcpOf(out, priority, random.byte()), Class(edge(random))]
        }
        // Around the MTU, and 40 bytes beside it.
        7 | 8 => {
            let mtu = random.of_these(&[576, 1280, 1400, 1500, 9000]);
            let beside = random.of_these(&[0, 1, 2, 39, 40, 41, 100]);
            let size = if random.percent(50) {
                mtu + beside
            } else {
                mtu - beside
            };
            vec![Mtu(out, mtu), Size(size)]
        }
        9 => {
            let size = skeleton.payload + header;
            vec![Mtu(
                out,
                random.of_these(&[size, size + 1, size.saturating_sub(1)]),
            )]
        }
        10 => vec![random.of_these(&[OddHash4(out), OddHash6(out)])],
        11 => {
            let kinds = [0, 1, 3, 4, 5, 8, 11, 12, 127, 128, 129];
            let icmp = if skeleton.six { 58 } else { 1 };
            vec![
                Leg(out),
                Protocol(icmp),
                Start([random.of_these(&kinds), 0, 0, 0]),
            ]
        }
        12 => vec![NoGateway(skeleton.from)],
        13 => {
            let source4 = host4(skeleton.from, 10).octets();
            let source6 = host6(skeleton.from, 10).octets();
            let (any4, any6) = (address4(random, skeleton), address6(random, skeleton));
            vec![random.of_these(&[Local4(source4), Local6(source6), Local4(any4), Local6(any6)])]
        }
        14 => {
            let (any4, any6) = (address4(random, skeleton), address6(random, skeleton));
            vec![
                LocalsOverflow,
                random.of_these(&[Source4(any4), Source6(any6), KeepPcp(0)]),
            ]
        }
        15 => vec![random.of_these(&[Silent4(to4), Silent6(to6), NoMac4(to4), NoMac6(to6)])],
        16 => vec![NoPort(random.of_these(&[0, 1]))],
        17 => vec![TosKeepsPriority, Class(edge(random))],
        19 => vec![Lease(random.of_these(&[0, 999, 1000, 1001, u64::MAX]))],
        18 => vec![Headroom(random.of_these(&[0, 3, 4]))],
        _ => routes(random, skeleton),
    }
}
