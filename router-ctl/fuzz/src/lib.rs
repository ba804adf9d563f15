//! What the fuzz targets do with their bytes; plain Rust, so that the tests can
//! replay the corpus on any compiler. Each says whether the bytes were accepted.

mod api;
mod config;
mod journal;
mod netlink;

pub use self::{
    api::api,
    config::{config, words},
    journal::journal,
    netlink::netlink,
};
