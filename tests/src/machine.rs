//! A machine with a real systemd around a lab's router, with our unit installed
//! as README.md says.
//!
//! systemd is the first process of its own namespaces; the network namespace is
//! the router's. It has its own /etc, /run, /var/lib and bpffs, and a journal.
//! Nothing of it is left on drop.
//!
//! * [`Machine::systemctl`] and [`Machine::command`] are a root's shell on it.
//! * [`Machine::write`] writes a file of it.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::{
    netns::{self, Netns},
    router_daemon, wait,
};

/// For systemd to come up, and for whatever it does: generous, for emulation.
const LIMIT: Duration = Duration::from_secs(120);

/// Its own binary, which is not in the PATH everywhere.
const SYSTEMD: &str = "/lib/systemd/systemd";

/// What is run in the new namespaces, before systemd.
const BOOT: &str = include_str!("machine_boot.sh");

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    /// `unshare`, whose only child is systemd.
    unshare: Child,
    /// The process id of systemd, outside.
    init: u32,
    group: Group,
}

impl Machine {
    /// Boots a machine; `None`, with the reason on a SKIP line, where this one
    /// cannot have another.
    ///
    /// # Panics
    /// When systemd does not come up.
    #[must_use]
    pub fn or_skip(test: &str, router: &Netns) -> Option<Self> {
        match Group::create() {
            Ok(group) => match Self::boot(router, group) {
                Ok(machine) => Some(machine),
                Err(error) => panic!("{test}: {error:#}"),
            },
            Err(error) => {
                println!("SKIP {test}: this machine can have no other in it: {error:#}");
                None
            }
        }
    }

    fn boot(router: &Netns, group: Group) -> Result<Self> {
        ensure!(
            Path::new(SYSTEMD).exists(),
            "{SYSTEMD} is missing: `cargo xtask setup` installs it"
        );
        let script = group.directory.path().join("boot.sh");
        fs::write(&script, BOOT).context("cannot write the boot script")?;
        let console =
            fs::File::create(group.console()).context("cannot make a file for the console")?;
        let unshare = router
            .command("sh")
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(group.path.join("cgroup.procs"))
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--cgroup", "--uts", "--ipc", "--mount-proc", "sh"])
            .arg(&script)
            .arg(router_daemon::program()?)
            .arg(units())
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("cannot share the console")?)
            .stderr(console)
            // Ctrl-C is for the test.
            .process_group(0)
            .spawn()
            .context("cannot run nsenter")?;
        let mut machine = Self {
            unshare,
            init: 0,
            group,
        };
        machine.init = wait::until("unshare to start a process", LIMIT, || {
            machine.ensure_runs()?;
            only_child(machine.unshare.id())
        })?;
        // Before that it is the shell, and what systemctl finds may be the
        // systemd of this machine.
        let name = format!("/proc/{}/comm", machine.init);
        wait::until("systemd to come up", LIMIT, || {
            machine.ensure_runs()?;
            if fs::read_to_string(&name).unwrap_or_default().trim() != "systemd" {
                return Ok(None);
            }
            let state = machine.output("systemctl", &["is-system-running"])?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            ensure!(state != "degraded", "{}", machine.failed_units());
            Ok((state == "running").then_some(()))
        })
        .with_context(|| format!("before systemd: {}", machine.console()))?;
        Ok(machine)
    }

    fn ensure_runs(&mut self) -> Result<()> {
        if let Some(status) = self.unshare.try_wait()? {
            bail!("it has ended: {status}: {}", self.console());
        }
        Ok(())
    }

    /// A command on the machine, as root.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--all"])
            .arg(program)
            .process_group(0);
        command
    }

    /// Runs a program on the machine, however it ends.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn output(&self, program: &str, words: &[&str]) -> Result<Output> {
        let mut command = self.command(program);
        let output = command.args(words).stdin(Stdio::null()).output();
        output.with_context(|| format!("cannot run {program}"))
    }

    /// Runs a program on the machine; what it prints.
    ///
    /// # Errors
    /// Where it fails; with its own words.
    pub fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        netns::run(self.command(program).args(words))
    }

    /// `systemctl`.
    ///
    /// # Errors
    /// Where it fails; with its own words.
    pub fn systemctl(&self, words: &[&str]) -> Result<String> {
        self.run("systemctl", words)
    }

    /// What systemd knows of a unit: the value of a property.
    ///
    /// # Errors
    /// Where it is not asked successfully.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        let value = self.systemctl(&["show", "--value", "--property", name, unit])?;
        Ok(value.trim().to_owned())
    }

    /// What a unit has printed, and systemd said of it.
    ///
    /// # Errors
    /// Where there is no journal.
    pub fn journal(&self, unit: &str) -> Result<String> {
        self.run("journalctl", &["--no-pager", "-o", "cat", "-u", unit])
    }

    /// Writes a file of the machine's, making its directory.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.outside(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A path of the machine's, seen from outside.
    #[must_use]
    pub fn outside(&self, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.init));
        root.join(path.trim_start_matches('/'))
    }

    fn failed_units(&self) -> String {
        let failed = self.systemctl(&["--failed", "--no-pager"]);
        failed.unwrap_or_else(|error| format!("{error:#}"))
    }

    /// What was said on the way to systemd, which writes to the journal.
    fn console(&self) -> String {
        fs::read_to_string(self.group.console()).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let journal = self.run("journalctl", &["--no-pager", "-o", "short-monotonic"]);
            eprintln!("--- the machine's journal\n{}", journal.unwrap_or_default());
        }
        // Its only child goes with the group.
        let ended = self.group.kill().map(|()| self.unshare.wait());
        if let Err(error) = ended {
            eprintln!("cannot end a machine: {error:#}");
        }
    }
}

