//! `cargo xtask vm`, and what boots every other task's virtual machines: a
//! Debian kernel out of our cache, on this machine's own root file system,
//! read-only, by virtme-ng.
//!
//! Success is what the guest prints, never virtme-ng's exit status: that one
//! is about qemu. A guest that hangs is ended by its own time limit and, if
//! that fails, from outside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Kernel, Need};
use crate::{paths, process, step};

/// Boot a Debian kernel on this machine's root file system and run a command in it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which kernel: 5.10, 6.1, 6.12 or newest
    #[arg(long, value_name = "KERNEL", default_value = "6.12")]
    kernel: Kernel,
    /// End the machine after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    limit: u64,
    /// The command; without one, a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the guest's script prints before the command and after it. The second
/// is printed twice, as a kernel message may run into a line of the console.
const BEGIN: &str = "xtask-guest: begin";
const EXIT: &str = "xtask-guest: exit ";

/// Where the guest has a file system of its own, so that files of the host
/// cannot be seen.
const HIDDEN: &[&str] = &["/var/tmp", "/var/cache", "/var/log", "/run", "/dev/shm"];

/// KVM boots in a few seconds or, on some hosts, hangs.
const KVM_PROBE_LIMIT: Duration = Duration::from_secs(30);

/// How coreutils' `timeout` says that it had to end its command.
const TIMED_OUT: i32 = 124;

/// From the time limit inside the guest to the one outside: boot and shutdown
/// under software emulation.
const MARGIN: Duration = Duration::from_secs(120);

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if args.command.is_empty() {
        return shell(args.kernel, "true");
    }
    let limit = Duration::from_secs(args.limit);
    let outcome = run(args.kernel, &args.command, limit, &mut echo)?;
    let status = outcome.status()?;
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// Passes a guest's line on to our own output.
pub(crate) fn echo(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// How a guest ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The exit status of the command, if the guest came to print it.
    exit: Option<i32>,
    /// The command was started.
    begun: bool,
    /// An empty line was read and not shown yet.
    blank: bool,
    timed_out: bool,
    /// The last lines of the console, for a guest that did not get there.
    console: VecDeque<String>,
}

impl Outcome {
    /// The command's exit status, or why there is none.
    pub(crate) fn status(&self) -> Result<i32> {
        if self.exit == Some(TIMED_OUT) {
            bail!("the command in the virtual machine took too long and was ended");
        }
        if let Some(status) = self.exit {
            return Ok(status);
        }
        let console: Vec<&str> = self.console.iter().map(String::as_str).collect();
        let console = console.join("\n  ");
        match (self.begun, self.timed_out) {
            (false, true) => {
                bail!("the virtual machine did not boot in time; it said:\n  {console}")
            }
            (false, false) => bail!("the virtual machine did not boot; it said:\n  {console}"),
            (true, true) => bail!("the command in the virtual machine took too long and was ended"),
            (true, false) => bail!(
                "the virtual machine went down before the command ended; it said:\n  {console}"
            ),
        }
    }
}

/// Boots a kernel, runs a command as root in it, hands every line it prints
/// to `on_line`.
pub(crate) fn run(
    kernel: Kernel,
    command: &[OsString],
    limit: Duration,
    on_line: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    setup::ensure(&[Need::Vm(kernel)])?;
    let kvm = kvm_works(kernel)?;
    step::headline(&format!(
        "booting Linux {} ({})",
        setup::kernel_version(kernel)?,
        if kvm {
            "KVM"
        } else {
            "software emulation: about ten times slower than this machine"
        }
    ));
    let limits = Limits {
        inside: limit,
        outside: limit + MARGIN,
    };
    boot(kernel, command, limits, kvm, on_line)
}

