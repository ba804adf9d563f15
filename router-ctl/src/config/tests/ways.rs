//! Ways to a configuration: the command line, words, files on disk.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt},
};

use super::text_of;
use crate::{
    codes,
    config::{Config, Options, StaticRoute, XdpMode, load},
    error::Kind,
    sys,
};

fn options(trunks: &[&str], networks: &[&str], routes: &[&str]) -> Options {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Options {
        trunks: owned(trunks),
        xdp: None,
        networks: owned(networks),
        routes: owned(routes),
    }
}

#[test]
fn options_make_the_same_configuration_as_a_file() {
    let given = options(
        &["enp0s3"],
        &[
            "mac10=100:172.16.10.1/24,fd00:10::1/64",
            "mac20=200@enp0s3:172.16.20.1/24,fd00:20::1/64",
            "uplink=untagged",
        ],
        &["10.9.0.0/16 via 172.16.10.9"],
    );
    let config = Config::from_options(&given).unwrap();
    assert_eq!(
        config,
        Config::parse("example.toml", include_str!("../example.toml")).unwrap()
    );

    let xdp = Options {
        xdp: Some("off".to_owned()),
        ..given
    };
    assert_eq!(
        Config::from_options(&xdp).unwrap().trunks[0].xdp,
        XdpMode::Off
    );
}

#[test]
fn wrong_options() {
    let mut all = String::new();
    for given in [
        options(&[], &["a=1"], &[]),
        options(&["eth0"], &["mac10", "a=ten", "b=5@eth1:10.0.0.1"], &[]),
        options(
            &["eth0"],
            &["a=1:10.0.0.1/24"],
            &[
                "",
                "10.9.0.0/16 va 10.0.0.2",
                "10.9.0.0/16 via",
                "10.9.0.0/16 via 10.0.0.2 metric ten",
                "default via 10.0.0.2 via 10.0.0.3",
            ],
        ),
        Options {
            xdp: Some("of".to_owned()),
            ..options(&["eth0"], &["a=1"], &[])
        },
    ] {
        let error = Config::from_options(&given).unwrap_err();
        writeln!(all, "{}\n", text_of(&error)).unwrap();
    }
    assert_snapshot!(all);
}

#[test]
fn routes_in_words() {
    let read = |words: &str, v6, way| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        StaticRoute::from_words("routes add", &words, v6, way)
    };
    let route = read("default dev wan", Some(true), true).unwrap();
    assert_eq!(route.to, "::/0".parse().unwrap());
    assert_eq!(
        read("default via 10.0.0.2", Some(true), true).unwrap().to,
        "0.0.0.0/0".parse().unwrap()
    );
    assert_eq!(read("10.9.0.0/16", None, false).unwrap().via, None);
    assert_snapshot!(text_of(&read("10.9.0.0/16", None, true).unwrap_err()));
}

/// The kernel says "Device needs to be specified", or less.
#[test]
fn a_link_local_next_hop_needs_its_network() {
    let read = |words: &str, way| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        StaticRoute::from_words("routes add", &words, None, way)
    };
    let bare = "fd50::/64 via fe80::1";
    assert_snapshot!(text_of(&read(bare, true).unwrap_err()));
    read(&format!("{bare} dev lan"), true).unwrap();
    // What is deleted is found by its prefix.
    read(bare, false).unwrap();
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router.toml");
    let missing = Config::load(&path).unwrap_err();
    assert_eq!(
        (missing.kind, &*missing.code),
        (Kind::Usage, codes::CONFIG_UNREADABLE)
    );
    assert!(missing.help.is_some());

    fs::write(&path, include_str!("../example.toml")).unwrap();
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert_eq!(Config::load(&path).unwrap().source.as_deref(), Some(&*path));
    for writable in [0o664, 0o646] {
        mode(writable);
        let refused = Config::load(&path).unwrap_err();
        assert_eq!(refused.code, codes::CONFIG_UNTRUSTED);
        assert_eq!(
            refused.help.unwrap(),
            format!("chmod go-w {}", path.display())
        );
    }

    mode(0o600);
    let folder = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    folder(0o1777);
    Config::load(&path).unwrap();
    folder(0o777);
    let elsewhere = tempfile::tempdir().unwrap();
    let symlink = elsewhere.path().join("router.toml");
    std::os::unix::fs::symlink(&path, &symlink).unwrap();
    for path in [&path, &symlink] {
        let refused = Config::load(path).unwrap_err();
        assert_eq!(refused.code, codes::CONFIG_UNTRUSTED);
        let help = format!("chmod o-w {}", dir.path().display());
        assert_eq!(refused.help.unwrap(), help);
    }
    folder(0o700);

    fs::write(&path, [0xff, 0xfe]).unwrap();
    let refused = Config::load(&path).unwrap_err();
    assert_eq!(refused.code, codes::CONFIG_UNREADABLE);
    let help = refused.help.unwrap();
    assert!(help.contains("save it as such"), "{help}");
}

/// Root does what nobody else may have written.
#[test]
fn root_takes_no_file_of_another_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router.toml");
    fs::write(&path, include_str!("../example.toml")).unwrap();
    if sys::effective_user() == 0 {
        load::read_as(&path, 0, None).unwrap();
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
    }
    let refused = load::read_as(&path, 0, Some(1)).unwrap_err();
    assert_eq!(refused.code, codes::CONFIG_UNTRUSTED);
    let help = format!("chown root {}", path.display());
    assert_eq!(refused.help.unwrap(), help);
    // Whoever asks what it says may be told.
    load::read_as(&path, 4712, None).unwrap();
    // By `sudo router-ctl`, of one's own file.
    let owner = fs::metadata(&path).unwrap().uid();
    load::read_as(&path, 0, Some(owner)).unwrap();
}

/// `config check /dev/zero` read until memory was full.
#[test]
fn only_files_of_a_sensible_size_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let refused = Config::load(path).unwrap_err();
        assert_eq!(refused.code, codes::CONFIG_UNREADABLE, "{}", path.display());
        assert!(refused.help.is_some());
        refused.cause.unwrap()
    };
    for path in ["/dev/zero".as_ref(), dir.path()] {
        assert_eq!(refused(path), "it is not a regular file");
    }
    let path = dir.path().join("router.toml");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(refused(&path), "it is longer than any configuration");
}

/// The kernel makes 1024 of an IPv6 metric of 0, and what is compared with its
/// routes has to be what it has.
#[test]
fn a_metric_of_zero_is_what_the_kernel_makes_of_it() {
    for (words, metric) in [
        ("fd61::/64 via fd00:10::9 metric 0", 1024),
        ("fd61::/64 via fd00:10::9 metric 7", 7),
        ("10.9.0.0/16 via 172.16.10.9 metric 0", 0),
    ] {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let route = StaticRoute::from_words("routes add", &words, None, true).unwrap();
        assert_eq!(route.metric, Some(metric), "{words:?}");
    }
}

/// Where each of them is takes a walk through the text: a daemon was busy for
/// minutes with megabytes of nonsense.
#[test]
fn of_thousands_of_errors_some_hundreds_are_told() {
    let mut text = String::new();
    for n in 0..3000 {
        let _ = writeln!(text, "key{n} = 1");
    }
    let report = Config::parse("router.toml", &text)
        .unwrap_err()
        .report
        .unwrap();
    assert_eq!(report.more.len(), 255);
    let counted = report.rendered.lines().last().unwrap();
    assert!(counted.ends_with("errors, the first 20 shown"), "{counted}");
    assert!(counted.starts_with("300"), "{counted}");
}
