//! The daemon's engine, and what it shares with the API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use router_common::wire::{IfIndex, NetworkId};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{debug, warn};

use super::{
    configure::{Aside, ConfigNotes, Request, has_xdp},
    fail,
    follow::{Answer, Follower, Heed},
    host::Host,
    keeper::Keeper,
    losses::Losses,
    neighbours::{self, Traffic},
    netfilter::Netfilter,
    news::News,
    pace::Pace,
    source::{Kernel, Source as _},
    supervisor::Supervisor,
    transforms::{self, Guarded},
    view::Known,
    xdp::Care,
};
use crate::{
    api::model::{ConfigApplied, Problem, RouteChange},
    codes,
    config::Config,
    dataplane::Dataplane,
    error::{Error, Kind},
    instance::router_ctl,
    netlink::{self, Heard, Netlink, Watch},
    reconcile::{Contents, Numbering},
};

/// How long what is cached may be used without a sign of life.
const CACHE_LEASE: Duration = Duration::from_secs(5);
/// Between two times that the maps are reconciled, however much happens. What is
/// wrong is out of the maps before: see [`Engine::hear`].
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// The same, however long it takes.
const LONGEST_REST: Duration = Duration::from_millis(160);
/// How often everything is read, if something is lost each time.
const RESYNC_TRIES: usize = 4;

/// What the engine and the API share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What the daemon is asked to be now: a reload puts another in its place.
    config: Mutex<Arc<Config>>,
    pub(super) instance: String,
    pub(super) started: std::time::Instant,
    pub(super) netlink: Netlink,
    config_notes: Mutex<ConfigNotes>,
    known: Mutex<Known>,
    dataplane: Mutex<Option<Box<dyn Dataplane>>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) news: News,
    pub(super) supervisor: Supervisor,
}

/// What the API asks of the engine, because it goes into the journal.
#[derive(Debug)]
pub(super) enum Command {
    /// Change a route.
    Route(RouteChange, oneshot::Sender<Result<(), Error>>),
    /// Do something about the configuration.
    Configure(Request, oneshot::Sender<Result<ConfigApplied, Error>>),
    /// Put everything back and end.
    Down(oneshot::Sender<Result<(), Error>>),
}

impl Shared {
    pub(super) fn new(
        config: Config,
        instance: String,
        netlink: Netlink,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        let config = Arc::new(config);
        Self {
            known: Mutex::new(Known {
                numbering: Numbering::default().adapted(&config),
                config: Arc::clone(&config),
                instance: instance.clone(),
                ..Known::default()
            }),
            config: Mutex::new(config),
            config_notes: Mutex::default(),
            instance,
            started: std::time::Instant::now(),
            netlink,
            dataplane: Mutex::default(),
            commands,
            news: News::default(),
            supervisor: Supervisor::default(),
        }
    }

    /// The configuration that is in force. What is *known* has its own copy,
    /// which changes with the rest of it: see [`Known::config`].
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// Puts another configuration in force: the next resync takes it up.
    pub(super) fn set_config(&self, config: Config) {
        *lock(&self.config) = Arc::new(config);
    }

    /// What there is to say of the configuration.
    pub(super) fn config_notes(&self) -> MutexGuard<'_, ConfigNotes> {
        lock(&self.config_notes)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// `None`: not open yet, or closed.
    pub(super) fn dataplane(&self) -> MutexGuard<'_, Option<Box<dyn Dataplane>>> {
        lock(&self.dataplane)
    }
}

