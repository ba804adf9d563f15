//! The shipped program under `BPF_PROG_TEST_RUN`: real maps, real devices,
//! real routes, no wire.
//!
//! * [`Router`] - the loaded object: fills its maps as the daemon does, runs
//!   frames through it, reads its counters
//! * [`Scene`] - a namespace with five networks on two trunks, in which hosts
//!   are permanent neighbours
//! * [`Row`] and [`Scene::check`] - the tables of `tests/prog_*.rs`: case
//!   number, what, frame, expected verdict; bytes *and* counters are asserted
//!   for every row
//!
//! The host's kernel may lack 8021q: the maps take any ifindex, so veth
//! devices stand in for sub-interfaces. What the kernel itself makes of the
//! same packet is asked at those devices, row by row.

mod networks;
mod router;
mod scene;
mod table;
mod wire;

pub use networks::Network;
pub use router::{Counters, Outcome, Record, Router, XDP_PASS, XDP_REDIRECT, XDP_TX};
pub use scene::Scene;
pub use table::{Expect, Row, forward, row, up};
