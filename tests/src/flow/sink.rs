//! What arrives on a wire, compared and counted by its number.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    lock,
    report::{DirectionReport, Lost},
    sender::Sent,
    template::{Template, WARM_UP},
};
use crate::{capture, sys};

/// What a sink saw.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    pub(super) warm: bool,
    /// By number: how often.
    times: Vec<u8>,
    pub(super) different: usize,
    duplicated: u64,
    reordered: u64,
    highest: Option<u64>,
    wrong: Option<String>,
}

impl Arrivals {
    pub(super) fn record(&mut self, sequence: u64) {
        if sequence == WARM_UP {
            self.warm = true;
            return;
        }
        let Ok(index) = usize::try_from(sequence) else {
            return;
        };
        if self.times.len() <= index {
            // A spoilt number must not take all memory.
            self.times.resize(index.min(1 << 26) + 1, 0);
        }
        let Some(times) = self.times.get_mut(index) else {
            return;
        };
        *times = times.saturating_add(1);
        if *times > 1 {
            self.duplicated += 1;
            return;
        }
        self.different += 1;
        if self.highest.is_some_and(|highest| sequence < highest) {
            self.reordered += 1;
        } else {
            self.highest = Some(sequence);
        }
    }

    pub(super) fn judge(
        &mut self,
        name: String,
        sent: &Sent,
        started: Instant,
        ended: Instant,
    ) -> DirectionReport {
        let Sent {
            times: sent,
            absent,
        } = sent;
        let sending = ended
            .saturating_duration_since(started)
            .saturating_sub(*absent);
        if self.times.len() > sent.len() {
            self.wrong
                .get_or_insert_with(|| "a packet that was never sent".to_owned());
        }
        let lost = sent.iter().enumerate().filter_map(|(index, at)| {
            let arrived = self.times.get(index).is_some_and(|times| *times > 0);
            (!arrived).then(|| Lost {
                number: index as u64,
                at: at.saturating_duration_since(started),
            })
        });
        let sent_count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        DirectionReport {
            name,
            sent: sent.len() as u64,
            lost: lost.collect(),
            duplicated: self.duplicated,
            reordered: self.reordered,
            wrong: self.wrong.take(),
            rate: f64::from(sent_count) / sending.as_secs_f64(),
        }
    }
}

/// A packet socket at a sink, on an interface that may be made anew.
#[derive(Debug)]
pub(super) struct Tap {
    interface: &'static str,
    index: u32,
    socket: OwnedFd,
    /// The interface went down, and may have gone.
    down: bool,
}

impl Tap {
    /// In the calling thread's namespace.
    pub(super) fn open(interface: &'static str) -> Result<Self> {
        Ok(Self {
            interface,
            index: if_nametoindex(interface)?,
            socket: capture::open(interface)?,
            down: false,
        })
    }

    /// The next frame; `None` when none is waiting.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<u8>>> {
        match capture::receive(&self.socket, buffer) {
            Ok(Some(frame)) => Ok(Some(frame.bytes)),
            Ok(None) => Ok(None),
            Err(error) if error.downcast_ref() == Some(&Errno::ENETDOWN) => {
                self.down = true;
                // What came before is still there to be read.
                Ok(capture::receive(&self.socket, buffer)?.map(|frame| frame.bytes))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for frames, or for an interface in place of the one that has gone.
    fn wait(&mut self) -> Result<()> {
        let patience = if self.down { 1_u8 } else { 20 };
        if self.down && if_nametoindex(self.interface).is_ok_and(|index| index != self.index) {
            // It may go again, or not be ready yet.
            if let Ok(anew) = Self::open(self.interface) {
                *self = anew;
            }
        }
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(patience)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for frames"),
        }
    }
}

/// Reads until told to stop, then what is left. Runs in the sink's namespace.
pub(super) fn receive(
    mut tap: Tap,
    template: &Template,
    arrivals: &Mutex<Arrivals>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut buffer = vec![0; capture::FRAME];
    let mut wanted = Vec::new();
    loop {
        // Read before the queue is: what came before the stop is counted.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some(frame) = tap.next(&mut buffer)? {
            let Some(sequence) = template.number_of(&frame) else {
                continue;
            };
            let wrong = template.check(&mut wanted, &frame, sequence);
            let mut arrivals = lock(arrivals);
            arrivals.record(sequence);
            if let Some(wrong) = wrong {
                arrivals.wrong.get_or_insert(wrong);
            }
        }
        let drops = sys::statistics(&tap.socket)?.drops;
        ensure!(drops == 0, "the sink itself lost {drops} frames");
        if stopping {
            return Ok(());
        }
        tap.wait()?;
    }
}
