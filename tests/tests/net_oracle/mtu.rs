//! Conformance section E: every size around every limit, in both families.

use router_tests::{
    oracle::{Fate, Kind, Seen, Twin},
    packet::{Frame, Transport},
    prog::Network::{A, B, N, U},
    tables::Stage as _,
};

use crate::learnt;

/// The MTU that an ICMP error on A's wire tells; `None`: no such error.
fn told_mtu(seen: &Seen) -> Option<u32> {
    let [(_, frame)] = seen.frames.as_slice() else {
        return None;
    };
    let at = if frame.get(12..14) == Some(&[0x81, 0]) {
        18
    } else {
        14
    };
    let word = |at: usize| -> Option<[u8; 4]> { frame.get(at..at + 4)?.try_into().ok() };
    match (frame.get(at)? >> 4, frame.get(at + 20), frame.get(at + 40)) {
        (4, Some(3), _) => Some(u32::from_be_bytes(word(at + 24)?) & 0xffff),
        (6, _, Some(2)) => Some(u32::from_be_bytes(word(at + 44)?)),
        _ => None,
    }
}

/// What a packet of `size` must come to where the limit is `limit`.
#[derive(Clone, Copy)]
struct Limit {
    /// The path's MTU.
    limit: usize,
    /// What XDP takes by itself: less where another route's MTU is smaller.
    fast: usize,
}

fn sizes(limit: Limit) -> impl Iterator<Item = usize> {
    let near = limit.limit - 10..=limit.limit + 12;
    let fast = limit.fast - 2..=limit.fast + 2;
    let mut sizes: Vec<_> = near
        .chain(fast)
        .chain([limit.limit + 28, limit.limit + 40, 1500])
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes.into_iter()
}

/// Three packets of every size: IPv4 with DF, without, and IPv6.
fn around(twin: &mut Twin, what: &str, cases: [u16; 4], limit: Limit, to: &[Frame; 2]) {
    let [fits, df, fragments, v6] = cases;
    for size in sizes(limit) {
        let v4 = to[0].clone().transport(Transport::udp(size - 28));
        let may = v4.clone().with4(|header| header.dont_fragment = false);
        let six = to[1].clone().transport(Transport::udp(size - 48));
        for (name, frame, case) in [("DF", v4, df), ("no DF", may, fragments), ("IPv6", six, v6)] {
            let Some(bytes) = twin.frame(A, &frame) else {
                continue;
            };
            let what = format!("{what}: {size} of {} ({}), {name}", limit.limit, limit.fast);
            let too_big = size > limit.limit;
            let case = if too_big { case } else { fits };
            let (on, _, fate) = twin.same(case, &what, A, &[bytes]);
            let right = if size <= limit.fast {
                fate == Fate::Xdp && on.frames.len() == 1
            } else if !too_big {
                fate == Fate::Kernel && on.frames.len() == 1
            } else if name == "no DF" {
                fate == Fate::Kernel && on.frames.len() == 2
            } else {
                u32::try_from(limit.limit).ok() == told_mtu(&on) && fate == Fate::Not
            };
            if !right {
                twin.fail(
                    case,
                    &what,
                    &format!("{fate}, told {:?}: {on:?}", told_mtu(&on)),
                );
            }
        }
    }
}

/// 80 to 86: the device's MTU, whatever it is, and changed while traffic runs.
pub(crate) fn device(twin: &mut Twin) {
    let to = [A.v4_to(B), A.v6_to(B)];
    for (index, mtu) in [1400, 1280, 1452, 1300].into_iter().enumerate() {
        twin.ip(&format!("link set net-b mtu {mtu}"));
        let limit = Limit {
            limit: mtu,
            fast: mtu,
        };
        let cases = if index == 0 {
            [80, 81, 82, 83]
        } else {
            [86; 4]
        };
        around(twin, "device", cases, limit, &to);
    }
    twin.ip("link set net-b mtu 1400");
    // 84: it is the way out that counts, and the packet without its tag.
    for (from, to) in [(B, A), (A, N), (N, U)] {
        if from == B && twin.world().kind == Kind::Untagged {
            // Its NIC would take no more than 1400.
            continue;
        }
        let frame = from.v4_to(to).transport(Transport::udp(1472));
        let Some(bytes) = twin.frame(from, &frame) else {
            continue;
        };
        let what = format!("1500 from {from:?} to {to:?}");
        let (.., fate) = twin.same(84, &what, from, &[bytes]);
        if fate != Fate::Xdp {
            twin.fail(84, &what, &fate.to_string());
        }
    }
}

/// 85: a route's MTU, locked and not. The daemon keeps the smallest of a
/// network's routes: above it the kernel decides.
pub(crate) fn routes(twin: &mut Twin) {
    twin.ip(&format!(
        "route add 10.80.0.0/16 via {} mtu 1400\n\
         route add fd00:80::/64 via {} mtu 1400",
        B.v4(9),
        B.v6(9)
    ));
    let by_route = [
        A.v4_to(B).to4([10, 80, 0, 1].into()),
        A.v6_to(B).to6("fd00:80::1".parse().expect("an address")),
    ];
    let limit = Limit {
        limit: 1400,
        fast: 1400,
    };
    around(twin, "route", [85; 4], limit, &by_route);
    twin.ip(&format!(
        "route replace 10.80.0.0/16 via {} mtu lock 1350\n\
         route replace fd00:80::/64 via {} mtu lock 1350\n\
         route add 10.81.0.0/16 via {} mtu 1300\n\
         route add fd00:81::/64 via {} mtu 1300",
        B.v4(9),
        B.v6(9),
        B.v4(9),
        B.v6(9)
    ));
    let limit = Limit {
        limit: 1350,
        fast: 1300,
    };
    around(twin, "locked route", [85; 4], limit, &by_route);
}

/// 85: with `ip_forward_use_pmtu` a path MTU that the router has learnt counts for
/// what it forwards, too, below a route's own.
pub(crate) fn learnt_mtu(twin: &mut Twin) {
    twin.sysctl("ipv4/ip_forward_use_pmtu", "1");
    twin.ip(&format!(
        "route add 10.82.0.0/16 via {router} mtu 1400\nroute add 10.83.0.0/16 via {router}",
        router = B.v4(9)
    ));
    for net in [82, 83] {
        let far = [10, net, 0, 1].into();
        learnt::tell(
            twin,
            85,
            "fragmentation needed",
            (3, 4),
            [0, 0, 0x04, 0xb0],
            far,
        );
        for (size, fits) in [(1200, true), (1201, false), (1300, false)] {
            let what = format!("{size} of a learnt 1200 to {far}");
            let frame = A.v4_to(B).to4(far).transport(Transport::udp(size - 28));
            let Some(bytes) = twin.frame(A, &frame) else {
                continue;
            };
            let (on, _, fate) = twin.same(85, &what, A, &[bytes]);
            let right = match (fits, told_mtu(&on)) {
                (true, None) => on.frames.len() == 1,
                (false, Some(mtu)) => mtu == 1200 && fate == Fate::Not,
                _ => false,
            };
            if !right {
                twin.fail(85, &what, &format!("{fate}: {on:?}"));
            }
        }
    }
}
