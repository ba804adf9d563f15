//! A tap: every frame that comes in at an interface, as it was on the wire.
//!
//! The kernel takes the outermost tag off before a packet socket sees a frame
//! and hands it over as auxiliary data; [`Frame::bytes`] has it back in place.
//! A thread reads the frames and gives them to a closure, so that nothing piles
//! up; that none was lost is checked at the end ([`Capture::finish`]).

use std::{
    io::IoSliceMut,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, send, setsockopt, sockopt},
};

use crate::{
    netns::Netns,
    sys::{self, PacketOption},
};

/// Room for what arrives while the reader is not scheduled: two CPUs under
/// software emulation are busy with the traffic itself.
const BUFFER: usize = 64 << 20;

/// The largest frame: a super-frame, which here would be a finding.
pub(crate) const FRAME: usize = 0x1_0000;

/// How long a finished capture may go on, as traffic is still coming in.
const POLL: u16 = 50;

/// `TP_STATUS_VLAN_VALID` and `TP_STATUS_VLAN_TPID_VALID`
/// (include/uapi/linux/if_packet.h).
const VLAN_VALID: u32 = 1 << 4;
const TPID_VALID: u32 = 1 << 6;

/// A frame that came in.
#[derive(Clone, Debug)]
pub struct Frame {
    /// As on the wire, tag included; without the frame check sequence.
    pub bytes: Vec<u8>,
    /// The kernel had taken the tag off, or the sender's kernel never put it
    /// on: a veth hands it over beside the frame.
    pub tag_was_metadata: bool,
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    interface: String,
    stop: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<Result<u32>>>,
}

impl Capture {
    /// Starts to capture what comes in at an interface of `netns`; when this
    /// returns, no frame is missed any more.
    ///
    /// # Errors
    /// Where there is no such interface, or this user may not.
    pub fn start(
        netns: &Netns,
        interface: &str,
        mut each: impl FnMut(Frame) + Send + 'static,
    ) -> Result<Self> {
        let socket = netns.run(|| open(interface))?;
        Self::begin(netns, interface, socket, move |frame, outgoing| {
            // A sender that had looked at the socket before it ignored what goes
            // out may queue its frame afterwards.
            if !outgoing {
                each(frame);
            }
        })
    }

    /// [`Capture::start`], with what goes out: `each` is told whether a frame does.
    ///
    /// # Errors
    /// As there.
    pub fn start_both_ways(
        netns: &Netns,
        interface: &str,
        each: impl FnMut(Frame, bool) + Send + 'static,
    ) -> Result<Self> {
        let socket = netns.run(|| open_both_ways(interface))?;
        Self::begin(netns, interface, socket, each)
    }

    fn begin(
        netns: &Netns,
        interface: &str,
        socket: OwnedFd,
        mut each: impl FnMut(Frame, bool) + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reader = thread::Builder::new()
            .name(format!("capture {interface}"))
            .spawn(move || read(&socket, &stopped, &mut each))
            .context("cannot start a thread")?;
        Ok(Self {
            interface: format!("{interface} of {}", netns.name()),
            stop,
            reader: Some(reader),
        })
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// Where the kernel dropped a frame for want of room, so that counts would
    /// be wrong; and what went wrong while reading.
    pub fn finish(mut self) -> Result<()> {
        let Some(reader) = self.reader.take() else {
            return Ok(());
        };
        self.stop.store(true, Ordering::Relaxed);
        let Ok(result) = reader.join() else {
            bail!("the capture at {} panicked", self.interface);
        };
        let drops = result.with_context(|| format!("cannot capture at {}", self.interface))?;
        ensure!(
            drops == 0,
            "the capture at {} lost {drops} frames",
            self.interface
        );
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // Whoever did not ask for the result has failed before.
            let _ = reader.join();
        }
    }
}

