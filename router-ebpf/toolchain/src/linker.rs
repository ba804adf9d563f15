//! Where a bpf-linker may be: `BPF_LINKER`, our tools cache, PATH.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{MEND, cache};

/// A bpf-linker that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    pub path: PathBuf,
}

impl Linker {
    pub fn display(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

/// All bpf-linkers there are, in the order of preference. A `BPF_LINKER` is
/// the only one: who names a linker does not want another one to be used.
///
/// # Errors
/// When `BPF_LINKER` names no file.
pub(crate) fn candidates() -> Result<Vec<Linker>> {
    if let Some(path) = env::var_os("BPF_LINKER").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!(
                "BPF_LINKER names {}, which is not a file\n\
                 help: correct it, or unset it and run `{MEND}`",
                path.display()
            );
        }
        return Ok(vec![Linker { path }]);
    }
    let ours = cache::tools_bin().ok().into_iter();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<Linker> = Vec::new();
    for dir in ours.chain(env::split_paths(&path)) {
        let path = dir.join("bpf-linker");
        if is_program(&path) && !found.iter().any(|linker| linker.path == path) {
            found.push(Linker { path });
        }
    }
    Ok(found)
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
