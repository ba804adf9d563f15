//! Network namespaces: one for a test's thread, or named ones that whole
//! machines are played in.
//!
//! * [`private`] moves the calling thread into a fresh namespace that is gone
//!   with it; what the thread spawns is inside, too.
//! * [`Netns`] is a named one, as `ip netns add` makes it, removed on drop.
//!
//! Commands are run by `nsenter --net`, never by `ip netns exec`: that one
//! remounts /sys, so a bpffs is hidden and pins are lost. The price is that
//! /sys/class/net shows another namespace's devices: use netlink (`ip -j`).
//! For the same reason nothing here reads /proc/net, which is the namespace of
//! the process' *first* thread: see [`proc_net`].

use std::{
    fs::{self, File},
    io::{self, Write as _},
    marker::PhantomData,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// Where `ip netns` keeps its names.
const DIRECTORY: &str = "/run/netns";

/// The namespace of the calling thread, not of the process.
const OWN: &str = "/proc/thread-self/ns/net";

/// Keeps a thread in its private namespace; on drop it moves back.
#[derive(Debug)]
pub struct Private {
    before: File,
    // Namespaces belong to threads: the guard must not leave this one.
    _not_send: PhantomData<*const ()>,
}

/// Moves the calling thread into a new, empty network namespace, with `lo` up.
/// Threads and processes that it starts from now on are inside as well.
///
/// # Errors
/// `PermissionDenied` where this user may not: tests skip then, and say so.
pub fn private() -> io::Result<Private> {
    let before = File::open(OWN)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let guard = Private {
        before,
        _not_send: PhantomData,
    };
    ip("link set lo up").map_err(io::Error::other)?;
    Ok(guard)
}

/// [`private`] for the test of this name; `None`, with the reason on a SKIP
/// line, where this user may not.
///
/// # Panics
/// When anything but permission is missing.
#[must_use]
pub fn private_or_skip(test: &str) -> Option<Private> {
    match private() {
        Ok(guard) => Some(guard),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("SKIP {test}: this user may not make network namespaces");
            None
        }
        Err(error) => panic!("{test}: {error}"),
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.before, CloneFlags::CLONE_NEWNET) {
            eprintln!("cannot leave a private network namespace: {error}");
        }
    }
}

/// A named namespace under /run/netns, removed on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    // Of the namespace itself, so that a thread gets in without the name.
    handle: File,
}

impl Netns {
    /// Makes a namespace of exactly this name, with `lo` up.
    ///
    /// # Errors
    /// Where the name is taken, or this user may not.
    pub fn create(name: &str) -> Result<Self> {
        ip(&format!("netns add {name}"))?;
        let path = Path::new(DIRECTORY).join(name);
        let handle = match File::open(&path) {
            Ok(handle) => handle,
            Err(error) => {
                delete(name)?;
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        let netns = Self {
            name: name.to_owned(),
            handle,
        };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// The name, as `ip netns` lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// The namespace for another thread, without the name: whoever has it does
    /// not remove it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn handle(&self) -> Result<Handle> {
        let handle = self.handle.try_clone();
        Ok(Handle(handle.context("cannot share a namespace")?))
    }

    /// Runs a closure on a thread of its own inside, and waits for it.
    ///
    /// # Errors
    /// Where the thread cannot be moved, and the closure's own.
    ///
    /// # Panics
    /// When the closure does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.handle).with_context(|| format!("cannot enter {}", self.name))?;
                work()
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a closure on a thread inside.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T>>> {
        let handle = self
            .handle
            .try_clone()
            .context("cannot share a namespace")?;
        let name = self.name.clone();
        thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                enter(&handle).with_context(|| format!("cannot enter {name}"))?;
                work()
            })
            .context("cannot start a thread")
    }

    /// A command inside. The child's process id is the program's own:
    /// `nsenter` becomes it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }

    /// [`ip`] inside.
    ///
    /// # Errors
    /// As [`ip`].
    pub fn ip(&self, words: &str) -> Result<String> {
        self.run(|| ip(words))
    }

    /// [`ip_batch`] inside.
    ///
    /// # Errors
    /// As [`ip_batch`].
    pub fn ip_batch(&self, lines: &str) -> Result<()> {
        self.run(|| ip_batch(lines))
    }

    /// [`sysctl`] inside.
    ///
    /// # Errors
    /// As [`sysctl`].
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| sysctl(key, value))
    }

    /// Removes the namespace, and says so if it cannot.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn delete(self) -> Result<()> {
        let result = delete(&self.name);
        // Dropping would try again, and complain.
        std::mem::forget(self);
        result
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// A namespace that somebody else will remove.
#[derive(Debug)]
pub struct Handle(File);

