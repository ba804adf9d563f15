//! Which configuration is in force and which was before it, kept through
//! restarts: `STATE_DIR/NAME.config.json`.
//!
//! The file of the user says what is *wanted*. What is in force may be
//! something else: an apply that nobody has confirmed yet, or whose time ran
//! out, or that was rolled back. A daemon that starts must not put into force
//! what has just locked its operator out, so it looks here first.
//!
//! Written before a configuration is put into force: a daemon that is killed
//! half-way finds at its next start what it was about to do.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::fail;
use crate::{
    clock, codes,
    config::{Config, Loaded},
    error::Error,
    regular,
};

/// A configuration, and when it was put into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    /// As [`Config::to_toml`] writes it.
    toml: String,
    /// Seconds since 1970.
    applied: u64,
}

impl Version {
    fn new(config: &Config, applied: u64) -> Self {
        Self {
            toml: config.to_toml(false),
            applied,
        }
    }
}

/// What is known of the configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// In force, or about to be.
    running: Option<Version>,
    /// Before that one.
    previous: Option<Version>,
    /// The previous one comes back at this time, seconds since 1970, unless it
    /// is confirmed.
    #[serde(default)]
    confirm_until: Option<u64>,
    /// What is not to be put into force by a restart, although the file says
    /// so: it was not confirmed, or rolled back.
    #[serde(default)]
    rejected: Option<String>,
}

/// The state file of one instance.
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    content: Content,
}

/// What a daemon starts with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) loaded: Loaded,
    /// Why it is not what the file says.
    pub(super) why: Option<Why>,
    /// Takes back what was noted, should nothing come of the start.
    pub(super) undo: Undo,
}

/// Why a daemon does not start with what its file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody had confirmed it when the daemon ended.
    Unconfirmed,
    /// Nobody has confirmed it in time.
    Expired,
    /// It was not confirmed in time, or was rolled back.
    Rejected,
}

