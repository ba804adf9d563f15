//! Two arms' outputs, compared as design.md section 10 says: number of frames,
//! L2 header with VID, PCP and DEI, the IP packet's bytes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{arm::Seen, differences::Difference, world::World};
use crate::packet::Decoded;

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// The least that a frame has on a wire; with less behind its packet it is padded.
const LEAST: usize = 64;

/// Offset of the IP header, if there is one.
fn network_offset(frame: &[u8]) -> Option<usize> {
    let at = if frame.get(12..14) == Some(&[0x81, 0x00]) {
        18
    } else {
        14
    };
    let kind = frame.get(at - 2..at)?;
    (kind == IPV4 || kind == IPV6).then_some(at)
}

/// Source and destination of a frame's packet.
#[must_use]
pub fn addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let at = network_offset(frame)?;
    let packet = frame.get(at..)?;
    if frame.get(at - 2..at) == Some(&IPV4) {
        let word = |at: usize| -> Option<[u8; 4]> { packet.get(at..at + 4)?.try_into().ok() };
        Some((
            Ipv4Addr::from(word(12)?).into(),
            Ipv4Addr::from(word(16)?).into(),
        ))
    } else {
        let word = |at: usize| -> Option<[u8; 16]> { packet.get(at..at + 16)?.try_into().ok() };
        Some((
            Ipv6Addr::from(word(8)?).into(),
            Ipv6Addr::from(word(24)?).into(),
        ))
    }
}

/// Who sent these frames: what comes out from anybody else is the router's own.
#[must_use]
pub fn senders(inputs: &[Vec<u8>]) -> Vec<IpAddr> {
    let senders = inputs.iter().filter_map(|input| addresses(input));
    senders.map(|(from, _)| from).collect()
}

/// A frame with what is not compared taken out, and what that was.
#[must_use]
pub fn normal(frame: &[u8], senders: &[IpAddr]) -> (Vec<u8>, Vec<Difference>) {
    let mut out = frame.to_vec();
    let mut left_out = Vec::new();
    let Some(at) = network_offset(frame) else {
        return (out, left_out);
    };
    let v4 = frame[at - 2..at] == IPV4;
    let length = if v4 { at + 2 } else { at + 4 };
    if let Some(bytes) = frame.get(length..length + 2) {
        let fixed = if v4 { 0 } else { 40 };
        let packet = usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) + fixed;
        if out.len() > at + packet {
            out.truncate(at + packet);
            left_out.push(Difference::Padding);
        }
    }
    if v4
        && out.len() >= at + 20
        && addresses(frame).is_some_and(|(from, _)| !senders.contains(&from))
    {
        out[at + 4..at + 6].fill(0);
        out[at + 10..at + 12].fill(0);
        left_out.push(Difference::RouterId);
    }
    if v4 && blank_timestamps(&mut out[at..]) {
        out[at + 10..at + 12].fill(0);
        left_out.push(Difference::Timestamp);
    }
    (out, left_out)
}

/// Blanks what routers write into the timestamp option of an IPv4 packet
/// (RFC 791). Whether there was one.
fn blank_timestamps(packet: &mut [u8]) -> bool {
    let header = packet
        .first()
        .map_or(0, |first| usize::from(first & 0x0f) * 4);
    let Some(mut options) = packet.get_mut(20..header) else {
        return false;
    };
    loop {
        let length = match *options {
            [] | [0, ..] => return false,
            [1, ..] => 1,
            [68, length, ..] if length >= 4 && usize::from(length) <= options.len() => {
                options[4..usize::from(length)].fill(0);
                return true;
            }
            [_, length, ..] if length >= 2 => usize::from(length),
            [..] => return false,
        };
        let Some(rest) = options.get_mut(length..) else {
            return false;
        };
        options = rest;
    }
}

