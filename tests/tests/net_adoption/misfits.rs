//! Pins that cannot serve as they are: replaced without a gap, or refused.

use std::{fs, path::Path, process::Command};

use router_common::{
    abi::{ABI_VERSION, Counter, names, pair_index},
    datapath::Reason,
};
use router_ctl::dataplane::{Dataplane as _, Error, Layout, XdpDataplane, recover};
use router_tests::{netns, pass::PassProgram};

use crate::support::{A, B, Bench, SLOT, TRUNK, cpus, fill};

/// Pins a map that looks like one of ours.
fn pin_map(path: &Path, name: &str, value: u32) {
    let value = value.to_string();
    netns::run(
        Command::new("bpftool")
            .args(["map", "create"])
            .arg(path)
            .args(["type", "array", "key", "4", "value", &value])
            .args(["entries", "16", "name", name]),
    )
    .unwrap();
}

/// Whatever is wrong with the maps, new ones take their place under the same
/// link; names and counters go on where they can be had.
#[test]
fn maps_that_do_not_fit_are_replaced_under_the_same_link() {
    let test = "maps_that_do_not_fit_are_replaced_under_the_same_link";
    type Spoil = fn(&Bench);
    let cases: &[(&str, Spoil, bool)] = &[
        (
            "a pin is missing",
            |bench| remove(bench, names::LOCALS),
            true,
        ),
        (
            "a pin is another map",
            |bench| {
                remove(bench, names::CONTROL);
                pin_map(&bench.map(names::CONTROL), names::CONTROL, 24);
            },
            true,
        ),
        (
            "a pin is a map of another name",
            |bench| {
                remove(bench, names::CONTROL);
                pin_map(&bench.map(names::CONTROL), "OTHER", 16);
            },
            true,
        ),
        (
            "a pin is a link",
            |bench| {
                remove(bench, names::EGRESS);
                netns::ip("link add d0 type veth peer name d1").unwrap();
                let other = PassProgram::attach_here("d0").unwrap();
                other.pin(&bench.map(names::EGRESS)).unwrap();
            },
            true,
        ),
        (
            "the counters are gone",
            |bench| {
                remove(bench, names::VERDICTS);
                remove(bench, names::PAIRS);
            },
            false,
        ),
        (
            "another ABI",
            |bench| {
                let other = format!("abi-{}", ABI_VERSION - 1);
                fs::rename(
                    bench.pins().maps(),
                    bench.pins().maps().with_file_name(other),
                )
                .unwrap();
            },
            true,
        ),
    ];
    for (what, spoil, counted) in cases {
        let Some(bench) = Bench::open(test) else {
            return;
        };
        let (mut dataplane, before) = bench.start(bench.layout());
        let contents = fill(&mut dataplane, &bench);
        bench.count(Reason::Arp, 5);
        bench.count_pair(pair_index(16, B, A), 7);
        drop(dataplane);
        spoil(&bench);

        let numbering = recover(&bench.pins()).unwrap();
        assert_eq!(numbering.network("b"), Some(B), "{what}");
        let mut dataplane = XdpDataplane::open(bench.layout()).unwrap();
        assert!(!dataplane.adopted(), "{what}");
        let held = dataplane.contents().unwrap();
        assert_eq!(held.names, contents.names, "{what}");
        assert!(held.ingress.is_empty() && held.locals.is_empty(), "{what}");
        // Until its link is moved the old program has its maps in reach.
        assert_eq!(bench.present(), Some((before.prog_id, false)), "{what}");
        fill(&mut dataplane, &bench);
        let after = dataplane.attach(&bench.request(false)).unwrap();
        dataplane.settle().unwrap();
        assert_eq!(after.link_id, before.link_id, "{what}");
        assert_ne!(after.prog_id, before.prog_id, "{what}");
        let counters = dataplane.counters().unwrap();
        let times = |packets: u64| {
            let packets = packets * cpus() as u64;
            Counter {
                packets,
                bytes: packets * 100,
            }
        };
        if *counted {
            assert_eq!(counters.kept, [(Reason::Arp, times(5))], "{what}");
            assert_eq!(counters.forwarded, [(B, Some(A), times(7))], "{what}");
        } else {
            assert_eq!(counters.kept, [], "{what}");
        }
        drop(dataplane);
        let dataplane = XdpDataplane::open(bench.layout()).unwrap();
        assert!(dataplane.adopted(), "{what}: once is enough");
        assert_eq!(dataplane.contents().unwrap(), contents, "{what}");
        bench.pins().remove().unwrap();
    }
}

fn remove(bench: &Bench, name: &str) {
    fs::remove_file(bench.map(name)).unwrap();
}

