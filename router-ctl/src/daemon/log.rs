//! The daemon's log, on standard error.
//!
//! One line an event. Under systemd each begins with its priority
//! (sd-daemon(3)), from which journald knows it; in a terminal with a word.
//!
//! A thread of its own writes it: whatever becomes of standard error, nothing
//! else of the daemon waits for it or fails by it.

mod queue;

use std::{fmt, io, time::Duration};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    registry::LookupSpan,
};

use self::queue::Queue;
use crate::{
    codes,
    error::{Error, Kind},
};

/// How long the end of the daemon waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log, as long as this lives: its end waits for what is not written yet.
#[derive(Debug)]
pub(super) struct Log(Queue);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts the log. A second time in one process changes nothing.
///
/// # Errors
/// There can be no thread for it.
pub(super) fn start(verbose: bool) -> Result<Log, Error> {
    let level = if verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let queue =
        Queue::start(io::stderr(), move |count| lost(journald, count)).map_err(|error| {
            Error::new(Kind::Failed, codes::RUNTIME, "cannot start the log").cause(error)
        })?;
    // Somebody (a test) has a log already.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(queue.clone())
        // It would be told on standard error, by what panics if it cannot be.
        .log_internal_errors(false)
        .event_format(Lines { journald })
        .try_init();
    Ok(Log(queue))
}

/// An event a write, which always succeeds.
impl io::Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What is said of lines that nobody will read.
fn lost(journald: bool, count: u64) -> String {
    let begin = begin(journald, Level::WARN);
    match count {
        1 => format!("{begin}1 line of the log was lost\n"),
        _ => format!("{begin}{count} lines of the log were lost\n"),
    }
}

/// How a line of this level begins.
fn begin(journald: bool, level: Level) -> String {
    if journald {
        format!("<{}>", priority(level))
    } else {
        format!("{:<5} ", level.as_str().to_ascii_lowercase())
    }
}

struct Lines {
    journald: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        write!(writer, "{}", begin(self.journald, level))?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// syslog(3)
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_said_as_everything_is() {
        assert_eq!(lost(false, 1), "warn  1 line of the log was lost\n");
        assert_eq!(lost(true, 20), "<4>20 lines of the log were lost\n");
    }
}
