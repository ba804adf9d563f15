//! Requests about the configuration: apply, confirm, roll back.
//!
//! [`apply`] has the order of the steps; here they are done, on the real maps
//! and the real system, and what is in force is noted ([`Saved`]) before
//! anything is done.
//!
//! [`Saved`]: super::saved::Saved

mod notes;
mod users_routes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tracing::{info, warn};

pub(super) use self::notes::ConfigNotes;
use self::notes::{failure, not_the_file};
use super::{
    apply::{self, Machine},
    attach,
    bpffs::Bpffs,
    bringup,
    engine::{Command, Engine, Shared},
    fail, fitness, foreign, retire,
    saved::Why,
};
use crate::{
    api::model::{ConfigApplied, ConfigApply},
    clock, codes,
    config::{Config, Loaded, Trunk, XdpMode, diff},
    error::{Error, Kind},
    instance::router_ctl,
    netlink::types::{Leg, RouteSpec, Tables},
};

/// Until what could not be taken back is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Put the file into force.
    Apply(ConfigApply),
    /// Keep what is in force.
    Confirm,
    /// Go back.
    Rollback,
    /// What had to be confirmed until this time, seconds since 1970, goes.
    Expire(u64),
}

impl Request {
    /// Whether it may put another configuration into force.
    pub(super) const fn acts(self) -> bool {
        match self {
            Self::Apply(wanted) => !wanted.dry_run,
            Self::Rollback | Self::Expire(_) => true,
            Self::Confirm => false,
        }
    }
}

/// What is kept from one step to the next.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Where pins go.
    pub(super) bpffs: Bpffs,
    /// Users' routes as they were; with a device that is made anew they go.
    routes: Vec<(RouteSpec, Option<String>)>,
}

impl Engine {
    /// Does what is asked, and notes how it went.
    pub(super) async fn configure(&mut self, request: Request) -> Result<ConfigApplied, Error> {
        let done = match request {
            Request::Apply(wanted) => self.apply_file(wanted).await,
            Request::Confirm => self.confirm(),
            Request::Rollback => self.go_back(Why::Rejected).await,
            Request::Expire(until) if self.host.saved.confirm_until() == Some(until) => {
                info!("the configuration was not confirmed in time");
                let back = self.go_back(Why::Expired).await;
                if back.is_err() && self.host.saved.confirm_until() == Some(until) {
                    expire_after(RETRY, until, self.shared.commands.clone());
                }
                back
            }
            // It was confirmed, or something else was applied.
            Request::Expire(_) => Ok(ConfigApplied::default()),
        };
        let shared = Arc::clone(&self.shared);
        let mut notes = shared.config_notes();
        notes.read(&self.host.saved);
        match (&done, request) {
            (Ok(_), Request::Apply(wanted)) if !wanted.dry_run => notes.note = None,
            (Err(error), Request::Apply(wanted)) if !wanted.dry_run => {
                notes.note = Some(failure(
                    error,
                    &router_ctl(&shared.instance),
                    "config apply",
                ));
            }
            (Ok(_), Request::Rollback) => {
                let config = shared.config();
                // Twice there and back: it is what the file says.
                let same = load(&shared.instance, &config).is_ok_and(|file| file.config == *config);
                notes.note =
                    (!same).then(|| not_the_file(&shared.instance, &config, Why::Rejected));
            }
            (Ok(_), Request::Expire(_)) if self.host.saved.is_rejecting() => {
                notes.note = Some(not_the_file(
                    &shared.instance,
                    &shared.config(),
                    Why::Expired,
                ));
            }
            (Err(error), Request::Expire(_)) => {
                notes.note = Some(failure(
                    error,
                    &router_ctl(&shared.instance),
                    "config rollback",
                ));
            }
            _ => {}
        }
        done.map_err(|error| {
            error.or_help(|| {
                format!(
                    "mend what the cause says, and `{} config apply` again",
                    router_ctl(&shared.instance)
                )
            })
        })
    }

    async fn apply_file(&mut self, wanted: ConfigApply) -> Result<ConfigApplied, Error> {
        let old = self.shared.config();
        let loaded = load(&self.shared.instance, &old)?;
        self.check(&old, &loaded).await?;
        let changes = diff(&old, &loaded.config);
        if wanted.dry_run {
            return Ok(ConfigApplied {
                changes,
                steps: self.rehearse(&old, &loaded.config).await?,
                confirm_seconds: None,
            });
        }
        // Without a change there is nothing to go back to, and what is to be
        // confirmed still is.
        let noted = !changes.is_empty();
        let confirm_seconds = wanted.confirm_seconds.filter(|_| noted);
        let left = |until: u64| until.saturating_sub(clock::now());
        let undo = if noted {
            let saved = &mut self.host.saved;
            Some(saved.begin(&old, &loaded.config, confirm_seconds)?)
        } else {
            None
        };
        self.host.begin_telling();
        let done = self.carry_out(&old, &loaded.config).await;
        let steps = self.host.end_telling();
        if let Err(error) = done {
            if let Some(undo) = undo {
                self.host.saved.abandon(undo);
            }
            return Err(error);
        }
        if let (Some(seconds), Some(until)) = (confirm_seconds, self.host.saved.confirm_until()) {
            let time = Duration::from_secs(seconds);
            expire_after(time, until, self.shared.commands.clone());
        }
        info!(
            changes = changes.len(),
            steps = steps.len(),
            "the configuration is applied"
        );
        Ok(ConfigApplied {
            changes,
            steps,
            // Those of an apply before this one, where nothing was new.
            confirm_seconds: confirm_seconds.or(self.host.saved.confirm_until().map(left)),
        })
    }

