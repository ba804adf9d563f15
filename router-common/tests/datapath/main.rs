//! The packet path in plain memory: exact bytes from an independent builder.

mod forwarding;
mod passing;
mod properties;
mod support;
