//! A capture from anywhere through both arms: what came out with XDP is what
//! came out without.
//!
//! The networks of a capture are not ours, so that it is played three times: see
//! [`Mapping`]. Both routers have default routes, that no packet stays for want
//! of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Twin, World, compare, only_together};
use crate::{packet::Mac, pcap::Capture, prog::Network, tables::Stage as _};

/// Frames that go in at once.
const BATCH: usize = 32;

/// They come in on this network's wire.
const FROM: Network = Network::A;

/// What is made of a frame before it goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nothing.
    None,
    /// Frames to the capture's router are to ours; VIDs are as they were.
    Router,
    /// Every unicast frame is to ours, in VLAN 100 (where the kernel has VLANs;
    /// else without a tag).
    Network,
}

impl Mapping {
    /// In the order in which they are played.
    pub const ALL: [Self; 3] = [Self::None, Self::Router, Self::Network];

    /// As reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "as they are",
            Self::Router => "to the router",
            Self::Network => "all to the router, in a known network",
        }
    }

    /// The frame that goes in. `router`: the MAC of the capture's router.
    fn apply(self, world: World, router: Mac, frame: &[u8]) -> Vec<u8> {
        let mut out = frame.to_vec();
        if self == Self::Network && out.len() >= 14 {
            if out[12..14] == [0x81, 0x00] && out.len() >= 18 {
                out.drain(12..16);
            }
            if let Some(tag) = world.tag(FROM) {
                let [high, low] = tag.vid.to_be_bytes();
                out.splice(12..12, [0x81, 0x00, high, low]);
            }
        }
        let to_it = match self {
            Self::None => false,
            Self::Router => out.starts_with(&router),
            Self::Network => out.len() >= 14 && out[0] & 1 == 0,
        };
        if to_it {
            let ours = gateway(world, &out);
            out[..6].copy_from_slice(&ours);
        }
        out
    }
}

/// The MAC that the router has for a frame's network; of an unknown one the
/// trunk's.
fn gateway(world: World, frame: &[u8]) -> Mac {
    let vid = match frame.get(12..16) {
        Some([0x81, 0x00, high, low]) => u16::from_be_bytes([high & 0x0f, *low]),
        _ => 0,
    };
    let wire = world.wire(FROM);
    let vid_of = |network: Network| world.tag(network).map_or(0, |tag| tag.vid);
    let mut there = Network::ALL.into_iter().filter(|n| world.wire(*n) == wire);
    let found = there
        .clone()
        .find(|network| vid_of(*network) == vid)
        .or_else(|| there.find(|network| vid_of(*network) == 0));
    found.unwrap_or(FROM).gateway_mac()
}

/// The capture's router: the unicast MAC by which most addresses are reached; of
/// equals the one that most frames are to.
#[must_use]
pub fn router_of(frames: &[Vec<u8>]) -> Option<Mac> {
    let mut known: BTreeMap<Mac, (BTreeSet<IpAddr>, usize)> = BTreeMap::new();
    for frame in frames {
        if let Some(mac) = frame.first_chunk::<6>()
            && mac[0] & 1 == 0
        {
            let (addresses, count) = known.entry(*mac).or_default();
            addresses.extend(compare::addresses(frame).map(|(_, to)| to));
            *count += 1;
        }
    }
    let most = known
        .into_iter()
        .max_by_key(|(_, (addresses, count))| (addresses.len(), *count));
    most.map(|(mac, _)| mac)
}

/// What became of the frames in one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// How they went in.
    pub mapping: Mapping,
    /// XDP forwarded them.
    pub xdp: usize,
    /// The kernel forwarded them, with XDP or without.
    pub kernel: usize,
    /// Nobody did.
    pub not: usize,
    /// No NIC sends or takes them: too short or too long.
    pub left_out: usize,
    /// Where the arms differ: the frame's number in the file, from 1, and how.
    pub differences: Vec<(usize, String)>,
}

/// MTU of the trunks that a capture wants.
#[must_use]
pub fn mtu_for(capture: &Capture) -> u16 {
    let longest = capture.frames.iter().map(Vec::len).max().unwrap_or(0);
    if longest > 1500 + HEAD { 9000 } else { 1500 }
}

/// Ethernet and one tag: what a device takes besides its MTU.
const HEAD: usize = 18;

/// Plays a capture in every mapping. `router`: the MAC of the capture's router,
/// if it is not [`router_of`] it.
///
/// # Panics
/// Where the kernel or a daemon refuses.
pub fn replay(twin: &mut Twin, capture: &Capture, router: Option<Mac>) -> Vec<Pass> {
    let router = router.or_else(|| router_of(&capture.frames));
    // A capture of broadcasts has no router: nothing is mapped.
    let router = router.unwrap_or([0; 6]);
    twin.ip(&format!(
        "route add default via {}\nroute add default via {}",
        Network::C.v4(9),
        Network::C.v6(9)
    ));
    Mapping::ALL
        .into_iter()
        .map(|mapping| play(twin, capture, mapping, router))
        .collect()
}

