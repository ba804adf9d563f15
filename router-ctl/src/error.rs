//! Errors that reach the user: a code, what is wrong, the kernel's own words,
//! and the command that mends it.
//!
//! Modules below the edge use `thiserror` enums of their own and convert into
//! this where they reach `commands/` or the API.

use std::{borrow::Cow, fmt, process::ExitCode};

use crate::api::model::{ErrorBody, Location};

/// What kind of failure it is: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Refused or failed: exit 1.
    Failed,
    /// Usage or bad configuration: exit 2.
    Usage,
    /// The daemon is not running: exit 3.
    NotRunning,
    /// Not permitted: exit 4.
    NotPermitted,
    /// Degraded (`status`): exit 5.
    Degraded,
    /// `down` ended the daemon and could not put everything back: exit 6 of `run`,
    /// so that no supervisor starts it again (`RestartPreventExitStatus=`).
    HalfDown,
}

impl Kind {
    /// The process's exit code (cli.md).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::NotPermitted => 4,
            Self::Degraded => 5,
            Self::HalfDown => 6,
        }
    }
}

/// A failure in the words of the user.
#[derive(Clone, Debug)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// `RC` and four digits: a constant of [`codes`](crate::codes), or what a
    /// daemon of another version answered.
    pub code: Cow<'static, str>,
    /// What is wrong, one line, no full stop.
    pub message: String,
    /// Deeper cause, the kernel's own words where it spoke.
    pub cause: Option<String>,
    /// How to mend it, with the exact command where there is one.
    pub help: Option<String>,
    /// More about it, where it is about the configuration.
    pub report: Option<Box<Report>>,
}

/// What only errors in the configuration have.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where it is; `None`: the file as a whole.
    pub location: Option<Location>,
    /// The error and those in `more` with their source lines, styled: people
    /// see this in place of the error's own fields.
    pub rendered: String,
    /// Further errors found in the same go, without a `rendered` of their own.
    pub more: Vec<Error>,
}

impl Error {
    /// An error without cause or help.
    #[must_use]
    pub fn new(kind: Kind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            cause: None,
            help: None,
            report: None,
        }
    }

    /// Adds the deeper cause.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds the mending command.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what mends it, where nobody has said something better.
    #[must_use]
    pub fn or_help(mut self, help: impl FnOnce() -> String) -> Self {
        self.help.get_or_insert_with(help);
        self
    }

    /// The error as the API and `-j` give it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.clone().into_owned(),
            message: self.message.clone(),
            cause: self.cause.clone(),
            help: self.help.clone(),
            location: self
                .report
                .as_ref()
                .and_then(|report| report.location.clone()),
            rendered: None,
            more: self
                .report
                .iter()
                .flat_map(|report| &report.more)
                .map(Self::body)
                .collect(),
        }
    }

    /// The error that the API gave.
    #[must_use]
    pub fn from_body(body: ErrorBody, kind: Kind) -> Self {
        let more = body.more.into_iter();
        let report = body.rendered.map(|rendered| {
            Box::new(Report {
                location: body.location,
                rendered,
                more: more.map(|error| Self::from_body(error, kind)).collect(),
            })
        });
        Self {
            cause: body.cause,
            help: body.help,
            report,
            ..Self::new(kind, body.code, body.message)
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.exit_code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
