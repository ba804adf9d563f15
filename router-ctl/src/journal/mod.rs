//! What the daemon has done to the system, so that it can be undone.
//!
//! One file an instance, `STATE_DIR/NAME.journal`, of JSON lines. An effect is
//! written and synced *before* it is done, with what was there before; whatever
//! kills the daemon, `router-ctl down` finds everything it may have done.
//!
//! ```text
//! {"boot":"9f...","netns":4}                         which system this is about
//! {"id":1,"effect":{"did":"sysctl","name":...}}      about to be done
//! {"id":2,"effect":{"did":"sub-interface",...}}
//! {"id":2,"device":17}                               done: the device it made
//! {"id":1,"undone":true}                             undone, or not done after all
//! ```
//!
//! A journal of another boot or of another network namespace is about a system
//! that is gone (or not in reach): it is put aside as `NAME.journal.stale`.

mod effect;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use router_common::wire::IfIndex;
use serde::{Deserialize, Serialize};
use tracing::warn;

pub use self::effect::Effect;

/// An effect that is not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the journal.
    pub id: u64,
    /// What was done.
    pub effect: Effect,
    /// The device that it made.
    pub device: Option<IfIndex>,
}

/// An announced effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The number of the entry that undoes it.
    pub id: u64,
    /// `false`: the journal knew of an effect on the same thing already, and
    /// what was there before that.
    pub first: bool,
}

/// Which running system a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The kernel's boot id.
    pub boot: String,
    /// Cookie of the network namespace.
    pub netns: u64,
}

impl System {
    /// The one that this process is in.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn current() -> io::Result<Self> {
        Ok(Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?
                .trim()
                .to_owned(),
            netns: crate::sys::netns_cookie()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    System(System),
    Done { id: u64, effect: Effect },
    Made { id: u64, device: u32 },
    Undone { id: u64, undone: bool },
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A line that is not the last one makes no sense.
    #[error("{}:{line}: not a line of a journal", path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    next_id: u64,
}

impl Journal {
    /// Where the journal of `instance` is.
    #[must_use]
    pub fn path(state_dir: &Path, instance: &str) -> PathBuf {
        state_dir.join(format!("{instance}.journal"))
    }

    /// Opens the journal at `path`, or begins one.
    ///
    /// # Errors
    /// If it cannot be read or written, or makes no sense.
    pub fn open(path: &Path, system: &System) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let text = read_whole_lines(path).map_err(failed)?;
        let content = parse(&text).map_err(|line| Error::Corrupt {
            path: path.to_owned(),
            line,
        })?;
        Self::resume(path, &text, content, system).map_err(failed)
    }

    fn resume(path: &Path, text: &str, content: Content, system: &System) -> io::Result<Self> {
        let ours = content.about.as_ref() == Some(system);
        if !ours && !content.entries.is_empty() {
            let stale = path.with_extension("journal.stale");
            warn!(
                "the journal {} is about another boot or network namespace: kept as {}",
                path.display(),
                stale.display()
            );
            fs::rename(path, stale)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        file.set_len(if ours { text.len() as u64 } else { 0 })?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            entries: if ours { content.entries } else { Vec::new() },
            next_id: content.next_id,
        };
        if !ours {
            journal.write(&Line::System(system.clone()))?;
            sync_parent(path)?;
        }
        Ok(journal)
    }

    /// What is not undone, in the order in which it was done.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number that the next entry gets.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Announces an effect; do it after this.
    ///
    /// # Errors
    /// If it cannot be written: then do nothing.
    pub fn announce(&mut self, effect: Effect) -> Result<Announced, Error> {
        let known = self
            .entries
            .iter()
            .find(|entry| entry.effect.same_target(&effect));
        if let Some(entry) = known {
            return Ok(Announced {
                id: entry.id,
                first: false,
            });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.record(&Line::Done {
            id,
            effect: effect.clone(),
        })?;
        self.entries.push(Entry {
            id,
            effect,
            device: None,
        });
        Ok(Announced { id, first: true })
    }

    /// Notes which device an effect has made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn made(&mut self, id: u64, device: IfIndex) -> Result<(), Error> {
        self.record(&Line::Made {
            id,
            device: device.get(),
        })?;
        for entry in &mut self.entries {
            if entry.id == id {
                entry.device = Some(device);
            }
        }
        Ok(())
    }

    /// Notes that an effect is undone, or that it failed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn undone(&mut self, id: u64) -> Result<(), Error> {
        self.record(&Line::Undone { id, undone: true })?;
        self.entries.retain(|entry| entry.id != id);
        Ok(())
    }

    /// Ends a journal in which everything is undone.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn finish(self) -> Result<(), Error> {
        if self.entries.is_empty() {
            fs::remove_file(&self.path).map_err(|source| Error::Io {
                path: self.path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn record(&mut self, line: &Line) -> Result<(), Error> {
        self.write(line).map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)?;
        self.file.sync_data()
    }
}

/// What a journal says.
struct Content {
    about: Option<System>,
    entries: Vec<Entry>,
    next_id: u64,
}

/// The lines of the journal. One without its end was being written when the
/// daemon died: what it announces was never done.
fn read_whole_lines(path: &Path) -> io::Result<String> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    let mut text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}

/// `Err`: the number of the line that makes no sense, from 1.
fn parse(text: &str) -> Result<Content, usize> {
    let mut content = Content {
        about: None,
        entries: Vec::new(),
        next_id: 1,
    };
    for (line, number) in text.lines().zip(1_usize..) {
        content.read(line).ok_or(number)?;
    }
    Ok(content)
}

impl Content {
    fn read(&mut self, line: &str) -> Option<()> {
        match serde_json::from_str(line).ok()? {
            Line::System(system) => self.about = Some(system),
            Line::Done { id, effect } => {
                self.next_id = self.next_id.max(id + 1);
                self.entries.push(Entry {
                    id,
                    effect,
                    device: None,
                });
            }
            Line::Made { id, device } => {
                let entry = self.entries.iter_mut().find(|entry| entry.id == id)?;
                entry.device = Some(IfIndex::new(device));
            }
            Line::Undone { id, .. } => self.entries.retain(|entry| entry.id != id),
        }
        Some(())
    }
}

/// Makes the name of a new file outlive a power failure.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
