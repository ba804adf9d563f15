//! Devices: reading them, making 802.1Q sub-interfaces, switching them up and
//! promiscuous, and asking why an XDP program is refused.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use router_common::wire::{IfIndex, MacAddr};
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVlan,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST},
    packet_route::{
        RouteNetlinkMessage,
        link::{
            InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp,
            VlanProtocol, VlanQosMapping, XdpAttached,
        },
    },
};

use super::{
    Error, Netlink,
    types::{Link, Vlan, Xdp, XdpAttachment},
};

/// `XDP_FLAGS_*` (include/uapi/linux/if_link.h).
const XDP_UPDATE_IF_NOEXIST: u32 = 1 << 0;
const XDP_SKB_MODE: u32 = 1 << 1;
const XDP_DRV_MODE: u32 = 1 << 2;

impl Netlink {
    /// Every device of this namespace.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump(request).await?;
        Ok(answers.into_iter().filter_map(told).collect())
    }

    /// The device of this name, if there is one. One question, not a dump.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let mut request = LinkMessage::default();
        request
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        let found = self.one_link(request).await?;
        // The kernel looks among alternative names, too.
        Ok(found.filter(|link| link.name == name))
    }

    /// The device of this number, if there is one. One question, not a dump.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn link_of(&self, ifindex: IfIndex) -> Result<Option<Link>, Error> {
        let mut request = LinkMessage::default();
        request.header.index = ifindex.get();
        self.one_link(request).await
    }

    async fn one_link(&self, request: LinkMessage) -> Result<Option<Link>, Error> {
        let request = RouteNetlinkMessage::GetLink(request);
        match self.transact(request, NLM_F_REQUEST).await {
            Ok(answers) => Ok(answers.into_iter().flatten().find_map(told)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the 802.1Q sub-interface `name` of `parent`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn add_vlan(&self, name: &str, parent: IfIndex, vid: u16) -> Result<(), Error> {
        let message = LinkVlan::new(name, parent.get(), vid)
            .protocol(VlanProtocol::Ieee8021Q)
            .build();
        self.change(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .await
    }

    /// Removes a device.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn delete_link(&self, ifindex: IfIndex) -> Result<(), Error> {
        let message = builder(ifindex).build();
        self.change(RouteNetlinkMessage::DelLink(message), 0).await
    }

    /// Switches a device up or down.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn set_up(&self, ifindex: IfIndex, up: bool) -> Result<(), Error> {
        let builder = builder(ifindex);
        let message = if up { builder.up() } else { builder.down() }.build();
        self.change(RouteNetlinkMessage::SetLink(message), 0).await
    }

    /// Switches promiscuous mode on or off.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn set_promiscuous(&self, ifindex: IfIndex, on: bool) -> Result<(), Error> {
        let message = builder(ifindex).promiscuous(on).build();
        self.change(RouteNetlinkMessage::SetLink(message), 0).await
    }

    /// Why the kernel does not attach `program` to `ifindex`, in its own words.
    ///
    /// `bpf(BPF_LINK_CREATE)` gives a number only; the same attempt over
    /// netlink says more. `None`: it has no objection after all, and the
    /// program has been detached again.
    pub async fn xdp_refusal(
        &self,
        ifindex: IfIndex,
        program: BorrowedFd<'_>,
        generic: bool,
    ) -> Option<Error> {
        let mode = if generic { XDP_SKB_MODE } else { XDP_DRV_MODE };
        let attach = xdp_message(ifindex, program.as_raw_fd(), mode | XDP_UPDATE_IF_NOEXIST);
        if let Err(error) = self.change(attach, 0).await {
            return Some(error);
        }
        self.detach_xdp(ifindex, generic).await.err()
    }

    /// Detaches the XDP program that was attached over netlink.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn detach_xdp(&self, ifindex: IfIndex, generic: bool) -> Result<(), Error> {
        let mode = if generic { XDP_SKB_MODE } else { XDP_DRV_MODE };
        self.change(xdp_message(ifindex, -1, mode), 0).await
    }
}

fn builder(ifindex: IfIndex) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_index(ifindex.get())
}

fn xdp_message(ifindex: IfIndex, fd: i32, flags: u32) -> RouteNetlinkMessage {
    let xdp = LinkAttribute::Xdp(vec![LinkXdp::Fd(fd), LinkXdp::Flags(flags)]);
    RouteNetlinkMessage::SetLink(builder(ifindex).append_extra_attribute(xdp).build())
}

fn told(message: RouteNetlinkMessage) -> Option<Link> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message),
        _ => None,
    }
}

/// The device that a message is about; `None`: something else of a device
/// (wireless events).
pub(super) fn link(message: LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        ifindex: IfIndex::new(message.header.index),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        promiscuous: flags.contains(LinkFlags::Promisc),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) => {
                if let Ok(octets) = <[u8; 6]>::try_from(bytes) {
                    link.mac = MacAddr::new(octets);
                }
            }
            LinkAttribute::Controller(index) => link.master = Some(IfIndex::new(index)),
            LinkAttribute::Link(index) => link.parent = Some(IfIndex::new(index)),
            LinkAttribute::LinkNetNsId(_) => link.parent_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => read_info(infos, &mut link),
            LinkAttribute::Xdp(attributes) => link.xdp = xdp(&attributes),
            _ => {}
        }
    }
    if link.parent_elsewhere {
        link.parent = None;
    }
    // Number 0 is no device, and stands for that in the maps.
    let sound = !link.name.is_empty() && link.ifindex.get() != 0;
    sound.then_some(link)
}

fn read_info(infos: Vec<LinkInfo>, link: &mut Link) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vlan(attributes)) => link.vlan = Some(vlan(attributes)),
            _ => {}
        }
    }
}

fn vlan(attributes: Vec<InfoVlan>) -> Vlan {
    let mut vlan = Vlan::default();
    for attribute in attributes {
        match attribute {
            InfoVlan::Id(vid) => vlan.vid = vid,
            InfoVlan::Protocol(protocol) => vlan.protocol = protocol.into(),
            InfoVlan::IngressQos(map) => vlan.ingress_qos = pairs(&map),
            InfoVlan::EgressQos(map) => vlan.egress_qos = pairs(&map),
            _ => {}
        }
    }
    vlan
}

fn pairs(map: &[VlanQosMapping]) -> Vec<(u32, u32)> {
    map.iter()
        .filter_map(|mapping| match mapping {
            VlanQosMapping::Mapping(from, to) => Some((*from, *to)),
            _ => None,
        })
        .collect()
}

fn xdp(attributes: &[LinkXdp]) -> Option<Xdp> {
    let mut mode = None;
    let mut id = None;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::None) => return None,
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some(XdpAttachment::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some(XdpAttachment::Generic),
            LinkXdp::Attached(_) => mode = Some(XdpAttachment::Other),
            // Alone, or the driver's where there are several.
            LinkXdp::ProgId(value) | LinkXdp::DrvProgId(value) => id = Some(*value),
            LinkXdp::SkbProgId(value) | LinkXdp::HwProgId(value) => id = id.or(Some(*value)),
            _ => {}
        }
    }
    Some(Xdp {
        prog_id: id?,
        mode: mode?,
    })
}
