//! What holds for every frame, whatever the row: every length, every TTL, every
//! checksum, every bit; and counters that add up.

use router_common::{
    abi::{Counter, egress_flags, ingress_flags},
    datapath::Reason,
};
use router_tests::{
    lab,
    oracle::{Fate, report},
    packet::{Frame, Transport},
    prog::{
        Agreement,
        Network::{self, A, B, C, N, U},
        Record, Scene, XDP_PASS, XDP_REDIRECT, XDP_TX, forward, row, up,
    },
};

/// Every pair of networks that trunk 0 forwards between.
fn pairs() -> impl Iterator<Item = (Network, Network)> {
    [A, B, N].into_iter().flat_map(|from| {
        [A, B, N, C, U]
            .into_iter()
            .filter(move |to| *to != from)
            .map(move |to| (from, to))
    })
}

/// The counters that moved since the scene began.
fn moved(scene: &Scene) -> Vec<(Record, Counter)> {
    let counters = scene.router.counters().expect("counters");
    counters.since(scene.counted())
}

/// 156: never a partial forward. A frame that is cut anywhere passes up, and
/// all of it is there.
#[test]
fn every_truncation() {
    let Some(scene) = Scene::open("every_truncation") else {
        return;
    };
    let (mut frames, mut bytes) = (0, 0);
    for (from, to) in pairs() {
        let transports = [Transport::udp(64), Transport::tcp(20), Transport::echo(8)];
        for sound in transports.into_iter().flat_map(|transport| {
            [from.v4_to(to), from.v6_to(to)].map(|frame| frame.transport(transport.clone()))
        }) {
            let all = sound.bytes();
            for len in 14..all.len() {
                let outcome = scene.router.run(&all[..len]).expect("a verdict");
                assert_eq!(outcome.action, XDP_PASS, "{from:?} to {to:?}, {len} bytes");
                assert_eq!(outcome.bytes, all[..len], "{from:?} to {to:?}, {len} bytes");
                frames += 1;
                bytes += len as u64;
            }
        }
    }
    // All of them counted, and none as forwarded.
    let moved = moved(&scene);
    let (reasons, counted) = sum(&moved);
    assert_eq!((counted.packets, counted.bytes), (frames, bytes));
    let expected = [
        Record::Kept(Reason::FrameTooShort),
        Record::Kept(Reason::BadIpHeader),
    ];
    assert_eq!(reasons, expected);
}

/// Which records moved, and by how much in all.
fn sum(moved: &[(Record, Counter)]) -> (Vec<Record>, Counter) {
    let records = moved.iter().map(|(record, _)| *record).collect();
    let total = moved
        .iter()
        .map(|(_, by)| *by)
        .fold(Counter::default(), Counter::merge);
    (records, total)
}

/// I7: one less, whatever it was.
#[test]
fn every_ttl() {
    let Some(mut scene) = Scene::open("every_ttl") else {
        return;
    };
    for ttl in 2..=u8::MAX {
        let what = format!("TTL {ttl}");
        let v4 = A.v4_to(B).ttl(ttl).identification(u16::from(ttl) * 251);
        scene.check([
            row(24, what.clone(), v4, forward(A, B)),
            row(54, what, N.v6_to(U).ttl(ttl), forward(N, U)),
        ]);
    }
    scene.finish();
}

/// 28 and 29: every identification, and so every checksum there is, equals
/// what etherparse computes from scratch; with the most and the least TTL, and
/// with those where a bit of the TTL is borrowed from another. (Every TTL:
/// `router_common::checksum`.)
#[test]
fn every_checksum() {
    let Some(scene) = Scene::open("every_checksum") else {
        return;
    };
    let mut seen = vec![false; 0x1_0000];
    let mut frames = 0;
    let ttls: &[u8] = if lab::slow() {
        &[2, 255]
    } else {
        &[2, 3, 64, 128, 255]
    };
    for &ttl in ttls {
        let frame = A
            .v4_to(B)
            .ttl(ttl)
            .transport(Transport::Raw(253, Vec::new()));
        let routed = frame.routed(B.host_mac(), B.gateway_mac(), B.tag());
        for id in 0..=u16::MAX {
            let input = frame.clone().identification(id).bytes();
            let outcome = scene.router.run(&input).expect("a verdict");
            let expected = routed.clone().identification(id).bytes();
            assert_eq!(outcome.bytes, expected, "identification {id:#06x}");
            seen[usize::from(u16::from_be_bytes([outcome.bytes[28], outcome.bytes[29]]))] = true;
            frames += 1;
        }
    }
    let missing = seen.iter().filter(|seen| !**seen).count();
    // 0xffff is the one that nobody computes.
    assert_eq!((missing, seen[0xffff]), (1, false));
    let expected = Counter {
        packets: frames,
        bytes: frames * 38,
    };
    assert_eq!(moved(&scene), [(Record::Forwarded(0, 1), expected)]);
    report::shown(28, Fate::Xdp, "every_checksum");
    report::shown(29, Fate::Xdp, "every_checksum");
}

