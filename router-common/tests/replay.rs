//! Replays on stable what the fuzz targets of `fuzz/` start from, and what they
//! have found: a crash becomes a named file in `fuzz/regressions/TARGET/`.

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
pub mod fuzz;

/// Every file of a target's seeds and regressions, both ways out among them.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let (mut forwarded, mut passed) = (0, 0);
    for folder in ["seeds", "regressions"] {
        let folder = root.join(folder).join(target);
        let Ok(files) = fs::read_dir(&folder) else {
            continue;
        };
        for file in files {
            let path = file.expect("a file").path();
            println!("{}", path.display());
            let way = if run(&fs::read(&path).expect("readable")) {
                &mut forwarded
            } else {
                &mut passed
            };
            *way += 1;
        }
    }
    assert!(
        forwarded > 3 && passed > 3,
        "{target}: {forwarded} forwarded, {passed} passed"
    );
}

#[test]
fn parse() {
    replay("parse", fuzz::parse);
}

#[test]
fn route() {
    replay("route", fuzz::route);
}
