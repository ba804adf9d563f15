//! Keeping the maps as the kernel's state wants them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::{fail, host::Host, news::News, view::Known};
use crate::{
    api::model::RouteChange,
    codes,
    config::{Config, StaticRoute},
    dataplane::{Attachment, Dataplane},
    error::{Error, Kind},
    netlink::{
        Netlink, PROTOCOL,
        types::{Link, TABLE_MAIN, Tables},
    },
    reconcile::{self, Contents, Kernel, Numbering, Wanted, diff},
    sys::{self, Offload},
    sysctl::Forwarding,
};

/// How long what is cached may be used without a sign of life.
const CACHE_LEASE: Duration = Duration::from_secs(5);

/// What the engine and the API share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What the daemon is asked to be now: a reload puts another in its place.
    config: Mutex<Arc<Config>>,
    pub(super) instance: String,
    pub(super) started: Instant,
    pub(super) netlink: Netlink,
    known: Mutex<Known>,
    dataplane: Mutex<Option<Box<dyn Dataplane>>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) news: News,
}

/// What the API asks of the engine, because it goes into the journal.
#[derive(Debug)]
pub(super) enum Command {
    /// Change a route.
    Route(RouteChange, oneshot::Sender<Result<(), Error>>),
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
                ..Known::default()
            }),
            config: Mutex::new(config),
            instance,
            started: Instant::now(),
            netlink,
            dataplane: Mutex::default(),
            commands,
            news: News::default(),
        }
    }

    /// The configuration that is in force. What is *known* has its own copy,
    /// which changes with the rest of it: see [`Known::config`].
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// `None`: not open yet, or closed.
    pub(super) fn dataplane(&self) -> MutexGuard<'_, Option<Box<dyn Dataplane>>> {
        lock(&self.dataplane)
    }
}

/// Whether our program is on the device that bears the trunk's name now. One
/// that was made anew transmits nothing for XDP, and what is redirected to it is
/// lost.
pub(super) fn is_in_place(attachment: Option<&Attachment>, link: Option<&Link>) -> bool {
    attachment.zip(link).is_some_and(|(attachment, link)| {
        let program = link.xdp.map(|xdp| xdp.prog_id);
        attachment.ifindex == link.ifindex && program == Some(attachment.prog_id)
    })
}

