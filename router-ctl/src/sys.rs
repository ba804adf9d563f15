//! The system calls that have no safe wrapper: ethtool's ioctl, `mount`,
//! `statfs`, the length of a jiffy, the cookie of a network namespace, the size
//! of a socket's buffer, the time of this place, and parts of bpf(2).
//!
//! Invariant: the only unsafe code of this crate. Every function here is safe
//! to call with any argument.
#![expect(
    unsafe_code,
    reason = "conventions.md 7: one module for syscalls without a safe wrapper"
)]

mod bpf;

use std::{
    ffi::{CStr, CString},
    io,
    mem::{MaybeUninit, size_of},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt as _, net::UnixDatagram},
    },
    path::Path,
    time::Duration,
};

pub use self::bpf::{
    PinKind, detach_link, identity, open_link, open_pin, pin, pin_kind, xdp_link_device,
};

/// `struct ethtool_value` (include/uapi/linux/ethtool.h).
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `ETHTOOL_*` commands and `ETH_FLAG_*` bits (include/uapi/linux/ethtool.h).
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const GET_GRO: u32 = 0x2b;
const SET_GRO: u32 = 0x2c;
const FLAG_RX_VLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// `SO_NETNS_COOKIE` (include/uapi/asm-generic/socket.h), 5.14 and later.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// An offload of a NIC that XDP has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    /// The NIC takes VLAN tags off the frames (`rxvlan`): XDP does not see them.
    RxVlan,
    /// The NIC glues received packets together (`lro`).
    Lro,
    /// The kernel does (`gro`), before generic XDP sees them.
    Gro,
}

impl Offload {
    /// As ethtool(8) spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RxVlan => "rxvlan",
            Self::Lro => "lro",
            Self::Gro => "gro",
        }
    }

    /// The bit among the device's flags; `None`: it has commands of its own.
    const fn flag(self) -> Option<u32> {
        match self {
            Self::RxVlan => Some(FLAG_RX_VLAN),
            Self::Lro => Some(FLAG_LRO),
            Self::Gro => None,
        }
    }
}

/// Whether an offload of `interface` is on.
///
/// # Errors
/// If there is no such device, or its driver knows no offloads.
pub fn offload(interface: &str, offload: Offload) -> io::Result<bool> {
    Ok(match offload.flag() {
        Some(flag) => ethtool(interface, GET_FLAGS, 0)? & flag != 0,
        None => ethtool(interface, GET_GRO, 0)? != 0,
    })
}

/// Switches an offload of `interface`. The driver may leave it as it is: read
/// it again.
///
/// # Errors
/// If there is no such device, or its driver refuses.
pub fn set_offload(interface: &str, offload: Offload, on: bool) -> io::Result<()> {
    match offload.flag() {
        Some(flag) => {
            let flags = ethtool(interface, GET_FLAGS, 0)?;
            let flags = if on { flags | flag } else { flags & !flag };
            ethtool(interface, SET_FLAGS, flags)
        }
        None => ethtool(interface, SET_GRO, on.into()),
    }
    .map(|_| ())
}

/// One command of ethtool's ioctl, which works on the device of the calling
/// thread's network namespace.
fn ethtool(interface: &str, command: u32, data: u32) -> io::Result<u32> {
    let mut value = EthtoolValue { command, data };
    // SAFETY: integers, byte arrays and raw pointers only; all zero is valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    let name = interface.as_bytes();
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // Any socket will do; this one needs no address, and so works where even lo
    // is down.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: `request` is a whole ifreq with a terminated name, and `value`,
    // which it points to, is what these commands read and write. Both live
    // through the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value.data)
}

/// Whether `path` is on a bpffs.
///
/// # Errors
/// If there is no such path.
pub fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = c_string(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is terminated, and the kernel writes no more than a
    // statfs.
    if unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_type == libc::BPF_FS_MAGIC)
}

