//! What the daemon has done to the system, so that it can be undone.
//!
//! One file an instance, `STATE_DIR/NAME.journal`, of JSON lines. An effect is
//! written and synced *before* it is done, with what was there before; whatever
//! kills the daemon, `router-ctl down` finds everything it may have done.
//!
//! ```text
//! {"boot":"9f...","netns":4}                         which system this is about
//! {"id":1,"effect":{"did":"sysctl","name":...}}      about to be done
//! {"id":2,"effect":{"did":"up",...},"device":2}      on the device of this number
//! {"id":3,"effect":{"did":"sub-interface",...}}
//! {"id":3,"device":17}                               done: the device it made
//! {"id":1,"undone":true}                             undone, or not done after all
//! ```
//!
//! A journal of another boot is about a system that is gone: it is put aside as
//! `NAME.journal.stale`. One of another network namespace of this boot is about
//! a system that may be alive and cannot be reached from here: it is left as it
//! is, and nothing is done.

mod effect;
mod system;
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

pub use self::{effect::Effect, system::System};

/// An effect that is not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the journal.
    pub id: u64,
    /// What was done.
    pub effect: Effect,
    /// The device that it made, or the one that it was done to: names may be
    /// given anew, numbers are not.
    pub device: Option<IfIndex>,
}

impl Entry {
    /// Whether it is an effect on the same thing. A device of the same name
    /// and another number is another device.
    #[must_use]
    pub fn is_about(&self, effect: &Effect, device: Option<IfIndex>) -> bool {
        let same_device = match (self.device, device) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        same_device && self.effect.same_target(effect)
    }
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

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    System(System),
    Done {
        id: u64,
        effect: Effect,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
    },
    Made {
        id: u64,
        device: u32,
    },
    Undone {
        id: u64,
        undone: bool,
    },
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
    /// It is about another network namespace.
    #[error("{} is about another network namespace", path.display())]
    Elsewhere {
        /// The journal.
        path: PathBuf,
        /// Where that namespace can be entered, if it can be found.
        at: Option<String>,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in it.
    length: u64,
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
    /// If it cannot be read or written, makes no sense, or is about another
    /// network namespace: then it is left as it is.
    pub fn open(path: &Path, system: &System) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        make_folder(path).map_err(failed)?;
        let text = read_whole_lines(path).map_err(failed)?;
        let content = parse(&text).map_err(|line| Error::Corrupt {
            path: path.to_owned(),
            line,
        })?;
        let elsewhere = content
            .about
            .as_ref()
            .filter(|about| about.boot == system.boot && *about != system);
        if let Some(about) = elsewhere
            && !content.entries.is_empty()
        {
            return Err(Error::Elsewhere {
                path: path.to_owned(),
                at: about.find(),
            });
        }
        Self::resume(path, &text, content, system).map_err(failed)
    }

    fn resume(path: &Path, text: &str, content: Content, system: &System) -> io::Result<Self> {
        let ours = content.about.as_ref() == Some(system);
        if !ours && !content.entries.is_empty() {
            let stale = path.with_extension("journal.stale");
            warn!(
                "the journal {} is about another boot: kept as {}",
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
        let length = if ours { text.len() as u64 } else { 0 };
        file.set_len(length)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            length,
            entries: if ours { content.entries } else { Vec::new() },
            next_id: content.next_id,
        };
        if !ours {
            let begun = journal.write(&Line::System(system.clone()));
            if let Err(error) = begun.and_then(|()| sync_parent(path)) {
                // Nothing was done: nothing is left either.
                let _ = fs::remove_file(path);
                return Err(error);
            }
        }
        Ok(journal)
    }

    /// What the journals of other instances hold of `system`. Those that make
    /// no sense are theirs to mend.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn of_others(&self, system: &System) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let Some(dir) = self.path.parent() else {
            return Ok(entries);
        };
        let mut others: Vec<_> = fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|other| {
                *other != self.path && other.extension().is_some_and(|ext| ext == "journal")
            })
            .collect();
        others.sort();
        for other in others {
            match read_whole_lines(&other).map(|text| parse(&text)) {
                Ok(Ok(content)) if content.about.as_ref() == Some(system) => {
                    entries.extend(content.entries);
                }
                Ok(Ok(_)) => {}
                _ => warn!("cannot read the journal {}", other.display()),
            }
        }
        Ok(entries)
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

    /// Announces an effect; do it after this. `device`: the number of the device
    /// that it is to be done to.
    ///
    /// # Errors
    /// If it cannot be written: then do nothing.
    pub fn announce(
        &mut self,
        effect: Effect,
        device: Option<IfIndex>,
    ) -> Result<Announced, Error> {
        let known = self
            .entries
            .iter()
            .position(|entry| entry.is_about(&effect, device));
        if let Some(at) = known {
            let id = self.entries[at].id;
            if self.entries[at].effect.becomes_configured(&effect) {
                self.record_done(id, &effect, device)?;
                self.entries[at].effect = effect;
            }
            return Ok(Announced { id, first: false });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.record_done(id, &effect, device)?;
        self.entries.push(Entry { id, effect, device });
        Ok(Announced { id, first: true })
    }

    fn record_done(
        &mut self,
        id: u64,
        effect: &Effect,
        device: Option<IfIndex>,
    ) -> Result<(), Error> {
        self.record(&Line::Done {
            id,
            effect: effect.clone(),
            device: device.map(IfIndex::get),
        })
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
    /// If it cannot be written. It is undone all the same; a daemon that dies
    /// now leaves a journal by which it is undone again, which does no harm.
    pub fn undone(&mut self, id: u64) -> Result<(), Error> {
        self.entries.retain(|entry| entry.id != id);
        self.record(&Line::Undone { id, undone: true })
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
        let written = self.file.write_all(&bytes);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // A full disk takes half a line, and the next would follow it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// What a journal says.
struct Content {
    about: Option<System>,
    entries: Vec<Entry>,
    next_id: u64,
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

/// The lines of the journal. One without its end was being written when the
/// daemon died: what it announces was never done.
fn read_whole_lines(path: &Path) -> io::Result<String> {
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
            Line::Done { id, effect, device } => {
                // No daemon counts that far, and there must be a next one.
                if id > u64::MAX / 2 {
                    return None;
                }
                self.next_id = self.next_id.max(id + 1);
                let device = device.map(IfIndex::new);
                match self.entries.iter_mut().find(|entry| entry.id == id) {
                    Some(entry) => entry.effect = effect,
                    None => self.entries.push(Entry { id, effect, device }),
                }
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
