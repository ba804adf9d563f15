//! Captures: the frames of a pcap or pcapng file, of either byte order, with
//! micro or nanoseconds. What cannot be read whole is refused, with the place.
//!
//! Packets that were captured without Ethernet in front (on a tunnel, or on
//! `any`) get MACs of their own: see [`NOBODY`].

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError, create_reader, traits::PcapNGPacketBlock as _,
};

use crate::packet::Mac;

/// Destination MAC of packets that had none.
pub const NOBODY: Mac = [0x02, 0, 0x5e, 0, 0, 1];
/// Their source MAC.
const SOMEBODY: Mac = [0x02, 0, 0x5e, 0, 0, 2];

/// What an error says that can be replayed.
const READABLE: &str = "Ethernet (1), raw IP (101, 228, 229) and Linux cooked (113, 276)";

/// The frames of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// In the order of the file; each as long as it was captured.
    pub frames: Vec<Vec<u8>>,
    /// How many of them had been longer on the wire (a snap length).
    pub cut: usize,
}

impl Capture {
    /// Reads a file.
    ///
    /// # Errors
    /// Where there is none, or it is no whole capture of a link type that can be
    /// replayed.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::read(&bytes).with_context(|| format!("cannot replay {}", path.display()))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn read(bytes: &[u8]) -> Result<Self> {
        ensure!(!bytes.is_empty(), "the file is empty");
        // All of it fits: what lacks then was never there.
        let mut reader = match create_reader(bytes.len() + 0x1_0000, bytes) {
            Ok(reader) => reader,
            Err(PcapError::Incomplete(_)) => bail!("the file ends within its header"),
            Err(_) => bail!("the file is neither pcap nor pcapng"),
        };
        let mut capture = Self::default();
        // Of pcap the only one; of pcapng by interface, anew in each section.
        let mut links: Vec<u32> = Vec::new();
        loop {
            let at = reader.consumed();
            let number = capture.frames.len() + 1;
            let used = match reader.next() {
                Ok((used, block)) => {
                    capture
                        .take(&mut links, &block)
                        .with_context(|| format!("packet {number}, at byte {at}"))?;
                    used
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => {
                    reader
                        .refill()
                        .map_err(|_| anyhow::anyhow!("cannot read on at byte {at}"))?;
                    continue;
                }
                Err(PcapError::UnexpectedEof | PcapError::BufferTooSmall) => bail!(
                    "the file was cut: it ends within packet {number}, which begins at byte {at}"
                ),
                Err(_) => bail!("the file is broken at byte {at}, at packet {number}"),
            };
            reader.consume(used);
        }
        ensure!(!capture.frames.is_empty(), "there is no packet in the file");
        Ok(capture)
    }

    fn take(&mut self, links: &mut Vec<u32>, block: &PcapBlockOwned<'_>) -> Result<()> {
        let (link, data, on_the_wire) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                links.push(link_type(header.network));
                return Ok(());
            }
            PcapBlockOwned::Legacy(packet) => (0, packet.data, packet.origlen),
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                links.clear();
                return Ok(());
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                links.push(link_type(interface.linktype));
                return Ok(());
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                (packet.if_id, packet.packet_data(), packet.origlen)
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                (0, packet.packet_data(), packet.origlen)
            }
            // Names, statistics, comments.
            PcapBlockOwned::NG(_) => return Ok(()),
        };
        let link = usize::try_from(link).ok().and_then(|link| links.get(link));
        let link = *link.context("it is of an interface that the file does not describe")?;
        let frame = ethernet(link, data)
            .with_context(|| format!("its link type is {link}: only {READABLE} can be replayed"))?;
        let cut = usize::try_from(on_the_wire).is_ok_and(|length| length > data.len());
        self.cut += usize::from(cut);
        self.frames.push(frame);
        Ok(())
    }
}

/// The lower half: what is above tells of frame check sequences.
fn link_type(link: Linktype) -> u32 {
    u32::from_ne_bytes(link.0.to_ne_bytes()) & 0xffff
}