/// Whether all frames but those of both arms are ICMP errors "unreachable": the
/// kernel may have kept one back.
#[must_use]
pub fn only_errors_differ(on: &Seen, off: &Seen) -> bool {
    let is_error = |(_, frame): &(usize, Vec<u8>)| {
        network_offset(frame)
            .is_some_and(|at| frame.get(at + 9) == Some(&1) && frame.get(at + 20) == Some(&3))
    };
    on.frames.len() != off.frames.len() && on.frames.iter().chain(&off.frames).all(is_error)
}

/// What the arms' outputs came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What differs and may not.
    pub wrong: Vec<String>,
    /// What differs and may.
    pub allowed: Vec<Difference>,
}

/// Compares the outputs of the two arms when these went in, `fast` of which XDP
/// forwarded.
#[must_use]
pub fn compare(on: &Seen, off: &Seen, inputs: &[Vec<u8>], fast: u64) -> Comparison {
    let mut result = Comparison::default();
    let senders = &senders(inputs);
    // What both arms let out is the kernel's (it does not trim an IPv6 packet of
    // length 0 with a hop-by-hop header, say).
    let different = [only(&on.frames, &off.frames), only(&off.frames, &on.frames)];
    for (wire, frame) in different.iter().flatten() {
        if !padding_is_fine(frame, inputs) {
            let frame = describe(frame);
            result
                .wrong
                .push(format!("padding that nobody sent: wire{wire}: {frame}"));
        }
    }
    let (on_frames, off_frames) = (normal_frames(on, senders), normal_frames(off, senders));
    for ((_, on_raw), (_, off_raw)) in on.frames.iter().zip(&off.frames) {
        if on_raw == off_raw {
            continue;
        }
        // Only what really differed is told.
        let (on, left_out) = normal(on_raw, senders);
        let (off, also) = normal(off_raw, senders);
        if on == off {
            let both = left_out.iter().chain(&also).copied();
            result
                .allowed
                .extend(both.filter(|difference| match difference {
                    Difference::Padding => on_raw.len() != off_raw.len(),
                    Difference::RouterId if left_out.contains(&Difference::Timestamp) => false,
                    _ => left_out.contains(difference),
                }));
        }
    }
    result.allowed.sort();
    result.allowed.dedup();
    if on.questions != off.questions {
        result.allowed.push(Difference::Questions);
    }
    let sorted = |frames: &[(usize, Vec<u8>)]| {
        let mut frames = frames.to_vec();
        frames.sort();
        frames
    };
    let (on_sorted, off_sorted) = (sorted(&on_frames), sorted(&off_frames));
    if on_sorted == off_sorted {
        let ways = ways(&on_frames, &off_frames);
        // What passed up and what XDP forwarded go two ways; each keeps its order.
        let most = if fast > 0 && fast < inputs.len() as u64 {
            2
        } else {
            1
        };
        if ways > most {
            result.wrong.push(format!(
                "another order: as if by {ways} ways, {most} may be ({fast} of {} by XDP)",
                inputs.len()
            ));
        } else if ways > 1 {
            result.allowed.push(Difference::Order);
        }
        return result;
    }
    for (arm, frames) in [
        ("on ", only(&on_sorted, &off_sorted)),
        ("off", only(&off_sorted, &on_sorted)),
    ] {
        for (wire, frame) in frames {
            result.wrong.push(format!(
                "only with XDP {arm}: wire{wire}: {}",
                describe(&frame)
            ));
        }
    }
    result
}

/// Those of `these` that are not among `those`; of equal ones each counts.
#[must_use]
pub fn only(these: &[(usize, Vec<u8>)], those: &[(usize, Vec<u8>)]) -> Vec<(usize, Vec<u8>)> {
    let mut those = those.to_vec();
    let mut only = Vec::new();
    for frame in these {
        match those.iter().position(|other| other == frame) {
            Some(place) => drop(those.swap_remove(place)),
            None => only.push(frame.clone()),
        }
    }
    only
}

fn normal_frames(seen: &Seen, senders: &[IpAddr]) -> Vec<(usize, Vec<u8>)> {
    let frames = seen.frames.iter();
    frames
        .map(|(wire, frame)| (*wire, normal(frame, senders).0))
        .collect()
}

