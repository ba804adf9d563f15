//! What the router says of its own accord, and the probe that is asked behind
//! every row.

use std::net::Ipv4Addr;

use crate::packet::Mac;

/// Ethertype of ARP.
pub(super) const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const DOT1Q: u16 = 0x8100;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// An answer to the probe of this asker.
    Answer(Mac),
    /// A question of the router's own: ARP, neighbour solicitation, MLD.
    Question,
    /// Something that a row has caused.
    None,
}

/// An ARP probe (RFC 5227) for an address: from nobody's address, so that the
/// kernel learns nothing, and answers without asking its routes.
#[must_use]
pub(super) fn probe(asker: Mac, address: Ipv4Addr) -> Vec<u8> {
    // Ethernet, IPv4, lengths, request.
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(asker);
    packet.extend([0; 4]);
    packet.extend([0; 6]);
    packet.extend(address.octets());
    // Ethernet's least.
    packet.resize(46, 0);
    packet
}

/// What kind of frame this is.
#[must_use]
pub(super) fn classify(frame: &[u8]) -> Noise {
    let word = |at: usize| {
        frame
            .get(at..at + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
    };
    let at = if word(12) == Some(DOT1Q) { 18 } else { 14 };
    match word(at - 2) {
        Some(ARP) => match (word(at + 6), frame.get(at + 18..at + 24)) {
            (Some(2), Some(target)) if target.starts_with(&[0x02, 0xba]) => {
                let mut mac = [0; 6];
                mac.copy_from_slice(target);
                Noise::Answer(mac)
            }
            (Some(1), _) => Noise::Question,
            _ => Noise::None,
        },
        Some(IPV6) => {
            let byte = |at: usize| frame.get(at).copied();
            // MLD reports come behind a hop-by-hop header of eight bytes.
            let kind = match byte(at + 6) {
                Some(58) => byte(at + 40),
                Some(0) if byte(at + 40) == Some(58) => byte(at + 48),
                _ => None,
            };
            // A router's own have hop limit 255 and 1: no forwarded one has.
            match (kind, byte(at + 7)) {
                (Some(135), Some(255)) | (Some(131 | 132 | 143), Some(1)) => Noise::Question,
                _ => Noise::None,
            }
        }
        _ => Noise::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{packet::Frame, prog::Network};

    #[test]
    fn questions_answers_and_the_rest() {
        let asker = [0x02, 0xba, 0, 1, 2, 3];
        let probe = probe(asker, Ipv4Addr::new(172, 16, 10, 1));
        let question = Frame::raw([0xff; 6], asker, ARP, &probe);
        assert_eq!(classify(&question.bytes()), Noise::Question);
        assert_eq!(classify(&question.vlan(100).bytes()), Noise::Question);
        let mut answer = probe.clone();
        answer[7] = 2;
        answer[18..24].copy_from_slice(&asker);
        let answer = Frame::raw(asker, [2; 6], ARP, &answer);
        assert_eq!(classify(&answer.vlan(100).bytes()), Noise::Answer(asker));
        // Somebody else's answer is a matter of rows.
        let mut other = probe;
        other[7] = 2;
        let other = Frame::raw(asker, [2; 6], ARP, &other);
        assert_eq!(classify(&other.bytes()), Noise::None);
        let packet = Network::A.v6_to(Network::B);
        assert_eq!(classify(&packet.bytes()), Noise::None);
        assert_eq!(classify(&[0; 20]), Noise::None);
    }
}
