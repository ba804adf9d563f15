//! Waiting: for a condition, never for a time.
//!
//! Limits are generous, as the same code runs under software emulation, ten
//! times slower; a condition that holds ends the wait at once. SIGINT and its
//! kin end every wait here, so that the caller cleans up.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on SIGINT, SIGTERM and SIGHUP end waits instead of the process.
///
/// By handlers: a blocked signal would be blocked in every program that is
/// started from here, too, and a daemon could not be stopped.
///
/// # Errors
/// The kernel's.
pub fn catch_signals() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(&INTERRUPTED)).context("cannot handle signals")?;
    }
    Ok(())
}

/// Whether a signal has come.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Forgets a signal that was meant for somebody else, or has been obeyed.
pub fn forget_interrupt() {
    INTERRUPTED.store(false, Ordering::Relaxed);
}

/// Looks until there is an answer.
///
/// # Errors
/// When `limit` is over (`what` says what was waited for), when a signal has
/// come, and the look's own.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    through(what, limit, || match look()? {
        None if interrupted() => bail!("interrupted"),
        answer => Ok(answer),
    })
}

/// As [`until`], but signals are not heeded: for cleaning up.
///
/// # Errors
/// When `limit` is over, and the look's own.
pub fn through<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {} s for {what}, in vain", limit.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut looks = 0;
        let answer = until("three", Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 3).then_some("here"))
        });
        assert_eq!(answer.unwrap(), "here");
    }

    #[test]
    fn a_wait_in_vain_says_for_what() {
        let error = until("godot", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("godot"), "{error}");
    }
}
