//! The wires of the stand-in devices: what the kernel itself makes of a packet.
//!
//! A packet socket on the far end of every network's veth. Frames here carry no
//! tags, so nothing is hidden in auxiliary data.
#![expect(
    unsafe_code,
    reason = "a packet socket has no safe wrapper among our dependencies"
)]

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    mem::size_of,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::Network;

/// How long something that must come may take. The kernel forwards within the
/// send call, or its softirq thread does so soon after.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long something that must not come is waited for.
const DOUBT: Duration = Duration::from_millis(5);
/// How long after the first frame others are waited for.
const AFTERTHOUGHT: Duration = Duration::from_micros(200);

/// A socket on every network's wire, by network id.
#[derive(Debug)]
pub(super) struct Wires(Vec<File>);

impl Wires {
    /// Opens them. `ifindex` tells a wire's.
    pub(super) fn open(ifindex: impl Fn(&str) -> u32) -> Self {
        let open = |network: Network| {
            let wire = network.wire();
            packet_socket(ifindex(wire)).unwrap_or_else(|e| panic!("open {wire}: {e:?}"))
        };
        Self(Network::ALL.into_iter().map(open).collect())
    }

    /// Sends a frame in on `from` and collects the unicast frames that leave,
    /// in the order of networks. `expected`: some must.
    pub(super) fn exchange(
        &self,
        from: Network,
        frame: &[u8],
        expected: bool,
    ) -> Vec<(Network, Vec<u8>)> {
        let patience = if expected { PATIENCE } else { DOUBT };
        self.collect();
        (&self.0[usize::from(from.id())])
            .write_all(frame)
            .unwrap_or_else(|e| panic!("send on {}: {e}", from.wire()));
        let start = Instant::now();
        loop {
            let mut came = self.collect();
            if !came.is_empty() {
                thread::sleep(AFTERTHOUGHT);
                came.extend(self.collect());
                return came;
            }
            if start.elapsed() > patience {
                return came;
            }
            thread::sleep(AFTERTHOUGHT);
        }
    }

    /// What has come, less the kernel's own multicast (MLD) and its questions
    /// for neighbours.
    fn collect(&self) -> Vec<(Network, Vec<u8>)> {
        let mut came = Vec::new();
        // No device here has a larger MTU than 1500.
        let mut buffer = [0; 2048];
        for (network, mut socket) in Network::ALL.into_iter().zip(&self.0) {
            loop {
                match socket.read(&mut buffer) {
                    Ok(len) if buffer[0] & 1 == 0 => came.push((network, buffer[..len].to_vec())),
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("receive on {}: {e}", network.wire()),
                }
            }
        }
        came
    }
}

/// A raw, non-blocking packet socket that is bound to one device.
fn packet_socket(ifindex: u32) -> Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers. Protocol 0: nothing is received until it is bound.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    ensure!(fd >= 0, std::io::Error::last_os_error());
    // SAFETY: the descriptor was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };

    // SAFETY: integers and arrays of them only; all zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL)?.to_be();
    address.sll_ifindex = i32::try_from(ifindex)?;
    let len = u32::try_from(size_of::<libc::sockaddr_ll>())?;
    // SAFETY: the address is of the size given and outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    ensure!(bound == 0, std::io::Error::last_os_error());
    Ok(File::from(socket))
}