/// A shell in the guest, after `first` has run there: for `--keep`.
pub(crate) fn shell(kernel: Kernel, first: &str) -> Result<ExitCode> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "a shell in a virtual machine needs a terminal, and this is none\n\
             help: give a command (`cargo xtask vm -- COMMAND`), or leave out --keep"
        );
    }
    setup::ensure(&[Need::Vm(kernel)])?;
    let kvm = kvm_works(kernel)?;
    let script = write_script(
        "shell",
        &format!(
            "{PRELUDE}{first}\necho\necho 'A shell in the virtual machine; exit ends it.'\n\
         exec bash --norc -i\n"
        ),
    )?;
    let status = vng(kernel, kvm)?
        .arg("--shell")
        .arg(&script)
        .status()
        .context("cannot run vng")?;
    let _ = fs::remove_file(script);
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Each guest starts with this: bpffs, loopback, and the modules that a
/// kernel of a distribution loads by itself only where udev runs.
const PRELUDE: &str = "#!/bin/bash\n\
    export HOME=/root PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n\
    mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf\n\
    ip link set lo up\n\
    modprobe -q -a 8021q macvlan veth bridge nf_tables nf_conntrack sch_tbf\n";

/// Tells tests that seconds are not what they are elsewhere.
const SLOW: &str = "export ROUTER_TESTS_SLOW=1\n";

/// A guest's command is ended by the guest, a guest from outside.
#[derive(Clone, Copy)]
struct Limits {
    inside: Duration,
    outside: Duration,
}

fn boot(
    kernel: Kernel,
    command: &[OsString],
    limits: Limits,
    kvm: bool,
    on_line: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let words: Vec<String> = command
        .iter()
        .map(|word| quote(&word.to_string_lossy()))
        .collect();
    let script = write_script(
        "boot",
        &format!(
            "{PRELUDE}{slow}cd {root}\necho\necho '{BEGIN}'\n\
         timeout --kill-after=10 {limit} {words}\nstatus=$?\n\
         for i in 1 2; do echo; echo \"{EXIT}$status\"; done\n",
            slow = if kvm { "" } else { SLOW },
            root = quote(&paths::root().to_string_lossy()),
            limit = limits.inside.as_secs(),
            words = words.join(" "),
        ),
    )?;

    // One pipe for both streams. With udev in the guest its output comes on
    // ports of its own, without udev on the console, which is stderr.
    let (reader, writer) = io::pipe().context("cannot create a pipe")?;
    let mut child = vng(kernel, kvm)?
        .args(["--verbose", "--append", "loglevel=4", "--"])
        .arg("bash")
        .arg(&script)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot share a pipe")?)
        .stderr(writer)
        .spawn()
        .context("cannot run vng")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            if sender.send(text.trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });

    let mut outcome = Outcome::default();
    let mut deadline = Instant::now() + limits.outside;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                if take_line(&mut outcome, &line, on_line) {
                    // It only has to power off now.
                    deadline = deadline.min(Instant::now() + Duration::from_secs(20));
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if child.try_wait().context("cannot wait for vng")?.is_some() {
            break;
        }
        if Instant::now() >= deadline {
            outcome.timed_out = outcome.exit.is_none();
            process::kill_tree(child.id());
            break;
        }
    }
    child.wait().context("cannot wait for vng")?;
    let _ = fs::remove_file(script);
    Ok(outcome)
}

/// Sorts one line of the guest; true when it is the last that matters.
fn take_line(outcome: &mut Outcome, line: &str, on_line: &mut dyn FnMut(&str)) -> bool {
    if outcome.exit.is_some() {
        return false;
    }
    if let Some(status) = line.strip_prefix(EXIT) {
        outcome.exit = status.trim().parse().ok();
        return outcome.exit.is_some();
    }
    if line == BEGIN {
        outcome.begun = true;
        outcome.console.clear();
        return false;
    }
    if outcome.begun {
        // Held back: the one before the exit line is the script's.
        if mem::take(&mut outcome.blank) {
            on_line("");
        }
        if line.is_empty() {
            outcome.blank = true;
        } else {
            on_line(line);
        }
    }
    if outcome.console.len() == 30 {
        outcome.console.pop_front();
    }
    if !line.is_empty() {
        outcome.console.push_back(line.to_owned());
    }
    false
}