/// Where our unit and its group are.
#[must_use]
pub fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../router-ctl/systemd")
}

/// The processes of a machine, in a mount of ours: wherever this machine has its
/// cgroups, or whether it has any mounted.
#[derive(Debug)]
struct Group {
    directory: TempDir,
    path: PathBuf,
}

impl Group {
    fn create() -> Result<Self> {
        // Else what is mounted in a namespace may be seen outside of it.
        ensure!(root_is_a_mount()?, "its / is no mount point, but a chroot");
        let directory = tempfile::Builder::new()
            .prefix("router-machine-")
            .tempdir()
            .context("cannot make a directory")?;
        let hierarchy = directory.path().join("cgroup");
        fs::create_dir(&hierarchy).context("cannot make a directory")?;
        mount(
            Some("cgroup2"),
            &hierarchy,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("cannot mount a cgroup2")?;
        let path = hierarchy.join(format!("router-machine-{}", netns::unique_suffix()));
        // From here on dropping unmounts.
        let group = Self { directory, path };
        fs::create_dir(&group.path).context("cannot make a group")?;
        Ok(group)
    }

    fn console(&self) -> PathBuf {
        self.directory.path().join("console")
    }

    /// Ends every process in it, and waits for that.
    fn kill(&self) -> Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1").context("cannot end a group")?;
        wait::through("a group's processes to end", LIMIT, || {
            let events = fs::read_to_string(self.path.join("cgroup.events"))?;
            Ok(events.contains("populated 0").then_some(()))
        })
    }

    fn remove(&self) -> Result<()> {
        if self.path.exists() {
            self.kill()?;
            remove_group(&self.path)?;
        }
        umount2(&self.directory.path().join("cgroup"), MntFlags::MNT_DETACH)
            .context("cannot unmount the cgroups")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cannot clean up after a machine: {error:#}");
        }
    }
}

/// Whether / can be made private with all that is mounted on it.
fn root_is_a_mount() -> Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    Ok(mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some("/")))
}

/// Removes a group that has no processes, and what is in it.
fn remove_group(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group).with_context(|| format!("cannot remove {}", group.display()))
}

/// The child of a process that has one.
fn only_child(parent: u32) -> Result<Option<u32>> {
    let words = ["--no-headers", "-o", "pid", "--ppid", &parent.to_string()];
    let output = Command::new("ps").args(words).output();
    let output = output.context("cannot run ps")?;
    let child = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(child.parse().ok())
}
