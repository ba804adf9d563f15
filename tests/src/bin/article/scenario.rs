//! The story: machines, pings in vain, a router, the same pings, TCP, the
//! proof, and everything is gone again.

use std::path::Path;

use anyhow::{Context as _, Result};
use router_tests::{
    netns,
    pass::PassProgram,
    topology::{Family, TRUNK, Topology, offloads_off},
    wait,
};

use crate::{
    Args, by_hand,
    daemon::Daemon,
    environment, keep,
    proof::Meter,
    report::{self, Clock, Row},
    steps::{self, Ping},
};

/// Plays it, cleans up whatever came of it.
pub(crate) fn play(args: &Args) -> Result<()> {
    wait::catch_signals()?;
    let clock = Clock::start();
    environment::prepare(&clock)?;
    let directory = tempfile::Builder::new()
        .prefix("article-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let suffix = netns::unique_suffix();
    let topology = Topology::build(&suffix).context("cannot build the machines")?;
    clock.say("a switch, node1 to node3, box1 to box4:");
    let names: Vec<&str> = topology.namespaces().map(netns::Netns::name).collect();
    report::quote(&names.join(" "));

    let mut stage = Stage {
        args,
        clock: &clock,
        topology: &topology,
        directory: directory.path(),
        instance: format!("article-{suffix}"),
        daemon: None,
        _in_place_of_xdp: None,
    };
    let played = stage.story();
    // A daemon that is interrupted with everything else is not to blame.
    let interrupted = wait::interrupted();
    let struck = stage.strike();
    let failed = played.is_err() || struck.is_err();
    if let Some(daemon) = stage.daemon.filter(|_| failed && !interrupted) {
        daemon.show_log();
    }
    let deleted = topology.delete().context("cannot remove the machines");
    // The first failure is the cause, as a rule, of the others.
    played.and(struck).and(deleted)?;
    clock.say("everything is gone again");
    Ok(())
}

struct Stage<'a> {
    args: &'a Args,
    clock: &'a Clock,
    topology: &'a Topology,
    directory: &'a Path,
    instance: String,
    daemon: Option<Daemon>,
    _in_place_of_xdp: Option<PassProgram>,
}

impl Stage<'_> {
    fn story(&mut self) -> Result<()> {
        let (clock, topology) = (self.clock, self.topology);
        let pings = Ping::all();
        let mut meter = Meter::start(topology)?;

        clock.say("before there is a router");
        let before = Ping::before(topology, &pings)?;
        for (ping, answer) in pings.iter().zip(&before) {
            clock.say(&format!("  {}: {answer}", ping.name()));
        }

        self.start_router()?;
        let mut rows = Vec::new();
        let mut measured = |step: String, before: String, after: String| -> Result<()> {
            let counts = meter.settle(topology.router(), self.daemon.as_ref())?;
            clock.say(&format!(
                "  {step}: {after}; {} sent over VLANs, {} by kernel, {} by XDP",
                counts.sent, counts.kernel, counts.xdp
            ));
            rows.push(Row {
                step,
                before,
                after,
                counts,
            });
            Ok(())
        };
        for (ping, before) in pings.iter().zip(before) {
            let after = ping.after(topology)?;
            measured(ping.name(), before, after)?;
        }
        for family in Family::ALL {
            let done = steps::tcp(topology, family, self.args.mebibytes << 20)?;
            let after = format!(
                "2 x {} MiB, SHA-256 right, {:.1} s",
                done.bytes >> 20,
                done.elapsed.as_secs_f64()
            );
            clock.say(&format!(
                "  SHA-256 there {}, back {}",
                done.there, done.back
            ));
            measured(
                format!("TCP box1 <-> box4 {}", family.name()),
                String::new(),
                after,
            )?;
        }
        // Without the router's program nobody counts the strays.
        let counting = self.daemon.as_ref().filter(|_| !self.args.without_xdp);
        steps::strays(topology, counting)?;
        measured(
            "frames to another MAC, a ping".to_owned(),
            String::new(),
            "none at box4".to_owned(),
        )?;

        self.show_routes()?;
        if let Some(frame) = meter.specimen() {
            clock.say("a frame for box4, as it came in at node3's enp0s3:");
            report::quote(&report::frame(&frame));
        }
        report::line("");
        report::line(&report::table(&rows, meter.total()));
        report::line(&format!(
            "sent: counted at the trunks of node2 and node3; by kernel: node1's Ip ForwDatagrams \
             and Ip6OutForwDatagrams; by XDP: {}",
            if self.args.by_hand {
                "there is none"
            } else {
                "router-ctl -j stats"
            }
        ));
        meter.total().verify(self.xdp_forwards())?;
        if let Some(daemon) = &self.daemon {
            daemon.verify(topology.router(), self.xdp_mode())?;
            report::line(&format!("XDP on node1's {TRUNK}: {}", self.xdp_mode()));
        }
        meter.finish()?;
        if self.args.keep {
            keep::keep(topology, self.daemon.as_ref())?;
        }
        Ok(())
    }

    const fn xdp_forwards(&self) -> bool {
        !self.args.without_xdp && !self.args.by_hand
    }

    const fn xdp_mode(&self) -> &'static str {
        if self.args.without_xdp {
            "off"
        } else {
            "native"
        }
    }

    fn start_router(&mut self) -> Result<()> {
        let router = self.topology.router();
        let Some(router_ctl) = &self.args.router_ctl else {
            return by_hand::route(router, self.clock);
        };
        let router_ctl = router_ctl
            .canonicalize()
            .with_context(|| format!("there is no {}", router_ctl.display()))?;
        if self.args.without_xdp {
            self._in_place_of_xdp = Some(PassProgram::attach(router, TRUNK)?);
            self.clock
                .say("a pass-everything XDP program is on node1's enp0s3");
        }
        let daemon = Daemon::start(
            router,
            &router_ctl,
            &self.instance,
            self.directory,
            !self.args.without_xdp,
            self.clock,
        )?;
        let xdp_mode = self.xdp_mode();
        // Kept before anything can fail: its log is shown, its work undone.
        let daemon = self.daemon.insert(daemon);
        daemon.wait(router)?;
        self.clock.say("the daemon says that it forwards:");
        report::quote(&daemon.call(&["status"])?);
        daemon.verify(router, xdp_mode)?;
        // Attaching XDP turned GRO on: what passes up may be glued together, and
        // then the kernel counts one where the sinks count two.
        offloads_off(router, TRUNK, &["gro"])
    }

    /// The article's `route -n`.
    fn show_routes(&self) -> Result<()> {
        match &self.daemon {
            Some(daemon) => {
                self.clock.say("node1# router-ctl routes");
                report::quote(&daemon.call(&["routes"])?);
            }
            None => {
                self.clock.say("node1# ip route");
                report::quote(&self.topology.router().ip("route show")?);
            }
        }
        Ok(())
    }

    /// Ends the daemon and takes back what it did.
    fn strike(&mut self) -> Result<()> {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        self.clock.say("stopping the daemon");
        let stopped = daemon.stop();
        self.clock.say("node1# router-ctl down");
        let down = daemon.down(self.topology.router());
        self.clock.say("removing the machines");
        stopped.and(down)
    }
}
