//! `router-ctl` under another name, for the tests of the real daemon: cargo
//! builds a package's own programs before it runs the package's tests, so that
//! they never meet a daemon of yesterday.

use std::process::ExitCode;

fn main() -> ExitCode {
    router_ctl::commands::main()
}
