//! Maps and links without a daemon around them.

use std::{collections::BTreeSet, fs, time::Duration};

use router_common::{
    abi::{Counter, names, pair_index},
    datapath::Reason,
};
use router_ctl::{
    dataplane::{Dataplane as _, Error, Layout, OBJECT, XdpDataplane, recover},
    reconcile::Operation,
};
use router_tests::{hitless::until, kernel_objects::KernelObjects};

use crate::support::{A, B, Bench, SLOT, TRUNK, cpus, fill, name};

/// Nothing of it depends on who made it: not the link, not what the maps hold,
/// not what was counted.
#[test]
fn links_and_maps_outlive_their_maker() {
    let Some(bench) = Bench::open("links_and_maps_outlive_their_maker") else {
        return;
    };
    let (mut first, before) = bench.start(bench.layout());
    assert!(!first.contents().unwrap().names.contains_key(&A), "empty");
    let contents = fill(&mut first, &bench);
    bench.count(Reason::Arp, 5);
    drop(first);
    assert_eq!(bench.present(), Some((before.prog_id, false)));

    let mut second = XdpDataplane::open(bench.layout()).unwrap();
    assert!(second.adopted());
    assert_eq!(second.contents().unwrap(), contents);
    let counted = Counter {
        packets: 5 * cpus() as u64,
        bytes: 500 * cpus() as u64,
    };
    assert_eq!(second.counters().unwrap().kept, [(Reason::Arp, counted)]);
    let after = second.attach(&bench.request(false)).unwrap();
    second.settle().unwrap();
    assert_eq!(after.link_id, before.link_id, "the same link");
    assert_ne!(after.prog_id, before.prog_id, "another program");
    assert!(after.pinned);
    assert_eq!(bench.present(), Some((after.prog_id, false)));
    // Once more is no more.
    assert_eq!(second.attach(&bench.request(false)).unwrap(), after);
    drop(second);

    let numbering = recover(&bench.pins()).unwrap();
    assert_eq!(numbering.slot(TRUNK), Some(SLOT));
    assert_eq!(numbering.network("b"), Some(B));

    bench.pins().remove().unwrap();
    assert_eq!(bench.present(), None, "detached");
    assert!(!bench.bpffs.path().join("router-ctl").exists());
}

/// The trunk's slot belongs to another trunk now: a program that went on would
/// put its frames into that trunk's networks.
#[test]
fn links_of_other_trunks_are_detached_before_anything_else() {
    let Some(bench) = Bench::open("links_of_other_trunks_are_detached") else {
        return;
    };
    drop(bench.start(bench.layout()));
    assert!(bench.present().is_some());
    let layout = Layout {
        links: vec![(SLOT, "other".to_owned())],
        ..bench.layout()
    };
    let dataplane = XdpDataplane::open(layout).unwrap();
    assert_eq!(bench.present(), None);
    assert_eq!(bench.pins().links().unwrap(), []);
    drop(dataplane);
}

#[test]
fn another_mode_is_attached_anew() {
    let Some(bench) = Bench::open("another_mode_is_attached_anew") else {
        return;
    };
    let (mut dataplane, native) = bench.start(bench.layout());
    let generic = dataplane.attach(&bench.request(true)).unwrap();
    assert_ne!(generic.link_id, native.link_id);
    assert_eq!(bench.present(), Some((generic.prog_id, true)));
    drop(dataplane);
    let mut dataplane = XdpDataplane::open(bench.layout()).unwrap();
    let native = dataplane.attach(&bench.request(false)).unwrap();
    assert_eq!(bench.present(), Some((native.prog_id, false)));
    dataplane.detach(SLOT).unwrap();
    assert_eq!(bench.present(), None);
    dataplane.detach(SLOT).unwrap();
}