/// In how many sequences at least, each in the order of `those`, `these` came on a
/// wire: as many as the longest run of theirs that is in reverse is long. Both are
/// the same frames.
fn ways(these: &[(usize, Vec<u8>)], those: &[(usize, Vec<u8>)]) -> usize {
    let wires: BTreeSet<_> = those.iter().map(|(wire, _)| *wire).collect();
    let on_wire = |wire: usize| {
        let mut left: Vec<_> = those
            .iter()
            .filter(|(at, _)| *at == wire)
            .map(Some)
            .collect();
        let mut longest: Vec<(usize, usize)> = Vec::new();
        for frame in these.iter().filter(|(at, _)| *at == wire) {
            let Some(place) = left.iter().position(|other| *other == Some(frame)) else {
                continue;
            };
            left[place] = None;
            let before = longest.iter().filter(|(other, _)| *other > place);
            let length = before.map(|(_, length)| *length).max().unwrap_or(0) + 1;
            longest.push((place, length));
        }
        longest.iter().map(|(_, length)| *length).max().unwrap_or(0)
    };
    wires.into_iter().map(on_wire).max().unwrap_or(0)
}

/// Whether what is behind the packet, if anything, is Ethernet's padding: no
/// longer than the least frame takes, and what came in behind it, or zeros.
fn padding_is_fine(frame: &[u8], inputs: &[Vec<u8>]) -> bool {
    let tail = |frame: &[u8]| {
        let packet = normal(frame, &[]).0.len();
        frame.get(packet..).unwrap_or_default().to_vec()
    };
    let padding = tail(frame);
    if padding.is_empty() {
        return true;
    }
    // XDP may have put four bytes of tag into a frame that came in with 64.
    let tag = network_offset(frame).map_or(0, |at| at - 14);
    let own = identity(frame);
    frame.len() <= LEAST + tag
        && (padding.iter().all(|byte| *byte == 0)
            || inputs
                .iter()
                .any(|input| own.is_some() && identity(input) == own && tail(input) == padding))
}

/// An input, as far as outputs are held to it.
struct Sent {
    identity: Option<Vec<u8>>,
    addresses: Option<(IpAddr, IpAddr)>,
    ttl: Option<u8>,
    transport_checksum_ok: bool,
}

impl Sent {
    fn read(input: &[u8]) -> Self {
        Self {
            identity: identity(input),
            addresses: addresses(input),
            ttl: ttl(input),
            // Of what nobody can read nothing is known.
            transport_checksum_ok: Decoded::read(input)
                .is_some_and(|decoded| decoded.transport_checksum_ok),
        }
    }
}

/// I4, I6 and I7 for what came out of one arm when these went in, each frame
/// held to the inputs that it may be: those that are the same packet, else (a
/// fragment, options) those of the same addresses. With none it is the router's
/// own.
#[must_use]
pub fn invariants(world: World, inputs: &[Vec<u8>], seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let sent: Vec<_> = inputs.iter().map(|input| Sent::read(input)).collect();
    for (wire, frame) in &seen.frames {
        let vid = match frame.get(12..16) {
            Some([0x81, 0x00, high, low]) => u16::from_be_bytes([high & 0x0f, *low]),
            _ => 0,
        };
        if !world.vids(*wire).contains(&vid) {
            wrong.push(format!("I4: VID {vid} on wire{wire}: {}", describe(frame)));
        }
        let Some(decoded) = Decoded::read(frame) else {
            continue;
        };
        if !header_checksum_ok(frame) {
            wrong.push(format!("I6: bad header checksum: {}", describe(frame)));
        }
        let own = identity(frame);
        let same = |sent: &&Sent| own.is_some() && sent.identity == own;
        let mut of: Vec<_> = sent.iter().filter(same).collect();
        if of.is_empty() {
            let both = Some((decoded.from, decoded.to));
            of.extend(sent.iter().filter(|sent| sent.addresses == both));
        }
        if !decoded.transport_checksum_ok && of.iter().all(|sent| sent.transport_checksum_ok) {
            wrong.push(format!("I6: bad transport checksum: {}", describe(frame)));
        }
        let one_less =
            |sent: &&Sent| sent.ttl.and_then(|ttl| ttl.checked_sub(1)) == Some(decoded.ttl);
        if !of.is_empty() && !of.iter().any(one_less) {
            let ttls: Vec<_> = of.iter().filter_map(|sent| sent.ttl).collect();
            wrong.push(format!("I7: TTL {ttls:?} became {}", decoded.ttl));
        }
    }
    wrong
}

