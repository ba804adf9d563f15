//! Pinned links: what carries a program from one daemon to the next.

use std::{io, os::fd::AsFd as _, path::Path};

use aya::programs::{
    ProgramInfo,
    links::{FdLink, LinkError, LinkType, PinnedLink},
    loaded_links, loaded_programs,
};
use router_common::{abi::names, wire::IfIndex};

use super::Error;
use crate::sys::{self, PinKind};

/// A link of ours, and what it is attached with.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) link: FdLink,
    pub(super) program: u32,
}

/// Opens the link that is pinned at `path`; `None`: none is.
///
/// # Errors
/// If something else is, or a link with somebody's program.
pub(super) fn open(path: &Path) -> Result<Option<Found>, Error> {
    let foreign = |why: String| Error::ForeignPin {
        path: path.to_owned(),
        why,
    };
    match sys::pin_kind(path) {
        Ok(PinKind::Link) => {}
        Ok(_) => return Err(foreign("is no link".into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(foreign(format!("cannot be opened: {error}"))),
    }
    let link = PinnedLink::from_pin(path).map_err(|error| foreign(error.to_string()))?;
    let link = FdLink::from(link);
    let info = link.info().map_err(|error| foreign(error.to_string()))?;
    if !matches!(info.link_type(), Ok(LinkType::Xdp)) {
        return Err(foreign("is a link, but not of XDP".into()));
    }
    let program = info.program_id();
    match name_of(program) {
        Some(name) if ![names::PROGRAM, names::PROGRAM_FRAGS].contains(&name.as_str()) => {
            Err(foreign(format!("holds the program {name}, id {program}")))
        }
        _ => Ok(Some(Found { link, program })),
    }
}

/// The name of a loaded program, if it can be found out (CAP_SYS_ADMIN).
pub(super) fn name_of(program: u32) -> Option<String> {
    let named = |info: &ProgramInfo| {
        let name = info.name_as_str()?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == program)
        .and_then(|info| named(&info))
}

/// What holds a program on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The bpf_link of this kernel id.
    Link(u32),
    /// No link: it was attached over netlink.
    Netlink,
    /// That cannot be found out (it takes CAP_SYS_ADMIN).
    Unknown,
}

/// What holds `program` on `device`.
pub(super) fn holder(program: u32, device: IfIndex) -> Holder {
    let is_on = |id| {
        let link = sys::open_link(id)?;
        sys::xdp_link_device(link.as_fd())
    };
    for info in loaded_links() {
        let info = match info {
            Ok(info) => info,
            // One that goes while they are listed is not it.
            Err(LinkError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                continue;
            }
            Err(_) => return Holder::Unknown,
        };
        if info.program_id() == program
            && matches!(info.link_type(), Ok(LinkType::Xdp))
            && is_on(info.id()).is_ok_and(|on| on == device.get())
        {
            return Holder::Link(info.id());
        }
    }
    Holder::Netlink
}
