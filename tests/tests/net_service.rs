//! The daemon as a service: what it tells systemd, and with how little might it
//! does its work. A socket and `setpriv` play systemd's part: `net_systemd` has
//! the real one.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use router_tests::{
    flow::Flow,
    lab::Lab,
    machine,
    router_daemon::{self, RouterDaemon},
    wait,
};
use tempfile::TempDir;

const UNIT: &str = "router-ctl@.service";

/// As systemd gives it, in microseconds.
const WATCHDOG_USEC: &str = "3000000";

/// What the unit says of a key, all its words.
fn words_of(key: &str) -> Vec<String> {
    let text = fs::read_to_string(machine::units().join(UNIT)).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines
        .flat_map(str::split_whitespace)
        .map(ToOwned::to_owned)
        .collect()
}

/// The end of the notification socket that systemd holds.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl Manager {
    fn listen() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self {
            socket,
            path,
            _directory: directory,
        }
    }

    /// What is told within this time, a line each.
    fn told(&self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            let rest = rest.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(rest)).unwrap();
            if let Ok(length) = self.socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                lines.extend(text.lines().map(ToOwned::to_owned));
            }
        }
        lines
    }

    /// Waits for a line that begins so; all until then.
    fn until(&self, begin: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        wait::until(
            &format!("systemd to be told {begin}"),
            Duration::from_secs(60),
            || {
                all.extend(self.told(Duration::from_millis(50)));
                let found = all.iter().any(|line| line.starts_with(begin));
                Ok(found.then_some(()))
            },
        )?;
        Ok(all)
    }
}

fn supervised(lab: &Lab, manager: &Manager) -> Result<RouterDaemon> {
    let mut daemon = RouterDaemon::configure(lab, &lab.config(&[0, 1], ""))?;
    daemon.environment("NOTIFY_SOCKET", &manager.path);
    daemon.environment("WATCHDOG_USEC", WATCHDOG_USEC);
    Ok(daemon)
}

#[test]
fn systemd_is_told_how_it_goes() -> Result<()> {
    let Some(lab) = Lab::or_skip("systemd_is_told_how_it_goes", 2) else {
        return Ok(());
    };
    let manager = Manager::listen();
    let mut daemon = supervised(&lab, &manager)?;
    daemon.spawn()?;
    let first = manager.until("READY=1")?;
    // Nothing before but that it goes on, and XDP forwards by then.
    let early = first.iter().take_while(|line| *line != "READY=1");
    let progress = |line: &String| line == "WATCHDOG=1" || line.starts_with("EXTEND_TIMEOUT_USEC=");
    ensure!(early.clone().all(progress), "{first:?}");
    ensure!(
        daemon
            .attachments()?
            .iter()
            .all(|trunk| trunk.prog_id.is_some()),
        "ready without XDP"
    );
    daemon.wait_ready()?;
    let lines = manager.told(Duration::from_secs(3));
    let status = |lines: &[String]| {
        let mut all = first.iter().chain(lines).rev();
        all.find(|line| line.starts_with("STATUS=")).cloned()
    };
    ensure!(
        status(&lines).as_deref() == Some("STATUS=forwarding, 2 networks"),
        "{first:?} {lines:?}"
    );
    let count = |lines: &[String]| lines.iter().filter(|line| *line == "WATCHDOG=1").count();
    ensure!(count(&lines) >= 2, "{lines:?}");

    // Every problem within a second or so, and that it is over.
    let begun = Instant::now();
    lab.router().sysctl("ipv4/ip_forward", "0")?;
    manager.until("STATUS=degraded: ")?;
    ensure!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    lab.router().sysctl("ipv4/ip_forward", "1")?;
    manager.until("STATUS=forwarding")?;

    // A reload, as `systemctl reload` asks for it: from one to the other.
    daemon.write_config(&lab.config(&[0], ""))?;
    daemon.call(&["config", "apply"])?;
    let lines = manager.until("READY=1")?;
    let reloading = lines.iter().position(|line| line == "RELOADING=1");
    let ready = lines.iter().position(|line| line == "READY=1");
    ensure!(reloading.is_some() && reloading < ready, "{lines:?}");
    ensure!(
        lines.iter().any(|line| line.starts_with("MONOTONIC_USEC=")),
        "{lines:?}"
    );
    ensure!(
        lines.contains(&"STATUS=forwarding, 1 network".to_owned()),
        "{lines:?}"
    );
    // One that is refused ends in the same way.
    daemon.write_config("nonsense")?;
    ensure!(!daemon.output(&["config", "apply"])?.status.success());
    let lines = manager.until("READY=1")?;
    ensure!(lines.iter().any(|line| line == "RELOADING=1"), "{lines:?}");

    daemon.terminate()?;
    let last = manager.told(Duration::from_millis(500));
    ensure!(last.iter().any(|line| line == "STOPPING=1"), "{last:?}");
    Ok(())
}

