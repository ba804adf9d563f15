//! A child's environment without what an outer cargo, clippy or rustup put
//! into ours: an eBPF build must not see the host build's flags.

use std::env;
use std::process::Command;

/// Variables of the user's own that cargo needs to reach the registry and to
/// print as asked; every other `CARGO*` speaks of the outer build.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Set by cargo, clippy-driver or rustup, or by a user for the host's target.
const DROPPED: &[&str] = &[
    "CLIPPY_ARGS",
    "CLIPPY_TERMINAL_WIDTH",
    "DEBUG",
    "HOST",
    "LD_LIBRARY_PATH", // rustup and cargo prepend their toolchain's libraries
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "TARGET",
];

/// Takes the outer build's variables out of `command`'s environment.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_foreign) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_foreign(name: &str) -> bool {
    let kept = KEPT
        .iter()
        .any(|kept| name == *kept || (kept.ends_with('_') && name.starts_with(kept)));
    !kept
        && (name == "CARGO"
            || name.starts_with("CARGO_")
            || name.starts_with("DEP_")
            || DROPPED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn the_outer_build_does_not_leak() {
        for name in [
            "CARGO",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(is_foreign(name), "{name}");
        }
    }

    #[test]
    fn the_users_registry_and_proxy_stay() {
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_CRATES_IO_INDEX",
            "CARGO_TERM_COLOR",
            "HOME",
            "PATH",
            "RUSTUP_HOME",
            "https_proxy",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
