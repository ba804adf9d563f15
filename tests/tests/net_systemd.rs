//! The service as its operators have it: our unit under a real systemd, with its
//! capabilities, its sandbox, its watchdog and its restarts, and traffic that
//! must not notice.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use router_tests::{
    hitless::{self, forwarded_by_xdp, programs},
    lab::Lab,
    machine::Machine,
    wait,
};
use serde_json::Value;

const UNIT: &str = "router-ctl@lab.service";
const CONFIG: &str = "/etc/router-ctl/lab.toml";

/// For systemd to see something and do something, under emulation, too.
const LIMIT: Duration = Duration::from_secs(120);

/// The service, on a machine of its own around a lab's router.
struct Service {
    // Dropped first: the machine is in the lab's router.
    machine: Machine,
    lab: Lab,
}

impl Service {
    /// Started, and it forwards.
    fn started(test: &str) -> Option<Self> {
        let lab = Lab::or_skip(test, 2)?;
        let machine = Machine::or_skip(test, lab.router())?;
        machine.write(CONFIG, &lab.config(&[0, 1], "")).unwrap();
        let service = Self { machine, lab };
        service.machine.systemctl(&["start", UNIT]).unwrap();
        Some(service)
    }

    fn property(&self, name: &str) -> String {
        self.machine.property(UNIT, name).unwrap()
    }

    /// `router-ctl` of this instance, in root's shell.
    fn call(&self, words: &[&str]) -> Result<String> {
        let words = [&["--instance", "lab"], words].concat();
        self.machine.run("router-ctl", &words)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let words = [&["--instance", "lab", "-j"], words].concat();
        let output = self.machine.output("router-ctl", &words)?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
    }

    /// Something is done to the service under traffic: nothing is lost, nothing
    /// takes the kernel's path, no carrier goes.
    fn hitless(&self, what: &str, action: impl FnOnce()) {
        println!("{what}");
        let before = forwarded_by_xdp(&self.lab);
        let report = hitless::under_traffic(&self.lab, action);
        assert_eq!(report.by_kernel, 0, "{what}: {report}");
        let by_xdp = forwarded_by_xdp(&self.lab) - before;
        assert!(by_xdp >= report.sent(), "{what}: {by_xdp} by XDP, {report}");
    }

    /// The process that systemd knows, once it is another than `before` and
    /// ready.
    fn another_process_than(&self, before: &str) -> String {
        wait::until("systemd to start it anew", LIMIT, || {
            let now = self.property("MainPID");
            let state = self.property("ActiveState");
            Ok((now != "0" && now != before && state == "active").then_some(now))
        })
        .unwrap()
    }
}

