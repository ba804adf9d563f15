//! From what the maps hold to what they should hold.

use super::*;

#[test]
fn diff_leads_from_anything_to_anything() {
    let full = plan(&kernel()).contents;
    let mut changed = kernel();
    changed.tables.links[1].ifindex = OTHER;
    for address in &mut changed.tables.addresses[..2] {
        address.ifindex = OTHER;
    }
    changed.tables.addresses[0].address = "172.16.11.1/24".parse().unwrap();
    let mut changed = plan(&changed).contents;
    changed.ports.insert(TrunkSlot::new(0), TRUNK);
    let states = [Contents::default(), full, changed];
    for from in &states {
        for to in &states {
            let mut state = from.clone();
            for operation in diff(from, to) {
                state.apply(&operation);
            }
            // Names stay as long as nobody wants their numbers.
            assert!(to.names.iter().all(|(id, name)| state.names[id] == *name));
            state.names.clone_from(&to.names);
            assert_eq!(state, *to);
            assert_eq!(diff(to, to), []);
        }
    }
}

/// A sub-interface that is made anew: its VID stays, its number does not.
#[test]
fn diff_opens_last_and_forgets_locals_after_that() {
    let before = plan(&kernel()).contents;
    let mut anew = kernel();
    anew.tables.links[1].ifindex = OTHER;
    anew.tables.addresses[0] = address(OTHER, "172.16.99.1/24");
    let after = plan(&anew).contents;
    let kinds: Vec<_> = diff(&before, &after)
        .iter()
        .map(|operation| match operation {
            Operation::RemoveEgress(device) => format!("-egress {device}"),
            Operation::SetEgress(device, _) => format!("+egress {device}"),
            Operation::SetIngress(index, _) => format!("+ingress {index}"),
            Operation::AddLocal(_) => "+local".into(),
            Operation::RemoveLocal(_) => "-local".into(),
            other => format!("{other:?}"),
        })
        .collect();
    // 172.16.10.1 still has its local route here.
    assert_eq!(
        kinds,
        ["-egress 10", "+local", "+egress 30", "+ingress 100"]
    );
}

/// What is counted from now on is the new network's, so it must be named before
/// frames can be counted.
#[test]
fn a_number_gets_its_new_name_before_frames_come_in() {
    let before = plan(&kernel()).contents;
    let mut config = config();
    config.networks[0].name = "dmz".into();
    let after = reconciled(&config, &kernel(), &Wanted::default()).contents;
    let name = NetworkName::new("dmz").unwrap();
    let renamed = Operation::SetName(NetworkId::new(0), name);
    assert_eq!(diff(&before, &after), [renamed]);
    let all = diff(&Contents::default(), &after);
    let position = |wanted: fn(&Operation) -> bool| all.iter().position(wanted).unwrap();
    assert!(
        position(|o| matches!(o, Operation::SetName(..)))
            < position(|o| matches!(o, Operation::SetIngress(..)))
    );
}
