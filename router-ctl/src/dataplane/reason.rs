//! Errors of aya in one line.

use aya::programs::ProgramError;
use tracing::debug;

/// An error without the verifier's log, which may be very long.
pub(super) fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            debug!(%log, "verifier");
            // Its verdict is the last line that is no statistics.
            let verdict = log
                .lines()
                .rev()
                .find(|line| !line.is_empty() && !line.starts_with("processed "));
            match verdict {
                Some(verdict) => format!("{io_error}: {verdict}"),
                None => io_error.to_string(),
            }
        }
        ProgramError::SyscallError(error) => error.io_error.to_string(),
        other => chain(other),
    }
}

/// The error's number.
pub(super) fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

/// An error and its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