    fn confirm(&mut self) -> Result<ConfigApplied, Error> {
        if self.host.saved.confirm()? {
            return Ok(ConfigApplied::default());
        }
        Err(Error::new(
            Kind::Failed,
            codes::NOTHING_TO_CONFIRM,
            "there is nothing to confirm",
        )
        .help(format!(
            "`{} status` says what is in force",
            router_ctl(&self.shared.instance)
        )))
    }

    async fn go_back(&mut self, why: Why) -> Result<ConfigApplied, Error> {
        let old = self.shared.config();
        let previous = self.host.saved.previous(&old).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                codes::NO_PREVIOUS,
                "there is no configuration to go back to",
            )
            .help(format!(
                "change the file, and `{} config apply`",
                router_ctl(&self.shared.instance)
            ))
        })?;
        self.check(&old, &previous).await?;
        let changes = diff(&old, &previous.config);
        let undo = self.host.saved.go_back()?;
        if let Err(error) = self.carry_out(&old, &previous.config).await {
            self.host.saved.abandon(undo);
            return Err(error);
        }
        info!(?why, "the configuration before is in force again");
        Ok(ConfigApplied {
            changes,
            ..ConfigApplied::default()
        })
    }

    /// All that can be known to be wrong before anything is done.
    async fn check(&mut self, old: &Config, new: &Loaded) -> Result<(), Error> {
        let config = &new.config;
        let going = retire::going(config, &self.host).await?;
        let tables = self.host.devices().await?;
        let objections = fitness::objections(config, &tables, &going, self.keeper.stand_in);
        new.refuse(objections)?;
        bringup::find_ipv6(config, &self.host)?;
        if !config.routes.is_empty() {
            let mut tables = self.host.tables().await?;
            // What leads there goes along.
            tables.routes.retain(|route| {
                let goes = |leg: &Leg| leg.device.is_some_and(|device| going.contains(&device));
                !route.legs.iter().any(goes)
            });
            bringup::find_room(config, &tables)?;
        }
        let is_new = |trunk: &&Trunk| {
            let before = old
                .trunks
                .iter()
                .find(|old| old.interface == trunk.interface);
            let has_none = before.is_none_or(|old| old.xdp == XdpMode::Off);
            has_none || self.has_lost(&trunk.interface, &tables)
        };
        let newcomers = Config {
            trunks: config.trunks.iter().filter(is_new).cloned().collect(),
            ..Config::default()
        };
        foreign::refuse_all(&newcomers, &self.aside.bpffs, &self.host).await
    }

    /// Whether somebody else's program is in the place of ours.
    fn has_lost(&self, trunk: &str, tables: &Tables) -> bool {
        let Some(xdp) = tables.link(trunk).and_then(|link| link.xdp) else {
            return false;
        };
        let dataplane = self.shared.dataplane();
        let ours = dataplane.as_ref().map(|d| d.is_ours(xdp.prog_id));
        matches!(ours, Some(Ok(false)))
    }

    /// Whether the maps have room for what `config` has.
    fn has_room(&self, config: &Config) -> bool {
        let numbering = self.shared.known().numbering.adapted(config);
        let (slots, ids) = (numbering.slots_needed(), numbering.ids_needed());
        let dataplane = self.shared.dataplane();
        let dataplane = dataplane.as_deref();
        dataplane.is_some_and(|dataplane| dataplane.has_room(slots, ids))
    }

    async fn carry_out(&mut self, old: &Config, new: &Config) -> Result<(), Error> {
        self.remember_users_routes().await?;
        apply::apply(old, new, self).await
    }

    async fn rehearse(&mut self, old: &Config, new: &Config) -> Result<Vec<String>, Error> {
        self.host.begin_rehearsal();
        let done = apply::go(old, new, self).await;
        let steps = self.host.end_rehearsal();
        done.map(|()| steps)
    }

    async fn follow(&mut self) -> Result<(), Error> {
        if self.resync().await? {
            return Ok(());
        }
        let failure = self.shared.known().map_failure.clone();
        Err(Error::new(
            Kind::Failed,
            codes::MAP,
            "cannot use a map of the XDP program",
        )
        .cause(failure.unwrap_or_default()))
    }

    /// Other maps, where there were none, or where there are to be none, or larger
    /// ones. The programs that are attached go on with those that they have, until
    /// they are replaced.
    async fn reopen(&mut self, config: &Config) -> Result<(), Error> {
        let numbering = self.shared.known().numbering.adapted(config);
        let bpffs = self.aside.bpffs.clone();
        // The maps of before stay open until there are others: whatever fails
        // here, there is something to go back to.
        let dataplane = attach::open(config, &numbering, &bpffs, &mut self.host).await?;
        self.close();
        self.adopt(dataplane)
    }
}

