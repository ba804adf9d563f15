//! Where the daemon says what changes, and readers of `monitor` hear it.
//!
//! Invariant: the daemon never waits for a reader, and a reader costs no more
//! memory however slow it is: what it has not read when [`KEPT`] newer events
//! are there is thrown away, and it is told how many that were.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::api::event::{Event, What};

/// Events kept for readers that lag behind; once for all of them.
const KEPT: usize = 1024;

/// Which events a reader wants. Health is said always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Verdicts, each second.
    pub drops: bool,
    /// Routes.
    pub routes: bool,
    /// Neighbours.
    pub neighbours: bool,
    /// Trunks and networks.
    pub links: bool,
}

impl Interest {
    /// All but verdicts.
    pub const USUAL: Self = Self {
        drops: false,
        routes: true,
        neighbours: true,
        links: true,
    };

    const fn wants(self, what: &What) -> bool {
        match what {
            What::State { .. } | What::Problem { .. } | What::Overrun {} | What::Missed { .. } => {
                true
            }
            What::Trunk { .. } | What::Network { .. } => self.links,
            What::Route { .. } => self.routes,
            What::Neighbour { .. } => self.neighbours,
            What::Verdicts { .. } => self.drops,
        }
    }
}

/// Says events to whoever listens.
#[derive(Clone, Debug)]
pub struct Hub {
    sender: broadcast::Sender<Arc<Event>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT),
        }
    }
}

impl Hub {
    /// Whether anybody listens: what nobody hears need not be found out.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Says it.
    pub fn say(&self, what: What) {
        // Nobody listens: then there is nothing to do.
        let _ = self.sender.send(Arc::new(now(what)));
    }

    /// Hears what is said from now on.
    #[must_use]
    pub fn listen(&self, interest: Interest) -> Ear {
        Ear {
            receiver: self.sender.subscribe(),
            interest,
        }
    }
}

/// One reader.
#[derive(Debug)]
pub struct Ear {
    receiver: broadcast::Receiver<Arc<Event>>,
    interest: Interest,
}

impl Ear {
    /// The next event; `None`: there will be no more. Can be cancelled.
    pub async fn hear(&mut self) -> Option<Arc<Event>> {
        loop {
            match self.receiver.recv().await {
                Ok(event) if self.interest.wants(&event.what) => return Some(event),
                Ok(_) => {}
                Err(RecvError::Lagged(events)) => {
                    return Some(Arc::new(now(What::Missed { events })));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// With the time of now.
#[must_use]
pub fn now(what: What) -> Event {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let time_ms = since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    Event { time_ms, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{Problem, State};

    fn problem(message: &str) -> What {
        What::Problem {
            gone: false,
            problem: Problem {
                message: message.to_owned(),
                help: "mend it".to_owned(),
            },
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_and_goes_on() {
        let hub = Hub::default();
        assert!(!hub.is_heard());
        let mut ear = hub.listen(Interest::USUAL);
        assert!(hub.is_heard());
        for i in 0..KEPT + 5 {
            hub.say(problem(&i.to_string()));
        }
        let missed = ear.hear().await.unwrap();
        assert_eq!(missed.what, What::Missed { events: 5 });
        assert_eq!(ear.hear().await.unwrap().what, problem("5"));
    }

    #[tokio::test]
    async fn readers_hear_what_they_want_and_health() {
        let hub = Hub::default();
        let nothing = Interest {
            drops: false,
            routes: false,
            neighbours: false,
            links: false,
        };
        let mut ear = hub.listen(nothing);
        let verdicts = What::Verdicts {
            milliseconds: 1000,
            verdicts: Vec::new(),
        };
        hub.say(verdicts.clone());
        let state = What::State {
            state: State::Forwarding,
        };
        hub.say(state.clone());
        assert_eq!(ear.hear().await.unwrap().what, state);
        let mut drops = hub.listen(Interest {
            drops: true,
            ..nothing
        });
        hub.say(verdicts.clone());
        assert_eq!(drops.hear().await.unwrap().what, verdicts);
        drop(hub);
        assert_eq!(drops.hear().await, None);
    }
}
