//! Frames built by etherparse, which shares no code with the packet path.

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, SingleVlanHeader,
    VlanId, VlanPcp,
};

use super::tables::{A, B, Net};

/// A frame to build; the fields are what goes on the wire.
#[derive(Clone, Debug)]
pub(crate) struct FrameSpec {
    pub(crate) destination: [u8; 6],
    pub(crate) source: [u8; 6],
    /// PCP, DEI, VID.
    pub(crate) tag: Option<(u8, bool, u16)>,
    pub(crate) ip: Ip,
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the IP packet.
    pub(crate) trailer: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum Ip {
    V4(Ipv4Header),
    V6(Ipv6Header),
}

pub(crate) const UDP: IpNumber = IpNumber::UDP;

/// UDP from host 10 of A to host 11 of B, as it comes in.
pub(crate) fn v4() -> FrameSpec {
    v4_between(A, B)
}

/// The same over IPv6.
pub(crate) fn v6() -> FrameSpec {
    v6_between(A, B)
}

pub(crate) fn v4_between(from: Net, to: Net) -> FrameSpec {
    let header = Ipv4Header {
        source: from.v4(10),
        destination: to.v4(11),
        protocol: UDP,
        time_to_live: 64,
        identification: 0x1234,
        dont_fragment: true,
        ..Ipv4Header::default()
    };
    frame_in(from, Ip::V4(header))
}

pub(crate) fn v6_between(from: Net, to: Net) -> FrameSpec {
    let header = Ipv6Header {
        traffic_class: 0x2e,
        flow_label: Ipv6FlowLabel::try_new(0xb_eef5).unwrap(),
        next_header: UDP,
        hop_limit: 64,
        source: from.v6(10),
        destination: to.v6(11),
        ..Ipv6Header::default()
    };
    frame_in(from, Ip::V6(header))
}

fn frame_in(from: Net, ip: Ip) -> FrameSpec {
    // Ports 4000 -> 5432, no checksum, and enough payload to need no padding.
    let mut payload = vec![0x0f, 0xa0, 0x15, 0x38, 0, 40, 0, 0];
    payload.extend(0..32);
    FrameSpec {
        destination: from.mac(),
        source: from.host_mac(10),
        tag: (from.vid != 0).then_some((0, false, from.vid)),
        ip,
        payload,
        trailer: Vec::new(),
    }
}

impl FrameSpec {
    /// The frame as it must leave by `to` for its host 11: TTL less one, MACs
    /// and tag of the egress network.
    pub(crate) fn forwarded(&self, to: Net) -> Self {
        let mut out = self.clone();
        out.destination = to.host_mac(11);
        out.source = to.mac();
        out.tag = (to.vid != 0).then_some((0, false, to.vid));
        match &mut out.ip {
            Ip::V4(header) => header.time_to_live -= 1,
            Ip::V6(header) => header.hop_limit -= 1,
        }
        out
    }

    /// The bytes of the wire, with lengths and checksum filled in.
    pub(crate) fn build(&self) -> Vec<u8> {
        let (ether_type, packet) = self.packet();
        let outer = if self.tag.is_some() {
            EtherType::VLAN_TAGGED_FRAME
        } else {
            ether_type
        };
        let mut bytes = Vec::new();
        Ethernet2Header {
            source: self.source,
            destination: self.destination,
            ether_type: outer,
        }
        .write(&mut bytes)
        .unwrap();
        if let Some((pcp, dei, vid)) = self.tag {
            SingleVlanHeader {
                pcp: VlanPcp::try_new(pcp).unwrap(),
                drop_eligible_indicator: dei,
                vlan_id: VlanId::try_new(vid).unwrap(),
                ether_type,
            }
            .write(&mut bytes)
            .unwrap();
        }
        bytes.extend(packet);
        bytes.extend(&self.trailer);
        bytes
    }

    fn packet(&self) -> (EtherType, Vec<u8>) {
        let mut bytes = Vec::new();
        let ether_type = match &self.ip {
            Ip::V4(header) => {
                let mut header = header.clone();
                header.set_payload_len(self.payload.len()).unwrap();
                header.header_checksum = header.calc_header_checksum();
                header.write_raw(&mut bytes).unwrap();
                EtherType::IPV4
            }
            Ip::V6(header) => {
                let mut header = header.clone();
                header.set_payload_length(self.payload.len()).unwrap();
                header.write(&mut bytes).unwrap();
                EtherType::IPV6
            }
        };
        bytes.extend(&self.payload);
        (ether_type, bytes)
    }

    pub(crate) fn v4_header(&mut self) -> &mut Ipv4Header {
        match &mut self.ip {
            Ip::V4(header) => header,
            Ip::V6(_) => panic!("an IPv6 frame"),
        }
    }

    pub(crate) fn v6_header(&mut self) -> &mut Ipv6Header {
        match &mut self.ip {
            Ip::V6(header) => header,
            Ip::V4(_) => panic!("an IPv4 frame"),
        }
    }
}
