//! The real daemon in a lab's router: its own instance, its own bpffs, and
//! nothing left of it afterwards.
//!
//! The program is `router-daemon`, which cargo builds along with the
//! integration tests from the same library as the shipped `router-ctl`; the
//! variable `ROUTER_CTL` names another.
//!
//! * [`RouterDaemon::start`] starts it and waits until it forwards,
//!   [`RouterDaemon::spawn`] does not wait.
//! * [`RouterDaemon::terminate`], [`RouterDaemon::kill`] and
//!   [`RouterDaemon::signal`] are what may happen to it; after the first two it
//!   can be started again.
//! * [`RouterDaemon::call`], [`RouterDaemon::json`] and [`RouterDaemon::output`]
//!   run `router-ctl` against it, in the router's namespace.
//! * [`RouterDaemon::down`] takes everything down; dropping does so too, and
//!   prints the daemon's log when the test has failed.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    lab::Lab,
    netns::{self, Netns},
    wait,
};

/// For the daemon to forward, and for any command: generous, for emulation.
const LIMIT: Duration = Duration::from_secs(120);

/// A configured daemon, running or not.
#[derive(Debug)]
pub struct RouterDaemon {
    program: PathBuf,
    /// The router's namespace.
    netns: PathBuf,
    instance: String,
    directory: TempDir,
    options: Vec<OsString>,
    /// The program that becomes the daemon, with its words; may be empty.
    through: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    child: Option<Child>,
    spawned: Instant,
}

/// XDP on a trunk, as `status` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The trunk.
    pub interface: String,
    /// The program's kernel id.
    pub prog_id: Option<u64>,
    /// The `bpf_link`'s kernel id.
    pub link_id: Option<u64>,
    /// Whether forwarding outlives the daemon.
    pub pinned: bool,
}

impl RouterDaemon {
    /// Writes a configuration and mounts a bpffs; nothing runs yet.
    ///
    /// # Errors
    /// Where the program is not built, or there can be no bpffs.
    pub fn configure(lab: &Lab, config: &str) -> Result<Self> {
        Self::configure_in(lab.router(), config)
    }

    /// [`RouterDaemon::configure`] in any namespace.
    ///
    /// # Errors
    /// As [`RouterDaemon::configure`].
    pub fn configure_in(router: &Netns, config: &str) -> Result<Self> {
        let program = program()?;
        let directory = tempfile::Builder::new()
            .prefix("router-daemon-")
            .tempdir()
            .context("cannot make a directory")?;
        let bpffs = directory.path().join("bpf");
        fs::create_dir(&bpffs).context("cannot make a directory")?;
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount a bpffs on {}", bpffs.display()))?;
        let daemon = Self {
            program,
            netns: router.path(),
            instance: format!("test-{}", netns::unique_suffix()),
            directory,
            options: Vec::new(),
            through: Vec::new(),
            environment: Vec::new(),
            child: None,
            spawned: Instant::now(),
        };
        daemon.write_config(config)?;
        Ok(daemon)
    }

    /// Further words for `router-ctl run`, from the next start on.
    pub fn options<W: Into<OsString>>(&mut self, words: impl IntoIterator<Item = W>) {
        self.options = words.into_iter().map(Into::into).collect();
    }