/// The loop does not go round while thousands of things are done.
#[test]
fn long_work_is_not_taken_for_a_hang() -> Result<()> {
    /// Waits for the disk of this many, to learn how long one takes.
    const SAMPLE: u32 = 200;
    /// What is to be watched, about.
    const LONG: Duration = Duration::from_secs(5);
    let Some(lab) = Lab::or_skip("long_work_is_not_taken_for_a_hang", 2) else {
        return Ok(());
    };
    let manager = Manager::listen();
    let mut daemon = supervised(&lab, &manager)?;
    daemon.spawn()?;
    manager.until("READY=1")?;
    daemon.wait_ready()?;
    let small = lab.config(&[0, 1], "");
    let own = format!("\"{}/24\"", lab.networks()[0].gateway4);
    ensure!(small.contains(&own), "{own} is not in {small}");
    let with_gateways = |number: u32| {
        let more = (0..number).map(|number| {
            let [_, _, high, low] = number.to_be_bytes();
            format!(", \"10.{high}.{low}.1/24\"")
        });
        small.replacen(&own, &more.fold(own.clone(), |all, one| all + &one), 1)
    };
    let apply = |config: &str| -> Result<(Duration, Vec<String>)> {
        manager.told(Duration::from_millis(1));
        daemon.write_config(config)?;
        let begun = Instant::now();
        daemon.call(&["config", "apply"])?;
        let took = begun.elapsed();
        Ok((took, manager.until("READY=1")?))
    };
    let (took, _) = apply(&with_gateways(SAMPLE))?;
    let each = took / SAMPLE;
    let number = (LONG.as_nanos() / each.as_nanos()).min(16_000);
    let (took, lines) = apply(&with_gateways(SAMPLE + u32::try_from(number)?))?;
    println!("{number} gateways took {took:?}, {SAMPLE} before them {each:?} each");
    let work = lines.iter().skip_while(|line| *line != "RELOADING=1");
    let work: Vec<_> = work.take_while(|line| *line != "READY=1").collect();
    ensure!(took > Duration::from_secs(2), "too quick to tell: {took:?}");
    for sign in ["WATCHDOG=1", "EXTEND_TIMEOUT_USEC=60000000"] {
        let count = work.iter().filter(|line| **line == sign).count();
        ensure!(
            count as u64 >= took.as_secs() / 2,
            "{sign}: {took:?} {work:?}"
        );
    }
    daemon.down()?;
    Ok(())
}

#[test]
fn a_daemon_that_hangs_misses_the_watchdog() -> Result<()> {
    let Some(lab) = Lab::or_skip("a_daemon_that_hangs_misses_the_watchdog", 2) else {
        return Ok(());
    };
    let manager = Manager::listen();
    let mut daemon = supervised(&lab, &manager)?;
    daemon.start()?;
    manager.until("WATCHDOG=1")?;
    daemon.signal(Signal::SIGSTOP)?;
    thread::sleep(Duration::from_millis(100));
    manager.told(Duration::from_millis(50));
    let silence = manager.told(Duration::from_secs(4));
    ensure!(silence.is_empty(), "{silence:?}");
    daemon.signal(Signal::SIGCONT)?;
    manager.until("WATCHDOG=1")?;
    Ok(())
}

#[test]
fn nobody_is_told_where_nobody_asks() -> Result<()> {
    let Some(lab) = Lab::or_skip("nobody_is_told_where_nobody_asks", 1) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0], ""))?;
    daemon.environment("NOTIFY_SOCKET", "/no/such/socket");
    daemon.start()?;
    thread::sleep(Duration::from_secs(2));
    let log = daemon.log_text();
    ensure!(
        log.matches("systemd cannot be told").count() == 1,
        "once, not each second: {log}"
    );
    Ok(())
}

/// Numbers of capabilities (include/uapi/linux/capability.h).
fn number(capability: &str) -> u32 {
    match capability {
        "CAP_NET_ADMIN" => 12,
        "CAP_PERFMON" => 38,
        "CAP_BPF" => 39,
        other => panic!("{other}: the unit asks for more than is known to be needed"),
    }
}