/// A captured packet as an Ethernet frame; `None`: of this link type there is
/// none.
fn ethernet(link: u32, data: &[u8]) -> Option<Vec<u8>> {
    let version = data.first().map_or(0, |byte| byte >> 4);
    let by_version = if version == 6 {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    };
    let (kind, packet) = match link {
        1 => return Some(data.to_vec()),
        12 | 14 | 101 => (by_version, data),
        228 => ([0x08, 0x00], data),
        229 => ([0x86, 0xdd], data),
        // Cooked: the protocol stands at the end of the first header, and at the
        // beginning of the second.
        113 => (*data.get(14..)?.first_chunk()?, data.get(16..)?),
        276 => (*data.first_chunk()?, data.get(20..)?),
        _ => return None,
    };
    Some([&NOBODY[..], &SOMEBODY, &kind, packet].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How numbers are written.
    #[derive(Clone, Copy, Debug)]
    enum Order {
        Little,
        Big,
    }

    impl Order {
        fn word(self, value: u32) -> [u8; 4] {
            match self {
                Self::Little => value.to_le_bytes(),
                Self::Big => value.to_be_bytes(),
            }
        }

        fn half(self, value: u16) -> [u8; 2] {
            match self {
                Self::Little => value.to_le_bytes(),
                Self::Big => value.to_be_bytes(),
            }
        }
    }

    fn words(order: Order, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| order.word(*value)).collect()
    }

    /// A pcap file: its magic says whether there are nanoseconds.
    fn pcap(order: Order, magic: u32, link: u32, packets: &[(&[u8], u32)]) -> Vec<u8> {
        let mut file = words(order, &[magic]);
        file.extend([order.half(2), order.half(4)].concat());
        file.extend(words(order, &[0, 0, 0x4_0000, link]));
        for (data, on_the_wire) in packets {
            let captured = u32::try_from(data.len()).unwrap();
            file.extend(words(order, &[1, 2, captured, *on_the_wire]));
            file.extend(*data);
        }
        file
    }

    fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap() + 12;
        let mut block = words(order, &[kind, length]);
        block.extend(body);
        block.extend(order.word(length));
        block
    }

    fn section(order: Order) -> Vec<u8> {
        let mut body = words(order, &[0x1a2b_3c4d]);
        body.extend([order.half(1), order.half(0)].concat());
        body.extend([0xff; 8]);
        block(order, 0x0a0d_0d0a, &body)
    }

    /// With nanoseconds, which is an option of the interface.
    fn interface(order: Order, link: u16) -> Vec<u8> {
        let mut body = [order.half(link), order.half(0)].concat();
        body.extend(order.word(0));
        body.extend([order.half(9), order.half(1)].concat());
        body.extend([9, 0, 0, 0, 0, 0, 0, 0]);
        block(order, 1, &body)
    }

    fn enhanced(order: Order, interface: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        let mut body = words(order, &[interface, 1, 2, length, length]);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        block(order, 6, &body)
    }

    fn simple(order: Order, data: &[u8]) -> Vec<u8> {
        let mut body = order.word(u32::try_from(data.len()).unwrap()).to_vec();
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        block(order, 3, &body)
    }

    /// Frames whose lengths are no multiples of four.
    fn frames() -> [Vec<u8>; 3] {
        [61, 62, 63].map(|length| (0..length).collect())
    }

    #[test]
    fn every_kind_of_file_is_read() {
        let frames = frames();
        let lengths = frames.each_ref().map(Vec::len);
        for order in [Order::Little, Order::Big] {
            for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
                let packets = frames.each_ref().map(|frame| (&frame[..], 0));
                let file = pcap(order, magic, 1, &packets);
                let capture = Capture::read(&file).unwrap();
                assert_eq!(capture.frames, frames, "{order:?} {magic:x}");
                assert_eq!(capture.cut, 0);
            }
            // Statistics are passed over; each section has interfaces of its own.
            let file = [
                section(order),
                interface(order, 1),
                enhanced(order, 0, &frames[0]),
                block(order, 5, &words(order, &[0, 0, 0])),
                section(order),
                interface(order, 1),
                interface(order, 1),
                enhanced(order, 1, &frames[1]),
                simple(order, &frames[2]),
            ]
            .concat();
            let capture = Capture::read(&file).unwrap();
            let read = capture.frames.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(
                (read.as_slice(), capture.cut),
                (&lengths[..], 0),
                "{order:?}"
            );
            assert_eq!(capture.frames, frames, "{order:?}");
        }
    }

    #[test]
    fn a_snap_length_is_told() {
        let frames = frames();
        let file = pcap(
            Order::Big,
            0xa1b2_c3d4,
            1,
            &[(&frames[0], 1500), (&frames[1], 62)],
        );
        assert_eq!(Capture::read(&file).unwrap().cut, 1);
    }

    #[test]
    fn packets_without_ethernet_get_it() {
        let four = [&[0x45][..], &[7; 30]].concat();
        let six = [&[0x60][..], &[7; 50]].concat();
        let cooked = [&[0; 14][..], &[0x86, 0xdd], &six].concat();
        let cooked2 = [&[0x08, 0x00][..], &[0; 18], &four].concat();
        for (link, data, kind, packet) in [
            (101, &four, [8, 0], &four),
            (101, &six, [0x86, 0xdd], &six),
            (228, &four, [8, 0], &four),
            (229, &six, [0x86, 0xdd], &six),
            (113, &cooked, [0x86, 0xdd], &six),
            (276, &cooked2, [8, 0], &four),
        ] {
            let file = pcap(Order::Little, 0xa1b2_c3d4, link, &[(data, 0)]);
            let capture = Capture::read(&file).unwrap();
            let [frame] = &capture.frames[..] else {
                panic!("{capture:?}");
            };
            assert_eq!(frame[..6], NOBODY, "{link}");
            assert_eq!(frame[12..14], kind, "{link}");
            assert_eq!(frame[14..], packet[..], "{link}");
        }
    }

    fn error(bytes: &[u8]) -> String {
        format!("{:#}", Capture::read(bytes).unwrap_err())
    }

    #[test]
    fn what_is_no_whole_capture_is_refused() {
        let frames = frames();
        let packets = frames.each_ref().map(|frame| (&frame[..], 0));
        let file = pcap(Order::Little, 0xa1b2_c3d4, 1, &packets);
        assert!(error(&[]).contains("is empty"));
        assert!(error(b"#!/bin/sh\necho this is no capture\n").contains("neither pcap nor pcapng"));
        assert!(error(&file[..24]).contains("no packet"));
        // The second packet's record begins at 24 + 16 + 61.
        for end in [102, 117, 118, 178] {
            let text = error(&file[..end]);
            assert!(text.contains("within packet 2"), "{end}: {text}");
            assert!(text.contains("at byte 101"), "{end}: {text}");
        }
        let order = Order::Big;
        let whole = [
            section(order),
            interface(order, 1),
            enhanced(order, 0, &frames[0]),
        ]
        .concat();
        for end in [whole.len() - 1, whole.len() - 40] {
            let text = error(&whole[..end]);
            assert!(text.contains("within packet 1"), "{end}: {text}");
        }
        let stranger = [section(order), enhanced(order, 0, &frames[0])].concat();
        assert!(error(&stranger).contains("does not describe"));
    }

    #[test]
    fn an_unknown_link_type_is_named() {
        let file = pcap(Order::Little, 0xa1b2_c3d4, 127, &[(&[0; 40], 0)]);
        let text = error(&file);
        assert!(
            text.contains("link type is 127") && text.contains("packet 1"),
            "{text}"
        );
    }

    /// Every cut of a file, and any byte of it changed: an answer, never a panic
    /// and never for ever.
    #[test]
    fn broken_files_end() {
        let frames = frames();
        let packets = frames.each_ref().map(|frame| (&frame[..], 0));
        let order = Order::Little;
        let files = [
            pcap(order, 0xa1b2_c3d4, 1, &packets),
            [
                section(order),
                interface(order, 1),
                enhanced(order, 0, &frames[0]),
                simple(order, &frames[1]),
            ]
            .concat(),
        ];
        let mut refused = 0;
        for file in files {
            for at in 0..file.len() {
                refused += usize::from(Capture::read(&file[..at]).is_err());
                for value in [0, 0xff] {
                    let mut broken = file.clone();
                    broken[at] = value;
                    refused += usize::from(Capture::read(&broken).is_err());
                }
            }
        }
        assert!(refused > 300, "{refused}");
    }
}
