//! router-ctl: a gateway for macvlan networks.
//!
//! The library behind the binary, so that tests can use its parts. Start with
//! [`daemon`] for what runs, [`commands`] for what users type.

pub mod api;
mod clock;
pub mod codes;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod error;
pub mod hub;
pub mod instance;
pub mod journal;
mod lock;
pub mod netlink;
mod output;
pub mod reconcile;
mod regular;
pub mod service;
pub mod sys;
pub mod sysctl;
