//! Conformance section E, as far as no peer is needed: sizes, cases 80 to 88.

use crate::{
    lab,
    packet::{Frame, Transport},
    prog::{
        Network::{A, B, C, N, U},
        forward, row, up,
    },
    tables::Stage,
};
use router_common::{abi::egress_flags, datapath::Reason};

/// UDP that makes an IPv4 packet of `len` bytes.
fn v4(len: usize) -> Frame {
    A.v4_to(B).transport(Transport::udp(len - 28))
}

/// UDP that makes an IPv6 packet of `len` bytes.
fn v6(len: usize) -> Frame {
    A.v6_to(B).transport(Transport::udp(len - 48))
}

/// The sender allows fragments.
fn may_fragment(frame: Frame) -> Frame {
    frame.with4(|header| header.dont_fragment = false)
}

/// Device mtu.
pub fn device_mtu<S: Stage>(scene: &mut S) {
    let (helper, exceeded) = (up(Reason::FragmentationNeeded), up(Reason::MtuExceeded));
    let to_c = |frame: Frame| frame.to4(C.v4(10));
    scene.check([
        row(80, "1500 of 1500", v4(1500), forward(A, B)),
        row(80, "1500 of 1500, IPv6", v6(1500), forward(A, B)),
        row(
            88,
            "1522 bytes with FCS, to another trunk",
            to_c(v4(1500)),
            forward(A, C),
        ),
        row(81, "1501 of 1500", v4(1501), helper).kernel_unasked(),
        row(
            82,
            "1501 of 1500, may fragment",
            may_fragment(v4(1501)),
            helper,
        ),
        row(83, "1501 of 1500, IPv6", v6(1501), helper),
        row(83, "1540 of 1500, IPv6: no slack", v6(1540), helper),
    ]);
    // 84: a sub-interface below the trunk's.
    scene.ip("link set net-b mtu 1400");
    scene.change_egress(B, |entry| (entry.mtu4, entry.mtu6) = (1400, 1400));
    scene.check([
        row(84, "1400 of 1400", v4(1400), forward(A, B)),
        row(84, "1400 of 1400, IPv6", v6(1400), forward(A, B)),
        row(84, "1401 of 1400", v4(1401), helper).kernel_answers(),
        row(84, "1401 of 1400, IPv6", v6(1401), helper).kernel_answers(),
        row(84, "1500 to another network", to_c(v4(1500)), forward(A, C)),
        row(
            84,
            "the ingress MTU does not matter",
            B.v4_to(A),
            forward(B, A),
        ),
    ]);
    // 86: raised, and the map not yet told: the smaller one counts.
    scene.ip("link set net-b mtu 1500");
    scene.check([
        row(86, "1401, and the map says 1400", v4(1401), exceeded)
            .by_hand()
            .kernel_forwards(B),
        row(86, "1401, and the map says 1400, IPv6", v6(1401), exceeded)
            .by_hand()
            .kernel_forwards(B),
    ]);
    scene.change_egress(B, |_| ());
    scene.check([row(86, "told", v4(1500), forward(A, B))]);
}

