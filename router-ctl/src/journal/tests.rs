use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use super::*;
use crate::sys::Offload;

fn system(netns: u64) -> System {
    System {
        boot: "b".into(),
        netns,
        inode: 0,
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

    fn on_disk(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
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
            configured: true,
        },
    ];
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    for effect in &effects {
        assert!(journal.announce(effect.clone(), None).unwrap().first);
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
    assert_eq!(journal.announce(sysctl("0"), None).unwrap(), first);
    drop(journal);
    let mut journal = fixture.open();
    let again = Announced {
        id: 1,
        first: false,
    };
    assert_eq!(journal.announce(sysctl("7"), None).unwrap(), again);
    assert_eq!(journal.entries().len(), 1);
    assert_eq!(journal.entries()[0].effect, sysctl("0"));
    // Numbers are not used twice.
    assert_eq!(journal.announce(up("eth0"), None).unwrap().id, 2);
}

#[test]
fn half_a_line_was_never_done() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    journal.announce(up("eth0"), None).unwrap();
    drop(journal);
    let text = fs::read_to_string(fixture.path()).unwrap();
    for torn in [
        "{",
        "{\"id\":2,\"effect\":{\"did\":\"up\",\"interface\":\"eth1\"}}",
    ] {
        fs::write(fixture.path(), format!("{text}{torn}")).unwrap();
        let mut journal = fixture.open();
        assert_eq!(journal.entries().len(), 1);
        journal.announce(up("eth2"), None).unwrap();
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
fn the_journal_of_another_boot_is_put_aside() {
    let fixture = Fixture::new();
    fixture.open().announce(up("eth0"), None).unwrap();
    let next_boot = System {
        boot: "c".into(),
        ..system(1)
    };
    let journal = Journal::open(&fixture.path(), &next_boot).unwrap();
    assert!(journal.entries().is_empty());
    let stale = fixture.path().with_extension("journal.stale");
    assert!(fs::read_to_string(stale).unwrap().contains("eth0"));
}

/// It was put aside, and everything that it held was lost with the next one.
#[test]
fn the_journal_of_another_namespace_is_left_alone() {
    let fixture = Fixture::new();
    fixture.open().announce(up("eth0"), None).unwrap();
    let before = fs::read_to_string(fixture.path()).unwrap();
    let error = Journal::open(&fixture.path(), &system(2)).unwrap_err();
    assert!(matches!(error, Error::Elsewhere { at: None, .. }));
    assert_eq!(fs::read_to_string(fixture.path()).unwrap(), before);
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1);
    // One that holds nothing is nobody's.
    let mut journal = fixture.open();
    journal.undone(1).unwrap();
    drop(journal);
    let journal = Journal::open(&fixture.path(), &system(2)).unwrap();
    assert!(journal.entries().is_empty());
}

/// A device that was made anew under its name has nothing to be undone.
#[test]
fn a_device_of_the_same_name_is_another_device() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let (old, new) = (Some(IfIndex::new(5)), Some(IfIndex::new(6)));
    assert!(journal.announce(up("eth0"), old).unwrap().first);
    assert!(!journal.announce(up("eth0"), old).unwrap().first);
    assert!(journal.announce(up("eth0"), new).unwrap().first);
    // What does not say which is about any.
    assert!(!journal.announce(up("eth0"), None).unwrap().first);
    drop(journal);
    let devices: Vec<_> = fixture.open().entries().iter().map(|e| e.device).collect();
    assert_eq!(devices, [old, new]);
}

#[test]
fn a_users_route_becomes_one_of_the_configuration() {
    let route = |configured| Effect::Route {
        dst: "10.9.0.0/16".parse().unwrap(),
        metric: 50,
        configured,
    };
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    journal.announce(route(false), None).unwrap();
    assert!(!journal.announce(route(true), None).unwrap().first);
    // `routes replace` does not make it the user's.
    assert!(!journal.announce(route(false), None).unwrap().first);
    drop(journal);
    let journal = fixture.open();
    assert_eq!(journal.entries().len(), 1);
    assert_eq!(journal.entries()[0].effect, route(true));
}

#[test]
fn journals_of_before_are_read() {
    let fixture = Fixture::new();
    let text = concat!(
        r#"{"boot":"b","netns":1}"#,
        "\n",
        r#"{"id":1,"effect":{"did":"route","dst":"10.9.0.0/16","metric":50}}"#,
        "\n",
        r#"{"id":2,"effect":{"did":"up","interface":"eth0"}}"#,
        "\n",
    );
    fs::write(fixture.path(), text).unwrap();
    let journal = fixture.open();
    assert_eq!(journal.entries().len(), 2);
    assert_eq!(journal.entries()[1].device, None);
}

