//! Children: root rights for them, and their end.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use crate::paths;

/// Whether this process has root's rights.
pub(crate) fn is_root() -> bool {
    // `/proc/self` belongs to the effective user.
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// How a command gets root's rights here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Root,
    Sudo,
    None,
}

pub(crate) fn rights() -> Rights {
    if is_root() {
        Rights::Root
    } else if paths::program("sudo").is_some() {
        Rights::Sudo
    } else {
        Rights::None
    }
}

/// A command that runs `program` as root: plain for root, else by sudo, which
/// asks for a password on the terminal if it wants one.
pub(crate) fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg("--").arg(program);
        command
    }
}

/// Ends a child of ours and everything it started, and nothing else: the tree
/// is read from `/proc` before the first of them dies, as orphans would be
/// adopted and lost. They share our process group, so that Ctrl-C reaches
/// them without our help.
pub(crate) fn kill_tree(pid: u32) {
    let mut tree = vec![pid];
    let parents = parents();
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    // The shell's own kill: a minimal system has no /bin/kill.
    let pids: Vec<String> = tree.iter().map(ToString::to_string).collect();
    let _ = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -KILL {}", pids.join(" ")))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// (process, its parent) of all processes.
fn parents() -> Vec<(u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent_of(&stat)?))
        })
        .collect()
}

/// The parent in a line of `/proc/PID/stat`: the second word after the name,
/// which is in brackets and may itself hold brackets and blanks.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parent_of;

    #[test]
    fn parent_is_found_behind_an_odd_name() {
        assert_eq!(parent_of("12 (a) b (c) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of("nonsense"), None);
    }
}
