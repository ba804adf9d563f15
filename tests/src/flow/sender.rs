//! Numbered packets, at an even rate, from a host.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{MsgFlags, send},
};

use super::template::{Template, number};
use crate::{
    lab::{self, HOST_INTERFACE},
    sys,
};

/// Between two packets of one direction: well above the thousand a second that
/// is asked for, as a sender is not always scheduled in time.
const INTERVAL: Duration = Duration::from_micros(500);

/// The same under software emulation: a packet takes a guest's CPU as long as
/// ten do elsewhere, and one that does nothing else has no time for a daemon.
const SLOW_INTERVAL: Duration = Duration::from_millis(4);

/// A sender that was kept from sending catches up by so many at most: a veth's
/// ring has 256 places, and what overflows there no router has lost.
const BURST: u32 = 16;

/// Between two looks for an interface that has gone.
const ABSENT: Duration = Duration::from_millis(1);

/// What a sender did.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// By number: when.
    pub(super) times: Vec<Instant>,
    /// For so long there was no interface to send from.
    pub(super) absent: Duration,
}

/// Sends until told to stop. While there is no interface nothing is sent, and
/// nothing counted.
pub(super) fn emit(mut template: Template, stop: &AtomicBool) -> Result<Sent> {
    let mut sent = Sent::default();
    let mut socket: Option<OwnedFd> = None;
    let interval = if lab::slow() { SLOW_INTERVAL } else { INTERVAL };
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if let Some(early) = next.checked_duration_since(now) {
            thread::sleep(early);
            continue;
        }
        if now - next > interval * BURST {
            next = now - interval * BURST;
        }
        let Some(open) = &socket else {
            socket = if_nametoindex(HOST_INTERFACE)
                .ok()
                .and_then(|index| sys::packet_socket(index).ok());
            if socket.is_none() {
                thread::sleep(ABSENT);
            }
            sent.absent += now.elapsed();
            continue;
        };
        number(&mut template.sent, sent.times.len() as u64);
        let at = Instant::now();
        match send(open.as_raw_fd(), &template.sent, MsgFlags::empty()) {
            Ok(_) => {
                sent.times.push(at);
                next += interval;
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => thread::yield_now(),
            // The interface is down, or gone: another may be there soon.
            Err(Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) => {
                socket = None;
            }
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok(sent)
}
