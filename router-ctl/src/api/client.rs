//! Asking the daemon.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{
    configuration::path as config_path,
    event::Event,
    model::{
        ConfigApplied, ConfigApply, ConfigChange, ErrorBody, Neighbour, NetworkStatus, Route,
        RouteAnswer, RouteChange, RunningConfig, Stats, Status,
    },
    routes::{kind_of, path},
    socket_path,
};
use crate::{
    codes,
    error::{Error, Kind},
    hub::Interest,
    instance::router_ctl,
    service::{NeighbourFilter, RouteFilter},
};

/// Longest time until the daemon takes the connection.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// Longest time for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// Longest time for `down` and `config apply`, which do and undo thousands of things one
/// by one.
const CHANGE_TIME: Duration = Duration::from_secs(120);
/// Longest answer, bytes: a million routes fit.
const ANSWER_LIMIT: usize = 512 << 20;
/// Longest event of `monitor`, bytes.
const LINE_LIMIT: usize = 1 << 20;

/// A way to one instance's daemon. Every call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    instance: String,
    socket: PathBuf,
}

impl Client {
    /// A client of `instance`; `socket`: where its socket is, if not in its
    /// usual place.
    #[must_use]
    pub fn new(instance: &str, socket: Option<&Path>) -> Self {
        Self {
            instance: instance.to_owned(),
            socket: socket.map_or_else(|| socket_path(instance), Path::to_owned),
        }
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// No daemon, no permission, no answer, or what the daemon says.
    pub async fn status(&self) -> Result<Status, Error> {
        self.get(path::STATUS).await
    }

    /// `GET /v1/networks`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn networks(&self) -> Result<Vec<NetworkStatus>, Error> {
        self.get(path::NETWORKS).await
    }