/// Route mtu.
pub fn route_mtu<S: Stage>(scene: &mut S) {
    let (via4, via6) = (B.v4(9), B.v6(9));
    scene.ip(&format!(
        "route add 10.80.0.0/16 via {via4} mtu 1400\n\
         route add 10.81.0.0/16 via {via4} mtu lock 1300\n\
         route add fd00:80::/64 via {via6} mtu 1400\n\
         route add fd00:81::/64 via {via6} mtu lock 1300"
    ));
    let unlocked4 = |len| v4(len).to4([10, 80, 0, 1].into());
    let locked4 = |len| v4(len).to4([10, 81, 0, 1].into());
    let unlocked6 = |len| v6(len).to6("fd00:80::1".parse().expect("an address"));
    let locked6 = |len| v6(len).to6("fd00:81::1".parse().expect("an address"));
    let routed = forward(A, B).by_router();
    let (helper, exceeded) = (up(Reason::FragmentationNeeded), up(Reason::MtuExceeded));

    // Why `Egress::mtu4` and `mtu6` hold the smallest `mtu` of a route: the
    // helper alone says yes to what the kernel answers.
    scene.check([
        row(
            85,
            "1401 of 1400, the helper alone",
            unlocked4(1401),
            routed,
        )
        .by_hand()
        .kernel_answers(),
        row(
            85,
            "1401 of 1400, IPv6, the helper alone",
            unlocked6(1401),
            routed,
        )
        .by_hand()
        .kernel_answers(),
        row(85, "1300 of a locked 1300", locked4(1300), routed),
        row(85, "1301 of a locked 1300", locked4(1301), helper).kernel_answers(),
        row(85, "1300 of a locked 1300, IPv6", locked6(1300), routed),
        row(85, "1301 of a locked 1300, IPv6", locked6(1301), helper).kernel_answers(),
    ]);
    scene.change_egress(B, |entry| (entry.mtu4, entry.mtu6) = (1400, 1400));
    scene.check([
        // The daemon counts the locked routes, too.
        row(85, "1400 of 1400", unlocked4(1400), routed).by_hand(),
        row(85, "1401 of 1400", unlocked4(1401), exceeded).kernel_answers(),
        row(85, "1400 of 1400, IPv6", unlocked6(1400), routed).by_hand(),
        row(85, "1401 of 1400, IPv6", unlocked6(1401), exceeded).kernel_answers(),
        row(
            85,
            "1401 of 1400, may fragment",
            may_fragment(unlocked4(1401)),
            exceeded,
        ),
        // The price of one number a network: the kernel does it.
        row(85, "1401 by another route", v4(1401), exceeded).kernel_forwards(B),
        row(
            85,
            "1401 to another network",
            v4(1401).to4(C.v4(10)),
            forward(A, C),
        ),
    ]);
}

/// Tags make frames longer and shorter; the packet stays what it is.
pub fn tags_do_not_count<S: Stage>(scene: &mut S) {
    let udp = Transport::udp(1472);
    for (from, to) in [(N, A), (A, N), (N, U), (A, U), (N, C), (B, C)] {
        let what = format!("1500 bytes from {from:?} to {to:?}");
        let frame = from.v4_to(to).transport(udp.clone());
        scene.check([row(88, what, frame, forward(from, to))]);
    }
}

/// Larger packets are in several buffers, where pages have 4 KiB.
const ONE_BUFFER: usize = 3500;

/// 87: frames that need more than one buffer, by the other program.
pub fn jumbo_frames<S: Stage>(scene: &mut S) {
    // Before, nothing in several buffers is redirected, and the kernel must have
    // it.
    let redirected = lab::kernel_is_since(6, 3).expect("a release");
    // Trunks before their sub-interfaces, which may not be larger.
    for network in [N, U, A, B, C] {
        scene.ip(&format!("link set {} mtu 9000", network.device()));
        scene.change_egress(network, |entry| {
            (entry.mtu4, entry.mtu6) = (9000, 9000);
            if redirected {
                entry.flags |= egress_flags::SENDS_BUFFERS;
            }
        });
    }
    for len in [100, 1500, 3500, 4000, 4096, 5000, 8999, 9000] {
        for (from, to) in [(A, B), (N, A), (A, N), (A, C), (N, U)] {
            let what = format!("{len} bytes from {from:?} to {to:?}");
            let v4 = from.v4_to(to).transport(Transport::udp(len - 28));
            let v6 = from.v6_to(to).transport(Transport::udp(len - 48));
            let fate = if redirected || len <= ONE_BUFFER || from.trunk() == to.trunk() {
                forward(from, to)
            } else {
                up(Reason::SeveralBuffers)
            };
            scene.check([
                row(87, what.clone(), v4, fate).kernel_unasked(),
                row(87, what, v6, fate).kernel_unasked(),
            ]);
        }
    }
    let helper = up(Reason::FragmentationNeeded);
    let trailer = up(Reason::Trailer);
    scene.check([
        row(87, "9001 bytes", v4(9001), helper),
        row(87, "9001 bytes, IPv6", v6(9001), helper),
        row(
            87,
            "a trailer in another buffer",
            v4(1000).trailer(5000),
            trailer,
        ),
        row(87, "TTL 1", v4(9000).ttl(1), up(Reason::TtlExceeded)),
        row(
            87,
            "tot_len beyond 9000",
            v4(9000).cut(8000),
            up(Reason::BadIpHeader),
        ),
    ]);
}