/// TTL or hop limit.
fn ttl(frame: &[u8]) -> Option<u8> {
    let at = network_offset(frame)?;
    let place = if frame.get(at - 2..at) == Some(&IPV4) {
        8
    } else {
        7
    };
    frame.get(at + place).copied()
}

/// The checksum over an IPv4 header as it is: [`Decoded`] makes it anew, and
/// leaves the reserved flag out.
fn header_checksum_ok(frame: &[u8]) -> bool {
    let header = network_offset(frame).and_then(|at| {
        let words = usize::from(frame.get(at)? & 0x0f);
        (frame.get(at - 2..at)? == IPV4).then(|| frame.get(at..at + words * 4))?
    });
    header.is_none_or(|header| {
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(header);
        sum.ones_complement() == 0
    })
}

/// Whether a frame of the output is the input, forwarded.
#[must_use]
pub fn was_forwarded(input: &[u8], seen: &Seen) -> bool {
    let input = addresses(input);
    input.is_some()
        && seen
            .frames
            .iter()
            .any(|(_, frame)| addresses(frame) == input)
}

/// A packet without its frame and what routers change of it: TTL and header
/// checksum.
#[must_use]
pub fn identity(frame: &[u8]) -> Option<Vec<u8>> {
    let at = network_offset(frame)?;
    let (frame, _) = normal(frame, &senders(std::slice::from_ref(&frame.to_vec())));
    let mut packet = frame.get(at..)?.to_vec();
    let changed: &[usize] = if packet.first()? >> 4 == 4 {
        &[8, 10, 11]
    } else {
        &[7]
    };
    for byte in changed {
        *packet.get_mut(*byte)? = 0;
    }
    Some(packet)
}

/// What fragments of a packet have in common.
fn whole(frame: &[u8]) -> Option<(IpAddr, IpAddr, [u8; 2])> {
    let at = network_offset(frame)?;
    let (from, to) = addresses(frame)?;
    let id = if from.is_ipv4() { at + 4 } else { at + 2 };
    Some((from, to, *frame.get(id..)?.first_chunk()?))
}

/// How many of the inputs are among the output, forwarded: as they were, or
/// changed as routers do it (fragments, options).
#[must_use]
pub fn forwarded(inputs: &[Vec<u8>], seen: &Seen) -> usize {
    let frames = seen.frames.iter();
    let mut left: Vec<_> = frames
        .map(|(_, frame)| (identity(frame), whole(frame)))
        .collect();
    let mut count = 0;
    let mut changed = Vec::new();
    for input in inputs {
        let Some(packet) = identity(input) else {
            continue;
        };
        let same = |(other, _): &(Option<Vec<u8>>, _)| other.as_ref() == Some(&packet);
        match left.iter().position(same) {
            Some(place) => {
                left.swap_remove(place);
                count += 1;
            }
            None => changed.extend(whole(input)),
        }
    }
    for packet in changed {
        let before = left.len();
        left.retain(|(_, other)| *other != Some(packet));
        count += usize::from(left.len() < before);
    }
    count
}