impl Saved {
    /// Reads it. One that makes no sense is as good as none.
    pub(super) fn open(state_dir: &Path, instance: &str) -> Self {
        let path = state_dir.join(format!("{instance}.config.json"));
        let content = match regular::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                warn!(%error, "cannot make sense of {}", path.display());
                Content::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(%error, "cannot read {}", path.display());
                }
                Content::default()
            }
        };
        Self { path, content }
    }

    /// What to start with, given what the file says; noted as running.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub(super) fn start(&mut self, file: Loaded) -> Result<Start, Error> {
        let text = file.config.to_toml(false);
        let before = self.content.clone();
        let same = before
            .running
            .as_ref()
            .is_some_and(|running| running.toml == text);
        // A file that has been changed since is not what nobody has confirmed.
        let pending = before.confirm_until.is_some();
        let unconfirmed = pending && same;
        let rejected = before.rejected.as_ref() == Some(&text);
        let fallback = if unconfirmed {
            before.previous.as_ref()
        } else {
            before.running.as_ref().filter(|_| rejected)
        };
        if let Some(version) = fallback
            && let Some(loaded) = self.parse(&version.toml, &file.config)
        {
            let why = if unconfirmed {
                self.take_back();
                Why::Unconfirmed
            } else {
                Why::Rejected
            };
            self.save(&before)?;
            return Ok(Start {
                loaded,
                why: Some(why),
                undo: Undo(before),
            });
        }
        if !same {
            if !pending {
                self.content.previous = self.content.running.take();
            }
            self.content.running = Some(Version::new(&file.config, clock::now()));
        }
        self.content.confirm_until = None;
        self.content.rejected = None;
        self.save(&before)?;
        Ok(Start {
            loaded: file,
            why: None,
            undo: Undo(before),
        })
    }

    /// Notes that `config` is about to be put into force in place of `running`;
    /// with `confirm` seconds to confirm it.
    ///
    /// # Errors
    /// If it cannot be written: then nothing may be done.
    pub(super) fn begin(
        &mut self,
        running: &Config,
        config: &Config,
        confirm: Option<u64>,
    ) -> Result<Undo, Error> {
        let before = self.content.clone();
        let now = clock::now();
        let running = match self.content.running.take() {
            Some(version) if version.toml == running.to_toml(false) => version,
            _ => Version::new(running, now),
        };
        // What nobody has confirmed is not what to go back to.
        let unconfirmed = self.content.confirm_until.is_some() && confirm.is_some();
        let previous = self.content.previous.take().filter(|_| unconfirmed);
        self.content = Content {
            running: Some(Version::new(config, now)),
            previous: previous.or(Some(running)),
            confirm_until: confirm.map(|seconds| now.saturating_add(seconds)),
            rejected: None,
        };
        self.save(&before)?;
        Ok(Undo(before))
    }

    /// Notes that it has come to nothing.
    pub(super) fn abandon(&mut self, undo: Undo) {
        let during = std::mem::replace(&mut self.content, undo.0);
        if self.content == Content::default() {
            return self.remove();
        }
        if let Err(error) = self.save(&during) {
            warn!(%error, "cannot note that the configuration was not applied");
        }
    }

    /// Notes a change of the configuration in force that is no apply.
    pub(super) fn amend(&mut self, config: &Config) {
        let before = self.content.clone();
        if let Some(running) = &mut self.content.running {
            running.toml = config.to_toml(false);
        }
        if let Err(error) = self.save(&before) {
            warn!(%error, "cannot note the configuration in force");
        }
    }

    /// Nothing comes back by itself any more. `false`: nothing would have.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn confirm(&mut self) -> Result<bool, Error> {
        let before = self.content.clone();
        if self.content.confirm_until.take().is_none() {
            return Ok(false);
        }
        self.save(&before)?;
        Ok(true)
    }

    /// The configuration in force. `like`: where it came from.
    pub(super) fn running(&self, like: &Config) -> Option<Loaded> {
        self.parse(&self.content.running.as_ref()?.toml, like)
    }

    /// The configuration before the last apply. `like`: where it came from.
    pub(super) fn previous(&self, like: &Config) -> Option<Loaded> {
        self.parse(&self.content.previous.as_ref()?.toml, like)
    }

    /// Notes that the previous configuration is about to come back, and that
    /// the one in force is not to come again by a restart.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn go_back(&mut self) -> Result<Undo, Error> {
        let before = self.content.clone();
        self.take_back();
        self.save(&before)?;
        Ok(Undo(before))
    }

    fn take_back(&mut self) {
        let content = &mut self.content;
        std::mem::swap(&mut content.running, &mut content.previous);
        content.rejected = content
            .previous
            .as_ref()
            .map(|version| version.toml.clone());
        content.confirm_until = None;
        if let Some(running) = &mut content.running {
            running.applied = clock::now();
        }
    }

    /// Whether a restart would not take what the file said last.
    pub(super) fn is_rejecting(&self) -> bool {
        self.content.rejected.is_some()
    }

    /// When the configuration in force was put there, seconds since 1970.
    pub(super) fn applied(&self) -> Option<u64> {
        Some(self.content.running.as_ref()?.applied)
    }

    /// Until when it has to be confirmed, seconds since 1970.
    pub(super) fn confirm_until(&self) -> Option<u64> {
        self.content.confirm_until
    }

    /// Forgets everything: `down` leaves nothing behind.
    pub(super) fn remove(&mut self) {
        self.content = Content::default();
        for path in [&self.path, &self.unfinished()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(%error, "cannot remove {}", path.display());
                }
                _ => {}
            }
        }
    }

    /// What is being written; a daemon that is killed then leaves it.
    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("json.new")
    }

    fn parse(&self, toml: &str, like: &Config) -> Option<Loaded> {
        match Loaded::parse(&self.path.display().to_string(), toml) {
            Ok(mut loaded) => {
                loaded.config.source.clone_from(&like.source);
                Some(loaded)
            }
            Err(error) => {
                warn!(%error, "cannot go back to what {} holds", self.path.display());
                None
            }
        }
    }

    /// Writes it; what it was `before` stays, here and on the disk, if that
    /// fails.
    fn save(&mut self, before: &Content) -> Result<(), Error> {
        if self.content == *before && self.path.exists() {
            return Ok(());
        }
        self.write().map_err(|error| {
            self.content = before.clone();
            self.unwritable(&error)
                .help("make room there, or make it writable; nothing was changed")
        })
    }

    /// Writes it anew where somebody has removed it: without it the next start
    /// would take for confirmed what nobody has confirmed. Called now and then.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn provide(&self) -> Result<(), Error> {
        if self.content == Content::default() || self.path.exists() {
            return Ok(());
        }
        self.write().map_err(|error| {
            self.unwritable(&error)
                .help("make room there, or make it writable: it is written anew by itself")
        })?;
        warn!("{} was removed: written anew", self.path.display());
        Ok(())
    }

    fn unwritable(&self, error: &io::Error) -> Error {
        let what = format!("cannot write {}", self.path.display());
        fail::io(codes::STATE, what, error)
    }

    fn write(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.content)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let new = self.unfinished();
        // Left by a daemon that died here.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        File::open(folder)?.sync_all()
    }
}

