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
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{listener::Listener, routes};
use crate::service::Service;

/// Connections at a time; further ones wait in the socket's queue.
const CONNECTIONS: usize = 64;
/// Longest time for a request's header.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Longest life of a connection: one that does not read its answer must not
/// hold its place for ever. Longer than any answer takes.
const CONNECTION_TIME: Duration = Duration::from_secs(180);
/// How long answers may still be on their way once `shutdown` came.
const DRAIN_TIME: Duration = Duration::from_secs(5);
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
    listener: Listener,
    service: Arc<S>,
    shutdown: impl Future<Output = ()>,
) {
    let router = routes::router(service);
    let daemon_uid = own_uid();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = &mut shutdown => break,
            // Collected, or ended connections would pile up.
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        let Ok(stream) = stream else {
            // It would fail again at once: a busy loop helps nobody.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            let _place = place;
            // A connection that breaks or takes too long is its peer's loss.
            let _ = timeout(CONNECTION_TIME, converse(stream, daemon_uid, router)).await;
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is left after that is cut off when `connections` is dropped.
    let _ = timeout(DRAIN_TIME, drained).await;
}

/// One request and its answer.
async fn converse(
    stream: UnixStream,
    daemon_uid: u32,
    router: axum::Router,
) -> Result<(), hyper::Error> {
    let Ok(peer) = stream.peer_cred() else {
        return Ok(());
    };
    let router = router.layer(Extension(Access::of(peer.uid(), daemon_uid)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .keep_alive(false)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

/// The user that this process runs as, asked as a peer is asked.
fn own_uid() -> u32 {
    UnixStream::pair()
        .and_then(|(end, _other)| end.peer_cred())
        .map_or(0, |cred| cred.uid())
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn root_and_the_daemons_own_user_may_change() {
        assert_eq!(Access::of(0, 0), Access::Change);
        assert_eq!(Access::of(0, 998), Access::Change);
        assert_eq!(Access::of(998, 998), Access::Change);
        assert_eq!(Access::of(1000, 0), Access::Read);
        assert_eq!(Access::of(1000, 998), Access::Read);
    }
}
