//! Which running system a journal is about, and where another one is.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use serde::{Deserialize, Serialize};

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// Which running system a journal is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct System {
    /// The kernel's boot id.
    pub boot: String,
    /// Cookie of the network namespace: no other one gets it in this boot.
    pub netns: u64,
    /// Inode of the network namespace, by which it can be found while it lives.
    #[serde(default)]
    pub inode: u64,
}

/// Inodes are used again: they say nothing.
impl PartialEq for System {
    fn eq(&self, other: &Self) -> bool {
        self.boot == other.boot && self.netns == other.netns
    }
}

impl Eq for System {}

impl System {
    /// The one that this process is in.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn current() -> io::Result<Self> {
        Ok(Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?
                .trim()
                .to_owned(),
            netns: crate::sys::netns_cookie()?,
            inode: fs::metadata("/proc/self/ns/net")?.ino(),
        })
    }

    /// A path to this system's network namespace, seen from another one of the
    /// same boot: what `nsenter --net=` takes. `None`: it has no name, and no
    /// process is in it, as far as can be seen from here.
    #[must_use]
    pub fn find(&self) -> Option<String> {
        if self.inode == 0 {
            return None;
        }
        let same = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.ino() == self.inode);
        let entries = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten();
        let named = entries(NAMED).map(|entry| entry.path());
        let of_processes = entries("/proc")
            .filter(|entry| {
                let name = entry.file_name();
                name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
            })
            .map(|entry| entry.path().join("ns/net"));
        let path = named.chain(of_processes).find(|path| same(path))?;
        Some(path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_found_by_a_process_in_it() {
        let own = System::current().unwrap();
        assert!(own.find().unwrap().ends_with("/ns/net") || own.find().unwrap().contains(NAMED));
        let gone = System { inode: 1, ..own };
        assert_eq!(gone.find(), None);
    }

    #[test]
    fn inodes_do_not_tell_systems_apart() {
        let own = System::current().unwrap();
        let same = System {
            inode: 0,
            ..own.clone()
        };
        assert_eq!(own, same);
        let other = System { netns: 0, ..own };
        assert_ne!(same, other);
    }
}
