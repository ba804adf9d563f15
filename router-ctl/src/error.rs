//! Errors that reach the user: a code, what is wrong, the kernel's own words,
//! and the command that mends it.
//!
//! Modules below the edge use `thiserror` enums of their own and convert into
//! this where they reach `commands/` or the API.

use std::{fmt, process::ExitCode};

use crate::api::model::ErrorBody;

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
        }
    }
}

/// A failure in the words of the user.
#[derive(Clone, Debug)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// `RC` and four digits; see `codes`.
    pub code: &'static str,
    /// What is wrong, one line, no full stop.
    pub message: String,
    /// Deeper cause, the kernel's own words where it spoke.
    pub cause: Option<String>,
    /// How to mend it, with the exact command where there is one.
    pub help: Option<String>,
    /// Rendered source annotation (configuration errors only): shown instead
    /// of `message` on terminals.
    pub rendered: Option<String>,
}

impl Error {
    /// An error without cause or help.
    #[must_use]
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            cause: None,
            help: None,
            rendered: None,
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

    /// The error as the API gives it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.to_owned(),
            message: self.message.clone(),
            cause: self.cause.clone(),
            help: self.help.clone(),
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