/// A task that panicked has left what it guards whole: it is written in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one that writes the maps.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) host: Host,
    stand_in: bool,
    /// What the maps hold.
    contents: Contents,
    /// It is what they should.
    current: bool,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, host: Host, stand_in: bool) -> Self {
        Self {
            shared,
            host,
            stand_in,
            contents: Contents::default(),
            current: false,
        }
    }

    /// Reads everything and puts the maps right. `false`: a map could not be
    /// written, so try again.
    pub(super) async fn resync(&mut self) -> Result<bool, Error> {
        let done = self.put_right().await;
        self.current = matches!(done, Ok(true));
        done
    }

    async fn put_right(&mut self) -> Result<bool, Error> {
        let config = self.shared.config();
        let tables = self.host.netlink.tables().await.map_err(|error| {
            fail::refused(codes::NETLINK, "cannot read the kernel's tables", &error)
        })?;
        let forwarding = self.read_forwarding(&tables)?;
        let mut kernel = Kernel { tables, forwarding };
        let numbering = self.shared.known().numbering.adapted(&config);
        let mut known = Known {
            config: Arc::clone(&config),
            numbering: numbering.clone(),
            rx_vlan: self.read_rx_vlan(),
            missing_routes: missing_routes(&config, &kernel.tables),
            ready: self.shared.known().ready,
            ..Known::default()
        };
        if let Some(dataplane) = self.shared.dataplane().as_mut() {
            known.attachments = numbering
                .slots(&config)
                .map(|(slot, _)| dataplane.attachment(slot).cloned())
                .collect();
            let mut transmitters = known.transmitters();
            transmitters.retain(|slot| {
                let name = numbering.trunk_name(*slot);
                let link = name.and_then(|name| kernel.tables.link(name));
                is_in_place(dataplane.attachment(*slot), link)
            });
            let wanted = Wanted {
                stand_in: self.stand_in,
                transmitters,
            };
            known.plan = reconcile::reconcile(&config, &numbering, &kernel, &wanted);
            known.map_failure =
                write_maps(&mut self.contents, &known.plan.contents, dataplane.as_mut());
        } else {
            let wanted = Wanted {
                stand_in: self.stand_in,
                ..Wanted::default()
            };
            known.plan = reconcile::reconcile(&config, &numbering, &kernel, &wanted);
        }
        // They may be many, and whoever wants them reads them anew.
        kernel.tables.routes = Vec::new();
        known.kernel = kernel;
        let complete = known.map_failure.is_none();
        *self.shared.known() = known;
        self.shared.news.known(&self.shared.known());
        Ok(complete)
    }

    /// Whether a sysctl that matters has changed since the last resync: the
    /// kernel does not announce all of them.
    pub(super) fn sysctls_changed(&self) -> bool {
        let known = self.shared.known();
        match self.read_forwarding(&known.kernel.tables) {
            Ok(forwarding) => forwarding != known.kernel.forwarding,
            // The resync says it.
            Err(_) => true,
        }
    }

    /// Says for a while that the maps are right. Not while they are not: after
    /// the long lease the kernel takes everything, and loses nothing.
    pub(super) fn renew_leases(&self) {
        if !self.current {
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

    fn read_forwarding(&self, tables: &Tables) -> Result<Forwarding, Error> {
        let config = self.shared.config();
        let interfaces = config.networks.iter().filter_map(|network| {
            let link = tables.link(&network.interface)?;
            Some((link.ifindex, link.name.as_str()))
        });
        self.host
            .sysctls
            .forwarding(interfaces)
            .map_err(|error| fail::io(codes::SYSCTL, "cannot read the forwarding sysctls", &error))
    }

    fn read_rx_vlan(&self) -> Vec<Option<bool>> {
        let config = self.shared.config();
        let trunks = config.trunks.iter();
        trunks
            .map(|trunk| sys::offload(&trunk.interface, Offload::RxVlan).ok())
            .collect()
    }

    /// Detaches XDP and puts back what was changed from entry `from` of the
    /// journal on.
    pub(super) async fn take_down(&mut self, from: u64) -> Result<(), Error> {
        self.close();
        failures(&self.host.undo_from(from).await)
    }

    /// Detaches XDP. The maps go with it.
    pub(super) fn close(&mut self) {
        *self.shared.dataplane() = None;
        self.contents = Contents::default();
    }
}

/// Carries out what is missing; the first failure, if there was one. What
/// failed is not noted as done, so the next resync tries it again.
fn write_maps(
    current: &mut Contents,
    desired: &Contents,
    dataplane: &mut dyn Dataplane,
) -> Option<String> {
    let mut failure = None;
    for operation in diff(current, desired) {
        match dataplane.apply(&operation) {
            Ok(()) => {
                debug!(?operation, "map");
                current.apply(&operation);
            }
            Err(error) => {
                warn!(%error, ?operation, "a map could not be written");
                failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
    failure
}

/// Places of the static routes that are not in the main table.
fn missing_routes(config: &Config, tables: &Tables) -> Vec<usize> {
    let installed = |wanted: &StaticRoute| {
        tables.routes.iter().any(|route| {
            route.table == TABLE_MAIN
                && route.protocol == PROTOCOL
                && route.dst == wanted.to.trunc()
                && route.metric == wanted.metric.unwrap_or(StaticRoute::DEFAULT_METRIC)
        })
    };
    let routes = config.routes.iter().enumerate();
    routes
        .filter(|(_, route)| !installed(route))
        .map(|(at, _)| at)
        .collect()
}

/// Several failures of a take-down as one.
pub(super) fn failures(failures: &[Error]) -> Result<(), Error> {
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
    .help("mend what is named, and run `router-ctl down` again: it goes on where this stopped"))
}

#[cfg(test)]
mod tests {
    use router_common::wire::TrunkSlot;

    use super::*;
    use crate::{
        dataplane::{self, Attach, Attachment, Counters, MemoryDataplane},
        reconcile::Operation,
    };

    /// Refuses one kind of operation.
    #[derive(Debug, Default)]
    struct Stubborn {
        memory: MemoryDataplane,
        refuse: bool,
    }

    impl Dataplane for Stubborn {
        fn apply(&mut self, operation: &Operation) -> Result<(), dataplane::Error> {
            if self.refuse && matches!(operation, Operation::AddLocal(_)) {
                return Err(dataplane::Error::Map {
                    map: "LOCALS",
                    reason: "full".into(),
                });
            }
            self.memory.apply(operation)
        }

        fn renew_leases(
            &mut self,
            cache: Duration,
            direct: Duration,
        ) -> Result<(), dataplane::Error> {
            self.memory.renew_leases(cache, direct)
        }

        fn attach(&mut self, request: &Attach) -> Result<Attachment, dataplane::Error> {
            self.memory.attach(request)
        }

        fn attachment(&self, slot: TrunkSlot) -> Option<&Attachment> {
            self.memory.attachment(slot)
        }

        fn program(&self, slot: TrunkSlot) -> Option<std::os::fd::BorrowedFd<'_>> {
            self.memory.program(slot)
        }

        fn counters(&self) -> Result<Counters, dataplane::Error> {
            self.memory.counters()
        }
    }

    #[test]
    fn a_failed_write_is_tried_again() {
        let mut desired = Contents::default();
        desired
            .locals
            .insert(router_common::abi::LocalAddress::v4([10, 0, 0, 1]));
        desired
            .ports
            .insert(TrunkSlot::new(0), router_common::wire::IfIndex::new(2));
        let mut current = Contents::default();
        let mut dataplane = Stubborn {
            refuse: true,
            ..Stubborn::default()
        };
        let failure = write_maps(&mut current, &desired, &mut dataplane);
        assert_eq!(failure.as_deref(), Some("map LOCALS: full"));
        assert_eq!(dataplane.memory.contents, current);
        assert_eq!(current.ports, desired.ports, "the others are done");
        dataplane.refuse = false;
        assert_eq!(write_maps(&mut current, &desired, &mut dataplane), None);
        assert_eq!(dataplane.memory.contents, desired);
    }
}
