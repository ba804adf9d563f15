//! Replays on stable what fuzz targets start from, and what they have found: a
//! crash becomes a named file in `fuzz/regressions/TARGET/`.

use std::{fs, path::Path};

/// Runs every file of a target's seeds and regressions. `package`: the directory
/// of the package, which has them in `fuzz/`. Of both answers there must be at
/// least so many: a corpus that is refused for one reason proves nothing.
///
/// # Panics
/// When `run` does, a file cannot be read, or there are too few of one answer.
pub fn replay(package: &str, target: &str, at_least: usize, run: fn(&[u8]) -> bool) {
    let root = Path::new(package).join("fuzz");
    let (mut yes, mut no) = (0, 0);
    for folder in ["seeds", "regressions"] {
        let folder = root.join(folder).join(target);
        let Ok(files) = fs::read_dir(&folder) else {
            continue;
        };
        for file in files {
            let path = file.expect("a file").path();
            println!("{}", path.display());
            let count = if run(&fs::read(&path).expect("readable")) {
                &mut yes
            } else {
                &mut no
            };
            *count += 1;
        }
    }
    assert!(
        yes >= at_least && no >= at_least,
        "{target}: {yes} accepted, {no} refused"
    );
}
