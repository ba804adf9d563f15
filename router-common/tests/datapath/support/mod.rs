//! A small world to route in, and frames for it.

pub(crate) mod frames;
pub(crate) mod tables;
