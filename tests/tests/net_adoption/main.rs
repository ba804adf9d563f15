//! What outlives the daemon, and what the next one makes of it.
//!
//! * [`dataplane`] - maps and links as such, without a daemon around them
//! * [`daemon`] - the daemon: other programs, private mounts, what is removed
//!   under it

mod daemon;
mod dataplane;
mod misfits;
mod support;
