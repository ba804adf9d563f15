//! The loop in which the daemon spends its life.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    Signals,
    engine::{Command, Engine},
    handle,
};
use crate::error::{Error, Kind};

/// How often the daemon looks at what the kernel does not announce.
const PERIOD: Duration = Duration::from_secs(1);
/// For ever, more or less.
const LONG: Duration = Duration::from_secs(3600);

/// Follows the kernel and does what is asked, until it is to end.
pub(super) async fn serve(
    engine: &mut Engine,
    inbox: &mut mpsc::Receiver<Command>,
    signals: &mut Signals,
) -> Result<(), Error> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = engine.due();
        let later = Instant::now() + LONG;
        tokio::select! {
            signal = signals.next() => {
                info!("{signal}: ending; what is pinned goes on forwarding");
                engine.close();
                return Ok(());
            }
            heard = engine.watch.next() => {
                let broken = heard.is_err();
                engine.hear(heard);
                if broken {
                    // It may be broken for good.
                    sleep(PERIOD).await;
                }
            }
            () = engine.guarded.changed() => engine.look_at_policies(),
            answer = engine.follower.answered() => engine.take(answer),
            () = sleep_until(due.unwrap_or(later)) => engine.go_on(),
            _ = ticks.tick() => {
                engine.tick();
                engine.look_after_xdp().await;
            }
            Some(command) = inbox.recv() => {
                if let Some(outcome) = obey(engine, command).await {
                    return outcome;
                }
            }
        }
    }
}

/// Does what was asked; the outcome, if that was to end.
async fn obey(engine: &mut Engine, command: Command) -> Option<Result<(), Error>> {
    match command {
        Command::Route(change, answer) => {
            let shared = std::sync::Arc::clone(&engine.shared);
            let done = handle::change_route(&shared, &mut engine.host, change).await;
            // Whoever asks next is told of it.
            if let Err(error) = engine.catch_up() {
                warn!(%error, "after a change of routes");
            }
            // Whoever asked may have gone.
            let _ = answer.send(done);
            None
        }
        Command::Configure(request, answer) => {
            let shared = std::sync::Arc::clone(&engine.shared);
            if request.acts() {
                shared.supervisor.reloading();
            }
            let done = engine.configure(request).await;
            if request.acts() {
                shared.supervisor.ready(&shared.known());
            }
            let _ = answer.send(done);
            None
        }
        Command::Down(answer) => {
            info!("down: putting everything back");
            let done = engine.take_down(0).await;
            let _ = answer.send(done.clone());
            // Whoever asked wants it down, and goes on with `down` from the
            // journal: nobody is to start it again.
            Some(done.map_err(|error| Error {
                kind: Kind::HalfDown,
                ..error
            }))
        }
    }
}
