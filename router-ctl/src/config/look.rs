//! Configurations that are only looked at, and never put into force: they may
//! come out of a pipe, which nobody else can write to by its path.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

use super::{
    Config,
    load::{text_of, unreadable},
};
use crate::error::Error;

/// What stands for standard input.
const DASH: &str = "-";
/// How it is called.
const STANDARD_INPUT: &str = "standard input";

impl Config {
    /// [`Config::load`], but also from a pipe (`<(...)`, `/dev/stdin`), or, as `-`,
    /// from standard input: that is waited for.
    ///
    /// # Errors
    /// As there.
    pub fn look_at(path: &Path) -> Result<Self, Error> {
        let name = Self::name_of(path);
        let text = if path == Path::new(DASH) {
            text_of(io::stdin().lock(), Path::new(&name))?
        } else if fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()) {
            let pipe = File::open(path).map_err(|error| unreadable(path, &error))?;
            text_of(pipe, path)?
        } else {
            return Self::load(path);
        };
        Self::parse(&name, &text)
    }

    /// What [`Config::look_at`] calls it.
    #[must_use]
    pub fn name_of(path: &Path) -> String {
        if path == Path::new(DASH) {
            return STANDARD_INPUT.to_owned();
        }
        path.display().to_string()
    }
}
