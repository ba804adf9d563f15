//! What runs: brings the networks up, attaches XDP, and keeps the maps as the
//! kernel's state wants them.
//!
//! ```text
//! run -> bringup -> attach::open -> resync (maps filled) -> attach -> watch loop
//!                                                                      | announcement, answer, 1 s timer
//!                                                                      '-> follow -> reconcile -> diff -> write
//! ```
//!
//! [`bringup`] changes the system through [`host`], which journals; [`watch`] is
//! the loop; [`follow`] keeps the kernel's tables in memory, and [`keeper`], the
//! only writer of the maps, has the maps follow them; [`handle`] answers the API
//! from what the [`engine`] knows ([`view`], [`health`]).
//!
//! Invariant: packets go through whatever happens here. Maps and links are pinned
//! (`dataplane::pins`), so XDP goes on forwarding when the daemon dies, however
//! that comes about, until the lease is over; from then on the kernel forwards
//! alone. The next start takes over what it finds. Everything stays until `down`.

mod apply;
mod attach;
mod bpffs;
mod bringup;
mod configure;
mod down;
mod engine;
mod fail;
mod fitness;
mod follow;
mod foreign;
mod handle;
mod health;
mod host;
mod installed;
mod keeper;
mod log;
mod losses;
mod neighbours;
mod netfilter;
mod news;
mod pace;
mod retire;
mod saved;
mod source;
mod supervisor;
#[cfg(test)]
mod tests;
mod transforms;
mod view;
mod watch;
mod xdp;

use std::{path::PathBuf, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tracing::{info, warn};

pub use self::down::down_from_journal;
use self::{
    bpffs::Bpffs,
    configure::ConfigNotes,
    engine::{Engine, Shared},
    handle::Handle,
    host::Host,
    saved::{Start, Undo},
};
use crate::{
    api::{self, Place},
    codes,
    config::Loaded,
    error::{Error, Kind},
    instance::router_ctl,
    netlink::{Netlink, Watch},
};

/// Where the daemon keeps its things, and how it differs from the usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name of the instance.
    pub instance: String,
    /// Mount point of the bpffs.
    pub bpffs: PathBuf,
    /// The user named that mount point, and knows how long it lives.
    pub bpffs_named: bool,
    /// Detach what others have attached to the trunks.
    pub takeover: bool,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// Where the socket is.
    pub runtime_dir: PathBuf,
    /// Any device may stand in for a sub-interface, for tests on kernels
    /// without 802.1Q.
    pub stand_in: bool,
    /// Log what is of interest to developers, too.
    pub verbose: bool,
}

impl Options {
    /// The usual places.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            bpffs: "/sys/fs/bpf".into(),
            bpffs_named: false,
            takeover: false,
            state_dir: "/var/lib/router-ctl".into(),
            runtime_dir: "/run/router-ctl".into(),
            stand_in: false,
            verbose: false,
        }
    }
}

/// Runs the daemon until SIGTERM, SIGINT or `down`.
///
/// After a signal everything stays as it is, so that XDP goes on forwarding, and
/// past its lease the kernel; after `down` everything is as before.
///
/// # Errors
/// Why it could not start: then everything is put back. Or what `down` could
/// not put back.
pub async fn run(loaded: Loaded, options: Options) -> Result<(), Error> {
    // Ends last.
    let _log = log::start(options.verbose)?;
    let place = Place::take(&options.runtime_dir, &options.instance).await?;
    let mut signals = Signals::listen()?;
    // Before anything is read: what changes in between is heard.
    let watch = Watch::subscribe()
        .map_err(|error| fail::refused(codes::NETLINK, "cannot watch the kernel", &error))?;
    let mut host = Host::open(&options.state_dir, &options.instance)?;
    // The journal is ours: no other daemon has this socket.
    let listener = match place.listen() {
        Ok(listener) => listener,
        Err(error) => {
            host.finish()?;
            return Err(error);
        }
    };
    let Start { loaded, why, undo } = host.saved.start(at_home(loaded)?)?;
    let notes = ConfigNotes::at_start(&options.instance, &host.saved, &loaded.config, why);
    let (commands, mut inbox) = mpsc::channel(16);
    // Of its own: whoever reads over the API is not in the daemon's way.
    let netlink = Netlink::connect().map_err(|error| {
        fail::refused(
            codes::NETLINK,
            "cannot talk to the kernel over netlink",
            &error,
        )
    })?;
    let shared = Shared::new(
        loaded.config.clone(),
        options.instance.clone(),
        netlink,
        commands,
    );
    *shared.config_notes() = notes;
    configure::follow_hangups(&shared)?;
    let mut engine = Engine::new(Arc::new(shared), host, watch, options.stand_in);

    let (stop, stopped) = oneshot::channel::<()>();
    let service = Arc::new(Handle::new(Arc::clone(&engine.shared)));
    let server = tokio::spawn(api::serve(listener, service, async {
        // Told, or the daemon has gone.
        let _ = stopped.await;
    }));

    let outcome = start(&mut engine, &loaded, undo, &options, &mut signals).await;
    let outcome = match outcome {
        Ok(()) => {
            let shared = Arc::clone(&engine.shared);
            shared.supervisor.ready(&shared.known());
            watch::serve(&mut engine, &mut inbox, &mut signals).await
        }
        Err(error) => Err(error),
    };
    engine.shared.supervisor.stopping();
    // Answers are on their way; nobody asks any more.
    drop(stop);
    let _ = server.await;
    engine.host.finish()?;
    outcome
}