    /// From the next start on the daemon is without these capabilities (`bpf`,
    /// `sys_admin`, ...), though root.
    pub fn without_capabilities(&mut self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| format!("-{name}")).collect();
        let without = format!("--bounding-set={}", names.join(","));
        if names.is_empty() {
            self.through.clear();
        } else {
            self.through(["setpriv", &without]);
        }
    }

    /// A program, with its words, that starts the daemon and becomes it, from
    /// the next start on: `setpriv` and the like.
    pub fn through<W: Into<OsString>>(&mut self, words: impl IntoIterator<Item = W>) {
        self.through = words.into_iter().map(Into::into).collect();
    }

    /// A variable of the daemon's environment, from the next start on.
    pub fn environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Writes the configuration file anew. The daemon is not told.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        let path = self.config();
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("router.toml")
    }

    /// The mount point of its bpffs.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    /// The directory of its pins; there is none before the first start.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.bpffs().join("router-ctl").join(&self.instance)
    }

    /// The instance's name.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Starts the daemon and waits until it forwards. How long that took.
    ///
    /// # Errors
    /// Where it ends instead, or takes too long.
    pub fn start(&mut self) -> Result<Duration> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// Where it runs already, or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .context("cannot open the daemon's log")?;
        let mut command = self.command_through(&self.through);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(["run", "--config"])
            .arg(self.config())
            .arg("--bpffs")
            .arg(self.bpffs())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log);
        self.spawned = Instant::now();
        self.child = Some(command.spawn().context("cannot start the daemon")?);
        Ok(())
    }

    /// Waits until the daemon forwards. How long that took since its start.
    ///
    /// # Errors
    /// Where it ends instead, or takes too long.
    pub fn wait_ready(&mut self) -> Result<Duration> {
        let seconds = LIMIT.as_secs().to_string();
        let mut waiting = self.start_command(&["status", "--wait", &seconds])?;
        let result = wait::until("the daemon to forward", LIMIT * 2, || {
            if let Some(status) = waiting.try_wait()? {
                return Ok(Some(status));
            }
            if let Some(status) = self.ended()? {
                bail!("the daemon ended: {status}");
            }
            Ok(None)
        });
        let took = self.spawned.elapsed();
        if result.is_err() {
            let _ = waiting.kill();
        }
        let output = waiting.wait_with_output()?;
        let status = result?;
        ensure!(
            status.success(),
            "the daemon does not forward: {status}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(took)
    }

    /// SIGTERM, and waits for the end, which must be a good one.
    ///
    /// # Errors
    /// Where it does not run, does not end, or ends badly.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait_ended()?;
        ensure!(status.success(), "the daemon ended badly: {status}");
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_ended().map(drop)
    }

    /// Sends a signal to the daemon, by its process id.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("the daemon had ended by itself: {status}");
        }
        kill(self.pid()?, signal).with_context(|| format!("cannot send {signal}"))
    }

    /// Its process id.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pid(&self) -> Result<Pid> {
        let child = self.child.as_ref().context("the daemon does not run")?;
        Ok(Pid::from_raw(i32::try_from(child.id())?))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not run, or does not end.
    pub fn wait_ended(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("the daemon does not run")?;
        let status = wait::through("the daemon to end", LIMIT, || Ok(child.try_wait()?))?;
        self.child = None;
        Ok(status)
    }

    /// How it ended, if it did.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => bail!("the daemon does not run"),
        }
    }

    /// `router-ctl` with these words; what it prints.
    ///
    /// # Errors
    /// Where it fails; with its own words.
    pub fn call(&self, words: &[&str]) -> Result<String> {
        let output = self.output(words)?;
        ensure!(
            output.status.success(),
            "`router-ctl {}` failed ({}): {}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `router-ctl -j` with these words.
    ///
    /// # Errors
    /// Where it fails, or prints no JSON. `status` of a degraded daemon is an
    /// answer nevertheless.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let words = [&["-j"], words].concat();
        let output = self.output(&words)?;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| {
            format!(
                "`router-ctl {}` ({}) printed no JSON: {text}{}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// `router-ctl` with these words, however it ends.
    ///
    /// # Errors
    /// Where it cannot be run, or takes too long.
    pub fn output(&self, words: &[&str]) -> Result<Output> {
        let mut child = self.start_command(words)?;
        // What it prints must not fill a pipe meanwhile.
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut stream) = stream {
                    let _ = stream.read_to_end(&mut bytes);
                }
                bytes
            })
        };
        let stdout = read(stdout.map(|stream| Box::new(stream) as _));
        let stderr = read(stderr.map(|stream| Box::new(stream) as _));
        let what = format!("`router-ctl {}`", words.join(" "));
        let status = match wait::through(&what, LIMIT, || Ok(child.try_wait()?)) {
            Ok(status) => status,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Output {
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        })
    }

    /// `router-ctl` of this instance in the router's namespace; its words are
    /// the caller's to add.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command_through(&[])
    }

    fn command_through(&self, through: &[OsString]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.netns.display()))
            .args(through)
            .arg(&self.program)
            .args(["--instance", &self.instance, "--color", "never"])
            // Ctrl-C is for the test.
            .process_group(0);
        command
    }

    fn start_command(&self, words: &[&str]) -> Result<Child> {
        self.command()
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run router-ctl")
    }

    /// XDP on every trunk, in the order of the configuration.
    ///
    /// # Errors
    /// Where the daemon does not say.
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        let status = self.json(&["status"])?;
        let trunks = status["trunks"]
            .as_array()
            .context("`router-ctl -j status` has no trunks")?;
        Ok(trunks
            .iter()
            .map(|trunk| Attachment {
                interface: trunk["interface"].as_str().unwrap_or_default().to_owned(),
                prog_id: trunk["prog_id"].as_u64(),
                link_id: trunk["link_id"].as_u64(),
                pinned: trunk["pinned"] == true,
            })
            .collect())
    }

    /// Packets that XDP forwarded itself.
    ///
    /// # Errors
    /// Where the daemon does not say.
    pub fn forwarded_by_xdp(&self) -> Result<u64> {
        self.json(&["stats"])?["fast"]["packets"]
            .as_u64()
            .context("`router-ctl -j stats` has no fast.packets")
    }

    /// `router-ctl down`, with the daemon or without it, and waits for the end.
    ///
    /// # Errors
    /// Where it fails.
    pub fn down(&mut self) -> Result<()> {
        self.call(&["down"])?;
        if self.child.is_some() {
            let status = self.wait_ended()?;
            ensure!(status.success(), "the daemon ended badly: {status}");
        }
        Ok(())
    }

    /// Everything the daemon has logged, over all its starts.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("router-ctl.log")
    }

    fn clean_up(&mut self) -> Result<()> {
        if self.child.is_some() && self.ended()?.is_none() {
            // One that was stopped would not hear of it.
            self.signal(Signal::SIGCONT)?;
        }
        let down = self.output(&["down"]);
        if let Some(mut child) = self.child.take() {
            let ended = wait::through("the daemon to end", Duration::from_secs(10), || {
                Ok(child.try_wait()?)
            });
            if ended.is_err() {
                child.kill()?;
                child.wait()?;
            }
        }
        let bpffs = self.bpffs();
        // What `down` could not remove is gone with the last mount.
        umount2(&bpffs, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", bpffs.display()))?;
        let down = down?;
        ensure!(
            down.status.success(),
            "`router-ctl down` failed: {}",
            String::from_utf8_lossy(&down.stderr)
        );
        Ok(())
    }
}

impl Drop for RouterDaemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.log_text());
        }
        if let Err(error) = self.clean_up() {
            eprintln!("cannot clean up after {}: {error:#}", self.instance);
        }
    }
}

/// `router-ctl` under test: beside the directory of the running test.
///
/// # Errors
/// Where it is not built.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ROUTER_CTL") {
        return Ok(path.into());
    }
    let program = env::current_exe().context("which program is this?")?;
    // Beside a program; one folder above a test.
    let folders = program.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("router-daemon"))
        .find(|path| File::open(path).is_ok());
    found.with_context(|| {
        format!(
            "router-daemon is not beside {}; cargo builds it for every integration test of \
             router-tests",
            program.display()
        )
    })
}
