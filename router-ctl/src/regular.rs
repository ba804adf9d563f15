//! Opens files that should be regular ones, whatever is in their place: a pipe
//! without a writer would be waited for, for ever.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Opens with these options; never waits.
///
/// # Errors
/// If it cannot be opened, or is not a regular file (`InvalidInput`).
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    // Asked of the open file: the path may mean another one by now.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file; remove it",
        ))
    }
}

/// Reads a file to its end.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut open(OpenOptions::new().read(true), path)?, &mut bytes)?;
    Ok(bytes)
}

/// A pipe that nobody writes to.
#[cfg(test)]
pub(crate) fn make_pipe(path: &Path) {
    // Not by a program: until it runs, it holds the locks that others try.
    let owner = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(path, owner).unwrap();
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[test]
    fn what_is_no_file_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        make_pipe(&at("pipe"));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for name in ["folder", "pipe", "socket"] {
            assert!(read(&at(name)).is_err(), "{name}");
            let mut both = OpenOptions::new();
            both.read(true).append(true);
            assert!(open(&mut both, &at(name)).is_err(), "{name}");
        }
        let pipe = read(&at("pipe")).unwrap_err().to_string();
        assert_eq!(pipe, "it is not a regular file; remove it");
        fs::write(at("file"), "text").unwrap();
        assert_eq!(read(&at("file")).unwrap(), b"text");
    }
}