fn play(twin: &mut Twin, capture: &Capture, mapping: Mapping, router: Mac) -> Pass {
    let world = twin.world();
    twin.begin(mapping.name());
    let fits = |frame: &Vec<u8>| (14..=usize::from(world.mtu) + HEAD).contains(&frame.len());
    let frames: Vec<(usize, Vec<u8>)> = (1..)
        .zip(&capture.frames)
        .map(|(number, frame)| (number, mapping.apply(world, router, frame)))
        .filter(|(_, frame)| fits(frame))
        .collect();
    let mut pass = Pass {
        mapping,
        xdp: 0,
        kernel: 0,
        not: 0,
        left_out: capture.frames.len() - frames.len(),
        differences: Vec::new(),
    };
    for batch in frames.chunks(BATCH) {
        let Err(first) = take(twin, &mut pass, batch) else {
            continue;
        };
        let before = pass.differences.len();
        for frame in batch {
            if let Err(wrong) = take(twin, &mut pass, std::slice::from_ref(frame)) {
                pass.not += 1;
                let wrong = wrong.into_iter();
                pass.differences.extend(wrong.map(|line| (frame.0, line)));
            }
        }
        if pass.differences.len() == before {
            let again = take(twin, &mut pass.clone(), batch).err();
            let wrong = only_together(&first, &again.unwrap_or_default());
            let wrong = wrong.into_iter();
            pass.differences
                .extend(wrong.map(|line| (batch[0].0, line)));
        }
    }
    pass
}

/// Plays frames at once and notes what became of them.
///
/// # Errors
/// How the arms differ; nothing is noted then.
fn take(twin: &mut Twin, pass: &mut Pass, frames: &[(usize, Vec<u8>)]) -> Result<(), Vec<String>> {
    let Some((number, _)) = frames.first() else {
        return Ok(());
    };
    let inputs: Vec<_> = frames.iter().map(|(_, frame)| frame.clone()).collect();
    let what = format!("frame {number}");
    let trial = twin.trial(&what, FROM, &inputs);
    if !trial.wrong.is_empty() {
        return Err(trial.wrong);
    }
    let xdp = usize::try_from(trial.counted.fast).unwrap_or(usize::MAX);
    let forwarded = compare::forwarded(&inputs, &trial.off).max(xdp);
    pass.xdp += xdp;
    pass.kernel += forwarded - xdp;
    pass.not += frames.len().saturating_sub(forwarded);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracle::Kind,
        packet::Tag,
        prog::Network::{A, B, N},
    };

    fn world(kind: Kind) -> World {
        World::new(kind, 1500)
    }

    const ROUTER: Mac = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55];

    fn mapped(mapping: Mapping, kind: Kind, tags: &[Tag]) -> (Mac, Vec<u8>) {
        let frame = A.v4_to(B).to_mac(ROUTER).tags(tags).bytes();
        let out = mapping.apply(world(kind), ROUTER, &frame);
        (*out.first_chunk().unwrap(), out[12..].to_vec())
    }

    #[test]
    fn frames_to_the_captures_router_are_to_ours() {
        let plain = A.v4_to(B).tags(&[]).bytes()[12..].to_vec();
        let tagged = |vid| A.v4_to(B).vlan(vid).bytes()[12..].to_vec();
        let (router, network) = (Mapping::Router, Mapping::Network);
        let (b, stranger) = (Tag::dot1q(B.vid()), Tag::dot1q(7));
        use Kind::{Tagged, Untagged};
        for (mapping, kind, tags, mac, rest) in [
            (Mapping::None, Tagged, vec![b], ROUTER, tagged(B.vid())),
            (router, Tagged, vec![], N.gateway_mac(), plain.clone()),
            (router, Tagged, vec![b], B.gateway_mac(), tagged(B.vid())),
            (router, Tagged, vec![stranger], N.gateway_mac(), tagged(7)),
            (router, Untagged, vec![], A.gateway_mac(), plain.clone()),
            (network, Tagged, vec![], A.gateway_mac(), tagged(A.vid())),
            (
                network,
                Tagged,
                vec![stranger],
                A.gateway_mac(),
                tagged(A.vid()),
            ),
            (network, Untagged, vec![stranger], A.gateway_mac(), plain),
        ] {
            let came = mapped(mapping, kind, &tags);
            assert_eq!(came, (mac, rest), "{mapping:?} {kind:?} {tags:?}");
        }
    }

    #[test]
    fn frames_to_others_stay_to_others() {
        let frame = A.v4_to(B).to_mac(A.router_mac()).tags(&[]).bytes();
        for mapping in [Mapping::None, Mapping::Router] {
            let out = mapping.apply(world(Kind::Untagged), ROUTER, &frame);
            assert_eq!(out, frame, "{mapping:?}");
        }
        let out = Mapping::Network.apply(world(Kind::Untagged), ROUTER, &frame);
        assert_eq!(out[..6], A.gateway_mac());
        let broadcast = A.v4_to(B).to_mac([0xff; 6]).tags(&[]).bytes();
        let out = Mapping::Network.apply(world(Kind::Untagged), ROUTER, &broadcast);
        assert_eq!(out, broadcast);
        // Shorter than any frame: as it is.
        let out = Mapping::Network.apply(world(Kind::Tagged), ROUTER, &ROUTER);
        assert_eq!(out, ROUTER);
    }

    #[test]
    fn the_router_is_by_whom_most_addresses_are_reached() {
        let host: Mac = [2; 6];
        let router = |to: Network| A.v4_to(to).to_mac(ROUTER).tags(&[]).bytes();
        let answer = B.v4_to(A).to_mac(host).tags(&[]).bytes();
        let broadcast = A.v4_to(B).to_mac([0xff; 6]).bytes();
        let frames = [
            vec![1, 2],
            broadcast.clone(),
            router(B),
            answer.clone(),
            answer.clone(),
            answer.clone(),
            router(N),
        ];
        assert_eq!(router_of(&frames), Some(ROUTER));
        // One address each: most frames.
        assert_eq!(router_of(&frames[..5]), Some(host));
        assert_eq!(router_of(&[broadcast]), None);
    }
}
