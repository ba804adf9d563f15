//! HTTP/JSON over the instance's Unix socket.
//!
//! The daemon calls [`Listener::bind`] before it touches anything (it is also
//! the guard against a second daemon of the same instance), and then
//! [`serve`]s its [`Service`](crate::service::Service); the commands ask
//! through [`Client`].

mod client;
mod configuration;
pub mod event;
mod listener;
mod listings;
mod metrics;
pub mod model;
mod monitor;
mod patience;
mod places;
mod routes;
mod schema;
mod server;

pub use client::Client;
pub(crate) use configuration::CONFIRM;
pub use listener::{Listener, Place, socket_path};
pub use schema::schema;
pub use server::serve;
