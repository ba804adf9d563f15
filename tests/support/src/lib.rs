//! What the tests of several crates share, and needs no kernel.
//!
//! * [`generator`] makes random packets, each by its number in a run: a
//!   [`draft`] that is sound, changed by some [`mutation`]s, in a small [`world`]
//!   of networks. `router-common/tests/model` judges them by a model,
//!   `router-tests` by the oracle; [`shrink`] makes small what fails.
//! * [`Buffer`] is a frame in memory, for the generic packet path
//! * [`corpus`] replays what fuzz targets start from and have found
//!
//! Expected bytes come from here, too ([`packet`]): nothing of it uses the packet
//! path or its checksums.

mod buffer;
pub mod corpus;
pub mod draft;
pub mod generator;
pub mod mutation;
pub mod packet;
pub mod random;
pub mod shrink;
pub mod world;

use std::env;

pub use buffer::Buffer;

/// The seed of a run where `ROUTER_SEED` gives none.
pub const SEED: u64 = 2026;

/// The seed of a run, and how many packets it has: `ROUTER_SEED` and
/// `ROUTER_PACKETS`, else [`SEED`] and so many. Both are told.
///
/// # Panics
/// Where a variable is no number.
#[must_use]
pub fn run_of(packets: u64) -> (u64, u64) {
    let seed = number_from("ROUTER_SEED", SEED);
    let packets = number_from("ROUTER_PACKETS", packets);
    println!("ROUTER_SEED={seed} ROUTER_PACKETS={packets}");
    (seed, packets)
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("{variable}={text}: {e}")),
        Err(_) => otherwise,
    }
}
