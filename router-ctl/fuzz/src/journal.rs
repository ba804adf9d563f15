//! A journal that a daemon finds when it starts.

use std::{cell::OnceCell, fs};

use router_ctl::journal::{Effect, Journal, System};
use tempfile::TempDir;

thread_local! {
    /// In memory where there is a place for it: each run syncs its file.
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

/// The bytes of the file, whatever was going on when they were written.
pub fn journal(data: &[u8]) -> bool {
    FOLDER.with(|cell| {
        let path = cell.get_or_init(folder).path().join("a.journal");
        fs::write(&path, data).expect("a file");
        let system = System {
            boot: "b".to_owned(),
            netns: 1,
            inode: 0,
        };
        let Ok(mut journal) = Journal::open(&path, &system) else {
            return false;
        };
        let found = journal.entries().to_vec();
        let effect = Effect::Up {
            interface: "fuzz0".to_owned(),
        };
        let announced = journal.announce(effect.clone(), None).expect("announced");
        let known = found.iter().any(|entry| entry.id == announced.id);
        assert_eq!(announced.first, !known, "a number is used once");
        let entries = journal.entries().to_vec();
        let next_id = journal.next_id();
        drop(journal);

        // A daemon that died here leaves the next one what it knew.
        let again = Journal::open(&path, &system).expect("what was written can be read");
        assert_eq!(again.entries(), entries);
        assert_eq!(again.next_id(), next_id);
        let there = again.entries().iter().any(|entry| entry.effect == effect);
        assert!(there, "it was announced");
        !found.is_empty()
    })
}