impl Handle {
    /// [`ip_batch`] inside; the calling thread is there from now on.
    ///
    /// # Errors
    /// As [`ip_batch`].
    pub fn ip_batch(self, lines: &str) -> Result<()> {
        enter(&self.0).context("cannot enter a namespace")?;
        ip_batch(lines)
    }
}

fn enter(handle: &File) -> io::Result<()> {
    Ok(setns(handle, CloneFlags::CLONE_NEWNET)?)
}

fn delete(name: &str) -> Result<()> {
    ip(&format!("netns del {name}")).map(drop)
}

/// What makes the names of one scene unlike those of every other: of another
/// process, and of another thread of this one.
#[must_use]
pub fn unique_suffix() -> String {
    static SCENES: AtomicU32 = AtomicU32::new(0);
    match SCENES.fetch_add(1, Ordering::Relaxed) {
        0 => process::id().to_string(),
        scene => format!("{}-{scene}", process::id()),
    }
}

/// Runs the `ip` tool with these words in the calling thread's namespace and
/// returns what it prints.
///
/// # Errors
/// Where `ip` fails; with the command and its own words.
pub fn ip(words: &str) -> Result<String> {
    run(Command::new("ip").args(words.split_whitespace()))
}

/// Runs lines of `ip` in one process; empty ones are ignored.
///
/// # Errors
/// Where `ip` refuses one; with its number and the lines.
pub fn ip_batch(lines: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C is for this process, which cleans up.
        .process_group(0)
        .spawn()
        .context("cannot run ip")?;
    let mut stdin = child.stdin.take().context("ip has no standard input")?;
    // An `ip` that stops at a bad line closes the pipe: its own words count.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    let done = child.wait_with_output().context("cannot wait for ip")?;
    ensure!(
        done.status.success(),
        "`ip -batch` failed: {}\nin these lines:\n{}",
        String::from_utf8_lossy(&done.stderr).trim(),
        lines.trim_end()
    );
    Ok(())
}

/// Runs a command and returns what it prints.
///
/// # Errors
/// Where it fails; with the command and its own words.
pub fn run(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|error| anyhow!("cannot run {}: {error}", words(command)))?;
    if !done.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            words(command),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Writes /proc/sys/net/KEY of the calling thread's namespace.
///
/// # Errors
/// Where the kernel refuses, or knows no such key.
pub fn sysctl(key: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys/net").join(key);
    fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
}

/// A file of the calling thread's /proc/net.
///
/// # Errors
/// Where there is none.
pub fn proc_net(file: &str) -> Result<String> {
    let path = Path::new("/proc/thread-self/net").join(file);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_namespaces_hold_children_and_end() {
        let outside = fs::read_link(OWN).unwrap();
        let Some(guard) = private_or_skip("private_namespaces_hold_children_and_end") else {
            return;
        };
        assert_ne!(fs::read_link(OWN).unwrap(), outside);
        ip("link add near type veth peer name far").unwrap();
        let links = ip("-o link show").unwrap();
        assert_eq!(links.lines().count(), 3, "{links}");
        assert!(proc_net("dev").unwrap().contains("far"));
        sysctl("ipv4/ip_forward", "1").unwrap();
        drop(guard);
        assert_eq!(fs::read_link(OWN).unwrap(), outside);
    }

    #[test]
    fn named_namespaces_are_entered_and_removed() {
        if private_or_skip("named_namespaces_are_entered_and_removed").is_none() {
            return;
        }
        let name = format!("netns-test-{}", unique_suffix());
        let netns = Netns::create(&name).unwrap();
        let path = netns.path();
        netns.ip("link add near type veth peer name far").unwrap();
        assert!(netns.run(|| proc_net("dev")).unwrap().contains("far"));
        let links = run(netns.command("ip").args(["-o", "link", "show"])).unwrap();
        assert!(
            links.contains("near") && links.contains("LOOPBACK,UP"),
            "{links}"
        );
        drop(netns);
        assert!(!path.exists());
    }

    #[test]
    fn a_refusal_of_ip_names_the_command_and_the_cause() {
        let error = ip("link show nosuchdevice").unwrap_err().to_string();
        assert!(
            error.contains("ip link show nosuchdevice") && error.contains("does not exist"),
            "{error}"
        );
        let error = ip_batch("link show lo\nlink show nosuchdevice\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("-:2"), "{error}");
    }
}
