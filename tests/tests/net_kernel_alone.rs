//! What XDP cannot obey, IPsec policies and rules that suppress routes, is the
//! kernel's alone: what they may be about is left to it, and status says so.

use std::{net::UdpSocket, thread, time::Duration};

use router_tests::{
    hitless::{assert_by_xdp, forwarding, until},
    lab::Lab,
    router_daemon::RouterDaemon,
};
use serde_json::Value;

const PORT: u16 = 4000;

fn warnings(daemon: &RouterDaemon) -> anyhow::Result<Vec<String>> {
    let status = daemon.json(&["status"])?;
    assert_eq!(status["state"], "forwarding", "{status:#}");
    let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
    let message = |warning: &Value| warning["message"].as_str().unwrap_or_default().to_owned();
    Ok(warnings.iter().map(message).collect())
}

/// A lab with a daemon, on a kernel that has policies.
fn scene(test: &str) -> Option<(Lab, RouterDaemon)> {
    let (lab, daemon) = forwarding(test, "")?;
    if lab.router().ip("xfrm policy flush").is_err() {
        println!("SKIP {test}: this kernel has no IPsec policies");
        return None;
    }
    Some((lab, daemon))
}

fn policy(lab: &Lab, words: &str) {
    lab.router().ip(&format!("xfrm policy {words}")).unwrap();
}

/// Whether one of ten datagrams from host 0 to host 1 comes through.
fn gets_through(lab: &Lab) -> bool {
    let to = lab.networks()[1].host4;
    let listen = lab.host(1).spawn(move || {
        let socket = UdpSocket::bind((to, PORT))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket.recv(&mut [0; 16]).is_ok())
    });
    let listening = listen.unwrap();
    let speak = move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(50));
            // That it does not come through is what this is about.
            let _ = socket.send_to(b"hello", (to, PORT));
        }
        Ok(())
    };
    lab.host(0).run(speak).unwrap();
    listening.join().unwrap().unwrap()
}

#[test]
fn what_a_policy_blocks_xdp_does_not_forward() {
    let Some((lab, mut daemon)) = scene("what_a_policy_blocks_xdp_does_not_forward") else {
        return;
    };
    assert_by_xdp(&lab, &daemon);
    assert_eq!(warnings(&daemon).unwrap(), [""; 0]);
    let block = "src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd action block priority 100";
    policy(&lab, &format!("add {block}"));
    until("status to warn", || Ok(!warnings(&daemon)?.is_empty()));
    assert!(!gets_through(&lab), "the policy is passed by");
    // It is the policy: without it they come through below.
    let told = warnings(&daemon).unwrap();
    assert!(
        told[0].starts_with("the kernel forwards IPv4 alone"),
        "{told:?}"
    );
    policy(&lab, "del src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd");
    until("the warning to go", || Ok(warnings(&daemon)?.is_empty()));
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
}

/// The daemon that starts finds it: nothing may go by XDP even once.
#[test]
fn a_policy_of_before_is_found() {
    let Some((lab, mut daemon)) = scene("a_policy_of_before_is_found") else {
        return;
    };
    daemon.terminate().unwrap();
    // Encrypted, if there were a key: so nothing leaves.
    policy(
        &lab,
        "add src 0.0.0.0/0 dst 0.0.0.0/0 dir out tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel",
    );
    daemon.start().unwrap();
    let before = daemon.forwarded_by_xdp().unwrap();
    assert!(!gets_through(&lab), "what is to be encrypted goes in plain");
    assert_eq!(daemon.forwarded_by_xdp().unwrap(), before);
    // One that lets pass what it finds as it is changes nothing.
    policy(&lab, "flush");
    policy(&lab, "add src 0.0.0.0/0 dst 0.0.0.0/0 dir out action allow");
    until("the warning to go", || Ok(warnings(&daemon)?.is_empty()));
    assert_by_xdp(&lab, &daemon);
    daemon.down().unwrap();
}

/// Hundreds of policies, as a VPN's daemon sets them up, and a default that blocks.
#[test]
fn many_policies_and_defaults() {
    let test = "many_policies_and_defaults";
    let Some((lab, mut daemon)) = scene(test) else {
        return;
    };
    for number in 0..200 {
        policy(
            &lab,
            &format!("add src 2001:db8:{number:x}::/48 dst ::/0 dir fwd action block"),
        );
    }
    until("status to warn", || Ok(!warnings(&daemon)?.is_empty()));
    // Of the other family.
    assert_by_xdp(&lab, &daemon);
    policy(&lab, "flush");
    until("the warning to go", || Ok(warnings(&daemon)?.is_empty()));
    if lab.router().ip("xfrm policy setdefault fwd block").is_ok() {
        until("status to warn", || Ok(!warnings(&daemon)?.is_empty()));
        assert!(!gets_through(&lab), "the default is passed by");
        policy(&lab, "setdefault fwd accept");
        until("the warning to go", || Ok(warnings(&daemon)?.is_empty()));
        assert_by_xdp(&lab, &daemon);
    } else {
        println!("this `ip` or kernel has no defaults");
    }
    daemon.down().unwrap();
}

/// As wg-quick has it, for as long as its tunnel is up: nothing is wrong.
#[test]
fn a_rule_that_suppresses_routes_is_a_warning() {
    let test = "a_rule_that_suppresses_routes_is_a_warning";
    let Some((lab, mut daemon)) = forwarding(test, "") else {
        return;
    };
    let rule = |verb| {
        let rule = format!("-6 rule {verb} table main suppress_prefixlength 0 pref 100");
        lab.router().ip(&rule).unwrap();
    };
    rule("add");
    until("status to warn", || Ok(!warnings(&daemon)?.is_empty()));
    let told = warnings(&daemon).unwrap();
    assert!(told[0].contains("a rule suppresses routes"), "{told:?}");
    // IPv4 is not concerned.
    assert_by_xdp(&lab, &daemon);
    rule("del");
    until("the warning to go", || Ok(warnings(&daemon)?.is_empty()));
    daemon.down().unwrap();
}
