//! Packet sockets: what of them has no safe wrapper among our dependencies.
//!
//! Invariant: every function here is safe to call with any argument.
#![expect(
    unsafe_code,
    reason = "conventions.md 7: one module for syscalls without a safe wrapper"
)]

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `PACKET_*` socket options (include/uapi/linux/if_packet.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketOption {
    /// The tag that the kernel took off comes as auxiliary data.
    Auxdata,
    /// Frames that this host sends are not captured (Linux 4.20).
    IgnoreOutgoing,
}

impl PacketOption {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Auxdata => libc::PACKET_AUXDATA,
            // Not in libc.
            Self::IgnoreOutgoing => 23,
        }
    }
}

/// What the kernel counted at a packet socket since the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Frames, dropped ones included.
    pub packets: u32,
    /// Frames for which the socket's buffer had no room.
    pub drops: u32,
}

/// A packet socket for whole frames of every type, that does not block, on the
/// interface with this index in the calling thread's namespace.
///
/// # Errors
/// The kernel's.
pub fn packet_socket(ifindex: u32) -> io::Result<OwnedFd> {
    let ifindex = libc::c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
    // Protocol 0: nothing is captured before the socket is bound, so that no
    // frame of another interface ever is.
    // SAFETY: no pointers.
    let fd = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Constants of the kernel that fit: 17 and 3.
    #[expect(clippy::cast_possible_truncation, reason = "AF_PACKET is 17")]
    let family = libc::AF_PACKET as u16;
    #[expect(clippy::cast_possible_truncation, reason = "ETH_P_ALL is 3")]
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    let address = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: protocol,
        sll_ifindex: ifindex,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address is a valid sockaddr_ll of this length, and is only
    // read.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    };
    match done {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Turns an option of a packet socket on.
///
/// # Errors
/// The kernel's.
pub fn enable(socket: &OwnedFd, option: PacketOption) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is a valid int of this length, and is only read.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option.number(),
            (&raw const on).cast(),
            socklen::<libc::c_int>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads a packet socket's counters, which starts them anew.
///
/// # Errors
/// The kernel's.
pub fn statistics(socket: &OwnedFd) -> io::Result<PacketStatistics> {
    let mut answer = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut length = socklen::<libc::tpacket_stats>();
    // SAFETY: the kernel writes at most `length` bytes of integers into
    // `answer`, which is that long.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut answer).cast(),
            &raw mut length,
        )
    };
    match done {
        0 => Ok(PacketStatistics {
            packets: answer.tp_packets,
            drops: answer.tp_drops,
        }),
        _ => Err(io::Error::last_os_error()),
    }
}

const fn socklen<T>() -> libc::socklen_t {
    #[expect(clippy::cast_possible_truncation, reason = "sizes of small structures")]
    let length = size_of::<T>() as libc::socklen_t;
    length
}
