use std::path::PathBuf;

use super::*;
use crate::sys::Offload;

fn system(netns: u64) -> System {
    System {
        boot: "b".into(),
        netns,
    }
}

fn up(interface: &str) -> Effect {
    Effect::Up {
        interface: interface.into(),
    }
}

fn sysctl(before: &str) -> Effect {
    Effect::Sysctl {
        name: "ipv4/ip_forward".into(),
        before: before.into(),
        after: "1".into(),
    }
}

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        Journal::path(self.dir.path(), "default")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path(), &system(1)).unwrap()
    }
}

#[test]
fn every_effect_survives_the_daemon() {
    let net = "10.0.0.1/24".parse().unwrap();
    let effects = [
        Effect::Mount {
            path: "/sys/fs/bpf".into(),
        },
        Effect::Pins {
            bpffs: "/sys/fs/bpf".into(),
        },
        up("eth0"),
        Effect::Promiscuous {
            interface: "eth0".into(),
        },
        Effect::Offload {
            interface: "eth0".into(),
            offload: Offload::RxVlan,
            before: true,
        },
        Effect::SubInterface {
            interface: "eth0.100".into(),
            parent: "eth0".into(),
            vlan: 100,
        },
        Effect::Address {
            interface: "eth0.100".into(),
            address: net,
        },
        sysctl("0"),
        Effect::Route {
            dst: net,
            metric: 50,
        },
    ];
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    for effect in &effects {
        assert!(journal.announce(effect.clone()).unwrap().first);
    }
    journal.made(6, IfIndex::new(17)).unwrap();
    journal.undone(3).unwrap();
    drop(journal);
    let journal = fixture.open();
    let ids: Vec<_> = journal.entries().iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!(journal.entries()[4].device, Some(IfIndex::new(17)));
    assert_eq!(journal.entries()[4].effect, effects[5]);
}

#[test]
fn the_first_value_before_is_the_one_to_go_back_to() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let first = Announced { id: 1, first: true };
    assert_eq!(journal.announce(sysctl("0")).unwrap(), first);
    drop(journal);
    let mut journal = fixture.open();
    let again = Announced {
        id: 1,
        first: false,
    };
    assert_eq!(journal.announce(sysctl("7")).unwrap(), again);
    assert_eq!(journal.entries().len(), 1);
    assert_eq!(journal.entries()[0].effect, sysctl("0"));
    // Numbers are not used twice.
    assert_eq!(journal.announce(up("eth0")).unwrap().id, 2);
}

#[test]
fn half_a_line_was_never_done() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    journal.announce(up("eth0")).unwrap();
    drop(journal);
    let text = fs::read_to_string(fixture.path()).unwrap();
    for torn in [
        "{",
        "{\"id\":2,\"effect\":{\"did\":\"up\",\"interface\":\"eth1\"}}",
    ] {
        fs::write(fixture.path(), format!("{text}{torn}")).unwrap();
        let mut journal = fixture.open();
        assert_eq!(journal.entries().len(), 1);
        journal.announce(up("eth2")).unwrap();
        drop(journal);
        assert_eq!(fixture.open().entries().len(), 2, "{torn}");
    }
}

#[test]
fn nonsense_in_the_middle_is_said_with_its_line() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let text = fs::read_to_string(fixture.path()).unwrap();
    fs::write(fixture.path(), format!("{text}nonsense\n{{}}\n")).unwrap();
    let error = Journal::open(&fixture.path(), &system(1)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("default.journal:2: not a line of a journal")
    );
}

#[test]
fn another_systems_journal_is_put_aside() {
    let fixture = Fixture::new();
    fixture.open().announce(up("eth0")).unwrap();
    let journal = Journal::open(&fixture.path(), &system(2)).unwrap();
    assert!(journal.entries().is_empty());
    let stale = fixture.path().with_extension("journal.stale");
    assert!(fs::read_to_string(stale).unwrap().contains("eth0"));
}

#[test]
fn a_journal_ends_when_all_is_undone() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let id = journal.announce(up("eth0")).unwrap().id;
    journal.finish().unwrap();
    assert!(fixture.path().exists());
    let mut journal = fixture.open();
    journal.undone(id).unwrap();
    journal.finish().unwrap();
    assert!(!fixture.path().exists());
}
