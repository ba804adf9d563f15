//! What systemd is told (sd_notify(3)): that the daemon forwards, how it does,
//! that it lives, and that it is about to end. Nothing, where nobody asks.
//!
//! Invariant: only the watch loop says that the daemon lives, and, while thousands
//! of things are to be done before it goes round again, what does them. A loop that
//! hangs says nothing, although the API, which is another task, still answers: then
//! systemd's watchdog ends the daemon and starts it anew, and the kernel and XDP
//! forward meanwhile.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tracing::warn;

use super::view::Known;
use crate::api::model::State;

/// Between two times that it is told that there is progress.
const PERIOD: Duration = Duration::from_secs(1);
/// For how long that holds: one thing that is done takes far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service manager that started this process, if one did.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    /// The last status that it was told.
    told: Mutex<String>,
    /// It was told that the daemon is up.
    ready: AtomicBool,
    /// That it was not to be reached has been logged.
    failed: AtomicBool,
}

impl Supervisor {
    /// Everything is up.
    pub(super) fn ready(&self, known: &Known) {
        self.ready.store(true, Ordering::Relaxed);
        let status = status(known);
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The watch loop goes round.
    pub(super) fn alive(&self, known: &Known) {
        if !self.ready.load(Ordering::Relaxed) {
            return;
        }
        let status = status(known);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == status {
            self.tell(&[NotifyState::Watchdog]);
        } else {
            self.tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
            *told = status;
        }
    }

    /// Another configuration is about to be put into force; [`Self::ready`] is
    /// to follow, whether it came through or not.
    pub(super) fn reloading(&self) {
        // systemd 253 and later wants to know when.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// The daemon is about to end: from now on there is no watchdog.
    pub(super) fn stopping(&self) {
        if self.ready.swap(false, Ordering::Relaxed) {
            self.tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            warn!(%error, "systemd cannot be told how it goes");
        }
    }
}

/// Says that work which takes long goes on: a start, an apply or a `down` of
/// thousands of sub-interfaces is not one that hangs.
#[derive(Debug)]
pub(super) struct Progress {
    told: Instant,
}

impl Progress {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self {
            told: Instant::now(),
        }
    }

    /// One more thing is done.
    pub(super) fn made(&mut self) {
        let now = Instant::now();
        if now - self.told < PERIOD {
            return;
        }
        self.told = now;
        let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
        let states = [
            NotifyState::Watchdog,
            NotifyState::ExtendTimeoutUsec(patience),
        ];
        // Who cannot be reached is told of by `Supervisor`.
        let _ = sd_notify::notify(&states);
    }
}

/// One line, as `systemctl status` shows it.
fn status(known: &Known) -> String {
    let health = known.health();
    let state = match health.state {
        State::Starting => "starting",
        State::Forwarding => "forwarding",
        State::Degraded => "degraded",
    };
    match health.problems.as_slice() {
        [] => match known.config.networks.len() {
            1 => format!("{state}, 1 network"),
            all => format!("{state}, {all} networks"),
        },
        [only] => format!("{state}: {}", only.message),
        [first, more @ ..] => format!("{state}: {}, and {} more", first.message, more.len()),
    }
}
