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
//! What is undone makes the file longer, too: once most of it is that, it is
//! written anew ([`Journal::compact`]).
//!
//! A journal of another boot is about a system that is gone: it is put aside as
//! `NAME.journal.stale`. One of another network namespace of this boot is about
//! a system that may be alive and cannot be reached from here: it is left as it
//! is, and nothing is done.

mod effect;
mod store;
mod system;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use router_common::wire::IfIndex;
use serde::{Deserialize, Serialize};
use tracing::warn;

use self::store::Store;
pub use self::{effect::Effect, system::System};
use crate::regular;

/// Lines about what is undone that a journal carries along before it is written
/// anew.
const SPENT: usize = 1024;

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

    /// The line that says so.
    fn done(&self) -> Line {
        Line::Done {
            id: self.id,
            effect: self.effect.clone(),
            device: self.device.map(IfIndex::get),
        }
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
    /// Another process has it.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
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

/// An open journal. No other process can open it meanwhile: there is one daemon
/// an instance, whatever happens to the lock in `/run`.
#[derive(Debug)]
pub struct Journal {
    store: Store,
    system: System,
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
    /// If another process has it, it cannot be read or written, makes no sense, or
    /// is about another network namespace: then it is left as it is.
    pub fn open(path: &Path, system: &System) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let (store, text) = Store::open(path).map_err(|error| match error {
            TryLockError::Error(source) => failed(source),
            TryLockError::WouldBlock => Error::Locked {
                path: path.to_owned(),
            },
        })?;
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
        Self::resume(store, content, system).map_err(failed)
    }

    fn resume(store: Store, content: Content, system: &System) -> io::Result<Self> {
        let ours = content.about.as_ref() == Some(system);
        if !ours && !content.entries.is_empty() {
            let stale = store.path().with_extension("journal.stale");
            warn!(
                "the journal {} is about another boot: kept as {}",
                store.path().display(),
                stale.display()
            );
            store.keep_as(&stale)?;
        }
        let mut journal = Self {
            store,
            system: system.clone(),
            entries: if ours { content.entries } else { Vec::new() },
            next_id: content.next_id,
        };
        journal.store.trim()?;
        if !ours {
            let first = [Line::System(system.clone())];
            let begun = match journal.store.lines() {
                0 => journal.store.append_synced(&first),
                _ => journal.store.replace(&first),
            };
            if let Err(error) = begun {
                // Nothing was done: nothing is left either.
                if content.about.is_none() {
                    let _ = journal.store.remove();
                }
                return Err(error);
            }
        }
        journal.compact_if_worthwhile();
        Ok(journal)
    }

    /// What the journals of other instances hold of `system`. Those that make
    /// no sense are theirs to mend.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn of_others(&self, system: &System) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let own = self.store.path();
        let Some(dir) = own.parent() else {
            return Ok(entries);
        };
        let mut others: Vec<_> = fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|other| *other != own && other.extension().is_some_and(|ext| ext == "journal"))
            .collect();
        others.sort();
        for other in others {
            let open = regular::open(File::options().read(true), &other);
            let text = open.and_then(|mut file| store::whole_lines(&mut file));
            match text.map(|text| parse(&text)) {
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
        let mut announced = self.announce_all(vec![(effect, device)])?;
        // One effect, one answer.
        Ok(announced.swap_remove(0))
    }

    /// Announces several at once, with one wait for the disk; do them after this.
    ///
    /// # Errors
    /// If they cannot be written: then do none of them.
    pub fn announce_all(
        &mut self,
        effects: Vec<(Effect, Option<IfIndex>)>,
    ) -> Result<Vec<Announced>, Error> {
        let before = (self.entries.clone(), self.next_id);
        let mut lines = Vec::new();
        let mut announced = Vec::new();
        for (effect, device) in effects {
            announced.push(self.enter(effect, device, &mut lines));
        }
        if lines.is_empty() {
            return Ok(announced);
        }
        // As it was before: the lines are what is new.
        let entered = std::mem::replace(&mut self.entries, before.0);
        let next_id = std::mem::replace(&mut self.next_id, before.1);
        self.provide()?;
        let written = self.store.append_synced(&lines);
        written.map_err(|source| self.failed(source))?;
        (self.entries, self.next_id) = (entered, next_id);
        Ok(announced)
    }

    /// Enters an effect; what has to be written goes to `lines`.
    fn enter(
        &mut self,
        effect: Effect,
        device: Option<IfIndex>,
        lines: &mut Vec<Line>,
    ) -> Announced {
        let known = self
            .entries
            .iter_mut()
            .find(|entry| entry.is_about(&effect, device));
        if let Some(entry) = known {
            if entry.effect.becomes_configured(&effect) {
                entry.effect = effect;
                lines.push(entry.done());
            }
            return Announced {
                id: entry.id,
                first: false,
            };
        }
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry { id, effect, device };
        lines.push(entry.done());
        self.entries.push(entry);
        Announced { id, first: true }
    }

    /// Notes which device an effect has made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn made(&mut self, id: u64, device: IfIndex) -> Result<(), Error> {
        let line = Line::Made {
            id,
            device: device.get(),
        };
        let written = self.store.append_synced(&[line]);
        written.map_err(|source| self.failed(source))?;
        for entry in &mut self.entries {
            if entry.id == id {
                entry.device = Some(device);
            }
        }
        Ok(())
    }

    /// Notes that an effect is undone, or that it failed. It is on the disk after
    /// [`sync`](Self::sync), or with the next that is announced: until then a power
    /// failure leaves a journal by which it is undone again, which does no harm.
    ///
    /// # Errors
    /// If it cannot be written. It is undone all the same.
    pub fn undone(&mut self, id: u64) -> Result<(), Error> {
        self.entries.retain(|entry| entry.id != id);
        let written = self.store.append(&[Line::Undone { id, undone: true }]);
        written.map_err(|source| self.failed(source))
    }

    /// Has everything on the disk, and the file no longer than it need be.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn sync(&mut self) -> Result<(), Error> {
        let synced = self.store.sync();
        synced.map_err(|source| self.failed(source))?;
        self.compact_if_worthwhile();
        Ok(())
    }

    fn compact_if_worthwhile(&mut self) {
        let needed = self.entries.len() + 1;
        let spent = self.store.lines().saturating_sub(needed);
        // As many lines as there are entries: so each line is written anew once,
        // on the average.
        if spent < SPENT.max(needed) {
            return;
        }
        if let Err(error) = self.compact() {
            // The one that there is holds everything, too.
            warn!(%error, "the journal could not be made shorter");
        }
    }

    /// Writes the journal anew, without what is undone.
    fn compact(&mut self) -> io::Result<()> {
        let lines = self.needed();
        self.store.replace(&lines)
    }

    /// The lines that say what is not undone.
    fn needed(&self) -> Vec<Line> {
        let system = Line::System(self.system.clone());
        let entries = self.entries.iter().map(Entry::done);
        std::iter::once(system).chain(entries).collect()
    }

    /// Writes the file anew where somebody has removed, replaced or emptied it:
    /// what it held is still to be undone, by whoever comes after this daemon.
    /// Called now and then, as well as before anything is announced.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn provide(&mut self) -> Result<(), Error> {
        if self.store.is_whole().unwrap_or(false) {
            return Ok(());
        }
        let path = self.store.path().to_owned();
        if self.store.is_anothers() {
            return Err(Error::Locked { path });
        }
        self.compact().map_err(|source| self.failed(source))?;
        warn!("{} was removed or changed: written anew", path.display());
        Ok(())
    }

    /// Ends a journal in which everything is undone.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn finish(self) -> Result<(), Error> {
        if !self.entries.is_empty() {
            return Ok(());
        }
        let path = self.store.path().to_owned();
        let removed = self.store.remove();
        removed.map_err(|source| Error::Io { path, source })
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io {
            path: self.store.path().to_owned(),
            source,
        }
    }
}

/// What a journal says.
struct Content {
    about: Option<System>,
    entries: Vec<Entry>,
    next_id: u64,
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