/// The call that boots a kernel; what to run in it is the caller's to add.
fn vng(kernel: Kernel, kvm: bool) -> Result<Command> {
    let venv = setup::vng_bin()?;
    let mut command = Command::new(venv.join("vng"));
    command
        // vng calls virtme-run by name.
        .env("PATH", paths::path_with(&[&venv]))
        .current_dir(paths::root())
        .arg("--run")
        .arg(setup::kernel_image(kernel)?)
        .arg("--busybox")
        .arg(setup::busybox()?)
        // virtiofsd may be there and not work; 9p always does.
        .arg("--force-9p")
        .args(["--cpus", "2", "--memory", "2G", "--user", "root"]);
    if !kvm {
        command.arg("--disable-kvm");
    }
    for dir in [paths::root(), paths::target(), setup::cache()?] {
        if HIDDEN.iter().any(|hidden| dir.starts_with(hidden)) {
            command.arg(format!("--rodir={}", dir.display()));
        }
    }
    Ok(command)
}

/// Whether this kernel boots with KVM here; found out once, by trying.
fn kvm_works(kernel: Kernel) -> Result<bool> {
    let device = Path::new("/dev/kvm");
    if fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .is_err()
    {
        return Ok(false);
    }
    let host = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let question = format!("{} on {}", setup::kernel_version(kernel)?, host.trim());
    let file: PathBuf = setup::cache()?.join(format!("kvm-{kernel}"));
    let remembered = fs::read_to_string(&file).unwrap_or_default();
    match remembered.strip_prefix(&question).map(str::trim) {
        Some("works") => return Ok(true),
        Some("fails") => return Ok(false),
        _ => {}
    }
    step::headline(&format!(
        "trying KVM with Linux {} ({} s at most; asked once)",
        setup::kernel_version(kernel)?,
        KVM_PROBE_LIMIT.as_secs()
    ));
    let limits = Limits {
        inside: KVM_PROBE_LIMIT,
        outside: KVM_PROBE_LIMIT,
    };
    let outcome = boot(kernel, &["true".into()], limits, true, &mut |_| ())?;
    let works = outcome.exit == Some(0);
    step::note(if works {
        "KVM works"
    } else {
        "the kernel does not boot with KVM on this machine: software emulation it is"
    });
    let answer = if works { "works" } else { "fails" };
    fs::write(&file, format!("{question} {answer}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(works)
}

/// Writes a script where both the host and the guest see it.
pub(crate) fn write_script(name: &str, text: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = paths::work();
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("guest-{name}-{}.sh", std::process::id()));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))?;
    Ok(path)
}

/// A word for the shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(lines: &[&str]) -> (Outcome, Vec<String>) {
        let mut outcome = Outcome::default();
        let mut shown = Vec::new();
        for line in lines {
            take_line(&mut outcome, line, &mut |line| shown.push(line.to_owned()));
        }
        (outcome, shown)
    }

    #[test]
    fn only_the_commands_lines_are_shown() {
        let (outcome, shown) = feed(&[
            "[ 0.1] boot",
            BEGIN,
            "hello",
            "",
            "you",
            "",
            "xtask-guest: exit 3",
            "x",
        ]);
        assert_eq!(shown, ["hello", "", "you"]);
        assert_eq!(outcome.status().unwrap(), 3);
    }

    #[test]
    fn a_spoilt_exit_line_is_made_up_for_by_the_second() {
        let (outcome, _) = feed(&[
            BEGIN,
            "xtask-guest: exit [ 9.1] oops",
            "xtask-guest: exit 0",
        ]);
        assert_eq!(outcome.status().unwrap(), 0);
    }

    #[test]
    fn a_guest_that_dies_is_a_failure_with_its_last_words() {
        let (outcome, _) = feed(&[BEGIN, "Kernel panic"]);
        let error = outcome.status().unwrap_err().to_string();
        assert!(error.contains("Kernel panic"), "{error}");
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