/// `setpriv` with the unit's options and these capabilities.
fn with_capabilities(capabilities: &[String]) -> Vec<String> {
    let set: Vec<String> = capabilities
        .iter()
        .map(|name| format!("+{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
        .collect();
    vec![
        "setpriv".to_owned(),
        "--no-new-privs".to_owned(),
        "--inh-caps=-all".to_owned(),
        format!("--bounding-set=-all,{}", set.join(",")),
    ]
}

#[test]
fn the_capabilities_of_the_unit_are_enough() -> Result<()> {
    let Some(lab) = Lab::or_skip("the_capabilities_of_the_unit_are_enough", 2) else {
        return Ok(());
    };
    let capabilities = words_of("CapabilityBoundingSet");
    ensure!(capabilities == words_of("AmbientCapabilities"));
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.through(with_capabilities(&capabilities));
    daemon.start()?;
    let expected = capabilities
        .iter()
        .fold(0_u64, |set, name| set | 1 << number(name));
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()?))?;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set));
        let line = line
            .context("no capabilities")?
            .trim_start_matches(':')
            .trim();
        ensure!(u64::from_str_radix(line, 16)? == expected, "{set}: {line}");
    }
    // All of its work: forwarding, routes, following, going down and coming back.
    let before = daemon.forwarded_by_xdp()?;
    let flow = Flow::start(&lab, 0, 1)?;
    flow.run_for(Duration::from_millis(300));
    daemon.terminate()?;
    daemon.start()?;
    flow.run_for(Duration::from_millis(300));
    let report = flow.finish(&lab)?;
    report.assert_hitless();
    ensure!(daemon.forwarded_by_xdp()? > before, "XDP does not forward");
    let via = lab.networks()[0].host4.to_string();
    daemon.call(&["routes", "add", "10.9.0.0/16", "via", &via])?;
    lab.router().sysctl("ipv4/ip_forward", "0")?;
    wait::until("it to notice", Duration::from_secs(10), || {
        Ok((daemon.json(&["status"])?["state"] == "degraded").then_some(()))
    })?;
    daemon.down()
}

#[test]
fn none_of_them_can_be_spared() -> Result<()> {
    let Some(lab) = Lab::or_skip("none_of_them_can_be_spared", 2) else {
        return Ok(());
    };
    let all = words_of("CapabilityBoundingSet");
    for spared in &all {
        let rest: Vec<String> = all.iter().filter(|name| *name != spared).cloned().collect();
        let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
        daemon.through(with_capabilities(&rest));
        daemon.spawn()?;
        let status = daemon.wait_ended()?;
        ensure!(
            matches!(status.code(), Some(1 | 4)),
            "it starts without {spared}, or ends otherwise: {status}"
        );
        let log = daemon.log_text();
        ensure!(
            log.contains("not permitted") || log.contains("Permission denied"),
            "{log}"
        );
    }
    Ok(())
}

/// systemd's own opinion of the unit.
#[test]
fn systemd_understands_the_unit() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = router_daemon::program()?;
    let text = fs::read_to_string(machine::units().join(UNIT))?;
    // Wherever it will be installed: here it is beside the tests.
    let text = text.replace("=router-ctl ", &format!("={} ", program.display()));
    ensure!(text.contains(&format!("ExecStart={}", program.display())));
    for name in ["router-ctl@.service", "router-ctl@default.service"] {
        fs::write(directory.path().join(name), &text)?;
    }
    let analyze = |words: &[&str], name: &str| -> Result<()> {
        let output = Command::new("systemd-analyze")
            .args(words)
            .arg(directory.path().join(name))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.is_empty(),
            "{words:?}: {said}"
        );
        Ok(())
    };
    analyze(&["verify", "--man=no"], "router-ctl@default.service")?;
    // 10 is no protection at all, 0 a service that can do nothing.
    analyze(
        &["security", "--offline=true", "--threshold=25"],
        "router-ctl@.service",
    )
}

/// What systemd runs are commands that there are.
#[test]
fn the_units_commands_are_understood() -> Result<()> {
    let program = router_daemon::program()?;
    for (key, verb) in [("ExecStart", "run"), ("ExecReload", "config")] {
        let words = words_of(key);
        ensure!(words[0] == "router-ctl", "{words:?}");
        ensure!(words[3] == verb, "{words:?}");
        let words = words[1..4].iter().map(|word| word.replace("%i", "default"));
        let output = Command::new(&program).args(words).arg("--help").output()?;
        ensure!(output.status.success(), "{key}: {output:?}");
    }
    Ok(())
}
