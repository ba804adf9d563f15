//! Which skips are expected. Everything else that skips is a failure: a test
//! that quietly stops running is how bugs come back.

use super::table::Row;

/// A skip that is no failure.
struct Expected {
    /// How the reason begins.
    reason: &'static str,
    /// How the names of the stages begin where it may be given.
    stages: &'static [&'static str],
    /// How the names of the tests begin that may give it; empty: any.
    tests: &'static [&'static str],
}

/// Stages that run tests in the host's kernel, as the user who called.
const HOST: &[&str] = &["host", "kernel", "net", "bugs"];

const EXPECTED: &[Expected] = &[
    // A developer's quick run without sudo. Guests have root.
    Expected {
        reason: "this user may not make network namespaces",
        stages: HOST,
        tests: &[],
    },
    // What a later kernel brought is tested where it is there: on the host.
    Expected {
        reason: "this kernel is older than ",
        stages: &["kernel", "Linux "],
        tests: &["ipv6_force_forwarding", "what_cannot_be_redirected_"],
    },
    // The host's kernel may be a small one; those of the guests have it.
    Expected {
        reason: "this kernel has no vrf",
        stages: &["net"],
        tests: &["vrf"],
    },
    Expected {
        reason: "this kernel has no 802.1Q",
        stages: &["net"],
        tests: &["priority_maps", "nine_vids", "device_of_vlan_0"],
    },
    Expected {
        reason: "this kernel has no nftables",
        stages: &["net", "Linux "],
        tests: &["a_forward_chain_that_drops_"],
    },
    // A rust-src without the clippy that belongs to it.
    Expected {
        reason: "the rustc that compiles eBPF objects has no clippy",
        stages: &["lint"],
        tests: &["clippy-ebpf"],
    },
    // The sources without their history, as a release has them.
    Expected {
        reason: "this is no git repository",
        stages: &["bugs"],
        tests: &["every bug"],
    },
    // Programs that nobody needs to build or run anything here.
    Expected {
        reason: "fish is not installed",
        stages: &["integration"],
        tests: &["fish_"],
    },
    // A container that may not mount cgroups, a chroot. Guests are neither.
    Expected {
        reason: "this machine can have no other in it",
        stages: &["net"],
        tests: &["a_service_that_", "a_service_with_", "the_group_may_look_"],
    },
    Expected {
        reason: "zsh is not installed",
        stages: &["integration"],
        tests: &["tab_completes_live_names_in_zsh"],
    },
    Expected {
        reason: "man is not installed",
        stages: &["integration"],
        tests: &["the_manual_is_"],
    },
];

fn is_expected(stage: &str, test: &str, reason: &str) -> bool {
    let begins = |text: &str, with: &[&str]| with.iter().any(|begin| text.starts_with(begin));
    EXPECTED.iter().any(|expected| {
        reason.starts_with(expected.reason)
            && begins(stage, expected.stages)
            && (expected.tests.is_empty() || begins(test, expected.tests))
    })
}

/// Counts a skip, and says which kind it is.
pub(super) fn judge(row: &mut Row, stage: &str, test: &str, reason: &str) {
    if is_expected(stage, test, reason) {
        println!("    SKIP {test}: {reason}");
        row.skipped += 1;
    } else {
        let reason = if reason.is_empty() {
            "no reason given"
        } else {
            reason
        };
        eprintln!("FAILED {test}: skipped in stage {stage} for a reason nobody expects: {reason}");
        row.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Through `is_expected`: `judge` prints, and the run of these very tests is
    // read for SKIP lines.
    #[test]
    fn reasons_are_known_by_how_they_begin() {
        let root = "this user may not make network namespaces";
        assert!(is_expected("host", "any", root));
        assert!(is_expected("net", "any", root));
        let old = "this kernel is older than 6.17";
        assert!(is_expected("Linux 6.1", "ipv6_force_forwarding", old));
        assert!(!is_expected("host", "any", "did not feel like it"));
        assert!(!is_expected("host", "any", ""));
    }

    #[test]
    fn a_reason_holds_for_its_own_stages_and_tests_only() {
        let root = "this user may not make network namespaces";
        assert!(!is_expected("Linux 6.1", "any", root));
        let vrf = "this kernel has no vrf, or this user may not make one";
        assert!(is_expected("net", "vrf", vrf));
        assert!(!is_expected("Linux 6.12", "vrf", vrf));
        let vlans = "this kernel has no 802.1Q";
        assert!(is_expected("net", "nine_vids", vlans));
        assert!(!is_expected("Linux 6.12", "nine_vids", vlans));
        assert!(!is_expected("net", "plain_tables", vlans));
        let old = "this kernel is older than 6.17";
        assert!(!is_expected("Linux 6.1", "any", old));
        assert!(!is_expected("host", "ipv6_force_forwarding", old));
        assert!(!is_expected("host", "any", "fish is not installed"));
    }
}
