//! `GET /v1/monitor`: events as they come, a JSON document a line.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    event::{Event, What},
    model::{Stats, VerdictCount},
    places::Apart,
    routes::{Params, Refusal},
    server::Access,
};
use crate::{
    codes,
    error::{Error, Kind},
    hub::{Ear, Interest, now},
    service::Service,
};

/// Readers at a time, of those who may change as of those who may look. They
/// stay, so they must not take every connection there can be: `status` has to
/// work beside them.
pub(super) const READERS: usize = 16;
/// How often verdicts are told.
const PERIOD: Duration = Duration::from_secs(1);

/// Counters, and when they were read.
type Counters = (Instant, Arc<Stats>);

/// What is shared by all readers.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    places: Apart,
    /// Counters as one of them has read them lately: reading is not free.
    counters: Arc<Mutex<Option<Counters>>>,
    /// Becomes true, or is dropped, when the daemon ends.
    ending: watch::Receiver<bool>,
}

impl Readers {
    pub(super) fn new(ending: watch::Receiver<bool>) -> Self {
        Self {
            places: Apart::new(READERS),
            counters: Arc::default(),
            ending,
        }
    }

    /// A place to follow the daemon from.
    fn place(&self, access: Access) -> Result<OwnedSemaphorePermit, Error> {
        self.places.of(access).try_acquire_owned().map_err(|_| {
            Error::new(
                Kind::Failed,
                codes::TOO_MANY_READERS,
                format!("{READERS} readers follow the daemon already"),
            )
            .help("end one of the other `router-ctl monitor`")
        })
    }

    async fn stats<S: Service>(&self, service: &S) -> Option<Counters> {
        let mut counters = self.counters.lock().await;
        match &*counters {
            Some((at, stats)) if at.elapsed() < PERIOD / 2 => Some((*at, Arc::clone(stats))),
            _ => {
                let read = (Instant::now(), Arc::new(service.stats().await.ok()?));
                *counters = Some(read.clone());
                Some(read)
            }
        }
    }
}

/// Whether a connection is one that lasts: set by the request on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lasting(Arc<AtomicBool>);

impl Lasting {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Query of `GET /v1/monitor`: nothing named is everything but drops.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct MonitorQuery {
    drops: bool,
    routes: bool,
    neighbours: bool,
}

impl MonitorQuery {
    const fn interest(&self) -> Interest {
        if !(self.drops || self.routes || self.neighbours) {
            return Interest::USUAL;
        }
        Interest {
            drops: self.drops,
            routes: self.routes,
            neighbours: self.neighbours,
            links: false,
        }
    }
}

pub(super) async fn monitor<S: Service>(
    State(service): State<Arc<S>>,
    Extension(access): Extension<Access>,
    Extension(readers): Extension<Readers>,
    Extension(lasting): Extension<Lasting>,
    Params(query): Params<MonitorQuery>,
) -> Result<Response, Refusal> {
    let place = readers.place(access)?;
    let interest = query.interest();
    // Listening comes first: nothing may happen unheard between the two.
    let ear = service.monitor(interest).await?;
    let state = service.status().await?.state;
    lasting.set();
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader {
        last: match interest.drops {
            true => readers.stats(&*service).await,
            false => None,
        },
        first: Some(now(What::State { state })),
        service,
        ear,
        ticks: interest.drops.then_some(ticks),
        ending: readers.ending.clone(),
        readers,
        _place: place,
    };
    let lines = stream::unfold(reader, |mut reader| async {
        let line = reader.next().await?;
        Some((Ok::<_, Infallible>(line), reader))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

struct Reader<S> {
    service: Arc<S>,
    ear: Ear,
    first: Option<Event>,
    /// Where verdicts are wanted.
    ticks: Option<Interval>,
    last: Option<Counters>,
    readers: Readers,
    ending: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl<S: Service> Reader<S> {
    /// The next line; `None`: there will be no more.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(line(&first));
        }
        loop {
            tokio::select! {
                () = ended(&mut self.ending) => return None,
                event = self.ear.hear() => return Some(line(&*event?)),
                () = tick(&mut self.ticks) => {
                    if let Some(event) = self.verdicts().await {
                        return Some(line(&event));
                    }
                }
            }
        }
    }

    /// What was counted since the last tick; `None`: nothing.
    async fn verdicts(&mut self) -> Option<Event> {
        let read = self.readers.stats(&*self.service).await?;
        let last = self.last.replace(read.clone());
        let ((before, old), (after, new)) = (last?, read);
        let verdicts = grown(&old, &new);
        let milliseconds = after.duration_since(before).as_millis();
        (!verdicts.is_empty()).then(|| {
            now(What::Verdicts {
                milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
                verdicts,
            })
        })
    }
}

/// True, or gone: both are the end.
async fn ended(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

fn grown(old: &Stats, new: &Stats) -> Vec<VerdictCount> {
    let grown = new.verdicts.iter().map(|verdict| {
        let same =
            |old: &&VerdictCount| old.reason == verdict.reason && old.action == verdict.action;
        let before = old.verdicts.iter().find(same);
        VerdictCount {
            packets: verdict
                .packets
                .saturating_sub(before.map_or(0, |v| v.packets)),
            bytes: verdict.bytes.saturating_sub(before.map_or(0, |v| v.bytes)),
            ..verdict.clone()
        }
    });
    grown.filter(|verdict| verdict.packets > 0).collect()
}

fn line(event: &Event) -> Bytes {
    // It is made of strings and numbers: it cannot fail.
    let mut text = serde_json::to_vec(event).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_do_not_keep_out_who_may_change() {
        let readers = Readers::new(watch::channel(false).1);
        let inside: Vec<_> = (0..READERS)
            .map(|_| readers.place(Access::Read).unwrap())
            .collect();
        let refused = readers.place(Access::Read).unwrap_err();
        assert_eq!(refused.code, codes::TOO_MANY_READERS);
        let own = readers.place(Access::Change);
        assert!(own.is_ok(), "they have places of their own");
        drop(inside);
        assert!(readers.place(Access::Read).is_ok());
    }

    #[test]
    fn only_what_grew_is_told() {
        let verdict = |reason: &str, packets| VerdictCount {
            reason: reason.to_owned(),
            action: "pass".to_owned(),
            packets,
            bytes: packets * 100,
        };
        let stats = |verdicts: Vec<VerdictCount>| Stats {
            redirect_errors: None,
            verdicts,
            ..Stats::default()
        };
        let old = stats(vec![verdict("arp", 5), verdict("ttl", 9)]);
        let new = stats(vec![
            verdict("arp", 7),
            verdict("ttl", 9),
            verdict("mtu", 1),
        ]);
        assert_eq!(grown(&old, &new), [verdict("arp", 2), verdict("mtu", 1)]);
        assert_eq!(grown(&new, &old), [], "maps that were made anew");
    }
}
