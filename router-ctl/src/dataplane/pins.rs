//! Where maps and links are pinned, so that they outlive the daemon:
//!
//! ```text
//! BPFFS/router-ctl/INSTANCE/abi-N/MAP            the maps in use
//! BPFFS/router-ctl/INSTANCE/abi-N-new/MAP        maps that are to take their place
//! BPFFS/router-ctl/INSTANCE/links/SLOT-TRUNK     one link a trunk
//! ```
//!
//! A slot is part of a link's name and not of the maps, so that it outlives an
//! ABI. A bpffs refuses names with a dot: see [`escaped`].
//!
//! Invariant: whenever the daemon dies, the next start finds either one whole
//! set of maps in `abi-N`, or knows that there is none ([`PinDir::provide`]).
//! New maps are filled in `abi-N-new`, the links moved to them, the old folders
//! removed, and only then `abi-N-new` is renamed.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use aya::pin::PinError;
use router_common::{abi::ABI_VERSION, wire::TrunkSlot};
use tracing::warn;

use super::Error;
use crate::sys;

const MAPS: &str = "abi-";
const NEW: &str = "-new";
const LINKS: &str = "links";

/// The pins of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir {
    root: PathBuf,
    instance: PathBuf,
}

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPin {
    /// Slot of its trunk.
    pub slot: TrunkSlot,
    /// Name of its trunk.
    pub trunk: String,
    /// The pin.
    pub path: PathBuf,
}

/// Pins that nobody accounts for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Trunks with a pinned link, by slot.
    pub trunks: Vec<String>,
    /// Links and maps.
    pub pins: usize,
}

impl Orphans {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pins == 0
    }
}

impl PinDir {
    /// The pins of `instance` on the bpffs at `bpffs`.
    #[must_use]
    pub fn new(bpffs: &Path, instance: &str) -> Self {
        let root = bpffs.join("router-ctl");
        Self {
            instance: root.join(escaped(instance)),
            root,
        }
    }

