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
            match verdict(&log) {
                Some(verdict) => format!("{io_error}: {verdict}"),
                None => io_error.to_string(),
            }
        }
        ProgramError::SyscallError(error) => error.io_error.to_string(),
        other => chain(other),
    }
}

/// The verifier's verdict: the last line of its log that is no statistics.
fn verdict(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let is_statistics = |line: &str| STATISTICS.iter().any(|word| line.starts_with(word));
    log.lines()
        .rev()
        .find(|line| !line.is_empty() && !is_statistics(line))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As 6.18 writes it.
    #[test]
    fn the_verdict_is_the_last_line_that_is_no_statistics() {
        let log = "0: (b7) r0 = 0\ncannot call GPL-restricted function\n\
                   verification time 61 usec\nstack depth 472\n\
                   processed 210 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(verdict(log), Some("cannot call GPL-restricted function"));
        assert_eq!(verdict("stack depth 0\n"), None);
        assert_eq!(verdict(""), None);
    }
}
