//! Packets that once were wrong, as small as they could be made.

use router_test_support::{
    draft::Skeleton,
    mutation::{Case, Hop, Mutation},
    world::Only,
};

use crate::compare::compare;

const fn skeleton(from: u16, to: u16, six: bool, protocol: u8, payload: u16) -> Skeleton {
    Skeleton {
        from,
        to,
        six,
        protocol,
        payload,
    }
}

#[test]
fn regressions() {
    use Hop::*;
    use Mutation::*;
    use Only::*;
    #[rustfmt::skip]
    let rows: &[(&str, Skeleton, &[Mutation])] = &[
        (
            "ECN's ECT(0) without a TOS is best effort, not filler",
            skeleton(0, 1, false, 17, 8),
            &[PcpOf(1, 1, 5), Class(2)],
        ),
        // Bugs that other routers shipped; put in by hand, they came to this.
        ("TTL not decremented", skeleton(0, 1, false, 17, 8), &[]),
        ("hop limit not decremented", skeleton(0, 1, true, 17, 8), &[]),
        (
            "destination MAC unchecked",
            skeleton(0, 1, false, 17, 8),
            &[ToMac([255, 255, 255, 255, 255, 255])],
        ),
        (
            "checksum of 0xffff, which the kernel writes as 0",
            skeleton(0, 1, false, 17, 8),
            &[SumIs(0xfeff)],
        ),
        (
            "IPv6 length without the 40 bytes of its header",
            skeleton(0, 1, true, 17, 40),
            &[
                Route6([253, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11], 64, Always, Via(2)),
                RouteMtu(60, false),
            ],
        ),
    ];
    for (what, skeleton, mutations) in rows {
        let case = Case {
            skeleton: *skeleton,
            mutations: mutations.to_vec(),
        };
        if let Err(difference) = compare(&case) {
            panic!("{what}: {difference}");
        }
    }
}
