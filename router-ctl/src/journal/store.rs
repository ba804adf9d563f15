//! The journal's file: whole lines, locked, on the disk when it is said so.
//!
//! Invariant: whenever the daemon or the power goes, the file at the path is one
//! whole journal: the old one or the new one, where it is written anew
//! ([`Store::replace`]), and up to a line that is half there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Line;
use crate::{lock, regular};

/// A file of lines that nobody else writes.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// Locked as long as it is open.
    pub(super) file: File,
    /// Bytes of whole lines in it.
    length: u64,
    /// How many lines those are.
    lines: usize,
    /// Its name may not be on the disk yet.
    unnamed: bool,
    /// How often the disk was waited for.
    #[cfg(test)]
    pub(super) waits: usize,
}

impl Store {
    /// Opens the file at `path`, or makes it; what it holds.
    ///
    /// # Errors
    /// `WouldBlock`: another process has it.
    pub(super) fn open(path: &Path) -> Result<(Self, String), TryLockError> {
        make_folder(path).map_err(TryLockError::Error)?;
        let mut file = lock::lock(path)?;
        let text = whole_lines(&mut file).map_err(TryLockError::Error)?;
        let store = Self {
            path: path.to_owned(),
            file,
            length: text.len() as u64,
            lines: text.lines().count(),
            unnamed: text.is_empty(),
            #[cfg(test)]
            waits: 0,
        };
        Ok((store, text))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn lines(&self) -> usize {
        self.lines
    }

    /// Cuts off a line that was being written when the daemon died.
    pub(super) fn trim(&self) -> io::Result<()> {
        self.file.set_len(self.length)
    }

    /// Writes lines behind the others. They outlive the daemon from now on, and a
    /// power failure after the next [`sync`](Self::sync).
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let bytes = bytes_of(lines)?;
        if let Err(error) = self.file.write_all(&bytes) {
            self.forget();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.lines += lines.len();
        Ok(())
    }

    /// [`append`](Self::append), and has them on the disk; none of them is there
    /// after an error.
    pub(super) fn append_synced(&mut self, lines: &[Line]) -> io::Result<()> {
        let before = (self.length, self.lines);
        self.append(lines)?;
        self.sync().inspect_err(|_| {
            (self.length, self.lines) = before;
            self.forget();
        })
    }

    /// A full disk takes half a line, and the next would follow it.
    fn forget(&self) {
        let _ = self.file.set_len(self.length);
    }

    /// Waits until everything is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        {
            self.waits += 1;
        }
        self.file.sync_data()?;
        if self.unnamed {
            sync_folder(&self.path)?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Puts these lines in the place of all others, in one step.
    pub(super) fn replace(&mut self, lines: &[Line]) -> io::Result<()> {
        // It may have gone with the file.
        make_folder(&self.path)?;
        let fresh = self.path.with_extension("journal.new");
        // Left by a daemon that died here: it never was the journal.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let bytes = bytes_of(lines)?;
        let write = || {
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&fresh)?;
            // Before anybody can find it: whoever opens it meets the lock.
            file.try_lock()?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            Ok(file)
        };
        self.file = write().inspect_err(|_: &io::Error| drop(fs::remove_file(&fresh)))?;
        self.length = bytes.len() as u64;
        self.lines = lines.len();
        self.unnamed = true;
        self.sync()
    }

    /// Whether the path still leads to this file, and the file is as long as what
    /// was written: somebody may have removed, replaced or emptied it.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        Ok(lock::is_at(&self.file, &self.path)? && self.file.metadata()?.len() == self.length)
    }

    /// Whether another process writes what is at the path by now.
    pub(super) fn is_anothers(&self) -> bool {
        let there = regular::open(File::options().read(true), &self.path);
        !lock::is_at(&self.file, &self.path).unwrap_or(false)
            && there.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Keeps what it holds under another name.
    pub(super) fn keep_as(&self, other: &Path) -> io::Result<()> {
        match fs::remove_file(other) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::hard_link(&self.path, other),
        }
    }

    /// Removes the file.
    pub(super) fn remove(self) -> io::Result<()> {
        lock::remove(&self.file, &self.path)
    }
}

fn bytes_of(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir),
        None => Ok(()),
    }
}

/// The lines of a journal. One without its end was being written when the daemon
/// died: what it announces was never done.
pub(super) fn whole_lines(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}

/// Makes the name of a new file outlive a power failure.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
