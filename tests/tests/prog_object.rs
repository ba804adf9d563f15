//! The object itself: the verifier takes it within bounds, its maps fit a
//! budget and speak to bpftool, and the constants that the loader sets count.

use std::process::Command;

use router_common::{
    abi::{Egress, MAX_LOCALS, MAX_NETWORKS, MAX_TRUNKS, names},
    datapath::Reason,
    wire::TrunkSlot,
};
use router_tests::{
    netns,
    prog::{
        Load,
        Network::{A, B, C, N, U},
        Object, Scene, forward, row, up,
    },
};

/// Instructions that the verifier may have to look at; it gives up at a
/// million.
const VERIFIED: u32 = 100_000;

/// Bytes of maps of the largest size, and the per-CPU part of them.
const MAPS: u64 = 6 << 20;
const MAPS_PER_CPU: u64 = 3 << 19;

/// The object, where this user may load it.
fn object(test: &str) -> Option<Object> {
    // Whoever may not make a namespace may not load programs either.
    drop(netns::private_or_skip(test)?);
    Some(Object::load().unwrap_or_else(|e| panic!("{e:?}")))
}

#[test]
fn the_verifier_takes_both_programs() {
    let Some(mut object) = object("the_verifier_takes_both_programs") else {
        return;
    };
    for program in [names::PROGRAM, names::PROGRAM_FRAGS, names::PROGRAM_RENEW] {
        let (verified, size) = object
            .verify(program)
            .unwrap_or_else(|e| panic!("{program}: {e:?}"));
        println!("{program}: {verified} instructions verified, {size} bytes translated");
        assert!(
            verified < VERIFIED,
            "{program}: {verified} instructions verified, {VERIFIED} may be"
        );
    }
}

/// Bytes that the kernel adds to key and value of a hash's element, about.
const ELEMENT: u64 = 64;

/// Sum of all maps when as many trunks, networks and addresses are configured
/// as can be.
#[test]
fn map_memory_is_within_budget() {
    let Some(object) = object("map_memory_is_within_budget") else {
        return;
    };
    let mut sum = 0;
    for name in names::MAPS {
        let bytes = object.map_memory(name).unwrap_or_else(|e| panic!("{e:?}"));
        println!("{name}: {bytes} bytes");
        sum += bytes;
    }
    // Hashes take memory with their elements, and have none yet.
    sum += u64::from(MAX_LOCALS) * (ELEMENT + 16 + 8);
    sum += u64::from(MAX_NETWORKS) * (ELEMENT + 8 + Egress::SIZE as u64);
    let cpus = aya::util::nr_cpus().unwrap_or_else(|(path, e)| panic!("{path}: {e}"));
    let budget = MAPS + MAPS_PER_CPU * cpus as u64;
    println!("{sum} bytes of {budget} on {cpus} CPUs");
    assert!(sum <= budget, "{sum} bytes of maps, budget {budget}");
}

/// Users measure with bpftool: it must know the fields' names.
#[test]
fn bpftool_knows_the_fields() {
    let test = "bpftool_knows_the_fields";
    if Command::new("bpftool").arg("version").output().is_err() {
        println!("SKIP {test}: no bpftool");
        return;
    }
    let Some(object) = object(test) else {
        return;
    };
    for (name, fields) in [
        (names::VERDICTS, ["\"packets\"", "\"bytes\""]),
        (names::PAIRS, ["\"packets\"", "\"bytes\""]),
        (names::INGRESS, ["\"ifindex\"", "\"prefixes4\""]),
        (names::CONTROL, ["\"cache_lease\"", "\"direct_lease\""]),
    ] {
        let id = object.map_id(name).expect("an id").to_string();
        let key = ["0", "0", "0", "0"];
        let done = Command::new("bpftool")
            .args(["-j", "map", "lookup", "id", &id, "key"])
            .args(key)
            .output()
            .expect("run bpftool");
        let text = String::from_utf8_lossy(&done.stdout);
        for field in fields {
            assert!(text.contains(field), "{name}: no {field} in {text}");
        }
    }
    // Of an empty hash there is no entry to look at: what the map says of itself.
    // The kernel takes no BTF for a devmap, TX_PORTS.
    for name in [names::EGRESS, names::LOCALS] {
        let id = object.map_id(name).expect("an id").to_string();
        let done = Command::new("bpftool")
            .args(["-j", "map", "show", "id", &id])
            .output()
            .expect("run bpftool");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.contains("btf_id"), "{name} has no BTF: {text}");
    }
}

/// The same object serves any trunk: `TRUNK_SLOT`.
#[test]
fn the_other_trunk() {
    let load = Load {
        slot: 1,
        ..Load::default()
    };
    let Some(mut scene) = Scene::open_with("the_other_trunk", load) else {
        return;
    };
    scene.check([
        row(23, "C to A", C.v4_to(A), forward(C, A)),
        row(23, "C to N", C.v6_to(N), forward(C, N)),
        row(23, "U to B", U.v4_to(B), forward(U, B)),
        row(1, "C to U", C.v4_to(U), forward(C, U)),
        row(1, "U to C", U.v6_to(C), forward(U, C)),
        row(
            7,
            "a VID of the first trunk",
            A.v4_to(B),
            up(Reason::UnknownVid),
        ),
        row(
            16,
            "untagged, to N's gateway",
            N.v4_to(B),
            up(Reason::OtherMac),
        ),
    ]);
    scene.set_port(0, false);
    scene.check([
        row(
            23,
            "the first trunk not in the devmap",
            C.v4_to(A),
            up(Reason::EgressDown),
        ),
        row(1, "its own", C.v4_to(U), forward(C, U)),
    ]);
    scene.finish();
}

/// An egress whose trunk has no slot in the devmap, or none that can be.
#[test]
fn a_trunk_beyond_the_map() {
    let load = Load {
        slot: 1,
        ..Load::default()
    };
    let Some(mut scene) = Scene::open_with("a_trunk_beyond_the_map", load) else {
        return;
    };
    for slot in [2, u8::try_from(MAX_TRUNKS).expect("small"), u8::MAX] {
        scene.change_egress(A, |entry| {
            entry.trunk = TrunkSlot::new(slot);
        });
        let what = format!("egress on trunk {slot}");
        scene.check([row(103, what, C.v4_to(A), up(Reason::EgressDown))]);
    }
    scene.finish();
}

/// More than 256 networks: one record an ingress network.
#[test]
fn counters_of_many_networks() {
    let load = Load {
        stride: 1,
        ..Load::default()
    };
    let Some(mut scene) = Scene::open_with("counters_of_many_networks", load) else {
        return;
    };
    for to in [B, N, C, U] {
        let what = format!("A to {to:?}");
        scene.check([
            row(1, what.clone(), A.v4_to(to), forward(A, to)),
            row(1, what, A.v6_to(to), forward(A, to)),
        ]);
    }
    scene.check([
        row(1, "B to A", B.v4_to(A), forward(B, A)),
        row(26, "TTL 1", B.v4_to(A).ttl(1), up(Reason::TtlExceeded)).on(B),
    ]);
    scene.finish();
}