    /// `GET /v1/routes`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn routes(&self, filter: RouteFilter) -> Result<Vec<Route>, Error> {
        self.get(&query(path::ROUTES, &[family(filter)])).await
    }

    /// `GET /v1/neighbours`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn neighbours(&self, filter: &NeighbourFilter) -> Result<Vec<Neighbour>, Error> {
        let network = filter
            .network
            .as_ref()
            .map(|name| format!("network={}", escaped(name)));
        self.get(&query(
            path::NEIGHBOURS,
            &[family(filter.families), network],
        ))
        .await
    }

    /// `GET /v1/routes/get`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn route_get(&self, dst: IpAddr, from: Option<IpAddr>) -> Result<RouteAnswer, Error> {
        // A query may hold the colons of IPv6 as they are.
        let from = from.map_or_else(String::new, |from| format!("&from={from}"));
        self.get(&format!("{}?dst={dst}{from}", path::ROUTE_GET))
            .await
    }

    /// `POST /v1/routes`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn route_change(&self, change: &RouteChange) -> Result<(), Error> {
        self.ask(Method::POST, path::ROUTES, Some(change), ANSWER_TIME)
            .await
    }

    /// `GET /v1/monitor`: gives every event to `each`, until that fails or the
    /// daemon ends.
    ///
    /// # Errors
    /// As [`Client::status`], or that of `each`.
    pub async fn monitor(
        &self,
        interest: Interest,
        mut each: impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let named = |wanted: bool, name: &str| wanted.then(|| format!("{name}=true"));
        let usual = interest == Interest::USUAL;
        let path = query(
            path::MONITOR,
            &[
                named(interest.drops, "drops"),
                named(interest.routes && !usual, "routes"),
                named(interest.neighbours && !usual, "neighbours"),
            ],
        );
        let stream = self.connect().await?;
        let request = self.request(Method::GET, &path, Vec::new())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.no_answer(error))?;
        let follow = async {
            let sent = timeout(ANSWER_TIME, sender.send_request(request)).await;
            let answer = sent
                .map_err(|error| self.no_answer(error))?
                .map_err(|error| self.no_answer(error))?;
            let status = answer.status();
            let mut body = answer.into_body();
            if !status.is_success() {
                let whole = Limited::new(body, ANSWER_LIMIT).collect().await;
                let bytes = whole.map_err(|error| self.no_answer(error))?.to_bytes();
                return Err(self.refused(status, &bytes));
            }
            let mut lines = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|error| self.no_answer(error))?.into_data() else {
                    continue;
                };
                lines.extend_from_slice(&data);
                while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = lines.drain(..=end).collect();
                    let event = serde_json::from_slice(&line);
                    each(event.map_err(|error| self.no_answer(error))?)?;
                }
                if lines.len() > LINE_LIMIT {
                    return Err(self.no_answer("a line without end"));
                }
            }
            Ok(())
        };
        let mut follow = std::pin::pin!(follow);
        tokio::select! {
            done = &mut follow => done,
            // It moves the bytes; what it has moved is still to be looked at.
            _ = connection => follow.await,
        }
    }

    /// `GET /v1/stats`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.get(path::STATS).await
    }

    /// `GET /v1/config`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn config(&self, effective: bool) -> Result<RunningConfig, Error> {
        self.get(&format!("{}?effective={effective}", config_path::CONFIG))
            .await
    }

    /// `GET /v1/config/diff`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn config_diff(&self) -> Result<Vec<ConfigChange>, Error> {
        self.get(config_path::DIFF).await
    }

    /// `POST /v1/config/apply`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn config_apply(&self, request: &ConfigApply) -> Result<ConfigApplied, Error> {
        self.ask(Method::POST, config_path::APPLY, Some(request), CHANGE_TIME)
            .await
    }

    /// `POST /v1/config/confirm`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn config_confirm(&self) -> Result<(), Error> {
        self.ask(Method::POST, config_path::CONFIRM, None::<&()>, ANSWER_TIME)
            .await
    }

    /// `POST /v1/config/rollback`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn config_rollback(&self) -> Result<ConfigApplied, Error> {
        self.ask(
            Method::POST,
            config_path::ROLLBACK,
            None::<&()>,
            CHANGE_TIME,
        )
        .await
    }

    /// `POST /v1/down`.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn down(&self) -> Result<(), Error> {
        self.ask(Method::POST, path::DOWN, None::<&()>, CHANGE_TIME)
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Method::GET, path, None::<&()>, ANSWER_TIME).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        time: Duration,
    ) -> Result<T, Error> {
        let stream = self.connect().await?;
        timeout(time, self.converse(stream, method, path, body))
            .await
            .map_err(|_| self.no_answer(format!("none within {} s", time.as_secs())))?
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        timeout(CONNECT_TIME, UnixStream::connect(&self.socket))
            .await
            .map_err(|_| self.no_answer("it does not take connections"))?
            .map_err(|error| self.cannot_connect(&error))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "router-ctl")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.no_answer(error))
    }

    /// What the daemon says went wrong.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => Error::from_body(error, kind_of(status)),
            Err(error) => self.no_answer(error),
        }
    }

    async fn converse<T: DeserializeOwned>(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| self.no_answer(error))?,
            None => Vec::new(),
        };
        let request = self.request(method, path, body)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.no_answer(error))?;
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|e| self.no_answer(e))?;
            let status = answer.status();
            let bytes = Limited::new(answer.into_body(), ANSWER_LIMIT)
                .collect()
                .await
                .map_err(|error| self.no_answer(error))?
                .to_bytes();
            Ok((status, bytes))
        };
        let mut exchange = std::pin::pin!(exchange);
        let (status, bytes) = tokio::select! {
            answer = &mut exchange => answer?,
            // The connection moves the bytes; it may end before they are
            // looked at, and how it ended does not matter if they are whole.
            _ = connection => exchange.await?,
        };
        if status.is_success() {
            serde_json::from_slice(&bytes).map_err(|error| self.no_answer(error))
        } else {
            Err(self.refused(status, &bytes))
        }
    }

    fn cannot_connect(&self, error: &io::Error) -> Error {
        let instance = &self.instance;
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::new(
                Kind::NotRunning,
                codes::NOT_RUNNING,
                format!("router-ctl is not running (instance {instance})"),
            )
            .cause(format!("{}: {error}", self.socket.display()))
            .help(format!(
                "start it with `router-ctl run --instance {instance}`; as a service: `systemctl start router-ctl@{instance}`"
            )),
            io::ErrorKind::PermissionDenied => Error::new(
                Kind::NotPermitted,
                codes::NOT_PERMITTED,
                "you may not talk to the daemon",
            )
            .cause(format!("{}: {error}", self.socket.display()))
            .help("run the command with sudo; to read only, join its group: `sudo usermod -aG router-ctl $USER`"),
            _ => self.no_answer(error),
        }
    }

    fn no_answer(&self, cause: impl std::fmt::Display) -> Error {
        Error::new(
            Kind::Failed,
            codes::NO_ANSWER,
            format!(
                "no proper answer from the daemon (instance {})",
                self.instance
            ),
        )
        .cause(cause)
        .help(format!(
            "it may be going down, or be of another version: `{} status` tells",
            router_ctl(&self.instance)
        ))
    }
}

/// `PATH?A&B` of those that there are.
fn query(path: &str, parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    if parts.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", parts.join("&"))
}

fn family(filter: RouteFilter) -> Option<String> {
    match (filter.v4, filter.v6) {
        (true, false) => Some("family=4".to_owned()),
        (false, true) => Some("family=6".to_owned()),
        _ => None,
    }
}

/// A user's word as part of a query.
fn escaped(word: &str) -> String {
    let mut text = String::new();
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_hold_what_users_type() {
        assert_eq!(query("/p", &[None, None]), "/p");
        assert_eq!(
            query("/p", &[Some("a=1".into()), Some("b=2".into())]),
            "/p?a=1&b=2"
        );
        assert_eq!(escaped("mac10"), "mac10");
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
