//! The pass-everything XDP program of `tests/ebpf`, on a device.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    programs::{
        Xdp,
        links::FdLink,
        xdp::{XdpLink, XdpMode},
    },
};

use crate::netns::Netns;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tests-ebpf.o"));

/// The program, attached natively. Dropping it detaches; so does the end of
/// this process.
#[derive(Debug)]
pub struct PassProgram {
    link: FdLink,
}

impl PassProgram {
    /// Attaches it to a device of `netns`.
    ///
    /// # Errors
    /// Where the device has a program, or its driver no native XDP.
    pub fn attach(netns: &Netns, device: &str) -> Result<Self> {
        netns
            .run(|| attach(device))
            .with_context(|| format!("cannot attach XDP to {device} of {}", netns.name()))
    }

    /// Attaches it to a device of this thread's namespace.
    ///
    /// # Errors
    /// As [`PassProgram::attach`].
    pub fn attach_here(device: &str) -> Result<Self> {
        attach(device).with_context(|| format!("cannot attach XDP to {device}"))
    }

    /// Kernel ids of the program and of its link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ids(&self) -> Result<(u32, u32)> {
        let info = self.link.info()?;
        Ok((info.program_id(), info.id()))
    }

    /// Pins its link: it outlives this.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pin(self, path: &Path) -> Result<()> {
        let pinned = self.link.pin(path);
        pinned
            .map(drop)
            .with_context(|| format!("cannot pin {}", path.display()))
    }
}

fn attach(device: &str) -> Result<PassProgram> {
    // No CO-RE in it: vmlinux's BTF need not be parsed.
    let mut object = EbpfLoader::new().btf(None).load(OBJECT)?;
    let mut load = |name: &str| -> Result<XdpLink> {
        let program: &mut Xdp = object
            .program_mut(name)
            .with_context(|| format!("the object has no program `{name}`"))?
            .try_into()?;
        program.load()?;
        let id = program.attach(device, XdpMode::Driver)?;
        // aya falls back to netlink without a word, and then nothing detaches it
        // when this process is killed.
        Ok(program.take_link(id)?)
    };
    // Kernels before 5.18 refuse the first.
    let link = load("pass").or_else(|error| load("pass_linear").map_err(|_| error))?;
    let link = FdLink::try_from(link).context("the kernel made no bpf_link")?;
    Ok(PassProgram { link })
}
