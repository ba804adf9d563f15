//! Files that one process at a time holds: the kernel lets go of them however
//! that process ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::regular;

/// How often a file may be replaced while it is being locked.
const TRIES: usize = 16;

/// Opens the file at `path`, makes it where there is none (mode 0600), and locks
/// it.
///
/// Whoever waits with a file in hand that was removed or replaced meanwhile would
/// lock one that nobody else looks at: so the path is compared once the lock is
/// held. That is why the holder may remove the file.
///
/// # Errors
/// `WouldBlock`: another process has it.
pub(crate) fn lock(path: &Path) -> Result<File, TryLockError> {
    for _ in 0..TRIES {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = regular::open(&mut options, path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        if is_at(&file, path).map_err(TryLockError::Error)? {
            return Ok(file);
        }
    }
    Err(TryLockError::WouldBlock)
}

/// Whether `path` leads to this very file.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file that is locked, if it is still the one at `path`.
pub(crate) fn remove(file: &File, path: &Path) -> io::Result<()> {
    if is_at(file, path)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_whatever_becomes_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(TryLockError::WouldBlock)));
        remove(&first, &path).unwrap();
        // Another one, made while the first is still held.
        let second = lock(&path).unwrap();
        remove(&first, &path).unwrap();
        assert!(is_at(&second, &path).unwrap(), "it is not the first one's");
        drop(first);
        assert!(matches!(lock(&path), Err(TryLockError::WouldBlock)));
    }

    /// Each removes its lock when it is done: those who waited with that file in
    /// hand must not all believe that they hold it.
    #[test]
    fn a_removed_lock_is_nobodys() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(file) = lock(&path) else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        entered.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        remove(&file, &path).unwrap();
                    }
                });
            }
        });
        assert!(entered.load(Ordering::SeqCst) > 0);
    }
}
