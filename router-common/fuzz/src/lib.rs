//! What the fuzz targets do with their bytes; plain Rust, so that the tests can
//! replay the corpus on any compiler.

mod input;
mod laws;

use self::input::Input;
use router_common::datapath::{self, Verdict, decide};
use router_test_support::Buffer;

/// A frame, and tables in which every network is known, up and forwards.
/// Whether it would be forwarded.
pub fn parse(data: &[u8]) -> bool {
    let input = Input::open(data);
    let buffer = Buffer::with_headroom(&input.frame, 8);
    // Deciding writes nothing (it cannot) and is always the same.
    let first = decide(&buffer, &input);
    let second = decide(&buffer, &input);
    match (first, second) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.device, other.device);
            true
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            false
        }
        (one, other) => panic!("{one:?}, then {other:?}"),
    }
}

/// Any tables, any frame. Whether it was forwarded.
pub fn route(data: &[u8]) -> bool {
    let input = &Input::any(data);
    let mut buffer = Buffer::with_headroom(&input.frame, input.headroom());
    let verdict = datapath::route(&mut buffer, input);
    let out = buffer.frame();
    match verdict {
        Verdict::Pass(reason) => {
            assert_eq!(out, input.frame, "{} touched it", reason.name());
            false
        }
        Verdict::Abort(reason) => panic!("{}", reason.name()),
        Verdict::Transmit(_) | Verdict::Redirect(..) => {
            laws::assert_forwarded(input, out);
            true
        }
    }
}
