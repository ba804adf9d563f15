//! 28 and 29 on the wire: every identification, and so every checksum there is.

use router_tests::{
    lab,
    oracle::{Fate, Twin},
    packet::Transport,
    prog::Network::{A, B},
};

/// Far fewer at once than a veth's ring has places.
const BATCH: usize = 100;

/// The least TTL, the most and the usual. The update depends on the checksum
/// alone, whose every value one identification gives under any TTL.
pub(crate) fn every_identification(twin: &mut Twin) {
    for ttl in [2, 64, 255] {
        under(twin, ttl);
    }
}

fn under(twin: &mut Twin, ttl: u8) {
    // Under emulation a part, spread evenly.
    let step = if lab::slow() { 61 } else { 1 };
    let payload = Transport::Raw(253, vec![0; 26]);
    let sent = A.v4_to(B).ttl(ttl).transport(payload);
    let (wire, tag) = (twin.world().wire(B), twin.world().tag(B));
    let routed = sent.routed(B.host_mac(), B.gateway_mac(), tag);
    let Some(sent) = twin.world().on_wire(A, &sent) else {
        return;
    };
    let ids: Vec<u16> = (0..=u16::MAX).step_by(step).collect();
    let mut before = vec![false; 0x1_0000];
    for ids in ids.chunks(BATCH) {
        let frames = ids.iter().map(|id| sent.clone().identification(*id));
        let inputs: Vec<_> = frames.map(|frame| frame.bytes()).collect();
        for input in &inputs {
            // The packet's tail: 20 bytes of header and 26 behind it.
            let at = input.len() - 46 + 10;
            before[usize::from(u16::from_be_bytes([input[at], input[at + 1]]))] = true;
        }
        let what = format!("TTL {ttl}, identifications from {:#06x}", ids[0]);
        let trial = twin.trial(&what, A, &inputs);
        let expected = ids.iter().map(|id| routed.clone().identification(*id));
        let expected: Vec<_> = expected.map(|frame| (wire, frame.bytes())).collect();
        let mut wrong = trial.wrong;
        if trial.on.frames != expected {
            wrong.push("the bytes are not those that etherparse computes".to_owned());
        }
        if trial.counted.fast != ids.len() as u64 {
            wrong.push(format!("{} of {} by XDP", trial.counted.fast, ids.len()));
        }
        if wrong.is_empty() {
            twin.shown(28, Fate::Xdp);
            twin.shown(29, Fate::Xdp);
        } else {
            twin.fail(28, &what, &wrong.join("; "));
        }
    }
    if step == 1 {
        // 0xffff is the one that nobody computes.
        let missing: Vec<_> = (0..0x1_0000).filter(|sum| !before[*sum]).collect();
        assert_eq!(missing, [0xffff]);
    }
}
