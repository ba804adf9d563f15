//! HTTP/JSON over the instance's Unix socket.

pub mod model;