/// Deleted and made anew while nobody looked: the link is there, and its device
/// is not.
#[test]
fn a_trunk_that_was_made_anew_is_attached_to() {
    let Some(bench) = Bench::open("a_trunk_that_was_made_anew_is_attached_to") else {
        return;
    };
    let (dataplane, before) = bench.start(bench.layout());
    drop(dataplane);
    bench.unplug();
    bench.plug();
    assert_eq!(bench.present(), None);
    let (mut dataplane, after) = bench.start(bench.layout());
    assert_ne!(after.link_id, before.link_id);
    assert_eq!(bench.present(), Some((after.prog_id, false)));
    // And while it lives.
    bench.unplug();
    bench.plug();
    let again = dataplane.attach(&bench.request(false)).unwrap();
    assert_ne!(again.link_id, after.link_id);
    assert_eq!(again.prog_id, after.prog_id, "loaded already");
    assert_eq!(bench.present(), Some((again.prog_id, false)));
}

#[test]
fn pins_that_are_removed_are_made_again() {
    let Some(bench) = Bench::open("pins_that_are_removed_are_made_again") else {
        return;
    };
    let (mut dataplane, before) = bench.start(bench.layout());
    let contents = fill(&mut dataplane, &bench);
    assert_eq!(
        dataplane.mend_pins().unwrap(),
        [] as [std::path::PathBuf; 0]
    );
    let link = bench.pins().link(SLOT, TRUNK);
    fs::remove_file(bench.map(names::PAIRS)).unwrap();
    fs::remove_file(&link).unwrap();
    let mended = dataplane.mend_pins().unwrap();
    assert_eq!(mended, [bench.map(names::PAIRS), link.clone()]);
    // All of it, folders too.
    fs::remove_dir_all(bench.bpffs.path().join("router-ctl")).unwrap();
    assert_eq!(dataplane.mend_pins().unwrap().len(), names::MAPS.len() + 1);
    drop(dataplane);
    let (mut dataplane, after) = bench.start(bench.layout());
    assert_eq!(after.link_id, before.link_id);
    assert_eq!(dataplane.contents().unwrap(), contents);

    // Nowhere to pin: said, and nothing is detached by it.
    bench.bpffs.unmount().unwrap();
    dataplane.mend_pins().unwrap_err();
    assert!(!dataplane.attachment(SLOT).unwrap().pinned);
    assert_eq!(bench.present(), Some((after.prog_id, false)));
}

/// A network's number that becomes another's begins its counters anew.
#[test]
fn a_number_does_not_take_counters_to_another_network() {
    let Some(bench) = Bench::open("a_number_does_not_take_counters") else {
        return;
    };
    let (mut dataplane, _) = bench.start(bench.layout());
    fill(&mut dataplane, &bench);
    bench.count_pair(pair_index(16, A, B), 3);
    bench.count_pair(pair_index(16, B, A), 4);
    bench.count_pair(pair_index(16, B, B), 5);
    let pairs = |dataplane: &XdpDataplane| -> Vec<_> {
        let forwarded = dataplane.counters().unwrap().forwarded;
        forwarded
            .iter()
            .map(|(from, to, counter)| (*from, *to, counter.packets / cpus() as u64))
            .collect()
    };
    let before = [(A, Some(B), 3), (B, Some(A), 4), (B, Some(B), 5)];
    assert_eq!(pairs(&dataplane), before);
    // The same name again changes nothing.
    dataplane.apply(&Operation::SetName(A, name("a"))).unwrap();
    assert_eq!(pairs(&dataplane), before);
    dataplane
        .apply(&Operation::SetName(A, name("dmz")))
        .unwrap();
    assert_eq!(pairs(&dataplane), [(B, Some(B), 5)]);
}

