//! Answers that may be long: routes, neighbours, and what is made of them.
//!
//! Each is built as a whole, from all that the kernel has: with 60,000 routes
//! that is 14 MB and a good part of a second. A few at a time are built and
//! sent; the next ones wait for their turn.
//!
//! Invariant: an answer is in memory for as long as it has its turn, however
//! slow its reader is.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use hyper::body::{Bytes, Frame, SizeHint};
use serde::Serialize;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{places::Apart, server::Access};
use crate::{
    codes,
    error::{Error, Kind},
};

/// Answers at a time, for those who may change and for those who may look.
pub(super) const TURNS: usize = 2;
/// Longest wait for a turn: the client waits for 15 s.
const WAIT: Duration = Duration::from_secs(10);
/// Sent at once, bytes.
const PART: usize = 64 * 1024;

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Listings(Apart);

impl Listings {
    pub(super) fn new() -> Self {
        Self(Apart::new(TURNS))
    }

    /// Waits for a turn, which lasts until the answer is sent.
    ///
    /// # Errors
    /// It does not come.
    pub(super) async fn turn(&self, access: Access) -> Result<Turn, Error> {
        match timeout(WAIT, self.0.of(access).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            // Never closed.
            Ok(Err(_)) | Err(_) => Err(Error::new(
                Kind::Failed,
                codes::TOO_MANY_LISTINGS,
                format!("{TURNS} listings are being sent already, and do not come to an end"),
            )
            .help("try again; `router-ctl explain RC0209` says who may be in the way")),
        }
    }
}

/// One turn.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Answers with `value` as JSON.
    ///
    /// # Errors
    /// It cannot be said in JSON.
    pub(super) fn json(self, value: &impl Serialize) -> Result<Response, Error> {
        let text = serde_json::to_vec(value).map_err(|error| {
            Error::new(Kind::Failed, codes::OUTPUT, "cannot write the answer").cause(error)
        })?;
        Ok(self.answer("application/json", text))
    }

    /// Answers with this.
    pub(super) fn answer(self, kind: &'static str, text: Vec<u8>) -> Response {
        let listing = Listing {
            text,
            sent: 0,
            _turn: self,
        };
        ([(header::CONTENT_TYPE, kind)], Body::new(listing)).into_response()
    }
}

/// An answer on its way: as much of it is handed on as the reader takes.
struct Listing {
    text: Vec<u8>,
    sent: usize,
    _turn: Turn,
}

impl hyper::body::Body for Listing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let end = self.text.len().min(self.sent + PART);
        // Copied: a part would keep all of it in memory.
        let part = Bytes::copy_from_slice(&self.text[self.sent..end]);
        self.sent = end;
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.text.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.text.len() - self.sent) as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_its_turn_until_it_is_sent() {
        let listings = Listings::new();
        let text = vec![b'x'; 3 * PART + 1];
        let mut bodies: Vec<Body> = Vec::new();
        for _ in 0..TURNS {
            let turn = listings.turn(Access::Read).await.unwrap();
            bodies.push(turn.answer("text/plain", text.clone()).into_body());
        }
        let refused = listings.turn(Access::Read).await.unwrap_err();
        assert_eq!(refused.code, codes::TOO_MANY_LISTINGS);
        // Who may change does not wait for those who may look.
        assert!(listings.turn(Access::Change).await.is_ok());
        let body = bodies.pop().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), text);
        let next = listings.turn(Access::Read).await;
        assert!(next.is_ok());
        // A reader that has gone has no turn any more either.
        drop(bodies);
        assert!(listings.turn(Access::Read).await.is_ok());
    }
}