/// Sends a frame, tag and all, out of an interface of the calling thread's
/// namespace.
///
/// # Errors
/// Where there is no such interface, and the kernel's.
pub fn inject(interface: &str, frame: &[u8]) -> Result<()> {
    let socket = socket(interface)?;
    let sent = send(socket.as_raw_fd(), frame, MsgFlags::empty())
        .with_context(|| format!("cannot send a frame out of {interface}"))?;
    ensure!(sent == frame.len(), "{interface} sent half a frame");
    Ok(())
}

fn socket(interface: &str) -> Result<OwnedFd> {
    let index = nix::net::if_::if_nametoindex(interface)
        .with_context(|| format!("there is no interface {interface}"))?;
    sys::packet_socket(index).with_context(|| format!("cannot open a packet socket on {interface}"))
}

/// A packet socket that has seen nothing yet, with room for a burst.
pub(crate) fn open(interface: &str) -> Result<OwnedFd> {
    let socket = open_both_ways(interface)?;
    let option = PacketOption::IgnoreOutgoing;
    sys::enable(&socket, option).with_context(|| format!("cannot set {option:?}"))?;
    // What came between bind and IgnoreOutgoing may have been outgoing.
    let mut buffer = vec![0; FRAME];
    while receive(&socket, &mut buffer)?.is_some() {}
    sys::statistics(&socket).context("cannot read a packet socket's counters")?;
    Ok(socket)
}

fn open_both_ways(interface: &str) -> Result<OwnedFd> {
    let socket = socket(interface)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
        .context("cannot enlarge a socket's buffer")?;
    let option = PacketOption::Auxdata;
    sys::enable(&socket, option).with_context(|| format!("cannot set {option:?}"))?;
    Ok(socket)
}

/// Reads until told to stop, then what is left; returns how many were lost.
fn read(socket: &OwnedFd, stop: &AtomicBool, each: &mut dyn FnMut(Frame, bool)) -> Result<u32> {
    let mut buffer = vec![0; FRAME];
    let mut drops = 0;
    loop {
        // Read before the queue is: what came before the stop is delivered.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some((frame, outgoing)) = receive_any(socket, &mut buffer)? {
            each(frame, outgoing);
        }
        drops += sys::statistics(socket)?.drops;
        if stopping {
            return Ok(drops);
        }
        let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::from(POLL)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The next frame; `None` when none is waiting.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<Frame>> {
    loop {
        match receive_any(socket, buffer)? {
            // A sender that had looked at the socket before it ignored what goes
            // out may queue its frame afterwards.
            Some((_, true)) => {}
            Some((frame, false)) => return Ok(Some(frame)),
            None => return Ok(None),
        }
    }
}

/// The next frame, and whether it was going out.
fn receive_any(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<(Frame, bool)>> {
    let mut space = cmsg_space!([u8; size_of::<libc::tpacket_auxdata>()]);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<LinkAddr>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::empty(),
    );
    let received = match received {
        Ok(received) => received,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    ensure!(
        !received.flags.contains(MsgFlags::MSG_TRUNC),
        "a frame of more than {FRAME} bytes"
    );
    let mut tag = None;
    for message in received.cmsgs()? {
        if let ControlMessageOwned::Unknown(message) = message {
            tag = tag.or(auxiliary_tag(&message.data_bytes));
        }
    }
    let length = received.bytes;
    let outgoing = received
        .address
        .is_some_and(|address| address.pkttype() == libc::PACKET_OUTGOING);
    let frame = Frame {
        tag_was_metadata: tag.is_some(),
        bytes: on_the_wire(&buffer[..length], tag),
    };
    Ok(Some((frame, outgoing)))
}

/// TPID and TCI of a `struct tpacket_auxdata`; `None`: the frame had no tag.
fn auxiliary_tag(data: &[u8]) -> Option<[u8; 4]> {
    let status = u32::from_ne_bytes(*data.first_chunk()?);
    // tp_status, tp_len, tp_snaplen, tp_mac, tp_net, tp_vlan_tci, tp_vlan_tpid
    let tci = u16::from_ne_bytes(*data.get(16..)?.first_chunk()?);
    let tpid = u16::from_ne_bytes(*data.get(18..)?.first_chunk()?);
    if status & VLAN_VALID == 0 {
        return None;
    }
    let tpid = if status & TPID_VALID == 0 {
        0x8100
    } else {
        tpid
    };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), tci.to_be_bytes());
    Some([a, b, c, d])
}

