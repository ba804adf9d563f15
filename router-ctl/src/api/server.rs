//! Serving a [`Service`]: connections, their limits and their owners.
//!
//! Invariant: whoever can connect (the socket's mode decides: root and the
//! group `router-ctl`) may read; only root, or the user that the daemon runs
//! as, may change.

use std::{future::Future, sync::Arc, time::Duration};

use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::UnixStream,
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::warn;

use super::{
    listener::Listener,
    listings::Listings,
    monitor::{Lasting, Readers},
    patience::Patient,
    places::Places,
    routes,
};
use crate::service::Service;

/// Longest time for a request's header.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Longest life of a connection: one that reads its answer byte by byte must not
/// hold its place for ever. Longer than any answer takes; `monitor` is exempt,
/// and has a limit of its own.
const CONNECTION_TIME: Duration = Duration::from_secs(180);
/// How long answers may still be on their way once `shutdown` came.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How often it is seen whether the socket is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Wait after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Look.
    Read,
    /// Look and change.
    Change,
}

impl Access {
    const fn of(peer_uid: u32, daemon_uid: u32) -> Self {
        if peer_uid == 0 || peer_uid == daemon_uid {
            Self::Change
        } else {
            Self::Read
        }
    }
}

/// Answers requests until `shutdown`, and then those that are under way.
///
/// The socket is gone when this returns.
pub async fn serve<S: Service>(
    mut listener: Listener,
    service: Arc<S>,
    shutdown: impl Future<Output = ()>,
) {
    let (end, ending) = watch::channel(false);
    let router = routes::router(service)
        .layer(Extension(Readers::new(ending)))
        .layer(Extension(Listings::new()));
    let daemon_uid = own_uid();
    let places = Places::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = false;
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            // Collected, or ended connections would pile up.
            Some(_) = connections.join_next() => continue,
            _ = looks.tick() => {
                let mended = listener.mend();
                if let Err(error) = &mended && !said {
                    warn!(%error, "the socket {} is gone", listener.path().display());
                }
                said = mended.is_err();
                continue;
            }
            stream = listener.accept() => stream,
        };
        let Ok(stream) = stream else {
            // It would fail again at once: a busy loop helps nobody.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(peer) = stream.peer_cred() else {
            continue;
        };
        let access = Access::of(peer.uid(), daemon_uid);
        let Some(coming) = places.come(access) else {
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            let _place = coming.seated().await;
            // A connection that breaks or takes too long is its peer's loss.
            converse(stream, access, router).await;
        });
    }
    drop(listener);
    // Whoever follows us has heard everything.
    let _ = end.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is left after that is cut off when `connections` is dropped.
    let _ = timeout(DRAIN_TIME, drained).await;
}

/// One request and its answer.
async fn converse(stream: UnixStream, access: Access, router: axum::Router) {
    let lasting = Lasting::default();
    let router = router
        .layer(Extension(access))
        .layer(Extension(lasting.clone()));
    let stream = Patient::new(stream, lasting.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .keep_alive(false)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    if timeout(CONNECTION_TIME, &mut connection).await.is_err() && lasting.is_set() {
        let _ = connection.await;
    }
}

/// The user that this process runs as, asked as a peer is asked.
fn own_uid() -> u32 {
    UnixStream::pair()
        .and_then(|(end, _other)| end.peer_cred())
        .map_or(0, |cred| cred.uid())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{body::Body, routing::get};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Begins an answer that never ends, and says whether it is still there
    /// when the longest time is over.
    async fn outlives(lasting: bool) -> bool {
        let endless = move |Extension(mark): Extension<Lasting>| async move {
            if lasting {
                mark.set();
            }
            let first = Some(Ok::<_, Infallible>("first"));
            Body::from_stream(stream::unfold(first, async |line| match line {
                Some(line) => Some((line, None)),
                None => std::future::pending().await,
            }))
        };
        let router = axum::Router::new().route("/", get(endless));
        let (mut client, server) = UnixStream::pair().unwrap();
        let server = tokio::spawn(converse(server, Access::Change, router));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("first") {
            assert_ne!(client.read_buf(&mut text).await.unwrap(), 0);
        }
        tokio::time::pause();
        tokio::time::advance(CONNECTION_TIME * 2).await;
        tokio::time::resume();
        sleep(Duration::from_millis(50)).await;
        let alive = !server.is_finished();
        server.abort();
        alive
    }

    #[tokio::test]
    async fn only_connections_that_are_to_last_outlive_the_longest_time() {
        assert!(outlives(true).await);
        assert!(!outlives(false).await);
    }

    #[test]
    fn root_and_the_daemons_own_user_may_change() {
        assert_eq!(Access::of(0, 0), Access::Change);
        assert_eq!(Access::of(0, 998), Access::Change);
        assert_eq!(Access::of(998, 998), Access::Change);
        assert_eq!(Access::of(1000, 0), Access::Read);
        assert_eq!(Access::of(1000, 998), Access::Read);
    }
}
