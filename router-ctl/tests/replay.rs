//! Replays on stable what the fuzz targets of `fuzz/` start from, and what they
//! have found: a crash becomes a named file in `fuzz/regressions/TARGET/`.

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
pub mod fuzz;

/// Every file of a target's seeds and regressions; some are accepted, and some
/// are not.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let (mut accepted, mut refused) = (0, 0);
    for folder in ["seeds", "regressions"] {
        let folder = root.join(folder).join(target);
        let Ok(files) = fs::read_dir(&folder) else {
            continue;
        };
        for file in files {
            let path = file.expect("a file").path();
            println!("{}", path.display());
            let way = if run(&fs::read(&path).expect("readable")) {
                &mut accepted
            } else {
                &mut refused
            };
            *way += 1;
        }
    }
    assert!(
        accepted > 0 && refused > 0,
        "{target}: {accepted} accepted, {refused} refused"
    );
}

#[test]
fn config() {
    replay("config", fuzz::config);
}

#[test]
fn words() {
    replay("words", fuzz::words);
}

#[test]
fn api() {
    replay("api", fuzz::api);
}

#[test]
fn journal() {
    replay("journal", fuzz::journal);
}

#[test]
fn netlink() {
    replay("netlink", fuzz::netlink);
}