/// What was noted before; see [`Saved::abandon`].
#[derive(Debug)]
pub(super) struct Undo(Content);

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(name: &str) -> Loaded {
        let text =
            format!("[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"{name}\"\nvlan = 7\n");
        Loaded::parse("router.toml", &text).unwrap()
    }

    fn config(name: &str) -> Config {
        loaded(name).config
    }

    fn previous(saved: &Saved) -> Option<Config> {
        Some(saved.previous(&Config::default())?.config)
    }

    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// As a daemon that starts finds it.
        fn open(&self) -> Saved {
            Saved::open(self.0.path(), "default")
        }

        /// A daemon starts with a file that says this: what it runs, and why.
        fn start(&self, file: &str) -> (String, Option<Why>) {
            let start = self.open().start(loaded(file)).unwrap();
            (start.loaded.config.networks[0].name.clone(), start.why)
        }
    }

    #[test]
    fn a_pipe_in_its_place_is_replaced() {
        let fixture = Fixture::new();
        let path = fixture.0.path().join("default.config.json");
        for place in [path.clone(), path.with_extension("json.new")] {
            regular::make_pipe(&place);
            assert_eq!(fixture.start("a"), ("a".into(), None));
            assert!(path.metadata().unwrap().is_file());
        }
    }

    #[test]
    fn a_start_takes_the_file() {
        let fixture = Fixture::new();
        assert_eq!(fixture.start("a"), ("a".into(), None));
        let applied = fixture.open().applied();
        assert!(applied.is_some());
        assert_eq!(fixture.start("a"), ("a".into(), None));
        assert_eq!(fixture.open().applied(), applied, "it was in force already");
        // Changed while the daemon was away: an apply like any other.
        assert_eq!(fixture.start("b"), ("b".into(), None));
        assert_eq!(previous(&fixture.open()), Some(config("a")));
    }

    #[test]
    fn an_unconfirmed_configuration_does_not_come_again() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        assert!(saved.confirm_until().is_some());
        // Killed: it starts with the previous one, and goes on doing so.
        assert_eq!(fixture.start("b"), ("a".into(), Some(Why::Unconfirmed)));
        assert_eq!(fixture.open().confirm_until(), None);
        assert_eq!(fixture.start("b"), ("a".into(), Some(Why::Rejected)));
        assert_eq!(fixture.start("b"), ("a".into(), Some(Why::Rejected)));
        // Until the file says something else.
        assert_eq!(fixture.start("c"), ("c".into(), None));
        assert_eq!(fixture.start("b"), ("b".into(), None));
    }

    #[test]
    fn what_is_removed_comes_back() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        fs::remove_file(&saved.path).unwrap();
        saved.provide().unwrap();
        assert_eq!(fixture.start("b"), ("a".into(), Some(Why::Unconfirmed)));
        // `down` leaves nothing, nor what a daemon that was killed has left.
        fs::write(fixture.0.path().join("default.config.json.new"), "{").unwrap();
        saved.remove();
        saved.provide().unwrap();
        assert_eq!(fs::read_dir(fixture.0.path()).unwrap().count(), 0);
    }

    /// What nobody has confirmed is the file as it was: one that was mended since
    /// is another.
    #[test]
    fn a_file_that_was_mended_is_taken() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        assert_eq!(fixture.start("c"), ("c".into(), None));
        assert_eq!(previous(&fixture.open()), Some(config("a")), "never b");
        assert_eq!(fixture.open().confirm_until(), None);
    }

    #[test]
    fn a_start_that_comes_to_nothing_is_forgotten() {
        let fixture = Fixture::new();
        let mut saved = fixture.open();
        let start = saved.start(loaded("a")).unwrap();
        saved.abandon(start.undo);
        assert!(!saved.path.exists(), "as if it had never been tried");
        fixture.start("a");
        let mut saved = fixture.open();
        let start = saved.start(loaded("b")).unwrap();
        saved.abandon(start.undo);
        let running = fixture.open().running(&Config::default());
        assert_eq!(running.map(|loaded| loaded.config), Some(config("a")));
    }

    #[test]
    fn a_confirmed_configuration_stays() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        assert!(!saved.confirm().unwrap(), "nothing to confirm");
        saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        assert!(fixture.open().confirm().unwrap());
        assert_eq!(fixture.start("b"), ("b".into(), None));
    }

    #[test]
    fn what_was_not_confirmed_is_not_what_to_go_back_to() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        saved.begin(&config("b"), &config("c"), Some(60)).unwrap();
        assert_eq!(previous(&saved), Some(config("a")));
        // Without a time limit it is meant to stay.
        saved.begin(&config("c"), &config("d"), None).unwrap();
        assert_eq!(previous(&saved), Some(config("c")));
    }

    #[test]
    fn back_and_forth() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), None).unwrap();
        assert_eq!(previous(&saved), Some(config("a")));
        saved.go_back().unwrap();
        assert_eq!(fixture.start("b"), ("a".into(), Some(Why::Rejected)));
        // The one before the last change is the one that was taken back.
        assert_eq!(previous(&fixture.open()), Some(config("b")));
        // Applying the file again is what the user wants.
        let mut saved = fixture.open();
        saved.begin(&config("a"), &config("b"), None).unwrap();
        assert_eq!(fixture.start("b"), ("b".into(), None));
    }

    #[test]
    fn an_apply_that_failed_leaves_no_trace() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        let undo = saved.begin(&config("a"), &config("b"), Some(60)).unwrap();
        saved.abandon(undo);
        let again = fixture.open();
        assert_eq!(again.content, saved.content);
        assert_eq!(again.confirm_until(), None);
        assert_eq!(previous(&again), None);
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let fixture = Fixture::new();
        fixture.start("a");
        let mut saved = fixture.open();
        // A folder in the way of the new file: root may write anywhere.
        fs::create_dir(fixture.0.path().join("default.config.json.new")).unwrap();
        let refused = saved.begin(&config("a"), &config("b"), None).unwrap_err();
        assert_eq!(refused.code, codes::STATE);
        assert_eq!(saved.content, fixture.open().content);
        assert_eq!(previous(&saved), None);
    }

    #[test]
    fn nonsense_is_as_good_as_nothing() {
        let fixture = Fixture::new();
        fs::write(fixture.0.path().join("default.config.json"), "{").unwrap();
        assert_eq!(fixture.start("a"), ("a".into(), None));
        fixture.open().remove();
        assert_eq!(fs::read_dir(fixture.0.path()).unwrap().count(), 0);
    }
}