#[test]
fn a_service_that_is_started_restarted_killed_and_stopped() -> Result<()> {
    let Some(service) = Service::started("a_service_that_is_started_restarted_killed_and_stopped")
    else {
        return Ok(());
    };
    // `systemctl start` returns when it forwards: Type=notify.
    assert_eq!(service.property("ActiveState"), "active");
    assert_eq!(service.property("StatusText"), "forwarding, 2 networks");
    service.hitless("nothing", || {});
    // With the unit's capabilities, too.
    let stats = service.json(&["stats"])?;
    ensure!(stats["redirect_errors"].is_array(), "{stats}");

    let first = service.property("MainPID");
    let programs_of_first = programs(&service.lab);
    service.hitless("systemctl restart", || {
        service.machine.systemctl(&["restart", UNIT]).unwrap();
    });
    let second = service.another_process_than(&first);
    for (before, after) in programs_of_first.iter().zip(programs(&service.lab)) {
        assert_ne!(*before, after, "the program was not replaced");
    }
    assert_eq!(service.property("NRestarts"), "0");

    service.hitless("SIGKILL", || {
        let words = ["kill", "--signal=KILL", "--kill-whom=main", UNIT];
        service.machine.systemctl(&words).unwrap();
        service.another_process_than(&second);
    });
    assert_eq!(service.property("NRestarts"), "1");

    service.hitless("systemctl stop", || {
        service.machine.systemctl(&["stop", UNIT]).unwrap();
    });
    assert_eq!(service.property("ActiveState"), "inactive");
    assert_eq!(service.property("Result"), "success");

    // Nobody asks for forwarding any more: root's own hand, without the daemon.
    service.call(&["down"])?;
    assert!(programs(&service.lab).iter().all(Option::is_none));
    let left = fs::read_dir(service.machine.outside("/var/lib/router-ctl"))?;
    let left: Vec<_> = left
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_service_that_is_reloaded() -> Result<()> {
    let Some(service) = Service::started("a_service_that_is_reloaded") else {
        return Ok(());
    };
    let names = |status: &Value| -> Vec<String> {
        let networks = status["networks"].as_array().into_iter().flatten();
        networks
            .filter_map(|network| network["name"].as_str().map(ToOwned::to_owned))
            .collect()
    };
    let networks = || service.json(&["status"]).map(|status| names(&status));
    ensure!(networks()?.len() == 2, "{:?}", networks()?);
    let process = service.property("MainPID");

    service.hitless("systemctl reload", || {
        let text = service.lab.config(&[0, 1], "# nothing that matters\n");
        service.machine.write(CONFIG, &text).unwrap();
        service.machine.systemctl(&["reload", UNIT]).unwrap();
    });
    service.hitless("a reload that is refused", || {
        service.machine.write(CONFIG, "[[network]\n").unwrap();
        service.machine.systemctl(&["reload", UNIT]).unwrap_err();
    });
    // What to mend is in the journal, in words.
    let journal = service.machine.journal(UNIT)?;
    ensure!(journal.contains("lab.toml:1"), "{journal}");
    assert_eq!(service.property("ActiveState"), "active");
    assert_eq!(networks()?.len(), 2);

    let text = service.lab.config(&[0], "");
    service.machine.write(CONFIG, &text)?;
    service.machine.systemctl(&["reload", UNIT])?;
    assert_eq!(networks()?, [service.lab.networks()[0].name.clone()]);
    assert_eq!(service.property("StatusText"), "forwarding, 1 network");
    assert_eq!(service.property("MainPID"), process);
    service.call(&["down"]).map(drop)
}

#[test]
fn a_service_that_hangs_is_started_anew() -> Result<()> {
    let Some(service) = Service::started("a_service_that_hangs_is_started_anew") else {
        return Ok(());
    };
    // As the unit, but in the time of a test.
    let short = "[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\n";
    let drop_in = format!("/etc/systemd/system/{UNIT}.d/short.conf");
    service.machine.write(&drop_in, short)?;
    service.machine.systemctl(&["daemon-reload"])?;
    service.machine.systemctl(&["restart", UNIT])?;
    let before = service.property("MainPID");
    service.hitless("SIGSTOP", || {
        let words = ["kill", "--signal=STOP", "--kill-whom=main", UNIT];
        service.machine.systemctl(&words).unwrap();
        service.another_process_than(&before);
    });
    let journal = service.machine.journal(UNIT)?;
    ensure!(journal.contains("Watchdog timeout"), "{journal}");
    service.call(&["down"]).map(drop)
}

#[test]
fn the_group_may_look_and_root_may_change() -> Result<()> {
    let Some(service) = Service::started("the_group_may_look_and_root_may_change") else {
        return Ok(());
    };
    let as_group = |group: &str, words: &[&str]| {
        let mut command = service.machine.command("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--groups", group])
            .args(["router-ctl", "--instance", "lab", "--color", "never"])
            .args(words)
            .stdin(Stdio::null());
        command.output()
    };
    let output = as_group("router-ctl", &["status"])?;
    ensure!(output.status.success(), "{output:?}");
    let output = as_group("router-ctl", &["down"])?;
    ensure!(!output.status.success(), "{output:?}");
    let output = as_group("nogroup", &["status"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("router-ctl"),
        "{output:?}"
    );
    assert_eq!(service.property("ActiveState"), "active");
    service.hitless("refusals", || {});
    service.call(&["down"]).map(drop)
}

#[test]
fn a_service_with_a_bad_file_says_so_and_comes_when_it_is_mended() -> Result<()> {
    let test = "a_service_with_a_bad_file_says_so_and_comes_when_it_is_mended";
    let Some(lab) = Lab::or_skip(test, 2) else {
        return Ok(());
    };
    let Some(machine) = Machine::or_skip(test, lab.router()) else {
        return Ok(());
    };
    machine.write(CONFIG, "[[network]\n")?;
    ensure!(machine.systemctl(&["start", UNIT]).is_err());
    let journal = machine.journal(UNIT)?;
    ensure!(
        journal.contains("lab.toml:1") && !journal.contains('\u{1b}'),
        "{journal}"
    );
    machine.write(CONFIG, &lab.config(&[0, 1], ""))?;
    wait::until("systemd to try again", LIMIT, || {
        Ok((machine.property(UNIT, "ActiveState")? == "active").then_some(()))
    })?;
    ensure!(programs(&lab).iter().all(Option::is_some));
    machine.run("router-ctl", &["--instance", "lab", "down"])?;
    // The service has ended, and it was not taken for a failure.
    wait::until("the service to end", LIMIT, || {
        Ok((machine.property(UNIT, "ActiveState")? == "inactive").then_some(()))
    })?;
    ensure!(programs(&lab).iter().all(Option::is_none));
    Ok(())
}

/// It was started again, and set up again what `down` had just put back.
#[test]
fn a_service_that_cannot_go_down_whole_stays_down() -> Result<()> {
    let test = "a_service_that_cannot_go_down_whole_stays_down";
    let Some(service) = Service::started(test) else {
        return Ok(());
    };
    // Somebody's folder: root without CAP_DAC_OVERRIDE cannot look into it.
    let stuck = "/sys/fs/bpf/router-ctl/lab/stuck";
    let machine = &service.machine;
    machine.run("mkdir", &["-p", &format!("{stuck}/inside")])?;
    machine.run("chmod", &["0700", stuck])?;
    machine.run("chown", &["4711", stuck])?;
    let output = machine.output("router-ctl", &["--instance", "lab", "down"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{told}");
    ensure!(told.contains("RC0502"), "{told}");
    wait::until("the service to fail", LIMIT, || {
        Ok((service.property("ActiveState") == "failed").then_some(()))
    })?;
    ensure!(service.property("ExecMainStatus") == "6");
    // RestartSec= is 2: it does not come.
    std::thread::sleep(Duration::from_secs(4));
    ensure!(service.property("ActiveState") == "failed");
    ensure!(service.property("NRestarts") == "0");
    ensure!(programs(&service.lab).iter().all(Option::is_none));
    // Root's shell can.
    service.call(&["down"]).map(drop)
}
