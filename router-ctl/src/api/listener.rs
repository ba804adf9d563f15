//! The instance's socket: who may connect, and that there is one daemon.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::{
    codes,
    error::{Error, Kind},
    lock,
};

/// Where sockets live.
const RUN_DIR: &str = "/run/router-ctl";

/// Members of this group may read; see `server` for who may change.
const GROUP: &str = "router-ctl";

/// The socket of an instance.
#[must_use]
pub fn socket_path(instance: &str) -> PathBuf {
    Path::new(RUN_DIR).join(format!("{instance}.sock"))
}

/// The place of an instance's daemon, before it has a socket: a lock, which the
/// kernel lets go of however the process ends. A socket alone would not do: a
/// dead daemon's stays behind.
///
/// Whoever clears `/run` while a daemon runs takes this lock from it. The journal
/// (`journal`), which is locked as well, is what nobody removes without harm; it
/// is asked before the socket is replaced.
#[derive(Debug)]
pub struct Place {
    socket: PathBuf,
    path: PathBuf,
    file: File,
}

impl Place {
    /// Takes the place of `instance` in `dir`, or says which process has it.
    ///
    /// # Errors
    /// A daemon of that instance runs, or `dir` cannot be used.
    pub async fn take(dir: &Path, instance: &str) -> Result<Self, Error> {
        let socket = dir.join(format!("{instance}.sock"));
        let path = dir.join(format!("{instance}.lock"));
        provide(dir).map_err(|error| cannot_make(&socket, &error))?;
        match lock::lock(&path) {
            Ok(file) => Ok(Self { socket, path, file }),
            Err(TryLockError::WouldBlock) => Err(already_running(instance, &socket).await),
            Err(TryLockError::Error(error)) => Err(cannot_make(&socket, &error)),
        }
    }

    /// Opens the socket; a dead daemon's is replaced.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn listen(self) -> Result<Listener, Error> {
        let path = self.socket.clone();
        let opened = open(&path).and_then(|socket| Ok((socket, identity(&path)?)));
        let (socket, identity) = opened.map_err(|error| cannot_make(&path, &error))?;
        Ok(Listener {
            socket,
            path,
            identity,
            _place: self,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // While it is held, so that nobody gets one that is about to go. What is
        // left behind does no harm.
        let _ = lock::remove(&self.file, &self.path);
    }
}

/// A daemon's socket, removed when dropped. Holding one means being the only
/// daemon of its instance.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode: what is removed must be what was made.
    identity: (u64, u64),
    /// Held, never read. Declared last: the lock outlives the socket.
    _place: Place,
}

impl Listener {
    /// Opens the socket of `instance`, or says which process has it.
    ///
    /// # Errors
    /// A daemon of that instance runs, or the socket cannot be made.
    pub async fn bind(instance: &str) -> Result<Self, Error> {
        Self::bind_in(Path::new(RUN_DIR), instance).await
    }

    /// As [`Listener::bind`], with the socket in `dir`.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_in(dir: &Path, instance: &str) -> Result<Self, Error> {
        Place::take(dir, instance).await?.listen()
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the socket anew where somebody has removed it: nobody could reach
    /// the daemon any more, not even to end it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is there, or somebody else's is.
            _ => return Ok(()),
        }
        if let Some(dir) = self.path.parent() {
            provide(dir)?;
        }
        let socket = open(&self.path)?;
        self.identity = identity(&self.path)?;
        self.socket = socket;
        Ok(())
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            // It may fail where somebody removed the directory: then it is gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn provide(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Makes the socket under another name and renames it into place: so nobody
/// sees it with wider permissions than it should have, and a dead daemon's is
/// replaced in one step.
fn open(path: &Path) -> io::Result<UnixListener> {
    let fresh = path.with_extension("sock.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&fresh)?;
    let publish = || {
        if let Some(gid) = group_id(&fs::read_to_string("/etc/group").unwrap_or_default()) {
            chown(&fresh, None, Some(gid))?;
        }
        fs::set_permissions(&fresh, Permissions::from_mode(0o660))?;
        fs::rename(&fresh, path)
    };
    publish().inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    Ok(socket)
}

/// The number of our group in `/etc/group`. A group that only NSS knows does
/// not count: asking NSS needs the C library, and a system group is local.
fn group_id(groups: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?
    })
}

async fn already_running(instance: &str, path: &Path) -> Error {
    // The peer of a connection is the process that called listen.
    let pid = match UnixStream::connect(path).await {
        Ok(stream) => stream.peer_cred().ok().and_then(|cred| cred.pid()),
        Err(_) => None,
    };
    let by = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    Error::new(
        Kind::Failed,
        codes::ALREADY_RUNNING,
        format!("instance {instance} is already running{by}"),
    )
    .help(format!(
        "stop it with `router-ctl --instance {instance} down`, or give this one a name of its own with --instance"
    ))
}

fn cannot_make(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::NotPermitted,
        _ => Kind::Failed,
    };
    let failed = Error::new(
        kind,
        codes::SOCKET,
        format!("cannot make the socket {}", path.display()),
    )
    .cause(error);
    match kind {
        Kind::NotPermitted => failed.help("the daemon needs root: run it with sudo"),
        _ if path.is_dir() => failed.help(format!(
            "a folder is in its place; if nobody needs it: rm -r {}",
            path.display()
        )),
        _ => failed.help(format!(
            "see what is there: ls -ld {}; and whether the disk is full: df /run",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_daemon_an_instance() {
        let dir = tempfile::tempdir().unwrap();
        let first = Listener::bind_in(dir.path(), "a").await.unwrap();
        let mode = fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);

        let refused = Listener::bind_in(dir.path(), "a").await.unwrap_err();
        assert_eq!(refused.code, codes::ALREADY_RUNNING);
        let pid = std::process::id();
        assert_eq!(
            refused.message,
            format!("instance a is already running (pid {pid})")
        );
        Listener::bind_in(dir.path(), "b").await.unwrap();

        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists(), "the socket goes with its daemon");
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 0, "and so does its lock");
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_daemon_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).await.is_err());
        let _alive = Listener::bind_in(dir.path(), "a").await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_is_removed_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let mut listener = Listener::bind_in(&run, "a").await.unwrap();
        let path = listener.path().to_owned();
        fs::remove_dir_all(&run).unwrap();
        assert!(UnixStream::connect(&path).await.is_err());
        listener.mend().unwrap();
        let _peer = UnixStream::connect(&path).await.unwrap();
        listener.accept().await.unwrap();
        // One that is there is left alone.
        let before = listener.identity;
        listener.mend().unwrap();
        assert_eq!(listener.identity, before);
        drop(listener);
        assert!(!path.exists(), "the new one goes with its daemon, too");
    }

    #[tokio::test]
    async fn anothers_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind_in(dir.path(), "a").await.unwrap();
        let path = listener.path().to_owned();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[test]
    fn groups() {
        let groups = "root:x:0:\nrouter-ctl-x:x:7:\nrouter-ctl:x:998:alice,bob\n";
        assert_eq!(group_id(groups), Some(998));
        assert_eq!(group_id("root:x:0:\n"), None);
        assert_eq!(group_id("router-ctl:x\n"), None);
    }
}
