//! How many are served at a time: those who may change the router have places
//! of their own, so that those who may only look cannot keep them out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::server::Access;

/// Connections at a time, of each kind.
const CONNECTIONS: usize = 64;
/// Connections of those who look that wait for a place; further ones are closed.
const WAITING: usize = 256;

/// As many places for those who may change as for those who may look.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    changing: Arc<Semaphore>,
    looking: Arc<Semaphore>,
}

impl Apart {
    pub(super) fn new(count: usize) -> Self {
        let places = || Arc::new(Semaphore::new(count));
        Self {
            changing: places(),
            looking: places(),
        }
    }

    /// Those of one kind.
    pub(super) fn of(&self, access: Access) -> Arc<Semaphore> {
        Arc::clone(match access {
            Access::Change => &self.changing,
            Access::Read => &self.looking,
        })
    }
}

/// The places of connections.
#[derive(Clone, Debug)]
pub(super) struct Places {
    seats: Apart,
    waiting: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            seats: Apart::new(CONNECTIONS),
            waiting: Arc::new(Semaphore::new(CONNECTIONS + WAITING)),
        }
    }

    /// Comes in; `None`: there is no room even to wait.
    pub(super) fn come(&self, access: Access) -> Option<Coming> {
        let room = match access {
            Access::Change => None,
            Access::Read => Some(Arc::clone(&self.waiting).try_acquire_owned().ok()?),
        };
        Some(Coming {
            places: self.seats.of(access),
            room,
        })
    }
}

/// One that has come, and may have to wait.
#[derive(Debug)]
pub(super) struct Coming {
    places: Arc<Semaphore>,
    room: Option<OwnedSemaphorePermit>,
}

impl Coming {
    /// Waits for a place, which lasts as long as what this returns.
    pub(super) async fn seated(self) -> impl Sized + Send {
        // Never closed.
        (self.room, self.places.acquire_owned().await.ok())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn seated(coming: Coming) -> Option<impl Sized + Send> {
        timeout(Duration::from_millis(1), coming.seated())
            .await
            .ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_does_not_keep_out_who_changes() {
        let places = Places::new();
        let mut inside = Vec::new();
        for _ in 0..CONNECTIONS {
            inside.push(seated(places.come(Access::Read).unwrap()).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|_| places.come(Access::Read).unwrap())
            .collect();
        assert!(places.come(Access::Read).is_none(), "no end of them");
        assert!(seated(waiting.pop().unwrap()).await.is_none());
        assert!(seated(places.come(Access::Change).unwrap()).await.is_some());
        // Whoever waits comes in when somebody goes.
        inside.pop();
        assert!(seated(waiting.pop().unwrap()).await.is_some());
    }
}