#[test]
fn other_instances_are_asked_what_they_hold() {
    let fixture = Fixture::new();
    fixture.open().announce(up("own"), None).unwrap();
    let other = |name: &str, netns, effect| {
        let path = Journal::path(fixture.dir.path(), name);
        let mut journal = Journal::open(&path, &system(netns)).unwrap();
        journal.announce(effect, None).unwrap();
    };
    other("second", 1, sysctl("0"));
    other("elsewhere", 2, up("eth1"));
    fs::write(Journal::path(fixture.dir.path(), "torn"), "nonsense\n").unwrap();
    let held = fixture.open().of_others(&system(1)).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].effect, sysctl("0"));
}

/// Half a line and then another would make the whole journal unreadable.
#[test]
fn a_full_disk_leaves_whole_lines() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    journal.announce(up("eth0"), None).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let whole = std::mem::replace(&mut journal.store.file, full);
    // It is not the file that was there, and another one cannot be made either.
    let fresh = fixture.path().with_extension("journal.new");
    fs::create_dir(&fresh).unwrap();
    journal.announce(up("eth1"), None).unwrap_err();
    assert_eq!(journal.entries().len(), 1, "not announced: not to be done");
    // Undone all the same, or `down` would not end.
    let error = journal.undone(1).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(journal.entries().is_empty());
    journal.store.file = whole;
    fs::remove_dir(&fresh).unwrap();
    journal.announce(up("eth2"), None).unwrap();
    drop(journal);
    assert_eq!(fixture.open().entries().len(), 2);
}

#[test]
fn a_journal_that_cannot_be_begun_leaves_nothing() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("file/default.journal");
    fs::write(fixture.dir.path().join("file"), "").unwrap();
    assert!(matches!(
        Journal::open(&path, &system(1)),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_journal_ends_when_all_is_undone() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let id = journal.announce(up("eth0"), None).unwrap().id;
    journal.finish().unwrap();
    assert!(fixture.path().exists());
    let mut journal = fixture.open();
    journal.undone(id).unwrap();
    journal.finish().unwrap();
    assert!(!fixture.path().exists());
}

#[test]
fn one_process_at_a_time_has_a_journal() {
    let fixture = Fixture::new();
    let mut first = fixture.open();
    let second = || Journal::open(&fixture.path(), &system(1));
    assert!(matches!(second(), Err(Error::Locked { .. })));
    // Written anew, it is another file.
    first.compact().unwrap();
    assert!(matches!(second(), Err(Error::Locked { .. })));
    drop(first);
    second().unwrap().finish().unwrap();
    assert!(!fixture.path().exists());
}

/// Years of `routes add` and `routes del` were read at every start.
#[test]
fn what_is_undone_is_not_carried_along_for_ever() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let stays = journal.announce(up("stays"), None).unwrap().id;
    journal.made(stays, IfIndex::new(9)).unwrap();
    for turn in 0..SPENT {
        let id = journal.announce(up("passes"), None).unwrap().id;
        journal.undone(id).unwrap();
        journal.sync().unwrap();
        assert!(journal.store.lines() <= SPENT + 4, "{turn}");
    }
    let next = journal.announce(up("last"), None).unwrap().id;
    drop(journal);
    let text = fs::read_to_string(fixture.path()).unwrap();
    assert!(text.lines().count() <= SPENT + 4);
    let mut journal = fixture.open();
    let left: Vec<_> = journal.entries().iter().map(|e| (e.id, e.device)).collect();
    assert_eq!(left, [(stays, Some(IfIndex::new(9))), (next, None)]);
    // A journal of before that nobody made shorter.
    let spent = "{\"id\":1,\"undone\":true}\n".repeat(2 * SPENT);
    journal.finish().unwrap();
    let text = fs::read_to_string(fixture.path()).unwrap();
    fs::write(
        fixture.path(),
        spent.replace("\"id\":1,", "\"id\":777777,") + &text,
    )
    .unwrap();
    journal = fixture.open();
    assert_eq!(journal.entries().len(), 2);
    assert_eq!(journal.store.lines(), 3);
}

/// Whichever step of writing it anew is the last, every entry is there.
#[test]
fn a_journal_that_was_being_written_anew_is_whole() {
    let whole = Fixture::new();
    let mut journal = whole.open();
    for name in ["eth0", "eth1", "eth2"] {
        journal.announce(up(name), None).unwrap();
    }
    journal.undone(2).unwrap();
    journal.sync().unwrap();
    let before = fs::read(whole.path()).unwrap();
    journal.compact().unwrap();
    let entries = journal.entries().to_vec();
    let after = fs::read(whole.path()).unwrap();
    assert!(after.len() < before.len());
    // Died while the new one was written, after any byte of it, or before it was
    // renamed; and after that, where a byte of the next one may follow.
    let mut crashes: Vec<(&[u8], Option<&[u8]>)> = (0..=after.len())
        .map(|length| (&*before, Some(&after[..length])))
        .collect();
    crashes.push((&after, None));
    crashes.push((&after, Some(b"{")));
    for (journal, new) in crashes {
        let crashed = Fixture::new();
        let fresh = crashed.path().with_extension("journal.new");
        fs::write(crashed.path(), journal).unwrap();
        if let Some(new) = new {
            fs::write(&fresh, new).unwrap();
        }
        let mut journal = crashed.open();
        assert_eq!(journal.entries(), entries);
        // What is left over is in nobody's way.
        journal.compact().unwrap();
        assert!(!fresh.exists());
        drop(journal);
        assert_eq!(crashed.open().entries(), entries);
    }
}

