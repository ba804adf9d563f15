//! The program of one trunk, and the link that attaches it.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf,
    programs::{
        links::FdLink,
        xdp::{XdpLink, XdpLinkId, XdpMode},
    },
};
use router_common::abi::names;
use tracing::{info, warn};

use super::{
    Attach, Attachment, Error,
    kernel::{fd, load_program, refused, xdp},
    links::{self, Found},
    pins,
    reason::{errno, reason},
};
use crate::{netlink, sys};

/// Frames of a larger MTU may not fit one buffer: a page, less headroom, the
/// shared info at its end and the L2 header. The exact limit is the driver's
/// (veth: 3498 bytes on 4 KiB pages); below this it is above no driver's.
const LINEAR_MTU: u32 = 3400;

/// The program of one trunk.
#[derive(Debug)]
pub(super) struct Trunk {
    ebpf: Ebpf,
    /// The program that was chosen.
    program: Option<&'static str>,
    held: Option<Held>,
}

/// A link that is attached and pinned.
#[derive(Debug)]
struct Held {
    link: OwnedFd,
    pin: PathBuf,
    attachment: Attachment,
}

impl Trunk {
    pub(super) fn new(ebpf: Ebpf) -> Self {
        Self {
            ebpf,
            program: None,
            held: None,
        }
    }

    pub(super) fn attachment(&self) -> Option<&Attachment> {
        Some(&self.held.as_ref()?.attachment)
    }

    pub(super) fn program_fd(&self) -> Option<BorrowedFd<'_>> {
        fd(&self.ebpf, self.program?)
    }

    /// Where its link is pinned.
    pub(super) fn pin(&self) -> Option<&Path> {
        Some(&self.held.as_ref()?.pin)
    }

    /// Loads the program that fits the MTU, or takes the one that is loaded.
    pub(super) fn choose(&mut self, mtu: u32) -> Result<&'static str, Error> {
        let fitting = if mtu > LINEAR_MTU {
            names::PROGRAM_FRAGS
        } else {
            names::PROGRAM
        };
        let chosen = match load_program(&mut self.ebpf, fitting) {
            Err(error) if fitting == names::PROGRAM_FRAGS => {
                // Before 5.18. Some drivers take large frames linear.
                warn!(%error, "no multi-buffer XDP for an MTU of {mtu}");
                load_program(&mut self.ebpf, names::PROGRAM)?;
                names::PROGRAM
            }
            result => result.map(|()| fitting)?,
        };
        self.program = Some(chosen);
        Ok(chosen)
    }

    /// Puts the program on the trunk: into the link that is there, so that no
    /// frame is without one, or by a new link, which is pinned at `pin`.
    pub(super) fn attach(&mut self, request: &Attach, pin: &Path) -> Result<Attachment, Error> {
        let name = self.choose(request.mtu)?;
        if let Some(held) = &self.held
            && held.serves(request, name)
        {
            return Ok(held.attachment.clone());
        }
        self.mend_pin()?;
        self.held = None;
        let moved = match links::open(pin)? {
            // Not one of a device that has gone, or of another mode.
            Some(found) if request.has(found.program) => self.update(name, found)?,
            _ => None,
        };
        let link = match moved {
            Some(link) => link,
            None => {
                pins::discard_link(pin)?;
                self.attach_anew(name, request, pin)?
            }
        };
        let program = xdp(&mut self.ebpf, name)?;
        let info = program.info().map_err(|error| refused(name, &error))?;
        let attachment = Attachment {
            ifindex: request.ifindex,
            generic: request.generic,
            program: name,
            prog_id: info.id(),
            prog_tag: info.tag(),
            link_id: link.info().map_or(0, |info| info.id()),
            pinned: true,
            // Only now: some drivers do so while they have a program themselves.
            sends_buffers: request.generic || sends_buffers(request),
        };
        self.held = Some(Held {
            link: sys::open_pin(pin).map_err(|error| pins::failed(pin, error))?,
            pin: pin.to_owned(),
            attachment: attachment.clone(),
        });
        Ok(attachment)
    }

    /// Replaces the program in a link; `None`: the link's device is gone.
    fn update(&mut self, name: &'static str, found: Found) -> Result<Option<FdLink>, Error> {
        let program = xdp(&mut self.ebpf, name)?;
        let link = XdpLink::try_from(found.link).map_err(|_| Error::NotALink)?;
        match program.attach_to_link(link) {
            Ok(id) => {
                info!(before = found.program, "program replaced in place");
                self.take_link(name, id).map(Some)
            }
            Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(None),
            Err(error) => Err(Error::Replace(reason(&error))),
        }
    }

    fn attach_anew(
        &mut self,
        name: &'static str,
        request: &Attach,
        pin: &Path,
    ) -> Result<FdLink, Error> {
        let mode = if request.generic {
            XdpMode::Skb
        } else {
            XdpMode::Driver
        };
        let program = xdp(&mut self.ebpf, name)?;
        let id = program
            .attach_to_if_index(request.ifindex.get(), mode)
            .map_err(|error| Error::Attach {
                errno: errno(&error),
                reason: reason(&error),
            })?;
        let link = self.take_link(name, id)?;
        let pinned = link
            .pin(pin)
            .map_err(|error| pins::not_pinned(pin, &error))?;
        Ok(pinned.into())
    }

    /// Takes the link out of aya's hands, which would detach it at the end.
    fn take_link(&mut self, name: &'static str, id: XdpLinkId) -> Result<FdLink, Error> {
        let link = xdp(&mut self.ebpf, name)?
            .take_link(id)
            .map_err(|error| refused(name, &error))?;
        FdLink::try_from(link).map_err(|_| Error::NotALink)
    }

    /// Pins the link again where its pin was removed; the path, if so.
    pub(super) fn mend_pin(&mut self) -> Result<Option<PathBuf>, Error> {
        let Some(held) = &mut self.held else {
            return Ok(None);
        };
        held.attachment.pinned = false;
        let mended = pins::mend(held.link.as_fd(), &held.pin)?;
        held.attachment.pinned = true;
        Ok(mended.then(|| held.pin.clone()))
    }
}

impl Held {
    /// Whether it is what is asked for already.
    fn serves(&self, request: &Attach, program: &str) -> bool {
        self.attachment.ifindex == request.ifindex
            && self.attachment.generic == request.generic
            && self.attachment.program == program
            && request.has(self.attachment.prog_id)
    }
}

/// On the safe side where the kernel does not say: what is left to it is slow,
/// what a driver refuses is lost.
fn sends_buffers(request: &Attach) -> bool {
    netlink::xdp_sends_buffers(request.ifindex).unwrap_or_else(|error| {
        warn!(%error, "{}: what its driver sends for XDP is not known", request.trunk);
        false
    })
}