    /// Where the maps of this ABI are.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.instance.join(format!("{MAPS}{ABI_VERSION}"))
    }

    /// Where maps are made that are to take their place.
    #[must_use]
    pub fn new_maps(&self) -> PathBuf {
        self.instance.join(format!("{MAPS}{ABI_VERSION}{NEW}"))
    }

    /// Where the link of a trunk is.
    #[must_use]
    pub fn link(&self, slot: TrunkSlot, trunk: &str) -> PathBuf {
        let name = format!("{slot}-{}", escaped(trunk));
        self.instance.join(LINKS).join(name)
    }

    /// Makes the folders, where they are not there, and finishes what a daemon
    /// began that died while it put new maps in place.
    ///
    /// # Errors
    /// If a folder cannot be made, or somebody else could write it.
    pub fn provide(&self) -> Result<(), Error> {
        let folders = [&self.root, &self.instance, &self.instance.join(LINKS)];
        for folder in folders {
            make_folder(folder)?;
            trust(folder)?;
        }
        let (maps, new) = (self.maps(), self.new_maps());
        for folder in self.folders()? {
            trust(&folder)?;
        }
        if !new.exists() {
            return Ok(());
        }
        if maps.exists() {
            // The links may use the new ones already: they hold them. The old
            // ones are made right, or replaced once more.
            return remove_folder(&new);
        }
        // The old ones were removed, which is the last step but one.
        rename(&new, &maps)
    }

    /// Makes an empty folder for new maps.
    ///
    /// # Errors
    /// If what is there cannot be removed, or the folder cannot be made.
    pub fn begin(&self) -> Result<PathBuf, Error> {
        let new = self.new_maps();
        remove_folder(&new)?;
        make_folder(&new)?;
        Ok(new)
    }

    /// Puts the maps in `used` in the place of all others. New ones that were
    /// begun and not finished are not those.
    ///
    /// # Errors
    /// If something cannot be removed or renamed: [`PinDir::provide`] goes on
    /// there.
    pub fn settle(&self, used: &Path) -> Result<PathBuf, Error> {
        let maps = self.maps();
        for folder in self.folders()? {
            if folder != *used {
                remove_folder(&folder)?;
            }
        }
        if *used != *maps && used.exists() {
            rename(used, &maps)?;
        }
        Ok(maps)
    }

    /// Gives new maps up.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn give_up(&self) -> Result<(), Error> {
        remove_folder(&self.new_maps())
    }

    /// The maps that were in use before: of this ABI, or else of another.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn predecessor(&self) -> Result<Option<PathBuf>, Error> {
        let (maps, new) = (self.maps(), self.new_maps());
        let mut folders = self.folders()?;
        folders.retain(|folder| *folder != new);
        let this = folders.iter().position(|folder| *folder == maps);
        Ok(match this {
            Some(at) => Some(folders.swap_remove(at)),
            None => folders.pop(),
        })
    }

    /// Every pinned link, by slot. What has another name is not ours, and left
    /// alone.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn links(&self) -> Result<Vec<LinkPin>, Error> {
        let mut links: Vec<LinkPin> = list(&self.instance.join(LINKS))?
            .into_iter()
            .filter_map(|path| {
                let (slot, trunk) = path.file_name()?.to_str()?.split_once('-')?;
                Some(LinkPin {
                    slot: TrunkSlot::new(slot.parse().ok()?),
                    trunk: unescaped(trunk)?,
                    path,
                })
            })
            .collect();
        links.sort_by_key(|link| link.slot);
        Ok(links)
    }

    /// The instances that have pins here, each with where they are.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn instances(&self) -> Result<Vec<(String, Self)>, Error> {
        let named = |path: PathBuf| {
            let name = unescaped(path.file_name()?.to_str()?)?;
            let root = self.root.clone();
            Some((
                name,
                Self {
                    instance: path,
                    root,
                },
            ))
        };
        Ok(list(&self.root)?.into_iter().filter_map(named).collect())
    }

    /// What there is to remove, for whoever has no journal to tell.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn orphans(&self) -> Result<Orphans, Error> {
        let mut found = Orphans::default();
        for link in self.links()? {
            found.trunks.push(link.trunk);
        }
        for folder in list(&self.instance)? {
            found.pins += list(&folder)?.len();
        }
        Ok(found)
    }

    /// Detaches every link and removes every pin. Done already is fine.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        for path in list(&self.instance.join(LINKS))? {
            discard_link(&path)?;
        }
        remove_folder(&self.instance)?;
        // Other instances may have theirs here.
        let _ = fs::remove_dir(&self.root);
        Ok(())
    }

    /// The folders of maps, of every ABI.
    fn folders(&self) -> Result<Vec<PathBuf>, Error> {
        let mut folders = list(&self.instance)?;
        folders.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(MAPS))
        });
        folders.sort();
        Ok(folders)
    }
}

/// Detaches the link that is pinned at `path`, and removes the pin. Done already
/// is fine.
pub(super) fn discard_link(path: &Path) -> Result<(), Error> {
    match sys::open_pin(path) {
        Ok(link) => {
            // Without the pin it goes when the last who holds it does; so it
            // goes now. Its device may be gone already.
            if let Err(error) = sys::detach_link(link.as_fd()) {
                warn!(%error, "cannot detach {}", path.display());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Not a pin at all.
        Err(_) => {}
    }
    fs::remove_file(path).map_err(|source| failed(path, source))
}

/// Pins `object` at `path` where nothing is; whether that was so.
///
/// # Errors
/// If something else is there, or it cannot be pinned.
pub(super) fn mend(object: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    if is_pinned(object, path)? {
        return Ok(false);
    }
    sys::pin(object, path).map_err(|error| failed(path, error))?;
    Ok(true)
}

/// Whether `object` is pinned at `path`; `false`: nothing is.
///
/// # Errors
/// If something else is: it is not ours to remove.
fn is_pinned(object: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    let foreign = |why: String| Error::ForeignPin {
        path: path.to_owned(),
        why,
    };
    let there = match sys::open_pin(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(foreign(format!("cannot be opened: {error}"))),
    };
    let identity = |object| sys::identity(object).map_err(|error| failed(path, error));
    let (own, other) = (identity(object)?, identity(there.as_fd())?);
    if own == other {
        return Ok(true);
    }
    Err(foreign(if own.0 == other.0 {
        format!(
            "is not the one that was pinned: its id is {}, not {}",
            other.1, own.1
        )
    } else {
        "is not of the kind that was pinned".to_owned()
    }))
}

/// For its owner only: who can write a map decides where packets go.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, error)),
        _ => Ok(()),
    }
}