/// More networks than there is room for: other counters per pair.
#[test]
fn maps_grow_and_do_not_shrink() {
    let Some(bench) = Bench::open("maps_grow_and_do_not_shrink") else {
        return;
    };
    let (mut dataplane, before) = bench.start(bench.layout());
    fill(&mut dataplane, &bench);
    bench.count_pair(pair_index(16, A, B), 3);
    bench.count_pair(pair_index(16, B, A), 4);
    assert!(dataplane.has_room(4, 16));
    assert!(!dataplane.has_room(5, 16) && !dataplane.has_room(4, 17));
    drop(dataplane);
    let per_cpu = cpus() as u64;
    let with = |networks| Layout {
        networks,
        ..bench.layout()
    };
    let forwarded = |dataplane: &XdpDataplane| -> Vec<_> {
        let forwarded = dataplane.counters().unwrap().forwarded;
        forwarded
            .iter()
            .map(|(from, to, counter)| (*from, *to, counter.packets / per_cpu))
            .collect()
    };
    let pairs = [(A, Some(B), 3), (B, Some(A), 4)];
    let (dataplane, after) = bench.start(with(17));
    assert!(!dataplane.has_room(4, 33) && dataplane.has_room(4, 32));
    assert_eq!(after.link_id, before.link_id);
    assert_eq!(forwarded(&dataplane), pairs);
    drop(dataplane);
    // Fewer networks again: the same maps.
    let (dataplane, _) = bench.start(with(2));
    assert!(dataplane.adopted() && dataplane.has_room(4, 32));
    assert_eq!(forwarded(&dataplane), pairs);
    drop(dataplane);
    // One record an ingress network.
    let (dataplane, after) = bench.start(with(257));
    assert_eq!(after.link_id, before.link_id);
    assert_eq!(forwarded(&dataplane), [(A, None, 3), (B, None, 4)]);
}

/// A daemon that died while it put new maps in place.
#[test]
fn a_start_that_died_half_way_is_made_good() {
    let Some(bench) = Bench::open("a_start_that_died_half_way_is_made_good") else {
        return;
    };
    let (mut dataplane, before) = bench.start(bench.layout());
    fill(&mut dataplane, &bench);
    drop(dataplane);
    let larger = || Layout {
        networks: 100,
        ..bench.layout()
    };
    // Before its link was moved.
    drop(XdpDataplane::open(larger()).unwrap());
    assert!(bench.pins().new_maps().exists());
    // After that.
    let mut dataplane = XdpDataplane::open(larger()).unwrap();
    let moved = dataplane.attach(&bench.request(false)).unwrap();
    assert_eq!(moved.link_id, before.link_id);
    drop(dataplane);
    assert!(bench.pins().new_maps().exists() && bench.pins().maps().exists());
    // Between removing the old and renaming the new.
    let (dataplane, after) = bench.start(larger());
    drop(dataplane);
    assert_eq!(after.link_id, before.link_id);
    fs::rename(bench.pins().maps(), bench.pins().new_maps()).unwrap();
    assert_eq!(recover(&bench.pins()).unwrap().network("b"), Some(B));
    let (dataplane, after) = bench.start(larger());
    assert!(dataplane.adopted());
    assert_eq!(after.link_id, before.link_id);
    assert!(!bench.pins().new_maps().exists());
    // Some links moved, and then it could not go on.
    drop(dataplane);
    let mut dataplane = XdpDataplane::open(Layout {
        networks: 200,
        ..bench.layout()
    })
    .unwrap();
    dataplane.attach(&bench.request(false)).unwrap();
    dataplane.give_up().unwrap();
    assert!(!bench.pins().new_maps().exists(), "what is in use stays");
    assert!(dataplane.has_room(4, 256));
}

/// What is not ours is neither used nor removed.
#[test]
fn foreign_pins_are_refused() {
    let Some(bench) = Bench::open("foreign_pins_are_refused") else {
        return;
    };
    drop(bench.start(bench.layout()));
    let pin = bench.pins().link(SLOT, TRUNK);
    let refused = |what: &str| {
        let error = XdpDataplane::open(bench.layout()).unwrap_err();
        assert!(matches!(error, Error::ForeignPin { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    fs::remove_file(&pin).unwrap();
    pin_map(&pin, "OTHER", 8);
    refused("is no link");
    fs::remove_file(&pin).unwrap();
    let other = PassProgram::attach_here("switch").unwrap();
    other.pin(&pin).unwrap();
    refused("holds the program pass");
    assert!(pin.exists());
    fs::remove_file(&pin).unwrap();
    let folder = bench.pins().maps();
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o777);
    refused("others may write it");
    mode(0o700);
    nix::unistd::chown(&folder, Some(nix::unistd::Uid::from_raw(12345)), None).unwrap();
    refused("belongs to user 12345");
}