/// I5: what went in is what was counted, by action.
#[test]
fn counters_add_up() {
    let Some(scene) = Scene::open("counters_add_up") else {
        return;
    };
    let (mut kept, mut forwarded) = (Counter::default(), Counter::default());
    let mut random = Random(1);
    for _ in 0..3000 {
        let (_, frame) = random.frame();
        let input = frame.bytes();
        let outcome = scene.router.run(&input).expect("a verdict");
        let counter = match outcome.action {
            XDP_PASS => &mut kept,
            XDP_TX | XDP_REDIRECT => &mut forwarded,
            other => panic!("action {other} for {frame:?}"),
        };
        counter.packets += 1;
        counter.bytes += input.len() as u64;
    }
    let (of_pairs, of_reasons): (Vec<_>, Vec<_>) = moved(&scene)
        .into_iter()
        .partition(|(record, _)| matches!(record, Record::Forwarded(..)));
    assert_eq!(sum(&of_pairs).1, forwarded);
    assert_eq!(sum(&of_reasons).1, kept);
    assert!(forwarded.packets > 300, "{forwarded:?} of 3000 forwarded");
    assert!(of_reasons.len() > 10, "only {of_reasons:?}");
}

/// 157: every single bit of the headers flipped. What is still forwarded, the
/// kernel forwards as well, and equally.
#[test]
fn every_bit_flipped() {
    let Some(scene) = Scene::open("every_bit_flipped") else {
        return;
    };
    let mut wrong = Vec::new();
    let mut forwarded = 0;
    for sound in [A.v4_to(B), A.v6_to(B)] {
        let at = sound.network_offset();
        let all = sound.bytes();
        // IP header and ports, but for the destination's last bytes: ours has
        // neighbours only where the scene has put them.
        for bit in 0..(all.len() - at - 64) * 8 {
            let flipped = all[at + bit / 8] ^ (0x80 >> (bit % 8));
            let frame = sound.clone().patch(bit / 8, &[flipped]);
            // For IPv4 with the checksum wrong, and with it right.
            let frames = if at + bit / 8 < at + 20 && sound.is_ipv4() {
                vec![
                    frame,
                    sound.clone().patch_with_checksum(bit / 8, &[flipped]),
                ]
            } else {
                vec![frame]
            };
            for frame in frames {
                match scene.agree(A, &frame) {
                    Ok(Agreement::Forwarded(_)) => forwarded += 1,
                    Ok(Agreement::Passed) => {}
                    Err(why) => wrong.push(format!("bit {bit}: {why}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forwarded > 200, "{forwarded} forwarded");
}

/// 158: packets at random, of sound and odd parts.
#[test]
fn random_packets() {
    let Some(mut scene) = Scene::open("random_packets") else {
        return;
    };
    scene.ip(&format!(
        "route add 10.0.0.0/8 via {}\n\
         route add 10.128.0.0/9 nexthop via {} nexthop via {}\n\
         route add default via {}\n\
         route add 2001:db8::/32 via {}",
        B.v4(9),
        A.v4(9),
        N.v4(9),
        C.v4(9),
        U.v6(9)
    ));
    for network in [A, N] {
        scene.change_egress(network, |entry| entry.flags |= egress_flags::MULTIPATH_LEG);
    }
    for network in [A, B] {
        let device = network.device();
        scene.sysctl(&format!("ipv4/conf/{device}/rp_filter"), "1");
        scene.change_ingress(network, |entry| entry.flags |= ingress_flags::RP_FILTER);
    }
    let mut random = Random(0x5eed);
    let mut wrong = Vec::new();
    let mut forwarded = [0; 5];
    for number in 0..5000 {
        let (from, frame) = random.frame();
        match scene.agree(from, &frame) {
            Ok(Agreement::Forwarded(to)) => forwarded[usize::from(to.id())] += 1,
            Ok(Agreement::Passed) => {}
            Err(why) => wrong.push(format!("packet {number}, {frame:?}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forwarded.iter().all(|count| *count > 20), "{forwarded:?}");
}

/// xorshift64*: the same packets every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One time in `times`.
    fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn transport(&mut self) -> Transport {
        let len = match self.below(4) {
            0 => self.below(8),
            1 => 1400 + self.below(110),
            _ => self.below(200),
        };
        match self.below(6) {
            0 | 1 => Transport::udp(len),
            2 => Transport::tcp(len),
            3 => Transport::echo(len),
            4 => Transport::icmp(self.byte(), self.byte(), &vec![1; len]),
            _ => Transport::Raw(self.byte(), vec![self.byte(); len]),
        }
    }

    /// A frame, and the network that it comes in on.
    fn frame(&mut self) -> (Network, Frame) {
        let from = self.pick(&[A, B, N]);
        let to = self.pick(&[A, B, C, N, U]);
        let transport = self.transport();
        let frame = if self.rarely(2) {
            self.frame4(from, to, transport)
        } else {
            self.frame6(from, to, transport)
        };
        let frame = match self.below(12) {
            0 => frame.ttl(self.byte()),
            1 => frame.tos(self.byte()),
            2 => frame.to_mac(to.gateway_mac()),
            _ => frame,
        };
        let frame = match self.below(12) {
            0 => frame.trailer(self.below(40)),
            1 => frame.padded_to(60),
            2 => {
                let at = self.below(40);
                let byte = self.byte();
                // Either header is at least 20 bytes, and 20 more follow an
                // empty one only if the trailer is there.
                frame.patch(at.min(19), &[byte])
            }
            _ => frame,
        };
        (from, frame)
    }

    fn frame4(&mut self, from: Network, to: Network, transport: Transport) -> Frame {
        let mut frame = from.v4_to(to).transport(transport);
        if self.rarely(4) {
            let any = [10, self.byte(), self.byte(), self.byte()];
            let source = [
                from.v4(1).octets(),
                to.v4(1).octets(),
                from.v4(255).octets(),
                to.v4(77).octets(),
                [self.byte(), self.byte(), self.byte(), self.byte()],
                any,
            ];
            frame = frame.from4(self.pick(&source).into());
        }
        if self.rarely(4) {
            let destination = [
                to.v4(1).octets(),
                to.v4(9).octets(),
                [10, self.byte(), self.byte(), self.byte()],
                [self.byte(), self.byte(), self.byte(), self.byte()],
            ];
            frame = frame.to4(self.pick(&destination).into());
        }
        match self.below(16) {
            0 => frame.options(&[1, 1, 1, 0]),
            1 => frame.fragment(u16::from(self.byte()), self.rarely(2)),
            2 => frame.with4(|header| header.dont_fragment = false),
            _ => frame.identification(u16::from(self.byte()) << 8 | u16::from(self.byte())),
        }
    }

    fn frame6(&mut self, from: Network, to: Network, transport: Transport) -> Frame {
        let mut frame = from.v6_to(to).transport(transport);
        if self.rarely(4) {
            let mut any = [0; 16];
            any.fill_with(|| self.byte());
            let source = [
                from.v6(1).octets(),
                to.v6(1).octets(),
                from.v6(0).octets(),
                to.v6(0x77).octets(),
                any,
            ];
            frame = frame.from6(self.pick(&source).into());
        }
        if self.rarely(4) {
            let mut any = [0; 16];
            any.fill_with(|| self.byte());
            let mut near = any;
            near[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            let destination = [to.v6(1).octets(), to.v6(9).octets(), near, near, any];
            frame = frame.to6(self.pick(&destination).into());
        }
        match self.below(16) {
            0 => frame.extension(self.pick(&[0, 43, 60]), &[0, 0, 1, 4, 0, 0, 0, 0]),
            1 => frame.extension(44, &[0, 0, self.byte(), self.byte(), 0, 0, 0, 1]),
            2 => frame.flow_label(self.below(1 << 20).try_into().expect("20 bits")),
            _ => frame,
        }
    }
}

/// The row machinery itself: it must see what is wrong.
#[test]
fn the_tables_can_fail() {
    let Some(mut scene) = Scene::open("the_tables_can_fail") else {
        return;
    };
    for wrong in [
        row(0, "another network", A.v4_to(B), forward(A, C)),
        row(0, "another next hop", A.v4_to(B), forward(A, B).by_router()),
        row(
            0,
            "another priority",
            A.v4_to(B),
            forward(A, B).priority(1, false),
        ),
        row(0, "another reason", A.v4_to(B).ttl(1), up(Reason::Trailer)),
        row(0, "not forwarded", A.v4_to(B).ttl(1), forward(A, B)).becomes(A.v4_to(B)),
        row(0, "forwarded", A.v4_to(B), up(Reason::Trailer)),
        row(0, "the kernel drops", A.v4_to(B), forward(A, B)).kernel_drops(),
        row(0, "the kernel answers", A.v4_to(B), forward(A, B)).kernel_answers(),
        row(
            0,
            "the kernel forwards",
            A.v4_to(B).ttl(1),
            up(Reason::TtlExceeded),
        )
        .kernel_forwards(C),
    ] {
        scene.check([wrong]);
        let failures = scene.take_failures();
        assert_eq!(failures.len(), 1, "{failures:#?}");
    }
    scene.finish();
}
