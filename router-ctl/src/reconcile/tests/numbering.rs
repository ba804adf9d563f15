//! Names keep their numbers.

use super::*;

fn configured(trunks: &[&str], networks: &[&str]) -> Config {
    let mut config = config();
    config.trunks = trunks
        .iter()
        .map(|name| Trunk {
            interface: (*name).into(),
            xdp: XdpMode::Native,
        })
        .collect();
    config.networks = (1..)
        .zip(networks)
        .map(|(vlan, name)| network(name, vlan))
        .collect();
    config
}

fn ids(numbering: &Numbering) -> Vec<(&str, u16)> {
    let networks = numbering.networks();
    networks.map(|(name, id)| (name, id.get())).collect()
}

fn slots(numbering: &Numbering) -> Vec<(&str, u8)> {
    let trunks = numbering.trunks();
    trunks.map(|(name, slot)| (name, slot.get())).collect()
}

#[test]
fn at_first_numbers_are_places_in_the_file() {
    let config = configured(&["t1", "t0"], &["c", "a", "b"]);
    let numbering = Numbering::default().adapted(&config);
    assert_eq!(ids(&numbering), [("a", 1), ("b", 2), ("c", 0)]);
    assert_eq!(slots(&numbering), [("t0", 1), ("t1", 0)]);
    assert_eq!((numbering.slots_needed(), numbering.ids_needed()), (2, 3));
    let order: Vec<_> = numbering
        .slots(&config)
        .map(|(slot, _)| slot.get())
        .collect();
    assert_eq!(order, [0, 1], "in the order of the file");
}

#[test]
fn names_keep_their_numbers_wherever_they_stand() {
    let before = Numbering::default().adapted(&configured(&["t0", "t1"], &["a", "b", "c"]));
    let moved = before.adapted(&configured(&["t1", "t0"], &["c", "b", "a"]));
    assert_eq!(moved, before);
}

#[test]
fn numbers_of_those_that_went_are_free_and_the_lowest_is_taken_first() {
    let before = Numbering::default().adapted(&configured(&["t0", "t1"], &["a", "b", "c", "d"]));
    let fewer = before.adapted(&configured(&["t1"], &["b", "d"]));
    assert_eq!(ids(&fewer), [("b", 1), ("d", 3)]);
    assert_eq!(slots(&fewer), [("t1", 1)]);
    assert_eq!((fewer.slots_needed(), fewer.ids_needed()), (2, 4));
    let after = fewer.adapted(&configured(&["t9", "t1", "t8"], &["x", "b", "y", "d", "z"]));
    assert_eq!(
        ids(&after),
        [("b", 1), ("d", 3), ("x", 0), ("y", 2), ("z", 4)]
    );
    assert_eq!(slots(&after), [("t1", 1), ("t8", 2), ("t9", 0)]);
    assert_eq!(after.network_name(NetworkId::new(2)), Some("y"));
    assert_eq!(after.network_name(NetworkId::new(5)), None);
    assert_eq!(after.trunk_name(TrunkSlot::new(2)), Some("t8"));
}

/// Files on a bpffs can be made by hand.
#[test]
fn contradictions_in_pinned_state_are_not_believed() {
    let own = |pairs: &[(&str, u8)]| -> Vec<_> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, slot)| ((*name).to_owned(), TrunkSlot::new(*slot)))
            .collect()
    };
    let trunks = own(&[("t0", 3), ("t1", 3), ("t0", 4), ("t2", 0)]);
    let numbering = Numbering::recovered(trunks, []);
    assert_eq!(slots(&numbering), [("t0", 3), ("t2", 0)]);
    let numbering = numbering.adapted(&configured(&["t1", "t0"], &[]));
    assert_eq!(slots(&numbering), [("t0", 3), ("t1", 0)]);
}

#[test]
fn the_maps_follow_the_numbers_and_not_the_file() {
    let trunks = [("eth0".to_owned(), TrunkSlot::new(1))];
    let networks = [("mac10".to_owned(), NetworkId::new(7))];
    let config = config();
    let numbering = Numbering::recovered(trunks, networks).adapted(&config);
    let wanted = Wanted {
        transmitters: [TrunkSlot::new(1)].into(),
        ..Wanted::default()
    };
    let plan = reconcile(&config, &numbering, &kernel(), &wanted);
    let contents = plan.contents;
    assert_eq!(
        contents.ingress.keys().collect::<Vec<_>>(),
        [&(4096 + 100), &(4096 + 200)]
    );
    assert_eq!(contents.ingress[&(4096 + 100)].network, NetworkId::new(7));
    assert_eq!(contents.egress[&MAC10].network, NetworkId::new(7));
    assert_eq!(contents.egress[&MAC10].trunk, TrunkSlot::new(1));
    assert_eq!(contents.egress[&MAC20].network, NetworkId::new(0));
    assert_eq!(contents.ports, [(TrunkSlot::new(1), TRUNK)].into());
    assert_eq!(plan.networks, [Ok(MAC10), Ok(MAC20)], "in the file's order");
}
