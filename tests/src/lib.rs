//! Harness of the tests and of the article's scenario.

pub mod netns;
pub mod packet;
pub mod prog;