/// A task that panicked has left what it guards whole: it is written in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What runs the daemon's loop (`watch.rs`): follows the kernel and has the maps
/// follow it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) host: Host,
    pub(super) watch: Watch,
    pub(super) follower: Follower<Kernel>,
    pub(super) keeper: Keeper,
    pub(super) aside: Aside,
    /// When the maps are reconciled next.
    pace: Pace,
    traffic: Traffic,
    /// The maps are right.
    current: bool,
    /// What they held when they were taken over.
    before: Option<Contents>,
    pub(super) care: Care,
    pub(super) netfilter: Netfilter,
    pub(super) losses: Losses,
    pub(super) guarded: Guarded,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, host: Host, watch: Watch, stand_in: bool) -> Self {
        let source = Kernel {
            netlink: host.netlink.clone(),
            sysctls: host.sysctls.clone(),
        };
        Self {
            shared,
            watch,
            follower: Follower::new(source),
            host,
            keeper: Keeper {
                stand_in,
                ..Keeper::default()
            },
            aside: Aside::default(),
            pace: Pace::new(SHORTEST_REST, LONGEST_REST, Instant::now()),
            traffic: Traffic::default(),
            current: false,
            before: None,
            care: Care::default(),
            netfilter: Netfilter::default(),
            losses: Losses::default(),
            guarded: Guarded::default(),
        }
    }

    /// Reads everything and puts the maps right. `false`: a map could not be
    /// written, so try again.
    pub(super) async fn resync(&mut self) -> Result<bool, Error> {
        let config = self.shared.config();
        self.look_at_policies();
        for _ in 0..RESYNC_TRIES {
            self.follower.read(&config).await.map_err(|error| {
                fail::refused(codes::NETLINK, "cannot read the kernel's tables", &error)
            })?;
            if self.listen()? {
                break;
            }
        }
        Ok(self.reconcile())
    }

    /// Takes in what the kernel has announced so far, and puts the maps right.
    /// What was changed over netlink has been announced when the change is
    /// acknowledged: after this, it is known.
    pub(super) fn catch_up(&mut self) -> Result<bool, Error> {
        self.listen()?;
        Ok(self.reconcile())
    }

    /// Hears what is waiting. `false`: something was lost.
    fn listen(&mut self) -> Result<bool, Error> {
        let mut whole = true;
        loop {
            let heard = self.watch.waiting().map_err(|error| {
                fail::refused(codes::NETLINK, "cannot watch the kernel", &error)
            })?;
            let Some(heard) = heard else {
                return Ok(whole);
            };
            whole &= heard != Heard::Overrun;
            self.shared.news.heard(&heard, &self.shared.known());
            self.follower.hear(heard, Instant::now());
        }
    }

    /// Puts the maps right by what is known. `false`: a map could not be
    /// written, so try again.
    pub(super) fn reconcile(&mut self) -> bool {
        let begun = Instant::now();
        self.pace.begin();
        let config = self.shared.config();
        let (numbering, ready, settled) = {
            let known = self.shared.known();
            (known.numbering.adapted(&config), known.ready, known.settled)
        };
        let mut kernel = self.follower.kernel(&config);
        kernel.transforms = self.guarded.found();
        let mut known = self.keeper.keep(
            Arc::clone(&config),
            numbering,
            kernel,
            self.shared.dataplane().as_deref_mut(),
        );
        known.ready = ready;
        known.instance.clone_from(&self.shared.instance);
        known.pin_failure = self.care.pin_failure.clone();
        known.journal_failure = self.care.journal_failure.clone();
        known.attach_failures = self.care.attach_failures.clone();
        known.warnings = self.warnings(&config);
        known.losses = self.care.losses.clone();
        known.rx_vlan = self.read_rx_vlan(&config);
        known.troubles = self.follower.problems();
        known.following = self.follower.counts().clone();
        known.settled = settled || (ready && known.health().warnings.is_empty());
        self.current = known.map_failure.is_none();
        *self.shared.known() = known;
        self.shared.news.known(&self.shared.known());
        let now = Instant::now();
        self.pace.done(now - begun, now);
        debug!(took = ?(now - begun), "reconciled");
        if self.follower.is_unsure() {
            self.pace.want(now);
        }
        self.current
    }

    /// What users should know, and is as it should be for all that.
    pub(super) fn warnings(&self, config: &Config) -> Vec<Problem> {
        let mut warnings = self.netfilter.warnings(config);
        warnings.extend(self.guarded.warning(config));
        let suppressing = self.follower.mirror().rules_v6().suppressing;
        warnings.extend(
            suppressing
                .then(transforms::suppression)
                .filter(|_| has_xdp(config)),
        );
        warnings
    }

    /// Has the maps reconciled soon.
    pub(super) fn want(&mut self, now: Instant) {
        self.pace.want(now);
    }

    /// When [`go_on`](Self::go_on) is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.pace.due().into_iter().chain(self.follower.due());
        due.min()
    }

    /// Does what is due.
    pub(super) fn go_on(&mut self) {
        let now = Instant::now();
        if self.follower.due().is_some_and(|due| due <= now) {
            self.follower.start(&self.shared.config(), now);
        }
        if self.pace.is_due(now) {
            self.reconcile();
        }
    }

    /// What the kernel has announced changes the maps at once, unless it has
    /// just been done: then only what is wrong is taken out of them at once.
    pub(super) fn hear(&mut self, heard: Result<Heard, netlink::Error>) {
        let now = Instant::now();
        match heard {
            Ok(heard) => {
                self.shared.news.heard(&heard, &self.shared.known());
                let heed = self.follower.hear(heard, now);
                self.heed(&heed, now);
            }
            Err(error) => {
                warn!(%error, "netlink watch");
                match Watch::subscribe() {
                    Ok(anew) => {
                        self.watch = anew;
                        self.follower.hear(Heard::Overrun, now);
                    }
                    Err(error) => warn!(%error, "cannot watch the kernel"),
                }
            }
        }
    }

    /// Takes in what was asked for.
    pub(super) fn take(&mut self, answer: Answer) {
        let now = Instant::now();
        let heed = self.follower.take(answer, now);
        self.heed(&heed, now);
    }

    fn heed(&mut self, heed: &Heed, now: Instant) {
        if heed.changed {
            self.pace.want(now);
        }
        if self.pace.is_due(now) {
            self.reconcile();
        } else if !heed.shut.is_empty()
            && let Some(dataplane) = self.shared.dataplane().as_deref_mut()
        {
            self.keeper.shut(&heed.shut, dataplane);
        }
    }

    /// Each second: looks at what the kernel does not announce, and keeps the
    /// neighbours alive.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let config = self.shared.config();
        self.renew_leases();
        let mut changed = self.follower.tick(&config, now);
        self.follower.look_at(self.trunks_and_peers(&config));
        self.use_neighbours();
        self.look_at_netfilter();
        self.look_at_policies();
        let rx_vlan = self.read_rx_vlan(&config);
        {
            let mut known = self.shared.known();
            known.troubles = self.follower.problems();
            known.following = self.follower.counts().clone();
            changed |= known.rx_vlan != rx_vlan || known.map_failure.is_some();
            self.shared.news.known(&known);
        }
        if changed {
            self.pace.want(now);
        }
    }

    /// Looks at the trunks, and reconciles: XDP is not what it was.
    pub(super) fn look_again(&mut self) {
        let config = self.shared.config();
        self.follower.look_at(self.trunks_and_peers(&config));
        self.pace.want(Instant::now());
    }

    /// The trunks, and what is at the other end of those that are veth.
    fn trunks_and_peers(&self, config: &Config) -> Vec<String> {
        let mirror = self.follower.mirror();
        let mut names = Vec::new();
        for trunk in &config.trunks {
            names.push(trunk.interface.clone());
            let link = mirror.link_named(&trunk.interface);
            let peer = link.filter(|link| link.kind.as_deref() == Some("veth"));
            let peer = peer.and_then(|link| mirror.link(link.parent?));
            names.extend(peer.map(|peer| peer.name.clone()));
        }
        names
    }

    /// Declares the stale neighbours of networks with traffic to be in use.
    fn use_neighbours(&mut self) {
        let devices: BTreeMap<NetworkId, IfIndex> = {
            let known = self.shared.known();
            let networks = known.numbering.numbered(&known.config);
            let places = networks.zip(&known.plan.networks);
            places
                .filter_map(|((id, ..), place)| Some((id, *place.as_ref().ok()?)))
                .collect()
        };
        let mirror = self.follower.mirror();
        let stale = |device: &IfIndex| mirror.neighbours_of(*device).any(neighbours::needs_use);
        let asked: Vec<NetworkId> = devices
            .iter()
            .filter(|(_, device)| stale(device))
            .map(|(id, _)| *id)
            .collect();
        if asked.is_empty() {
            return;
        }
        let carrying = match self.shared.dataplane().as_deref() {
            Some(dataplane) => self
                .traffic
                .carried(&asked, devices.len(), |id| dataplane.sent_to(id)),
            None => return,
        };
        match carrying {
            Ok(carrying) => {
                let on = carrying.iter().filter_map(|id| devices.get(id));
                let chosen =
                    neighbours::choose(on.flat_map(|device| mirror.neighbours_of(*device)));
                self.follower.use_neighbours(chosen);
            }
            Err(error) => warn!(%error, "cannot tell which networks carry traffic"),
        }
    }

    /// Says for a while that the maps are right. Not while they are not: after
    /// the long lease the kernel takes everything, and loses nothing. Tells
    /// whoever started the daemon that it lives, too.
    pub(super) fn renew_leases(&self) {
        self.shared.supervisor.alive(&self.shared.known());
        if !self.current || !self.follower.is_current() {
            return;
        }
        let direct = self.shared.config().direct_lease.duration();
        if let Some(dataplane) = self.shared.dataplane().as_mut()
            && let Err(error) = dataplane.renew_leases(CACHE_LEASE, direct)
        {
            warn!(%error, "the lease could not be renewed");
        }
    }

    /// Says that bring-up is finished.
    pub(super) fn ready(&self) {
        self.shared.known().ready = true;
    }

    fn read_rx_vlan(&self, config: &Config) -> Vec<Option<bool>> {
        let trunks = config.trunks.iter();
        trunks
            .map(|trunk| self.follower.source.takes_tags_off(&trunk.interface))
            .collect()
    }

    /// Takes the packet path, with what its maps hold.
    pub(super) fn adopt(&mut self, dataplane: Box<dyn Dataplane>) -> Result<(), Error> {
        let contents = dataplane
            .contents()
            .map_err(|error| fail::dataplane(&error))?;
        self.before = dataplane.adopted().then(|| contents.clone());
        self.keeper.contents = contents;
        *self.shared.dataplane() = Some(dataplane);
        Ok(())
    }

    /// Leaves the packet path as a daemon before this one left it, as far as it
    /// can be: what goes on forwarding is its doing.
    pub(super) fn give_up(&mut self) {
        if let Some(dataplane) = self.shared.dataplane().as_deref_mut() {
            if let Some(before) = self.before.take() {
                self.keeper.restore(&before, dataplane);
            }
            if let Err(error) = dataplane.give_up() {
                warn!(%error, "new maps could not be removed");
            }
        }
        self.close();
    }

    /// Removes what no program uses any more.
    pub(super) fn settle_pins(&mut self) {
        self.before = None;
        if let Some(Err(error)) = self.shared.dataplane().as_mut().map(|d| d.settle()) {
            warn!(%error, "maps that are not used any more could not be removed");
        }
    }

    /// Puts back what was changed from entry `from` of the journal on. The pins
    /// are among it: without them XDP is detached.
    pub(super) async fn take_down(&mut self, from: u64) -> Result<(), Error> {
        self.close();
        let undone = self.host.undo_from(from).await;
        failures(&self.host.instance, &undone)?;
        if from == 0 {
            self.host.saved.remove();
        }
        Ok(())
    }

    /// Lets go of the packet path. What is pinned goes on.
    pub(super) fn close(&mut self) {
        *self.shared.dataplane() = None;
        self.keeper.contents = Contents::default();
    }
}

/// Several failures of a take-down as one.
pub(super) fn failures(instance: &str, failures: &[Error]) -> Result<(), Error> {
    if failures.is_empty() {
        return Ok(());
    }
    for error in failures {
        warn!(%error, "could not be undone");
    }
    let causes: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Err(Error::new(
        Kind::Failed,
        codes::UNDO,
        "not everything could be put back",
    )
    .cause(causes.join("; "))
    .help(format!(
        "mend what is named, and run `{} down` again: it goes on where this stopped",
        router_ctl(instance)
    )))
}