/// With the file's whole path: it is read again, in whatever working directory.
fn at_home(mut loaded: Loaded) -> Result<Loaded, Error> {
    if let Some(path) = &mut loaded.config.source {
        *path = std::path::absolute(&path).map_err(|error| {
            fail::io(
                codes::CONFIG_UNREADABLE,
                "there is no working directory",
                &error,
            )
        })?;
    }
    Ok(loaded)
}

/// Brings everything up; what was done so far is undone if that fails.
async fn start(
    engine: &mut Engine,
    loaded: &Loaded,
    noted: Undo,
    options: &Options,
    signals: &mut Signals,
) -> Result<(), Error> {
    let takes_over = !engine.host.journal.entries().is_empty();
    let first = engine.host.journal.next_id();
    let started = tokio::select! {
        started = bring_up(engine, loaded, options) => started,
        signal = signals.next() => Err(Error::new(
            Kind::Failed,
            codes::INTERRUPTED,
            format!("{signal} came before everything was up"),
        )),
    };
    let Err(error) = started else {
        info!("forwarding");
        return Ok(());
    };
    warn!(%error, "cannot start: putting back what was done");
    engine.give_up();
    if let Err(undo) = engine.take_down(first).await {
        warn!(%undo, "`{} down` tries again", router_ctl(&options.instance));
    }
    engine.host.saved.abandon(noted);
    // What the daemon before this one had set up, and this one was to do
    // without.
    if takes_over && let Some(before) = engine.host.saved.running(&loaded.config) {
        let back = bringup::bring_up(&before.config, options.stand_in, &mut engine.host);
        if let Err(error) = back.await {
            warn!(%error, "what the daemon before had set up could not be put back");
        }
    }
    Err(error)
}

async fn bring_up(engine: &mut Engine, loaded: &Loaded, options: &Options) -> Result<(), Error> {
    let shared = Arc::clone(&engine.shared);
    let config = shared.config();
    let bpffs = Bpffs::new(&options.bpffs, options.bpffs_named)?;
    let numbering = attach::numbering(&config, &bpffs, &engine.host)?;
    shared.known().numbering = numbering.clone();
    if !options.takeover {
        foreign::refuse_all(&config, &bpffs, &engine.host).await?;
    }
    let going = retire::going(&config, &engine.host).await?;
    let tables = engine.host.devices().await?;
    let objections = fitness::objections(&config, &tables, &going, options.stand_in);
    loaded.refuse(objections)?;
    retire::retire(&config, &mut engine.host).await?;
    bringup::bring_up(&config, options.stand_in, &mut engine.host).await?;
    engine.aside.bpffs.clone_from(&bpffs);
    let dataplane = attach::open(&config, &numbering, &bpffs, &mut engine.host).await?;
    engine.adopt(dataplane)?;
    // Filled before the first packet is decided upon.
    engine.resync().await?;
    engine.renew_leases();
    attach::attach_all(&shared, &mut engine.host, options.takeover).await?;
    engine.settle_pins();
    engine.ready();
    engine.resync().await?;
    Ok(())
}

/// The signals that end the daemon.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| fail::io(codes::RUNTIME, "cannot listen to signals", &error))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
