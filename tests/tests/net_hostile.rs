//! Whoever reads what the daemon writes does it no harm: a log that nobody
//! reads, that cannot be written, whose reader goes away.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use router_tests::{
    hitless::until,
    lab::{Lab, slow},
    router_daemon::RouterDaemon,
};
use tempfile::TempDir;

/// A daemon that is to log there.
fn logging_to(test: &str, log: &Path) -> Option<(Lab, RouterDaemon)> {
    let lab = Lab::or_skip(test, 2)?;
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], "")).unwrap();
    let log = log.to_str().unwrap();
    // It becomes the daemon.
    daemon.through(["sh", "-c", "exec \"$@\" 2>\"$0\"", log]);
    Some((lab, daemon))
}

/// A pipe with a name, and an end of it that neither waits nor has to be read.
struct Pipe {
    end: File,
    path: PathBuf,
    _directory: TempDir,
}

impl Pipe {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let end = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        Self {
            end,
            path,
            _directory: directory,
        }
    }

    /// From now on who writes waits.
    fn fill(&mut self) {
        let pages = [[0; 4096].as_slice(), &[0]];
        for bytes in pages {
            while self.writes(bytes) {}
        }
    }

    fn writes(&mut self, bytes: &[u8]) -> bool {
        match self.end.write(bytes) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// All that is in it.
    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        let end = self.end.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Its own writing of what went wrong with the log was a panic.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let test = "a_log_that_cannot_be_written_ends_nothing";
    let Some((_lab, mut daemon)) = logging_to(test, Path::new("/dev/full")) else {
        return;
    };
    daemon.start().unwrap();
    daemon.call(&["config", "apply"]).unwrap();
    daemon.terminate().unwrap();
    // An error at its end is still its own.
    daemon.write_config("[[trunk]]\n").unwrap();
    daemon.spawn().unwrap();
    assert_eq!(daemon.wait_ended().unwrap().code(), Some(2));
}

/// Starts a daemon, and reads its log until it says that it forwards.
fn start_and_read(daemon: &mut RouterDaemon, pipe: &mut Pipe) {
    daemon.start().unwrap();
    until("the log to say so", || {
        Ok(pipe.text().contains("forwarding"))
    });
}

/// `run 2>&1 | head -1`
#[test]
fn a_reader_of_the_log_that_goes_away_ends_nothing() {
    let test = "a_reader_of_the_log_that_goes_away_ends_nothing";
    let mut pipe = Pipe::new();
    let Some((lab, mut daemon)) = logging_to(test, &pipe.path) else {
        return;
    };
    start_and_read(&mut daemon, &mut pipe);
    drop(pipe);
    daemon.write_config(&lab.config(&[0], "")).unwrap();
    daemon.call(&["config", "apply"]).unwrap();
    let networks = daemon.json(&["networks"]).unwrap();
    assert_eq!(networks.as_array().unwrap().len(), 1, "{networks}");
    daemon.terminate().unwrap();
}

/// A terminal at Ctrl-S, a journald that stands still.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let test = "a_log_that_nobody_reads_holds_nothing_up";
    let mut pipe = Pipe::new();
    let Some((lab, mut daemon)) = logging_to(test, &pipe.path) else {
        return;
    };
    start_and_read(&mut daemon, &mut pipe);
    pipe.fill();
    daemon.write_config(&lab.config(&[0], "")).unwrap();
    daemon.call(&["config", "apply"]).unwrap();
    daemon.call(&["status"]).unwrap();
    let started = Instant::now();
    daemon.terminate().unwrap();
    let took = started.elapsed();
    assert!(slow() || took < Duration::from_secs(5), "{took:?}");
    // Nor does an error at its end wait.
    daemon.write_config("[[trunk]]\n").unwrap();
    daemon.spawn().unwrap();
    assert_eq!(daemon.wait_ended().unwrap().code(), Some(2));
}

/// What was logged last is read after the end, too.
#[test]
fn the_last_lines_of_the_log_are_there() {
    let Some((_lab, mut daemon)) =
        router_tests::hitless::forwarding("the_last_lines_of_the_log_are_there", "")
    else {
        return;
    };
    daemon.terminate().unwrap();
    let text = daemon.log_text();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("info  SIGTERM: ending"), "{text}");
    daemon.start().unwrap();
    daemon.down().unwrap();
    let text = daemon.log_text();
    assert!(
        text.contains("\ninfo  down: putting everything back\n"),
        "{text}"
    );
}
