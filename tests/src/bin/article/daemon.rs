//! `router-ctl` in node1: its configuration, the daemon, the other commands.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use router_tests::{
    netns::Netns,
    tasks,
    topology::{ROUTER_MAC, TRUNK, VLANS, mac_text},
    wait,
};
use serde_json::Value;

use crate::report::{self, Clock};

/// For the daemon to forward, and for any command. Under software emulation
/// loading a program alone takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// How `ip -j link` says that XDP is native (include/uapi/linux/if_link.h).
const XDP_ATTACHED_DRV: u64 = 1;

/// Of the daemon's log, when it fails.
const LAST_LINES: usize = 40;

/// A running daemon. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Daemon {
    router_ctl: PathBuf,
    instance: String,
    node: String,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Writes the configuration into `directory` and starts the daemon in
    /// `node`. What it has done by then is undone by [`Daemon::down`] only.
    pub(crate) fn start(
        node: &Netns,
        router_ctl: &Path,
        instance: &str,
        directory: &Path,
        xdp: bool,
        clock: &Clock,
    ) -> Result<Self> {
        let config = directory.join("router.toml");
        let text = configuration(xdp);
        // It may hold what is nobody else's business, in real life.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&config)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", config.display()))?;
        clock.say(&format!("node1's configuration, {}:", config.display()));
        report::quote(&text);

        let log = directory.join("router-ctl.log");
        let output =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = node.command(router_ctl);
        command
            .args(["run", "--instance", instance, "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share the log")?)
            .stderr(output)
            // Ctrl-C is for us: the daemon is stopped in its turn.
            .process_group(0);
        clock.say(&format!(
            "node1# router-ctl run --instance {instance} --config {}",
            config.display()
        ));
        let child = command.spawn().context("cannot run router-ctl")?;
        Ok(Self {
            router_ctl: router_ctl.to_owned(),
            instance: instance.to_owned(),
            node: node.name().to_owned(),
            config,
            log,
            child: Some(child),
        })
    }

    /// Waits until `status --wait` says that it forwards; a daemon that ends
    /// meanwhile fails at once.
    pub(crate) fn wait(&mut self, node: &Netns) -> Result<()> {
        let seconds = LIMIT.as_secs().to_string();
        let mut waiting = self
            .command(node, &["status", "--wait", &seconds])
            .spawn()?;
        let result = wait::until("router-ctl status --wait", LIMIT * 2, || {
            if let Some(status) = waiting.try_wait()? {
                return Ok(Some(status));
            }
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
            {
                bail!("router-ctl run ended: {}", status?);
            }
            Ok(None)
        });
        if result.is_err() {
            let _ = waiting.kill();
        }
        let threads = self.child.as_ref().map(|child| tasks::of(child.id()));
        let output = waiting
            .wait_with_output()
            .context("cannot wait for router-ctl")?;
        let status = result?;
        ensure!(
            status.success(),
            "router-ctl status --wait {seconds}: {status}: {}{}\nThe daemon's threads:\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            threads.unwrap_or_default()
        );
        Ok(())
    }

    fn command(&self, node: &Netns, words: &[&str]) -> Command {
        let mut command = node.command(&self.router_ctl);
        command
            .args(["--instance", &self.instance, "--color", "never"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// Runs a command against the daemon; returns what it prints.
    pub(crate) fn call(&self, words: &[&str]) -> Result<String> {
        // The socket is a file: any namespace will do.
        let child = Command::new(&self.router_ctl)
            .args(["--instance", &self.instance, "--color", "never"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot run router-ctl")?;
        finish(child, words)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let words = [&["-j"], words].concat();
        let text = self.call(&words)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`router-ctl {}` printed no JSON: {text}", words.join(" ")))
    }

    /// What XDP forwarded itself.
    pub(crate) fn fast_packets(&self) -> Result<u64> {
        self.json(&["stats"])?["fast"]["packets"]
            .as_u64()
            .context("`router-ctl -j stats` has no fast.packets")
    }

    /// How often a verdict was given.
    pub(crate) fn verdict(&self, reason: &str) -> Result<u64> {
        let stats = self.json(&["stats"])?;
        let verdicts = stats["verdicts"]
            .as_array()
            .context("`router-ctl -j stats` has no verdicts")?;
        // One that was never given is not listed.
        Ok(verdicts
            .iter()
            .find(|verdict| verdict["reason"] == reason)
            .and_then(|verdict| verdict["packets"].as_u64())
            .unwrap_or(0))
    }

    /// It is what it says it is: the mode of XDP (asked of the kernel, too), and
    /// the gateway's MAC and state in every network.
    pub(crate) fn verify(&self, node: &Netns, xdp_mode: &str) -> Result<()> {
        let status = self.json(&["status"])?;
        ensure!(
            status["state"] == "forwarding",
            "the daemon's state is {}: {}",
            status["state"],
            status["problems"]
        );
        let trunk = &status["trunks"][0];
        ensure!(
            trunk["interface"] == TRUNK && trunk["xdp_mode"] == xdp_mode,
            "XDP should be {xdp_mode} on {TRUNK}, the daemon says {trunk}"
        );
        if xdp_mode == "native" {
            let xdp = &link(node, TRUNK)?["xdp"];
            ensure!(
                xdp["mode"] == XDP_ATTACHED_DRV && xdp["prog"]["id"] == trunk["prog_id"],
                "the kernel says {xdp} of {TRUNK}, the daemon {trunk}"
            );
        }
        let networks = self.json(&["networks"])?;
        for vlan in VLANS {
            let found = networks
                .as_array()
                .and_then(|all| all.iter().find(|network| network["name"] == vlan.name))
                .with_context(|| format!("`router-ctl -j networks` has no {}", vlan.name))?;
            ensure!(
                found["state"] == "up"
                    && found["vlan"] == vlan.vid
                    && found["interface"] == vlan.interface()
                    && found["mac"] == mac_text(ROUTER_MAC),
                "network {} is not as configured: {found}",
                vlan.name
            );
        }
        Ok(())
    }

    /// Instance name, for whoever types commands.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// The `router-ctl` in use.
    pub(crate) fn program(&self) -> &Path {
        &self.router_ctl
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Ends the daemon by its process id, as an init system does.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        // Once it has been waited for, its process id may be another's.
        if let Some(status) = child.try_wait()? {
            bail!("the daemon had ended by itself: {status}");
        }
        let pid = i32::try_from(child.id()).context("a process id")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot signal the daemon")?;
        let ended = wait::through("the daemon to end", LIMIT, || Ok(child.try_wait()?));
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        ensure!(status.success(), "the daemon ended badly: {status}");
        Ok(())
    }

    /// `router-ctl down` in `node`, and that nothing is left of the daemon
    /// there.
    pub(crate) fn down(&self, node: &Netns) -> Result<()> {
        let words = ["down"];
        let child = self
            .command(node, &words)
            .spawn()
            .context("cannot run router-ctl")?;
        finish(child, &words)?;
        for link in links(node)? {
            ensure!(
                link["ifname"] == "lo" || link["ifname"] == TRUNK,
                "`router-ctl down` left {} behind",
                link["ifname"]
            );
            let prog = &link["xdp"]["prog"];
            ensure!(
                prog["name"] != "router",
                "`router-ctl down` left XDP on {}: {prog}",
                link["ifname"]
            );
        }
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = format!("/proc/sys/net/{key}");
            let value = node.run(|| Ok(fs::read_to_string(&path)?))?;
            ensure!(
                value.trim() == "0",
                "`router-ctl down` left {key} at {}",
                value.trim()
            );
        }
        Ok(())
    }

    /// The end of the daemon's log, for a failure.
    pub(crate) fn show_log(&self) {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        report::line(&format!("The daemon's log in {}:", self.node));
        report::quote(&last.join("\n"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}

/// The devices of `node`, as `ip` describes them.
fn links(node: &Netns) -> Result<Vec<Value>> {
    serde_json::from_str(&node.ip("-j link show")?).context("cannot read what ip prints")
}

fn link(node: &Netns, name: &str) -> Result<Value> {
    links(node)?
        .into_iter()
        .find(|link| link["ifname"] == name)
        .with_context(|| format!("{} has no {name}", node.name()))
}

/// Waits for a command, for a while. What it prints fits a pipe. Not ended by
/// signals: cleaning up calls it, too, and a command takes no time.
fn finish(mut child: Child, words: &[&str]) -> Result<String> {
    let what = format!("`router-ctl {}`", words.join(" "));
    if let Err(error) = wait::through(&what, LIMIT, || Ok(child.try_wait()?)) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{what} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The article's node1 as a file.
fn configuration(xdp: bool) -> String {
    let mut text = format!("[[trunk]]\ninterface = \"{TRUNK}\"\n");
    if !xdp {
        text += "xdp = \"off\"\n";
    }
    for vlan in VLANS {
        text += &format!(
            "\n[[network]]\nname = \"{}\"\nvlan = {}\ngateway = [\"{}/24\", \"{}/64\"]\n",
            vlan.name, vlan.vid, vlan.gateway4, vlan.gateway6
        );
    }
    text
}
