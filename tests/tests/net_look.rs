//! What the commands say of a real router: `neigh`, `monitor`, `/metrics`, and
//! to whom.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use router_tests::{
    flow::Flow,
    lab::{self, Lab},
    netns,
    router_daemon::{self, RouterDaemon},
    wait,
};
use serde_json::{Map, Value};

/// For an event to come.
const LIMIT: Duration = Duration::from_secs(30);

/// `router-ctl -j monitor`, while it runs.
struct Monitor {
    child: Child,
    events: Receiver<Value>,
}

impl Monitor {
    /// Returns when it listens.
    fn start(daemon: &RouterDaemon, words: &[&str]) -> Result<Self> {
        let mut child = daemon
            .command()
            .args(["-j", "monitor"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run router-ctl monitor")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    return;
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let monitor = Self { child, events };
        monitor.until("the state", |event| event["event"] == "state")?;
        Ok(monitor)
    }

    /// The next event that is like this.
    fn until(&self, what: &str, like: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + LIMIT;
        let mut others = Vec::new();
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(rest) {
                Ok(event) if like(&event) => return Ok(event),
                Ok(event) => others.push(event),
                Err(RecvTimeoutError::Timeout) => bail!("{what} never came, but {others:#?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("monitor ended; {others:#?}"),
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn monitor_tells_what_happens_to_the_kernel_and_the_daemon() -> Result<()> {
    let name = "monitor_tells_what_happens_to_the_kernel_and_the_daemon";
    let Some(lab) = Lab::or_skip(name, 2) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.start()?;
    let monitor = Monitor::start(&daemon, &[])?;
    let network = &lab.networks()[0];
    let (device, host) = (&network.interface, network.host4);

    lab.router()
        .ip(&format!("route add 10.7.0.0/16 via {host} proto static"))?;
    let route = |gone: bool| {
        move |event: &Value| event["route"]["dst"] == "10.7.0.0/16" && event["gone"] == gone
    };
    let event = monitor.until("the route", route(false))?;
    ensure!(event["route"]["network"] == "net0", "{event}");
    ensure!(event["route"]["proto"] == "static", "{event}");
    lab.router().ip("route del 10.7.0.0/16")?;
    monitor.until("its end", route(true))?;

    let neighbour = network.gateway4.octets();
    let neighbour = format!("{}.{}.{}.77", neighbour[0], neighbour[1], neighbour[2]);
    let like = |gone: bool| {
        let neighbour = neighbour.clone();
        move |event: &Value| event["neighbour"]["ip"] == *neighbour && event["gone"] == gone
    };
    lab.router().ip(&format!(
        "neigh add {neighbour} lladdr 02:00:00:00:00:77 nud permanent dev {device}"
    ))?;
    let event = monitor.until("the neighbour", like(false))?;
    ensure!(event["neighbour"]["state"] == "PERMANENT", "{event}");
    ensure!(event["neighbour"]["mac"] == "02:00:00:00:00:77", "{event}");
    lab.router()
        .ip(&format!("neigh del {neighbour} dev {device}"))?;
    monitor.until("its end", like(true))?;

    lab.router().sysctl("ipv4/ip_forward", "0")?;
    let event = monitor.until("a problem", |event| event["event"] == "problem")?;
    ensure!(event["gone"] == false, "{event}");
    ensure!(event["problem"]["help"].is_string(), "{event}");
    let degraded = |event: &Value| event["state"] == "degraded";
    monitor.until("degraded", degraded)?;
    lab.router().sysctl("ipv4/ip_forward", "1")?;
    monitor.until("the problem's end", |event| {
        event["event"] == "problem" && event["gone"] == true
    })?;
    monitor.until("forwarding", |event| event["state"] == "forwarding")?;

    lab.router().ip(&format!("link set {device} down"))?;
    monitor.until("the network", |event| {
        event["network"]["name"] == "net0" && event["network"]["state"] == "down"
    })?;
    lab.router().ip(&format!("link set {device} up"))?;
    monitor.until("the network", |event| {
        event["network"]["name"] == "net0" && event["network"]["state"] == "up"
    })?;
    daemon.down()
}

#[test]
fn verdicts_are_told_each_second() -> Result<()> {
    let Some(lab) = Lab::or_skip("verdicts_are_told_each_second", 2) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.start()?;
    let monitor = Monitor::start(&daemon, &["--drops"])?;
    let before = daemon.forwarded_by_xdp()?;
    let flow = Flow::start(&lab, 0, 1)?;
    flow.run_for(Duration::from_millis(2500));
    flow.finish(&lab)?.assert_hitless();
    let all = daemon.forwarded_by_xdp()? - before;
    let mut told = 0;
    // Every packet is told once.
    while told < all {
        let event = monitor.until("verdicts", |event| event["event"] == "verdicts")?;
        let verdicts = event["verdicts"].as_array().context("no verdicts")?;
        let forwarded = verdicts.iter().filter(|v| v["reason"] == "forwarded");
        told += forwarded.filter_map(|v| v["packets"].as_u64()).sum::<u64>();
    }
    ensure!(told == all, "{told} of {all}");
    daemon.down()
}

/// As bytes, for the API's own words.
/// What is forwarded between two trunks and the kernel cannot send: counted, told
/// why, and a problem. (The program has returned by then.)
#[test]
fn what_cannot_be_redirected_is_told() -> Result<()> {
    let test = "what_cannot_be_redirected_is_told";
    let Some(mut lab) = Lab::untagged_or_skip(test, 2) else {
        return Ok(());
    };
    if !lab::kernel_is_since(6, 3)? {
        // There it is veth that loses them, later, and nobody else's business.
        println!("SKIP {test}: this kernel is older than 6.3");
        return Ok(());
    }
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.start()?;
    let errors = |daemon: &RouterDaemon| -> Result<Vec<(String, u64)>> {
        let stats = daemon.json(&["stats"])?;
        let errors = stats["redirect_errors"].as_array().context("not known")?;
        let error = |error: &Value| {
            let errno = error["errno"].as_str().unwrap_or_default().to_owned();
            (errno, error["packets"].as_u64().unwrap_or(0))
        };
        Ok(errors.iter().map(error).collect())
    };
    let flow = Flow::start(&lab, 0, 1)?;
    flow.run_for(Duration::from_millis(200));
    ensure!(errors(&daemon)?.is_empty(), "{:?}", errors(&daemon)?);
    lab.deafen(1);
    flow.run_for(Duration::from_millis(300));
    wait::until("it to be a problem", LIMIT, || {
        let status = daemon.json(&["status"])?;
        let problems = status["problems"].as_array().into_iter().flatten();
        let told = problems.filter_map(|problem| problem["message"].as_str());
        let told = told.filter(|message| message.ends_with("are lost: EOPNOTSUPP"));
        Ok((told.count() == 1).then_some(()))
    })?;
    let report = flow.finish(&lab)?;
    let lost = u64::try_from(report.directions[0].lost.len())?;
    ensure!(
        lost > 50 && report.directions[1].lost.is_empty(),
        "{report}"
    );
    ensure!(
        errors(&daemon)? == [("EOPNOTSUPP".to_owned(), lost)],
        "{:?}, {report}",
        errors(&daemon)?
    );
    let metrics = get(&daemon, "/metrics")?;
    let line = format!("routerctl_redirect_errors_total{{errno=\"EOPNOTSUPP\"}} {lost}\n");
    ensure!(metrics.contains(&line), "{metrics}");
    let stats = daemon.call(&["stats"])?;
    ensure!(stats.contains("REDIRECT ERROR"), "{stats}");
    daemon.down()
}

fn get(daemon: &RouterDaemon, path: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket(daemon))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn socket(daemon: &RouterDaemon) -> PathBuf {
    PathBuf::from("/run/router-ctl").join(format!("{}.sock", daemon.instance()))
}

#[test]
fn neighbours_are_the_kernels() -> Result<()> {
    let Some(lab) = Lab::or_skip("neighbours_are_the_kernels", 2) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.start()?;
    let flow = Flow::start(&lab, 0, 1)?;
    flow.run_for(Duration::from_millis(300));
    flow.finish(&lab)?.assert_hitless();
    for network in lab.networks() {
        let words = ["-4", "neigh", "dev", &network.name];
        let neighbours = daemon.json(&words)?;
        let found = neighbours.as_array().context("no list")?;
        let host = found
            .iter()
            .find(|neighbour| neighbour["ip"] == *network.host4.to_string())
            .with_context(|| format!("{} is not among {neighbours}", network.host4))?;
        ensure!(host["network"] == *network.name, "{host}");
        let kernel = lab.router().ip(&format!(
            "neigh show {} dev {}",
            network.host4, network.interface
        ))?;
        let mac = host["mac"].as_str().context("no MAC")?;
        ensure!(kernel.contains(mac), "{kernel} is not {host}");
    }
    // The other network's are not listed, and -o says what `ip neigh` says.
    let line = daemon.call(&["-o", "-4", "neigh", "net0"])?;
    let other = lab.networks()[1].host4.to_string();
    ensure!(
        line.contains(" dev net0 ") && !line.contains(&other),
        "{line}"
    );

    let metrics = get(&daemon, "/metrics")?;
    for metric in [
        "routerctl_forwarded_packets_total{from=\"net0\",to=\"net1\"}",
        "routerctl_verdict_packets_total{reason=\"forwarded\"",
        "routerctl_neighbours{state=\"",
        "routerctl_netlink_resyncs_total ",
        "routerctl_config_last_reload_successful 1\n",
        "routerctl_xdp_info{device=",
        "routerctl_build_info{version=",
    ] {
        ensure!(metrics.contains(metric), "{metric} is not among\n{metrics}");
    }
    ensure!(get(&daemon, "/healthz")?.starts_with("HTTP/1.1 200 "));
    lab.router().sysctl("ipv4/ip_forward", "0")?;
    wait::until("/healthz to say so", LIMIT, || {
        Ok(get(&daemon, "/healthz")?
            .starts_with("HTTP/1.1 503 ")
            .then_some(()))
    })?;
    lab.router().sysctl("ipv4/ip_forward", "1")?;
    daemon.down()
}

/// Real outputs, where those of the tests of router-ctl come from a twin.
#[test]
fn what_is_printed_is_what_the_schema_says() -> Result<()> {
    let Some(lab) = Lab::or_skip("what_is_printed_is_what_the_schema_says", 2) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0, 1], ""))?;
    daemon.start()?;
    let flow = Flow::start(&lab, 0, 1)?;
    flow.run_for(Duration::from_millis(200));
    flow.finish(&lab)?.assert_hitless();
    let schema: Value = serde_json::from_str(&daemon.call(&["__schema"])?)?;
    let host = lab.networks()[0].host4.to_string();
    for (command, words) in [
        ("status", vec!["status"]),
        ("networks", vec!["networks"]),
        ("routes", vec!["routes"]),
        ("routes get", vec!["routes", "get", &host]),
        ("neigh", vec!["neigh"]),
        ("stats", vec!["stats"]),
        ("version", vec!["version"]),
    ] {
        let value = daemon.json(&words)?;
        ensure!(
            !value.as_array().is_some_and(Vec::is_empty),
            "{command}: an empty list says nothing"
        );
        let mut root = Map::new();
        root.insert("$defs".into(), schema["$defs"].clone());
        root.insert(
            "allOf".into(),
            vec![schema["properties"][command].clone()].into(),
        );
        let validator = jsonschema::validator_for(&Value::Object(root))?;
        if let Err(error) = validator.validate(&value) {
            bail!("{command}: {error} at {}: {value}", error.instance_path());
        }
    }
    daemon.down()
}

/// The socket's group may look, root may change, nobody else may connect.
#[test]
fn who_may_do_what() -> Result<()> {
    let Some(lab) = Lab::or_skip("who_may_do_what", 1) else {
        return Ok(());
    };
    let mut daemon = RouterDaemon::configure(&lab, &lab.config(&[0], ""))?;
    daemon.start()?;
    let meta = fs::metadata(socket(&daemon))?;
    ensure!(
        meta.permissions().mode() & 0o777 == 0o660,
        "{:o}",
        meta.mode()
    );

    // Where everybody may run it.
    let directory = tempfile::Builder::new()
        .prefix(&format!("router-ctl-{}-", netns::unique_suffix()))
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    let program = directory.path().join("router-ctl");
    fs::copy(router_daemon::program()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let run = |group: u32, words: &[&str]| -> Result<(Option<i32>, String)> {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups"])
            .arg(format!("--regid={group}"))
            .arg(&program)
            .args(["--instance", daemon.instance()])
            .args(words)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), text))
    };
    for look in ["status", "networks", "routes", "neigh", "stats"] {
        let (code, said) = run(meta.gid(), &[look])?;
        ensure!(code == Some(0), "{look}: {code:?} {said}");
    }
    let before = daemon.call(&["routes"])?;
    for change in [
        &["down"][..],
        &["routes", "add", "10.9.0.0/16", "dev", "net0"],
        &["config", "apply"],
        &["config", "rollback"],
    ] {
        let (code, said) = run(meta.gid(), change)?;
        ensure!(
            code == Some(4) && said.starts_with("error[RC0202]: only root may"),
            "{change:?}: {code:?} {said}"
        );
    }
    ensure!(daemon.call(&["routes"])? == before, "something was changed");
    let (code, said) = run(65534, &["status"])?;
    ensure!(
        code == Some(4) && said.starts_with("error[RC0202]: you may not talk to the daemon"),
        "{code:?} {said}"
    );
    daemon.down()
}

/// `xdp = "..."` for every trunk.
fn with_mode(config: &str, mode: &str) -> String {
    config.replace("[[trunk]]\n", &format!("[[trunk]]\nxdp = \"{mode}\"\n"))
}

/// Not as asked for, but as attached.
fn modes(daemon: &RouterDaemon) -> Result<Vec<String>> {
    let status = daemon.json(&["status"])?;
    let trunks = status["trunks"].as_array().context("no trunks")?.iter();
    Ok(trunks
        .map(|trunk| trunk["xdp_mode"].as_str().unwrap_or_default().to_owned())
        .collect())
}

#[test]
fn status_says_in_which_mode_xdp_is() -> Result<()> {
    let Some(lab) = Lab::or_skip("status_says_in_which_mode_xdp_is", 2) else {
        return Ok(());
    };
    let config = lab.config(&[0, 1], "");
    for (asked, given) in [
        ("generic", "generic"),
        ("auto", "native"),
        ("native", "native"),
    ] {
        let mut daemon = RouterDaemon::configure(&lab, &with_mode(&config, asked))?;
        daemon.start()?;
        let found = modes(&daemon)?;
        ensure!(!found.is_empty(), "no trunks");
        ensure!(found.iter().all(|mode| mode == given), "{asked}: {found:?}");
        // The kernel's word for it.
        for trunk in lab.trunks() {
            let link = lab.router().ip(&format!("link show {trunk}"))?;
            let generic = link.contains("xdpgeneric");
            ensure!(generic == (given == "generic"), "{asked}: {link}");
        }
        daemon.down()?;
    }
    Ok(())
}

/// A driver that has none may be slow, but not without anybody knowing.
#[test]
fn a_driver_without_xdp_is_not_generic_unless_that_was_asked_for() -> Result<()> {
    let name = "a_driver_without_xdp_is_not_generic_unless_that_was_asked_for";
    let Some(lab) = Lab::or_skip(name, 1) else {
        return Ok(());
    };
    // A bridge has none; with a port that is up it has a carrier.
    for step in [
        "link add plain type bridge",
        "link add port type veth peer name far",
        "link set port master plain up",
        "link set far up",
    ] {
        lab.router().ip(step)?;
    }
    let config = "[[trunk]]\ninterface = \"plain\"\n\
                  [[network]]\nname = \"lan\"\ngateway = \"10.99.0.1/24\"\n";
    let mut daemon = RouterDaemon::configure(&lab, &with_mode(config, "native"))?;
    daemon.spawn()?;
    let ended = daemon.wait_ended()?;
    let log = daemon.log_text();
    ensure!(ended.code() == Some(1), "{ended}: {log}");
    for part in ["cannot attach native XDP to plain", "xdp = \"generic\""] {
        ensure!(log.contains(part), "{part} in {log}");
    }
    drop(daemon);
    let mut daemon = RouterDaemon::configure(&lab, &with_mode(config, "auto"))?;
    daemon.start()?;
    ensure!(modes(&daemon)? == ["generic"], "{:?}", modes(&daemon)?);
    let log = daemon.log_text();
    ensure!(
        log.contains("falling back to generic XDP on plain"),
        "{log}"
    );
    daemon.down()
}