/// Refuses a folder that others than root and this user can write.
fn trust(path: &Path) -> Result<(), Error> {
    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    let meta = fs::symlink_metadata(path).map_err(|source| failed(path, source))?;
    let owner = meta.uid();
    let why = if !meta.is_dir() {
        "is no folder".to_owned()
    } else if owner != 0 && owner != sys::effective_user() {
        format!("belongs to user {owner}")
    } else if meta.mode() & GROUP_AND_OTHERS_WRITE != 0 {
        format!("has mode {:04o}: others may write it", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(Error::ForeignPin {
        path: path.to_owned(),
        why,
    })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| failed(folder, source))?,
    };
    entries
        .map(|entry| Ok(entry.map_err(|source| failed(folder, source))?.path()))
        .collect()
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| failed(from, source))
}

pub(super) fn failed(path: &Path, source: io::Error) -> Error {
    Error::Pins {
        path: path.to_owned(),
        source,
    }
}

/// What aya says of a pin that could not be made.
pub(super) fn not_pinned(path: &Path, error: &PinError) -> Error {
    let source = match error {
        PinError::SyscallError(error) => {
            io::Error::from_raw_os_error(error.io_error.raw_os_error().unwrap_or(libc::EIO))
        }
        other => io::Error::other(other.to_string()),
    };
    failed(path, source)
}

/// A name that every bpffs takes: `.` is refused there (`bpf_lookup`,
/// kernel/bpf/inode.c). Two names never become one.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@') {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

