//! What happens to one frame, from its first byte to its verdict.

mod verdict;

pub use verdict::{Action, Pair, Reason, Verdict};
