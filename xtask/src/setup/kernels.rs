//! Debian kernels for the guests: downloaded and unpacked into our cache,
//! never installed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

use super::apt::{self, Apt};
use crate::{paths, step};

/// A kernel to boot in a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Debian 11's own: older than any that the router is for (5.15).
    V5_10,
    /// Debian 12's own.
    V6_1,
    /// Debian 12's backport of Debian 13's.
    V6_12,
    /// Debian unstable's.
    Newest,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
        })
    }
}

impl FromStr for Kernel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "5.10" => Ok(Self::V5_10),
            "6.1" => Ok(Self::V6_1),
            "6.12" => Ok(Self::V6_12),
            "newest" => Ok(Self::Newest),
            _ => bail!("there are 5.10, 6.1, 6.12 and newest"),
        }
    }
}

impl Kernel {
    /// Whether its `BPF_PROG_TEST_RUN` takes a context, without which no frame
    /// comes in by a device.
    pub(crate) const fn runs_programs(self) -> bool {
        !matches!(self, Self::V5_10)
    }

    /// A metapackage. A glob would also match the -rt kernels, and the -cloud
    /// ones, which lack 9p.
    fn metapackage(self) -> &'static str {
        match self {
            Self::V5_10 | Self::V6_1 | Self::Newest => "linux-image-amd64",
            Self::V6_12 => "linux-image-6.12-amd64",
        }
    }
}

fn dir(kernel: Kernel) -> Result<PathBuf> {
    ebpf_toolchain::cache::kernel(&kernel.to_string())
}

/// Written last: a kernel whose unpacking was interrupted has none.
fn stamp(kernel: Kernel) -> Result<PathBuf> {
    Ok(dir(kernel)?.join("version"))
}

pub(super) fn is_there(kernel: Kernel) -> Result<bool> {
    Ok(stamp(kernel)?.is_file())
}

/// Its `uname -r`.
pub(crate) fn version(kernel: Kernel) -> Result<String> {
    let stamp = stamp(kernel)?;
    Ok(fs::read_to_string(&stamp)
        .with_context(|| format!("cannot read {}: run `cargo xtask setup`", stamp.display()))?
        .trim()
        .to_owned())
}

/// What qemu boots. virtme-ng finds the modules by themselves: it looks in
/// `../lib/modules` first.
pub(crate) fn image(kernel: Kernel) -> Result<PathBuf> {
    Ok(dir(kernel)?
        .join("boot")
        .join(format!("vmlinuz-{}", version(kernel)?)))
}

pub(super) fn install(kernel: Kernel) -> Result<()> {
    let apt = match kernel {
        Kernel::V5_10 => Apt::suite("bullseye")?,
        Kernel::Newest => Apt::suite("unstable")?,
        Kernel::V6_1 | Kernel::V6_12 => Apt::system(),
    };
    let packages = packages(&apt, kernel)?;
    let dir = dir(kernel)?;
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let debs = partial.join("debs");
    for deb in apt.download(&packages, &debs)? {
        apt::unpack(&deb, &partial)?;
    }
    fs::remove_dir_all(&debs).with_context(|| format!("cannot remove {}", debs.display()))?;
    finish(&partial)?;
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::rename(&partial, &dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// The packages that hold the image and the modules. Newer Debian kernels
/// come in several, each depending on the next.
fn packages(apt: &Apt, kernel: Kernel) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut queue = vec![kernel.metapackage().to_owned()];
    while let Some(package) = queue.pop() {
        for name in apt.depends(&package)? {
            if is_kernel_part(&name) && !found.contains(&name) {
                found.push(name.clone());
                queue.push(name);
            }
        }
    }
    if found.is_empty() {
        bail!("{} depends on no kernel", kernel.metapackage());
    }
    Ok(found)
}

/// `linux-image-6.1.0-56-amd64`, `linux-modules-...`; not `linux-base`, not
/// `linux-initramfs-tool`.
fn is_kernel_part(name: &str) -> bool {
    ["linux-image-", "linux-modules-", "linux-binary-"]
        .iter()
        .filter_map(|prefix| name.strip_prefix(prefix))
        .any(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Makes an unpacked kernel bootable: modules at `lib/modules` with their
/// index, the image at `boot/vmlinuz-VERSION`, then the stamp.
fn finish(root: &Path) -> Result<()> {
    let modules = root.join("lib/modules");
    if !modules.is_dir() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))
            .with_context(|| format!("cannot link lib in {}", root.display()))?;
    }
    let version = fs::read_dir(&modules)
        .with_context(|| format!("the packages left no {}", modules.display()))?
        .find_map(|entry| entry.ok()?.file_name().into_string().ok())
        .with_context(|| format!("the packages left nothing in {}", modules.display()))?;
    let image = root.join("boot").join(format!("vmlinuz-{version}"));
    if !image.is_file() {
        // Newer Debian kernels keep it among the modules.
        let packaged = modules.join(&version).join("vmlinuz");
        fs::create_dir_all(root.join("boot"))
            .and_then(|()| fs::hard_link(&packaged, &image))
            .with_context(|| format!("the packages left no kernel at {}", packaged.display()))?;
    }
    let depmod = paths::program("depmod").context("depmod is missing: install kmod")?;
    step::quiet(
        &format!("indexing the modules of {version}"),
        Command::new(depmod).arg("-b").arg(root).arg(&version),
    )?;
    let stamp = root.join("version");
    fs::write(&stamp, version + "\n").with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_parts_are_told_from_the_rest() {
        for name in [
            "linux-image-6.1.0-56-amd64",
            "linux-modules-7.2-amd64",
            "linux-image-6.12.117+deb12-amd64",
        ] {
            assert!(is_kernel_part(name), "{name}");
        }
        for name in [
            "linux-base",
            "linux-image-amd64",
            "linux-initramfs-tool",
            "kmod",
        ] {
            assert!(!is_kernel_part(name), "{name}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kernel in [Kernel::V5_10, Kernel::V6_1, Kernel::V6_12, Kernel::Newest] {
            assert_eq!(kernel.to_string().parse::<Kernel>().unwrap(), kernel);
        }
        assert!("6.2".parse::<Kernel>().is_err());
    }
}