/// Mounts a bpffs on `path`, readable by its owner only.
///
/// # Errors
/// If the kernel refuses.
pub fn mount_bpffs(path: &Path) -> io::Result<()> {
    let target = c_string(path.as_os_str().as_bytes())?;
    let name: &CStr = c"bpf";
    let options: &CStr = c"mode=0700";
    // SAFETY: all strings are terminated and live through the call.
    let status = unsafe {
        libc::mount(
            name.as_ptr(),
            target.as_ptr(),
            name.as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RELATIME,
            options.as_ptr().cast(),
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Unmounts `path`.
///
/// # Errors
/// If the kernel refuses: `EBUSY` while it is in use.
pub fn unmount(path: &Path) -> io::Result<()> {
    let path = c_string(path.as_os_str().as_bytes())?;
    // SAFETY: the path is terminated and lives through the call.
    if unsafe { libc::umount2(path.as_ptr(), libc::UMOUNT_NOFOLLOW) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Who this process acts as.
#[must_use]
pub fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// How long a jiffy is on this kernel: `TICK_NSEC`, which is what it answers as
/// the resolution of its coarse clocks (`posix_get_coarse_res`,
/// kernel/time/posix-timers.c). 1 to 10 ms.
///
/// # Errors
/// If the kernel does not say.
pub fn jiffy() -> io::Result<Duration> {
    let mut resolution = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel writes no more than a timespec.
    let status =
        unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, resolution.as_mut_ptr()) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has filled it.
    let resolution = unsafe { resolution.assume_init() };
    match u32::try_from(resolution.tv_nsec) {
        Ok(nanoseconds @ 1..=999_999_999) if resolution.tv_sec == 0 => {
            Ok(Duration::from_nanos(nanoseconds.into()))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The number of this network namespace, which no other gets before the next
/// boot. 0 on kernels that have none (before 5.14).
///
/// # Errors
/// If no socket can be made.
pub fn netns_cookie() -> io::Result<u64> {
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or_default();
    // SAFETY: the kernel writes at most `length` bytes to `cookie`.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if status < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOPROTOOPT) => Ok(0),
            _ => Err(error),
        };
    }
    Ok(cookie)
}

/// A moment as the clocks of this place show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// 2026, not 126.
    pub year: i32,
    /// From 1.
    pub month: i32,
    /// Of the month, from 1.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
}

/// `seconds` since 1970 in the time zone of $TZ or the system; the epoch where
/// there is no such moment.
#[must_use]
pub fn local_time(seconds: u64) -> LocalTime {
    let seconds = libc::time_t::try_from(seconds).unwrap_or_default();
    // SAFETY: zeroes are a valid `tm`; its only pointer may be null.
    let mut broken: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: both live through the call; it writes `broken` only, and reads the
    // environment as std does, under glibc's own lock.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut broken) };
    LocalTime {
        year: broken.tm_year + 1900,
        month: broken.tm_mon + 1,
        day: broken.tm_mday,
        hour: broken.tm_hour,
        minute: broken.tm_min,
        second: broken.tm_sec,
    }
}

/// Lets a socket hold `bytes` of what has not been received yet, whatever the
/// system's limit is (`net.core.rmem_max`).
///
/// # Errors
/// If this user may not, or it is no socket.
pub fn force_receive_buffer(socket: &impl AsRawFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes, which is the size of `bytes`.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast(),
            length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_is_no_bpffs() {
        assert!(!is_bpffs(Path::new("/proc")).unwrap());
        assert!(is_bpffs(Path::new("/proc/no such file")).is_err());
    }

    /// HZ is 100 to 1000 on every kernel there is.
    #[test]
    fn a_jiffy_is_one_to_ten_milliseconds() {
        let jiffy = jiffy().unwrap();
        let range = Duration::from_micros(999)..=Duration::from_millis(10);
        assert!(range.contains(&jiffy), "{jiffy:?}");
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "sixteen-letters-", "no-such-if"] {
            assert!(offload(name, Offload::RxVlan).is_err(), "{name:?}");
        }
    }
}
