//! `--keep`: the scene stays until Enter or a signal.
//!
//! A virtual machine has one terminal only, so lines that are typed here are
//! run: nothing else would let anybody play there.

use std::{
    env,
    io::{self, IsTerminal as _},
    net::IpAddr,
    process::{Command, ExitCode},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use router_tests::{
    netns::Netns,
    ping::{self, Answer},
    topology::Topology,
    wait,
};

use crate::{daemon::Daemon, report};

/// Prints what can be tried and returns when it is over.
pub(crate) fn keep(topology: &Topology, daemon: Option<&Daemon>) -> Result<()> {
    report::line("");
    report::line("It stays as it is. To play with it:");
    let enter = |netns: &Netns| format!("nsenter --net={}", netns.path().display());
    let [(_, box1), .., (box4, _)] = topology.boxes();
    let router = enter(topology.router());
    let ping = ping_command();
    let mut lines = vec![
        format!("{} {ping} {}", enter(box1), box4.v4),
        format!("{} {ping} {}", enter(box1), box4.v6),
        format!("{router} ip -s -d link show"),
        format!("{} bridge vlan show", enter(topology.switch())),
    ];
    if let Some(daemon) = daemon {
        let router_ctl = format!(
            "{} --instance {}",
            daemon.program().display(),
            daemon.instance()
        );
        lines.extend([
            format!("{router_ctl} status"),
            format!("{router_ctl} stats --watch=1"),
            format!("{router_ctl} routes"),
            format!("cat {}", daemon.config().display()),
        ]);
    }
    report::quote(&lines.join("\n"));
    report::line("Enter or Ctrl-C tears it down; a line that is typed here is run by sh.");
    prompt()
}

/// ping(8), or this program where there is none.
fn ping_command() -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).any(|folder| folder.join("ping").is_file());
    match env::current_exe() {
        Ok(own) if !installed => format!("{} --ping", own.display()),
        _ => "ping -c 3".to_owned(),
    }
}

/// `--ping`: three pings, and what TTL they come back with.
pub(crate) fn ping(address: IpAddr) -> ExitCode {
    match ping::ping(address, 3, Duration::from_secs(5)) {
        Ok(Answer::Ttl(ttl)) => {
            report::line(&format!("{address} answered 3 pings with ttl {ttl}"));
            ExitCode::SUCCESS
        }
        Ok(Answer::Unreachable(reason)) => {
            report::line(&format!("{address} is unreachable: {reason}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            report::line(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn prompt() -> Result<()> {
    let (sender, typed) = mpsc::channel();
    let (next, wanted) = mpsc::channel::<()>();
    let terminal = io::stdin().is_terminal();
    // Reading blocks, and signals do not end it: a thread of its own. It reads
    // when told to, as commands read from the same terminal.
    thread::spawn(move || {
        while wanted.recv().is_ok() {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line);
            if sender
                .send(read.map(|length| (length > 0).then_some(line)))
                .is_err()
            {
                break;
            }
        }
    });
    let ask = || {
        if terminal {
            eprint!("article# ");
        }
        next.send(()).context("the reader of the terminal is gone")
    };
    ask()?;
    while !wait::interrupted() {
        match typed.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Some(line))) if line.trim().is_empty() => return Ok(()),
            Ok(Ok(Some(line))) => {
                let status = Command::new("sh")
                    .args(["-c", &line])
                    .status()
                    .context("cannot run sh")?;
                // Ctrl-C was for the command.
                wait::forget_interrupt();
                if !status.success() {
                    report::line(&format!("({status})"));
                }
                ask()?;
            }
            // No terminal, and nothing to read: only a signal ends it.
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(100)),
        }
    }
    Ok(())
}
