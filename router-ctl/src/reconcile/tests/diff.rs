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
