//! What pinned state tells, before anything is done.

use std::collections::BTreeSet;

use router_common::wire::IfIndex;

use super::{
    Error, PinDir, carry,
    links::{self, Holder},
};
use crate::reconcile::Numbering;

/// A program on a trunk that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Kernel id of the program.
    pub program: u32,
    /// Its name, if it has one and it can be found out.
    pub name: Option<String>,
    /// What holds it there.
    pub holder: Holder,
}

/// Who has this program on this device.
#[must_use]
pub fn occupant(program: u32, device: IfIndex) -> Occupant {
    Occupant {
        program,
        name: links::name_of(program),
        holder: links::holder(program, device),
    }
}

/// Kernel ids of the programs in pinned links.
///
/// # Errors
/// If somebody else has pinned something there.
pub fn pinned_programs(pins: &PinDir) -> Result<BTreeSet<u32>, Error> {
    let mut programs = BTreeSet::new();
    for pin in pins.links()? {
        programs.extend(links::open(&pin.path)?.map(|found| found.program));
    }
    Ok(programs)
}

/// The numbers of trunks and networks that a daemon before this one has given.
///
/// # Errors
/// If the pins cannot be read.
pub fn recover(pins: &PinDir) -> Result<Numbering, Error> {
    let trunks = pins.links()?.into_iter().map(|pin| (pin.trunk, pin.slot));
    // A daemon that died while it put new maps in place may have left these only.
    let folder = pins.predecessor()?.unwrap_or_else(|| pins.new_maps());
    let networks = carry::networks(&folder);
    Ok(Numbering::recovered(trunks, networks))
}