/// A frame in words and in hex.
#[must_use]
pub fn describe(frame: &[u8]) -> String {
    let mut text = format!("{} bytes", frame.len());
    if let Some(decoded) = Decoded::read(frame) {
        text += &format!(" {decoded}");
    }
    for byte in frame.iter().take(64) {
        text += &format!(" {byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracle::Kind,
        packet::{Frame, Transport},
        prog::Network::{A, B},
    };

    fn seen(frames: &[(usize, &Frame)]) -> Seen {
        Seen {
            frames: frames
                .iter()
                .map(|(wire, frame)| (*wire, frame.bytes()))
                .collect(),
            ..Seen::default()
        }
    }

    fn routed() -> (Frame, Frame) {
        let sent = A.v4_to(B);
        let routed = sent.routed(B.host_mac(), B.gateway_mac(), B.tag());
        (sent, routed)
    }

    #[test]
    fn what_differs_is_seen() {
        let (sent, routed) = routed();
        let sent = [sent.bytes()];
        let off = seen(&[(0, &routed)]);
        let same = compare(&off, &off, &sent, 1);
        assert!(same.wrong.is_empty() && same.allowed.is_empty(), "{same:?}");
        for on in [
            seen(&[]),
            seen(&[(1, &routed)]),
            seen(&[(0, &routed), (0, &routed)]),
            seen(&[(0, &routed.clone().ttl(62))]),
            seen(&[(0, &routed.clone().vlan(100))]),
            seen(&[(0, &routed.clone().priority(1, false))]),
            seen(&[(0, &routed.clone().to_mac(A.host_mac()))]),
            seen(&[(0, &routed.clone().transport(Transport::udp(65)))]),
            seen(&[(0, &routed.clone().identification(7))]),
        ] {
            assert!(!compare(&on, &off, &sent, 1).wrong.is_empty(), "{on:?}");
        }
    }

    #[test]
    fn what_may_differ_is_told() {
        let (sent, routed) = routed();
        let bytes = [sent.bytes()];
        let small = sent.clone().transport(Transport::udp(2));
        let small_routed = routed.clone().transport(Transport::udp(2));
        let padded = small_routed.clone().padded_to(64);
        let on_off = compare(
            &seen(&[(0, &padded)]),
            &seen(&[(0, &small_routed)]),
            &[small.padded_to(64).bytes()],
            1,
        );
        assert!(on_off.wrong.is_empty(), "{on_off:?}");
        assert_eq!(on_off.allowed, [Difference::Padding]);

        // The same frames, and nobody of the inputs sent them.
        let other = routed.clone().identification(7);
        let on_off = compare(&seen(&[(0, &other)]), &seen(&[(0, &routed)]), &[], 0);
        assert!(on_off.wrong.is_empty(), "{on_off:?}");
        assert_eq!(on_off.allowed, [Difference::RouterId]);

        let stamp = |time: u8| {
            let frame = sent
                .clone()
                .options(&[1, 68, 8, 9, 0, 0, 0, time, 0, 0, 0, 0]);
            let _ = frame.bytes();
            frame
        };
        let on_off = compare(
            &seen(&[(0, &stamp(1))]),
            &seen(&[(0, &stamp(2))]),
            &bytes,
            0,
        );
        assert!(on_off.wrong.is_empty(), "{on_off:?}");
        assert_eq!(on_off.allowed, [Difference::Timestamp]);
    }

    #[test]
    fn only_two_ways_have_an_order_of_their_own() {
        let (sent, routed) = routed();
        let ids = |order: [u16; 4]| order.map(|id| routed.clone().identification(id));
        let inputs = [1, 2, 3, 4].map(|id| sent.clone().identification(id).bytes());
        let came = |order| Seen {
            frames: ids(order).map(|frame| (0, frame.bytes())).to_vec(),
            ..Seen::default()
        };
        let off = came([1, 2, 3, 4]);
        for (order, fast, fine) in [
            ([1, 2, 3, 4], 4, true),
            // XDP forwarded them all, or none.
            ([1, 3, 2, 4], 4, false),
            ([1, 3, 2, 4], 0, false),
            // 2 and 4 by XDP, then 1 and 3 by the kernel.
            ([2, 4, 1, 3], 2, true),
            // 4 before 3 before 2: two ways are not enough.
            ([1, 4, 3, 2], 2, false),
        ] {
            let on_off = compare(&came(order), &off, &inputs, fast);
            assert_eq!(on_off.wrong.is_empty(), fine, "{order:?}, {fast}");
            let told = on_off.allowed.contains(&Difference::Order);
            assert_eq!(told, fine && order != [1, 2, 3, 4], "{order:?}, {fast}");
        }
        // Of frames that are the same it cannot be told.
        let off = came([1, 1, 2, 2]);
        assert!(compare(&off, &off, &inputs, 4).wrong.is_empty());
    }

    #[test]
    fn padding_is_what_came_in_and_short() {
        let (sent, routed) = routed();
        let small = Transport::udp(2);
        let [sent, routed] = [sent, routed].map(|frame| frame.transport(small.clone()));
        let with = |frame: &Frame, tail: &[u8]| [frame.bytes(), tail.to_vec()].concat();
        let inputs = [with(&sent, &[7; 10])];
        for (tail, fine) in [
            (vec![], true),
            (vec![7; 10], true),
            // As a driver pads.
            (vec![0; 14], true),
            (vec![7; 9], false),
            (vec![8; 10], false),
            (vec![0; 40], false),
        ] {
            assert_eq!(
                padding_is_fine(&with(&routed, &tail), &inputs),
                fine,
                "{tail:?}"
            );
        }
        // Long ones came in, too: XDP should have passed it up.
        let long = [with(&sent, &[7; 40])];
        assert!(!padding_is_fine(&with(&routed, &[7; 40]), &long));
    }

    #[test]
    fn forwarded_inputs_are_counted() {
        let (sent, routed) = routed();
        let other = sent.clone().identification(7);
        let fragment = |offset, more| {
            let part = routed.clone().identification(9);
            part.fragment(offset, more)
        };
        let whole = sent.clone().identification(9);
        let arp = Frame::raw([0xff; 6], [2; 6], 0x0806, &[0; 46]);
        let inputs = [&sent, &sent, &other, &whole, &arp].map(Frame::bytes);
        let count = |frames: &[(usize, &Frame)]| forwarded(&inputs, &seen(frames));
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(0, &routed)]), 1);
        // Twice in, twice out; a third is nobody's.
        assert_eq!(count(&[(0, &routed), (0, &routed), (0, &routed)]), 2);
        let fragments = [fragment(0, true), fragment(4, false)];
        let out = [(0, &fragments[0]), (0, &fragments[1]), (0, &arp)];
        assert_eq!(count(&out), 1);
        // An answer is not the packet.
        assert_eq!(count(&[(0, &B.v4_to(A))]), 0);
    }

    #[test]
    fn invariants_are_seen() {
        let world = World::new(Kind::Tagged, 1500);
        let (sent, routed) = routed();
        // In company: each is held to its own input.
        let others = (1..40).map(|id| sent.clone().identification(id).ttl(63).bytes());
        let batch: Vec<_> = std::iter::once(sent.bytes()).chain(others).collect();
        let alone = &batch[..1];
        let wrong = |frame: &Frame| {
            let seen = seen(&[(0, frame)]);
            let wrong = invariants(world, alone, &seen);
            assert_eq!(wrong.len(), invariants(world, &batch, &seen).len());
            wrong
        };
        assert_eq!(wrong(&routed), [""; 0]);
        for (frame, which) in [
            (routed.clone().vlan(300), "I4"),
            (routed.clone().vlan(7), "I4"),
            (routed.clone().patch(10, &[1, 2]), "I6"),
            (routed.clone().patch(26, &[1, 2]), "I6"),
            (routed.clone().ttl(64), "I7"),
            (routed.ttl(62), "I7"),
        ] {
            let wrong = wrong(&frame);
            assert!(
                wrong.iter().any(|line| line.starts_with(which)),
                "{which}: {wrong:?}"
            );
        }
    }
}
