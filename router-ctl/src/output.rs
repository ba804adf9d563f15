//! What people and scripts see: tables, JSON, errors; colour on terminals.
//!
//! Invariant: in a pipe there is no colour and nothing is cut off.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write},
    process,
    sync::mpsc,
    thread,
    time::Duration,
};

use anstream::AutoStream;
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{
    codes,
    error::{Error, Kind},
};

/// Headers and labels.
pub(crate) const BOLD: Style = Style::new().bold();
/// All is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something is not as it should be.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Errors.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What helps.
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// How long the daemon's end may wait for a reader of its standard error.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Format {
    /// JSON and nothing else.
    pub(crate) json: bool,
    /// JSON over several lines.
    pub(crate) pretty: bool,
    /// One record a line, without headers.
    pub(crate) oneline: bool,
    /// No headers, no confirmations.
    pub(crate) quiet: bool,
    /// Everything that is known.
    pub(crate) verbose: bool,
}

impl Format {
    /// `value` as one JSON document.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<String, Error> {
        to_json(value, self.pretty).map_err(|error| cannot_write(&error.into()))
    }

    /// A confirmation, which `-q` leaves out.
    pub(crate) fn done(self, text: &str) -> Result<(), Error> {
        if self.json || self.quiet {
            return Ok(());
        }
        print(text)
    }
}

fn to_json(value: &impl Serialize, pretty: bool) -> serde_json::Result<String> {
    if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    }
}

/// Columns, as wide as they must be, two spaces between them.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, format: Format) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !format.quiet {
        table.set_header(header.iter().copied());
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for (i, line) in table.lines().enumerate() {
        let line = line.trim_end();
        if i > 0 {
            text.push('\n');
        }
        if i == 0 && !format.quiet {
            // Writing into a string does not fail.
            let _ = write!(text, "{BOLD}{line}{BOLD:#}");
        } else {
            text += line;
        }
    }
    text
}

/// Prints `text` and a newline to standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(()),
        // `| head` has seen enough: what SIGPIPE does to other programs.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => Err(cannot_write(&error)),
    }
}

fn cannot_write(error: &io::Error) -> Error {
    Error::new(Kind::Failed, codes::OUTPUT, "cannot write the output").cause(error)
}

/// Prints an error to standard error.
pub(crate) fn print_error(error: &Error, format: Format) {
    let text = if format.json {
        // It is made of strings: it cannot fail.
        to_json(&error.body(), format.pretty).unwrap_or_else(|_| error.to_string())
    } else {
        error_text(error)
    };
    let mut stderr = AutoStream::auto(io::stderr());
    // Where standard error is closed, nobody is there to be told.
    let _ = writeln!(stderr, "{text}");
}

/// The same of the daemon, which ends even if nobody takes its last words.
pub(crate) fn print_last_error(error: &Error, format: Format) {
    let (done, printed) = mpsc::channel();
    let error = error.clone();
    let print = move || {
        print_error(&error, format);
        // Nobody waits any more: it took too long.
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(print).is_ok() {
        let _ = printed.recv_timeout(LAST_WORDS);
    }
}

fn error_text(error: &Error) -> String {
    if let Some(report) = &error.report {
        return report.rendered.clone();
    }
    let mut text = format!(
        "{BAD}error[{}]{BAD:#}{BOLD}: {}{BOLD:#}",
        error.code, error.message
    );
    if let Some(cause) = &error.cause {
        let _ = write!(text, "\n  {BOLD}cause:{BOLD:#} {cause}");
    }
    if let Some(help) = &error.help {
        let _ = write!(text, "\n  {HELP}help:{HELP:#} {help}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_no_trailing_spaces_and_no_borders() {
        let rows = vec![
            vec!["10.9.0.0/16".to_owned(), "-".to_owned()],
            vec!["default".to_owned(), "192.0.2.1".to_owned()],
        ];
        let format = Format::default();
        let plain =
            anstream::adapter::strip_str(&table(&["DST", "VIA"], rows.clone(), format)).to_string();
        assert_eq!(
            plain,
            "DST          VIA\n10.9.0.0/16  -\ndefault      192.0.2.1"
        );
        let quiet = Format {
            quiet: true,
            ..format
        };
        assert_eq!(
            table(&["DST", "VIA"], rows, quiet),
            "10.9.0.0/16  -\ndefault      192.0.2.1"
        );
    }

    #[test]
    fn errors_say_cause_and_help() {
        let error = Error::new(Kind::NotRunning, codes::NOT_RUNNING, "not running")
            .cause("no such file")
            .help("start it");
        let text = error_text(&error);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "error[RC0201]: not running\n  cause: no such file\n  help: start it"
        );
    }
}
