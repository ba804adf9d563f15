//! bpf(2), where aya has no word for it: links by their number, detaching, and
//! what kind of thing a pin is.

use std::{
    fs, io,
    mem::size_of,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use super::c_string;

/// `enum bpf_cmd` (include/uapi/linux/bpf.h).
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_DETACH: libc::c_int = 34;

/// What a file on a bpffs stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinKind {
    /// A map.
    Map,
    /// A link.
    Link,
    /// A program, or what later kernels may have.
    Other,
}

/// `union bpf_attr` as `BPF_OBJ_PIN` and `BPF_OBJ_GET` read it.
#[repr(C)]
struct Pin {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// `union bpf_attr` as the commands on links read it: a number and zeros.
#[repr(C)]
struct OneNumber {
    number: u32,
    zeros: [u32; 3],
}

/// `union bpf_attr` as `BPF_OBJ_GET_INFO_BY_FD` reads it.
#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_link_info`, as far as it is about links of XDP.
#[repr(C)]
#[derive(Default)]
struct XdpLinkInfo {
    kind: u32,
    id: u32,
    prog_id: u32,
    padding: u32,
    ifindex: u32,
    end: u32,
}

/// What `struct bpf_map_info`, `bpf_prog_info` and `bpf_link_info` begin with.
#[repr(C)]
#[derive(Default)]
struct AnyInfo {
    kind: u32,
    id: u32,
}

/// The device that an XDP link is attached to; 0: it has gone.
///
/// # Errors
/// If it is no link.
pub fn xdp_link_device(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = XdpLinkInfo::default();
    let attributes = GetInfo {
        bpf_fd: number_of(link)?,
        info_len: u32::try_from(size_of::<XdpLinkInfo>()).unwrap_or_default(),
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel reads a whole GetInfo and writes at most `info_len`
    // bytes, integers only, to `info`. Both live through the call.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &attributes) }?;
    Ok(info.ifindex)
}

/// Opens what is pinned at `path`.
///
/// # Errors
/// If nothing is, or it is no file of a bpffs.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path.as_os_str().as_bytes())?;
    let attributes = Pin {
        pathname: path.as_ptr().expose_provenance() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: the kernel reads a terminated path and a whole Pin, which live
    // through the call.
    let fd = unsafe { bpf(OBJ_GET, &attributes) }?;
    // SAFETY: the kernel gave this descriptor to us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins what `object` is open on.
///
/// # Errors
/// If there is a file already, or `path` is on no bpffs.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_string(path.as_os_str().as_bytes())?;
    let attributes = Pin {
        pathname: path.as_ptr().expose_provenance() as u64,
        bpf_fd: number_of(object)?,
        file_flags: 0,
    };
    // SAFETY: the kernel reads a terminated path and a whole Pin, which live
    // through the call.
    unsafe { bpf(OBJ_PIN, &attributes) }.map(|_| ())
}

/// What is pinned at `path`.
///
/// # Errors
/// If nothing is, or it is no file of a bpffs.
pub fn pin_kind(path: &Path) -> io::Result<PinKind> {
    kind_of(open_pin(path)?.as_fd())
}

/// What an object is, and the number that no other one of its kind has meanwhile.
///
/// # Errors
/// If it is none of the kernel's BPF objects.
pub fn identity(object: BorrowedFd<'_>) -> io::Result<(PinKind, u32)> {
    let mut info = AnyInfo::default();
    let attributes = GetInfo {
        bpf_fd: number_of(object)?,
        info_len: u32::try_from(size_of::<AnyInfo>()).unwrap_or_default(),
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel reads a whole GetInfo and writes at most `info_len`
    // bytes, integers only, to `info`. Both live through the call.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &attributes) }?;
    Ok((kind_of(object)?, info.id))
}

fn kind_of(fd: BorrowedFd<'_>) -> io::Result<PinKind> {
    // The kernel says it in the name of the descriptor's anonymous inode.
    let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok(match name.to_str() {
        Some("anon_inode:bpf-map") => PinKind::Map,
        Some("anon_inode:bpf_link" | "anon_inode:bpf-link") => PinKind::Link,
        _ => PinKind::Other,
    })
}

/// Opens the link of this number.
///
/// # Errors
/// If there is none, or for want of CAP_SYS_ADMIN.
pub fn open_link(id: u32) -> io::Result<OwnedFd> {
    let attributes = OneNumber {
        number: id,
        zeros: [0; 3],
    };
    // SAFETY: the kernel reads a whole OneNumber, which lives through the call.
    let fd = unsafe { bpf(LINK_GET_FD_BY_ID, &attributes) }?;
    // SAFETY: the kernel gave this descriptor to us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Detaches a link, whoever else holds it.
///
/// # Errors
/// If it is no link, or of a kind that cannot be detached.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = OneNumber {
        number: number_of(link)?,
        zeros: [0; 3],
    };
    // SAFETY: the kernel reads a whole OneNumber, which lives through the call.
    unsafe { bpf(LINK_DETACH, &attributes) }.map(|_| ())
}

fn number_of(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// # Safety
/// `T` is laid out as `command` reads `union bpf_attr`, up to its end, and what
/// its pointers point to lives.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the caller's promise; the kernel reads no more than the size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pin_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open_pin(&file).is_err());
        assert!(pin_kind(&dir.path().join("none")).is_err());
        let open = fs::File::open(&file).unwrap();
        assert!(detach_link(open.as_fd()).is_err());
        assert!(open_link(u32::MAX).is_err());
        assert!(xdp_link_device(open.as_fd()).is_err());
        assert!(identity(open.as_fd()).is_err());
        assert!(pin(open.as_fd(), &dir.path().join("pin")).is_err());
    }
}