/// Puts the tag back behind the MAC addresses.
fn on_the_wire(frame: &[u8], tag: Option<[u8; 4]>) -> Vec<u8> {
    match (frame.split_at_checked(12), tag) {
        (Some((macs, rest)), Some(tag)) => [macs, &tag, rest].concat(),
        _ => frame.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;
    use crate::{netns, wait};

    #[test]
    fn tags_come_back_to_their_place() {
        let mut data = [0; 20];
        data[..4].copy_from_slice(&(VLAN_VALID | TPID_VALID).to_ne_bytes());
        data[16..18].copy_from_slice(&0xa0c8_u16.to_ne_bytes());
        data[18..].copy_from_slice(&0x88a8_u16.to_ne_bytes());
        let tag = auxiliary_tag(&data);
        assert_eq!(tag, Some([0x88, 0xa8, 0xa0, 0xc8]));
        let frame = [&[1; 6][..], &[2; 6], &[8, 0], b"payload"].concat();
        let tagged = on_the_wire(&frame, tag);
        assert_eq!(tagged[..12], frame[..12]);
        assert_eq!(tagged[12..16], [0x88, 0xa8, 0xa0, 0xc8]);
        assert_eq!(tagged[16..], frame[12..]);
    }

    #[test]
    fn untagged_frames_stay() {
        assert_eq!(auxiliary_tag(&[0; 20]), None);
        assert_eq!(auxiliary_tag(&[0xff; 8]), None);
        assert_eq!(on_the_wire(b"short", Some([0; 4])), b"short");
    }

    #[test]
    fn frames_come_in_as_they_were_sent_and_only_those_that_come_in() {
        let test = "frames_come_in_as_they_were_sent_and_only_those_that_come_in";
        let Some(guard) = netns::private_or_skip(test) else {
            return;
        };
        drop(guard);
        let suffix = netns::unique_suffix();
        let near = Netns::create(&format!("capture-near-{suffix}")).unwrap();
        let far = Netns::create(&format!("capture-far-{suffix}")).unwrap();
        for netns in [&near, &far] {
            netns.sysctl("ipv6/conf/default/disable_ipv6", "1").unwrap();
        }
        near.ip(&format!(
            "link add port type veth peer name port netns {}",
            far.name()
        ))
        .unwrap();
        for netns in [&near, &far] {
            netns.ip("link set port up").unwrap();
        }
        let came = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&came);
        let capture = Capture::start(&far, "port", move |frame| {
            kept.lock().unwrap().push(frame.bytes);
        })
        .unwrap();
        let macs = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
        let tagged = [&macs[..], &[0x81, 0, 0x60, 100, 0x88, 0xb5], &[7; 46]].concat();
        let twice = [
            &macs[..],
            &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 100, 0x88, 0xb5],
            &[7; 46],
        ]
        .concat();
        let plain = [&macs[..], &[0x88, 0xb5], &[7; 46]].concat();
        far.run(|| inject("port", &plain)).unwrap();
        for frame in [&tagged, &twice, &plain] {
            near.run(|| inject("port", frame)).unwrap();
        }
        wait::until("three frames", Duration::from_secs(10), || {
            Ok((came.lock().unwrap().len() >= 3).then_some(()))
        })
        .unwrap();
        capture.finish().unwrap();
        assert_eq!(*came.lock().unwrap(), [tagged, twice, plain]);
    }
}
