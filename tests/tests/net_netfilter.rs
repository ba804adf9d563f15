//! Netfilter drops what XDP forwards around it: status says so.

use router_tests::{
    hitless::{assert_by_xdp, forwarding, until},
    nft::{self, Policy},
};
use serde_json::Value;

/// dockerd gives the FORWARD chain the policy drop; the kernel's path was shut, and
/// XDP's open, and nobody was told.
#[test]
fn a_forward_chain_that_drops_is_a_warning() {
    let test = "a_forward_chain_that_drops_is_a_warning";
    let Some((lab, daemon)) = forwarding(test, "") else {
        return;
    };
    let warnings = || -> anyhow::Result<Vec<Value>> {
        let status = daemon.json(&["status"])?;
        assert_eq!(status["state"], "forwarding", "{status:#}");
        Ok(status["warnings"].as_array().cloned().unwrap_or_default())
    };
    assert_eq!(warnings().unwrap(), [Value::Null; 0]);
    let chain = |policy| {
        lab.router()
            .run(move || nft::forward_chain(policy))
            .unwrap()
    };
    if !chain(Policy::Accept) {
        println!("SKIP {test}: this kernel has no nftables");
        return;
    }
    // The kernel has to find the hosts, while it may.
    assert_by_xdp(&lab, &daemon);
    chain(Policy::Drop);
    until("status to warn", || Ok(!warnings()?.is_empty()));
    let told = warnings().unwrap();
    let text = |key: &str| told[0][key].as_str().unwrap_or_default().to_owned();
    let name = "chain ip router-tests FORWARD";
    assert!(text("message").contains(name), "{told:?}");
    assert!(
        text("help").contains(&format!("nft list {name}")),
        "{told:?}"
    );
    // It is so, indeed.
    assert_by_xdp(&lab, &daemon);
    chain(Policy::Accept);
    until("the warning to go", || Ok(warnings()?.is_empty()));
    chain(Policy::Drop);
    until("status to warn again", || Ok(!warnings()?.is_empty()));
    lab.router().run(nft::remove).unwrap();
    until("the warning to go", || Ok(warnings()?.is_empty()));
}
