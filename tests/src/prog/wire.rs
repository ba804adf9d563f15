//! The wires of the stand-in devices: what the kernel itself makes of a packet.
//!
//! A packet socket on the far end of every network's veth. Frames here carry no
//! tags, so nothing is hidden in auxiliary data.
use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;

use super::Network;
use crate::sys::packet_socket;

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
    /// Opens them.
    pub(super) fn open() -> Self {
        let open = |network: Network| {
            let wire = network.wire();
            let index = if_nametoindex(wire).unwrap_or_else(|e| panic!("find {wire}: {e}"));
            File::from(packet_socket(index).unwrap_or_else(|e| panic!("open {wire}: {e}")))
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
        let start = Instant::now();
        loop {
            match (&self.0[usize::from(from.id())]).write(frame) {
                Ok(len) => break assert_eq!(len, frame.len()),
                // The far end is down; or it is up again, and the kernel's
                // link watch is still to notice.
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    if start.elapsed() > patience {
                        return Vec::new();
                    }
                    thread::sleep(AFTERTHOUGHT);
                }
                Err(e) => panic!("send on {}: {e}", from.wire()),
            }
        }
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

    /// What has come, less what the kernel says of its own accord.
    fn collect(&self) -> Vec<(Network, Vec<u8>)> {
        let mut came = Vec::new();
        // No device here has a larger MTU than 1500.
        let mut buffer = [0; 2048];
        for (network, mut socket) in Network::ALL.into_iter().zip(&self.0) {
            loop {
                match socket.read(&mut buffer) {
                    Ok(len) if is_noise(&buffer[..len]) => {}
                    Ok(len) => came.push((network, buffer[..len].to_vec())),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("receive on {}: {e}", network.wire()),
                }
            }
        }
        came
    }
}

/// Multicast (MLD, questions for neighbours), and the same questions asked of
/// one host: ARP, neighbour solicitation.
fn is_noise(frame: &[u8]) -> bool {
    let ether_type = frame.get(12..14);
    let (next_header, icmp_type) = (frame.get(20), frame.get(54));
    frame.first().is_none_or(|first| first & 1 != 0)
        || ether_type == Some(&[0x08, 0x06])
        || (ether_type == Some(&[0x86, 0xdd])
            && next_header == Some(&58)
            && icmp_type == Some(&135))
}
