//! The binary as people and scripts meet it, and the API behind it. Everything
//! runs unprivileged: where a daemon is needed, a twin of it answers.

mod api;
mod completions;
mod configs;
mod limits;
mod listings;
mod manual;
mod monitor;
mod offline;
mod schema;
mod terminal;
mod twin;

use assert_cmd::Command;

/// `router-ctl` with these words, apart from the caller's environment.
fn router_ctl(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_router-ctl"));
    command
        .env_remove("ROUTER_CTL_INSTANCE")
        .env_remove("ROUTER_CTL_SOCKET")
        .env_remove("CLICOLOR_FORCE")
        .env("COLUMNS", "100")
        .args(words.split_whitespace());
    command
}

/// What a run printed to standard output and standard error.
fn said(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