/// The name that was escaped; `None`: it is none.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = behind;
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn pins() -> (tempfile::TempDir, PinDir) {
        let dir = tempfile::tempdir().unwrap();
        let pins = PinDir::new(dir.path(), "default");
        (dir, pins)
    }

    fn make(folder: &Path, file: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join(file), "").unwrap();
    }

    #[test]
    fn folders_are_for_their_owner() {
        let (_dir, pins) = pins();
        pins.provide().unwrap();
        let new = pins.begin().unwrap();
        for folder in [&pins.root, &pins.instance, &pins.instance.join(LINKS), &new] {
            let mode = folder.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        }
    }

    #[test]
    fn folders_that_others_can_write_are_refused() {
        let (_dir, pins) = pins();
        pins.provide().unwrap();
        let links = pins.instance.join(LINKS);
        fs::set_permissions(&links, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = pins.provide().unwrap_err().to_string();
        assert!(refused.contains("others may write it"), "{refused}");
        fs::remove_dir(&links).unwrap();
        fs::write(&links, "").unwrap();
        let refused = pins.provide().unwrap_err().to_string();
        assert!(refused.contains("is no folder"), "{refused}");
    }

    /// Whatever a daemon that died in between left, the maps of the next one are
    /// whole.
    #[test]
    fn a_start_goes_on_where_the_last_one_died() {
        // Before the links were moved, or while they were.
        let (_dir, pins) = pins();
        make(&pins.maps(), "OLD");
        make(&pins.new_maps(), "NEW");
        fs::set_permissions(&pins.root, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&pins.instance, fs::Permissions::from_mode(0o700)).unwrap();
        pins.provide().unwrap();
        assert!(pins.maps().join("OLD").exists());
        assert!(!pins.new_maps().exists());
        // Between removing and renaming.
        make(&pins.new_maps(), "NEW");
        fs::remove_dir_all(pins.maps()).unwrap();
        pins.provide().unwrap();
        assert!(pins.maps().join("NEW").exists());
        assert!(!pins.new_maps().exists());
    }

    #[test]
    fn new_maps_take_the_place_of_all_others() {
        let (_dir, pins) = pins();
        pins.provide().unwrap();
        let other_abi = pins.instance.join("abi-1");
        make(&other_abi, "ANCIENT");
        assert_eq!(pins.predecessor().unwrap(), Some(other_abi.clone()));
        make(&pins.maps(), "OLD");
        assert_eq!(pins.predecessor().unwrap(), Some(pins.maps()));
        let new = pins.begin().unwrap();
        fs::write(new.join("NEW"), "").unwrap();
        assert_eq!(pins.settle(&new).unwrap(), pins.maps());
        assert!(pins.maps().join("NEW").exists());
        assert!(!other_abi.exists() && !new.exists());
        // Settled already.
        pins.settle(&pins.maps()).unwrap();
        assert!(pins.maps().join("NEW").exists());
        // Others that were begun, and are used by nobody.
        make(&pins.new_maps(), "HALF");
        pins.settle(&pins.maps()).unwrap();
        assert!(pins.maps().join("NEW").exists() && !new.exists());
        // Given up, they leave no trace.
        pins.begin().unwrap();
        pins.give_up().unwrap();
        pins.give_up().unwrap();
        assert!(pins.maps().join("NEW").exists() && !new.exists());
    }

    #[test]
    fn links_are_found_with_slot_and_trunk() {
        let (_dir, pins) = pins();
        assert_eq!(pins.links().unwrap(), []);
        pins.provide().unwrap();
        let named = [(3, "eth0"), (0, "en.p0-s3"), (12, "a%b")];
        for (slot, trunk) in named {
            let path = pins.link(TrunkSlot::new(slot), trunk);
            assert!(!path.file_name().unwrap().to_str().unwrap().contains('.'));
            fs::write(path, "").unwrap();
        }
        fs::write(pins.instance.join(LINKS).join("README"), "").unwrap();
        let found = pins.links().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|link| (link.slot.get(), link.trunk.as_str()))
            .collect();
        assert_eq!(found, [(0, "en.p0-s3"), (3, "eth0"), (12, "a%b")]);
    }

    #[test]
    fn names_are_escaped_and_back() {
        for name in ["default", "lab-1.a", "%2e", "", "ä"] {
            let text = escaped(name);
            assert!(!text.contains(['.', '/']), "{text}");
            assert_eq!(unescaped(&text).as_deref(), Some(name));
        }
        assert_eq!(unescaped("%2"), None);
        assert_eq!(unescaped("%zz"), None);
    }

    #[test]
    fn removing_is_idempotent_and_spares_other_instances() {
        let dir = tempfile::tempdir().unwrap();
        let one = PinDir::new(dir.path(), "one");
        let two = PinDir::new(dir.path(), "two.b");
        one.provide().unwrap();
        fs::write(one.link(TrunkSlot::new(0), "eth0"), "").unwrap();
        two.provide().unwrap();
        one.remove().unwrap();
        one.remove().unwrap();
        assert!(two.instance.is_dir());
        two.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn instances_are_found_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["default", "a.4"] {
            fs::create_dir_all(&PinDir::new(dir.path(), name).instance).unwrap();
        }
        let pins = PinDir::new(dir.path(), "default");
        let mut found = pins.instances().unwrap();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(
            found,
            [
                ("a.4".to_owned(), PinDir::new(dir.path(), "a.4")),
                ("default".to_owned(), pins),
            ]
        );
    }
}
