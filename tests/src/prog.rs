//! The shipped program under `BPF_PROG_TEST_RUN`: real maps, real devices,
//! real routes, no wire.
//!
//! * [`Object`] - what the verifier and the host pay for it
//! * [`Router`] - the loaded object: fills its maps as the daemon does, runs
//!   frames through it, reads its counters
//! * [`Scene`] - a namespace with five networks on two trunks, in which hosts
//!   are permanent neighbours
//! * [`Row`] and [`Scene::check`] - the tables of `tests/prog_*.rs`: case
//!   number, what, frame, expected verdict; bytes *and* counters are asserted
//!   for every row
//! * [`Scene::agree`] - a packet without a table: what XDP forwards, the kernel
//!   forwards, too
//!
//! The host's kernel may lack 8021q: the maps take any ifindex, so veth
//! devices stand in for sub-interfaces. What the kernel itself makes of the
//! same packet is asked at those devices, row by row.

mod counters;
mod lease;
mod networks;
mod object;
mod oracle;
mod router;
mod scene;
mod stage;
mod table;
mod wire;

pub use counters::{Counters, Record};
pub use networks::Network;
pub use object::Object;
pub use oracle::Agreement;
pub use router::{Load, Outcome, Router, XDP_PASS, XDP_REDIRECT, XDP_TX};
pub use scene::Scene;
pub use stage::play;
pub use table::{Expect, Kernel, Row, forward, row, up};
