//! Which device is which network.

use crate::{
    config::Network,
    netlink::{
        Devices,
        types::{Link, Tables},
    },
};

/// EtherType of 802.1Q tags.
pub const IEEE_8021Q: u16 = 0x8100;

/// Where a network is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'k> {
    /// Its sub-interface; untagged: the trunk.
    pub link: &'k Link,
    /// Its trunk.
    pub trunk: &'k Link,
}

impl Place<'_> {
    /// Whether frames can come in and go out.
    #[must_use]
    pub fn is_up(&self) -> bool {
        [self.link, self.trunk]
            .iter()
            .all(|link| link.up && link.carrier)
    }
}

/// Why XDP does not forward for a network. Everything of it passes up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// There is no such device.
    #[error("missing")]
    Missing,
    /// There is no such trunk.
    #[error("trunk missing")]
    TrunkMissing,
    /// It is being changed: `config apply`.
    #[error("being changed")]
    Changing,
    /// A bridge, a bond or a VRF has it.
    #[error("{device} is a port of {master}")]
    Port {
        /// The device.
        device: String,
        /// What has it.
        master: String,
    },
    /// A device of VLAN 0 takes part of the untagged network's frames.
    #[error("{0} takes its frames with VLAN 0")]
    VlanZero(String),
    /// There is one, but it is not the network's.
    #[error("{0}")]
    NotThis(String),
}

/// Finds a network's devices. `stand_in`: a device that is no VLAN device may
/// stand in for a sub-interface.
///
/// # Errors
/// Why it cannot be had.
pub fn place<'k>(
    network: &Network,
    tables: &'k Tables,
    stand_in: bool,
) -> Result<Place<'k>, Absence> {
    place_among(network, &tables, stand_in)
}

/// [`place`], for those who place many.
pub(super) fn place_among<'k>(
    network: &Network,
    devices: &impl Devices<'k>,
    stand_in: bool,
) -> Result<Place<'k>, Absence> {
    let trunk = devices.link(&network.trunk).ok_or(Absence::TrunkMissing)?;
    let link = devices.link(&network.interface).ok_or(Absence::Missing)?;
    let not_this = |why: String| Err(Absence::NotThis(why));
    if let Some(master) = link.master {
        // A bridge, a bond or a VRF takes what comes in: it is no routed
        // network, or one of another table.
        let name = devices
            .link_of(master)
            .map_or("another device", |m| &*m.name);
        return Err(Absence::Port {
            device: link.name.clone(),
            master: name.to_owned(),
        });
    }
    if network.vlan.is_untagged() {
        if link.ifindex != trunk.ifindex {
            return not_this(format!("{} is not the trunk", link.name));
        }
        // The kernel gives it what is tagged with VID 0 (a priority and no VLAN).
        // The program has one entry for that and for what has no tag.
        let taker = devices.links().find(|child| {
            let vlan = child.vlan.as_ref();
            child.parent == Some(trunk.ifindex)
                && vlan.is_some_and(|vlan| vlan.vid == 0 && vlan.protocol == IEEE_8021Q)
        });
        if let Some(taker) = taker {
            return Err(Absence::VlanZero(taker.name.clone()));
        }
        return Ok(Place { link, trunk });
    }
    let Some(vlan) = &link.vlan else {
        if stand_in && link.ifindex != trunk.ifindex {
            return Ok(Place { link, trunk });
        }
        let kind = link.kind.as_deref().unwrap_or("hardware");
        return not_this(format!("{} is a {kind} device, not 802.1Q", link.name));
    };
    if vlan.protocol != IEEE_8021Q {
        return not_this(format!("{} is 802.1ad, not 802.1Q", link.name));
    }
    if vlan.vid != network.vlan.get() {
        return not_this(format!(
            "{} has VLAN {}, not {}",
            link.name, vlan.vid, network.vlan
        ));
    }
    if link.parent != Some(trunk.ifindex) {
        let parent = match link.parent.and_then(|parent| devices.link_of(parent)) {
            Some(parent) => &parent.name,
            None => "a device of another network namespace",
        };
        return not_this(format!(
            "{} stands on {parent}, not on {}",
            link.name, trunk.name
        ));
    }
    Ok(Place { link, trunk })
}