impl Machine for Engine {
    async fn leave_out(&mut self, networks: &BTreeSet<String>) -> Result<(), Error> {
        if self.host.is_rehearsing() {
            let config = self.shared.config();
            let running = config
                .networks
                .iter()
                .filter(|network| networks.contains(&network.name));
            let names: Vec<&str> = running.map(|network| network.name.as_str()).collect();
            if !names.is_empty() {
                let names = names.join(", ");
                self.host
                    .rehearse(|| format!("let the kernel alone forward for {names}"));
            }
            return Ok(());
        }
        self.keeper.without.clone_from(networks);
        self.follow().await
    }

    async fn detach(&mut self, trunk: &str) -> Result<(), Error> {
        if self.host.rehearse(|| format!("detach XDP from {trunk}")) {
            return Ok(());
        }
        let slot = self.shared.known().numbering.slot(trunk);
        match (slot, self.shared.dataplane().as_mut()) {
            (Some(slot), Some(dataplane)) => dataplane
                .detach(slot)
                .map_err(|error| fail::dataplane(&error)),
            _ => Ok(()),
        }
    }

    async fn retire(&mut self, config: &Config) -> Result<(), Error> {
        retire::retire(config, &mut self.host).await
    }

    async fn bring_up(&mut self, config: &Config) -> Result<(), Error> {
        bringup::bring_up(config, self.keeper.stand_in, &mut self.host).await?;
        self.restore_users_routes().await
    }

    async fn put_in_force(&mut self, config: &Config) -> Result<(), Error> {
        let old = self.shared.config();
        if self.host.is_rehearsing() {
            let new = config
                .networks
                .iter()
                .filter(|network| !old.networks.contains(network));
            let names: Vec<&str> = new.map(|network| network.name.as_str()).collect();
            if !names.is_empty() {
                let names = names.join(", ");
                self.host
                    .rehearse(|| format!("let XDP forward for {names}"));
            }
            return Ok(());
        }
        if has_xdp(&old) != has_xdp(config) || !self.has_room(config) {
            self.reopen(config).await?;
        }
        self.shared.set_config(config.clone());
        self.keeper.without.clear();
        self.follow().await?;
        // New maps come without a lease.
        self.renew_leases();
        Ok(())
    }

    async fn attach(&mut self, trunk: &Trunk) -> Result<(), Error> {
        if self.host.is_rehearsing() {
            let config = self.shared.config();
            if !config.trunks.contains(trunk) {
                let (name, mode) = (&trunk.interface, trunk.xdp);
                self.host
                    .rehearse(|| format!("attach XDP to {name} ({mode})"));
            }
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let slot = shared.known().numbering.slot(&trunk.interface);
        match slot {
            Some(slot) => {
                let id = || {
                    let dataplane = shared.dataplane();
                    let attachment = dataplane.as_ref()?.attachment(slot)?;
                    Some((attachment.ifindex, attachment.link_id))
                };
                let before = id();
                attach::attach_missing(slot, trunk, &shared, &mut self.host).await?;
                if id() != before {
                    let (name, mode) = (&trunk.interface, trunk.xdp);
                    self.host.tell(|| format!("attach XDP to {name} ({mode})"));
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn settle(&mut self) -> Result<(), Error> {
        if self.host.is_rehearsing() {
            return Ok(());
        }
        self.settle_pins();
        self.follow().await
    }
}

/// What the file says now.
pub(super) fn load(instance: &str, running: &Config) -> Result<Loaded, Error> {
    let path = running.source.as_deref().ok_or_else(|| {
        Error::new(
            Kind::Failed,
            codes::CONFIG_WITHOUT_FILE,
            "the daemon has no configuration file: its command line has the configuration",
        )
        .help(format!(
            "`{0} config show` prints one: start the daemon with `{0} run --config FILE`",
            router_ctl(instance)
        ))
    })?;
    Loaded::load(path)
}

pub(super) fn has_xdp(config: &Config) -> bool {
    config.trunks.iter().any(|trunk| trunk.xdp != XdpMode::Off)
}

/// Asks for the way back when the time is up.
fn expire_after(time: Duration, until: u64, commands: mpsc::Sender<Command>) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        ask(Request::Expire(until), &commands).await;
    });
}

/// SIGHUP applies the file: `systemctl reload`.
pub(super) fn follow_hangups(shared: &Shared) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| fail::io(codes::RUNTIME, "cannot listen to signals", &error))?;
    let commands = shared.commands.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            info!("SIGHUP: applying the configuration");
            ask(Request::Apply(ConfigApply::default()), &commands).await;
        }
    });
    Ok(())
}

/// Asks, and logs what became of it.
async fn ask(request: Request, commands: &mpsc::Sender<Command>) {
    let (answer, answered) = oneshot::channel();
    if commands
        .send(Command::Configure(request, answer))
        .await
        .is_err()
    {
        // The daemon is ending.
        return;
    }
    if let Ok(Err(error)) = answered.await {
        warn!(%error, code = %error.code, "the configuration");
    }
}
