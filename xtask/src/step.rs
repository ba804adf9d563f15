//! Telling what happens: headlines, and long commands that run quietly into a
//! log while a line every few seconds shows that they live.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// A line every so often while a long command runs.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(25);

/// How much of a log is shown when its command failed.
const TAIL_LINES: usize = 25;

/// `==> text`, bold on a terminal.
pub(crate) fn headline(text: &str) {
    let mut out = io::stdout().lock();
    // A closed pipe is no reason to stop working.
    let _ = if out.is_terminal() {
        writeln!(out, "\x1b[1m==> {text}\x1b[0m")
    } else {
        writeln!(out, "==> {text}")
    };
    let _ = out.flush();
}

/// An indented line below a headline.
pub(crate) fn note(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "    {text}");
    let _ = out.flush();
}

/// Seconds with one digit, or minutes.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{} min {:02} s",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        )
    }
}

/// What a quiet command left.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) log: PathBuf,
}

impl Finished {
    pub(crate) fn text(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of the log, for a failure.
    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// Runs a command that must succeed; shows the end of its output otherwise.
pub(crate) fn quiet(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    headline(what);
    let finished = into_log(what, command)?;
    if !finished.status.success() {
        eprintln!("{}", finished.tail());
        bail!(
            "{what}: {} ({}); the whole output is in {}",
            command.get_program().to_string_lossy(),
            finished.status,
            finished.log.display()
        );
    }
    if started.elapsed() > HEARTBEAT {
        note(&format!("done in {}", seconds(started.elapsed())));
    }
    Ok(())
}

/// Runs a command into a log named after `what`, with heartbeats; its exit
/// status is the caller's to judge.
pub(crate) fn into_log(what: &str, command: &mut Command) -> Result<Finished> {
    let log = log_path(what);
    let file = create(&log)?;
    let both = file
        .try_clone()
        .with_context(|| format!("cannot share {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    let started = Instant::now();
    let mut next = HEARTBEAT;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            break status;
        }
        thread::sleep(POLL);
        if started.elapsed() >= next {
            next += HEARTBEAT;
            note(&format!(
                "{:>4} s  {}",
                started.elapsed().as_secs(),
                last_line(&log)
            ));
        }
    };
    Ok(Finished { status, log })
}

fn log_path(what: &str) -> PathBuf {
    let name: String = what
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = name.join("-").to_lowercase();
    name.truncate(60);
    paths::work().join("log").join(name + ".log")
}

fn create(path: &Path) -> Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// The last thing a command said, short enough for one line.
fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2048)..]);
    let line = text
        .split(['\n', '\r'])
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("still at it");
    line.chars().take(90).collect()
}