/// The new program is refused: the old one goes on, and nothing of the new is
/// left. (Without a GPL-compatible licence the kernel lets no program look up
/// routes.)
#[test]
fn a_refused_program_leaves_the_old_one() {
    let Some(bench) = Bench::open("a_refused_program_leaves_the_old_one") else {
        return;
    };
    let (mut dataplane, before) = bench.start(bench.layout());
    let contents = fill(&mut dataplane, &bench);
    drop(dataplane);
    let refused = Layout {
        object: without_licence(),
        ..bench.layout()
    };
    // With the maps that are there, and with larger ones.
    for networks in [2, 100] {
        let layout = Layout {
            networks,
            ..refused.clone()
        };
        let mut dataplane = XdpDataplane::open(layout).unwrap();
        let error = dataplane.load(SLOT, 1500).unwrap_err();
        assert!(matches!(error, Error::Program { .. }), "{error}");
        assert!(error.to_string().contains("GPL"), "{error}");
        dataplane.attach(&bench.request(false)).unwrap_err();
        dataplane.give_up().unwrap();
        drop(dataplane);
        assert_eq!(bench.present(), Some((before.prog_id, false)));
        assert!(!bench.pins().new_maps().exists());
    }
    let (dataplane, after) = bench.start(bench.layout());
    assert!(dataplane.adopted());
    assert_eq!(dataplane.contents().unwrap(), contents);
    assert_eq!(after.link_id, before.link_id);
}

/// The shipped object with another licence, of the same length.
fn without_licence() -> &'static [u8] {
    let free = b"Dual MIT/GPL\0";
    let at = OBJECT
        .windows(free.len())
        .position(|bytes| bytes == free)
        .expect("the licence is in the object");
    let mut object = OBJECT.to_vec();
    object[at..at + free.len()].copy_from_slice(b"Proprietary!\0");
    // As the loader wants it: for ever, and aligned.
    let words: Vec<u64> = object
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        })
        .collect();
    let length = object.len();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    &Box::leak(bytes.into_boxed_slice())[..length]
}

/// The lease is the maps' and not the daemon's.
#[test]
fn a_lease_outlives_who_gave_it() {
    let Some(bench) = Bench::open("a_lease_outlives_who_gave_it") else {
        return;
    };
    let (mut dataplane, _) = bench.start(bench.layout());
    let control = || bench.control();
    assert_eq!(control().direct_lease, 0, "none was given");
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
    dataplane.renew_leases(short, long).unwrap();
    let given = control();
    let jiffy = router_ctl::sys::jiffy().unwrap();
    let jiffies =
        |time: Duration| u64::try_from(time.as_nanos().div_ceil(jiffy.as_nanos())).unwrap();
    assert_eq!(
        given.direct_lease - given.cache_lease,
        jiffies(long) - jiffies(short)
    );
    drop(dataplane);
    let mut dataplane = XdpDataplane::open(bench.layout()).unwrap();
    assert_eq!(control(), given);
    dataplane.renew_leases(short, long).unwrap();
    assert!(control().direct_lease >= given.direct_lease);
}

/// Programs and maps of as many starts as there are.
#[test]
fn nothing_is_left_of_many_starts() {
    let Some(bench) = Bench::open("nothing_is_left_of_many_starts") else {
        return;
    };
    let mut all = KernelObjects::default();
    let mut last = 0;
    for networks in [2, 2, 20, 20, 300] {
        let layout = Layout {
            networks,
            ..bench.layout()
        };
        let (dataplane, attachment) = bench.start(layout);
        last = u64::from(attachment.prog_id);
        all.programs.insert(last);
        all.links.insert(attachment.link_id.into());
        all.maps.extend(bench.map_ids());
        drop(dataplane);
    }
    assert_eq!((all.programs.len(), all.links.len()), (5, 1));
    assert_eq!(all.maps.len(), 3 * names::MAPS.len());
    until("only the last to be left", || {
        let left = all.that_are_left()?;
        let maps = left.maps.len() == names::MAPS.len();
        Ok(maps && left.programs == BTreeSet::from([last]))
    });
    bench.pins().remove().unwrap();
    until("everything to be gone", || {
        Ok(all.that_are_left()? == KernelObjects::default())
    });
}