#[test]
fn a_journal_that_cannot_be_written_anew_stays() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    journal.announce(up("eth0"), None).unwrap();
    fs::create_dir(fixture.path().with_extension("journal.new")).unwrap();
    journal.compact().unwrap_err();
    journal.announce(up("eth1"), None).unwrap();
    drop(journal);
    assert_eq!(fixture.open().entries().len(), 2);
}

/// `> NAME.journal`, a backup that was played back, `rm`: what was done is known
/// to whoever comes next all the same, and nothing is added to a file without its
/// head.
#[test]
fn a_journal_that_was_removed_or_changed_is_written_anew() {
    let harms: [fn(&Path); 6] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::remove_dir_all(path.parent().unwrap()).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            regular::make_pipe(path);
        },
        |path| fs::write(path, "{}, garbage").unwrap(),
        |path| {
            let other = path.with_extension("backup");
            fs::copy(path, &other).unwrap();
            fs::rename(&other, path).unwrap();
        },
    ];
    for harm in harms {
        let fixture = Fixture::new();
        let mut journal = fixture.open();
        journal.announce(up("eth0"), None).unwrap();
        harm(&fixture.path());
        // Whether something is announced after it or not.
        journal.provide().unwrap();
        assert!(fixture.on_disk().contains("eth0"));
        harm(&fixture.path());
        journal.announce(up("eth1"), None).unwrap();
        let id = journal.announce(up("eth2"), None).unwrap().id;
        journal.undone(id).unwrap();
        drop(journal);
        assert_eq!(fixture.open().entries().len(), 2);
    }
}

#[test]
fn a_pipe_in_its_place_is_not_waited_for() {
    let fixture = Fixture::new();
    regular::make_pipe(&fixture.path());
    let error = Journal::open(&fixture.path(), &system(1)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.ends_with("it is not a regular file; remove it"),
        "{message}"
    );
}

/// The lock in `/run` went with it, and a second daemon has begun its own.
#[test]
fn another_daemons_journal_is_left_alone() {
    let fixture = Fixture::new();
    let mut first = fixture.open();
    first.announce(up("eth0"), None).unwrap();
    fs::remove_file(fixture.path()).unwrap();
    let mut second = fixture.open();
    second.announce(up("eth1"), None).unwrap();
    assert!(matches!(first.provide(), Err(Error::Locked { .. })));
    first.announce(up("eth2"), None).unwrap_err();
    drop((first, second));
    assert_eq!(fixture.open().entries()[0].effect, up("eth1"));
}

/// Thousands of routes waited for the disk one by one, and everything else for
/// them.
#[test]
fn many_effects_wait_for_the_disk_once() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let waits = |journal: &Journal| journal.store.waits;
    let before = waits(&journal);
    let effects = |names: std::ops::Range<u32>| -> Vec<_> {
        names.map(|n| (up(&format!("eth{n}")), None)).collect()
    };
    let announced = journal.announce_all(effects(0..500)).unwrap();
    assert_eq!(
        waits(&journal),
        before + 1,
        "on the disk before they are done"
    );
    assert!(announced.iter().all(|announced| announced.first));
    for announced in &announced[..400] {
        journal.undone(announced.id).unwrap();
    }
    assert_eq!(waits(&journal), before + 1);
    // Whatever is announced now is on the disk, and so is what came before.
    journal.announce_all(effects(450..501)).unwrap();
    assert_eq!(waits(&journal), before + 2);
    journal.sync().unwrap();
    assert_eq!(waits(&journal), before + 3);
    drop(journal);
    assert_eq!(fixture.open().entries().len(), 101);
}

#[test]
fn of_several_effects_that_cannot_be_announced_none_is() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let first = journal.announce(up("eth0"), None).unwrap().id;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let whole = std::mem::replace(&mut journal.store.file, full);
    // It is not the file that was there, and another one cannot be made either.
    let fresh = fixture.path().with_extension("journal.new");
    fs::create_dir(&fresh).unwrap();
    let effects = vec![(up("eth1"), None), (up("eth2"), None)];
    journal.announce_all(effects).unwrap_err();
    fs::remove_dir(&fresh).unwrap();
    journal.store.file = whole;
    assert_eq!(journal.entries().len(), 1);
    assert_eq!(journal.announce(up("eth3"), None).unwrap().id, first + 1);
}
