//! Debian's packages: installed where the system needs them, only downloaded
//! and unpacked into our cache where it does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::cache;
use crate::process::{self, Rights};
use crate::{paths, step};

/// Whether this is the system that `setup` knows the packages of.
pub(super) fn is_debian_12() -> bool {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |wanted: &str| text.lines().any(|line| line.replace('"', "") == wanted);
    has("ID=debian") && has("VERSION_ID=12") && paths::program("apt-get").is_some()
}

/// Those of `packages` that dpkg does not know as installed.
pub(super) fn not_installed<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let output = Command::new("dpkg-query")
        .env("LC_ALL", "C")
        .args(["-W", "-f=${Package} ${db:Status-Status}\n"])
        .args(packages)
        .stdin(Stdio::null())
        .output();
    // An unknown package makes dpkg-query fail; it still lists the others.
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    packages
        .iter()
        .filter(|package| {
            !text
                .lines()
                .any(|line| line == format!("{package} installed"))
        })
        .copied()
        .collect()
}

/// Installs packages, with root's rights.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    get_rights(&format!("apt-get install {}", packages.join(" ")))?;
    let apt = Apt::system();
    if packages.iter().any(|package| !apt.knows(package)) {
        apt.update()?;
    }
    let call = || {
        let mut command = apt_get_as_root();
        command
            .args(["install", "-y", "--no-install-recommends", "--"])
            .args(packages);
        step::quiet("installing packages", &mut command)
    };
    // Lists that are older than the mirror name files that are gone.
    call()
        .or_else(|_| {
            apt.update()?;
            call()
        })
        .context(
            "apt could not install the packages; rustc-web and llvm-22-dev are in \
         bookworm-security, which must be among apt's sources",
        )
}

fn apt_get_as_root() -> Command {
    let mut command = process::as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get"]);
    command
}

/// Has sudo ask for its password now, not in the middle of a quiet step.
fn get_rights(what: &str) -> Result<()> {
    match process::rights() {
        Rights::Root => Ok(()),
        Rights::Sudo => {
            let status = Command::new("sudo")
                .arg("-v")
                .status()
                .context("cannot run sudo")?;
            if !status.success() {
                bail!("sudo refused; have an administrator run: {what}");
            }
            Ok(())
        }
        Rights::None => bail!("not root and no sudo; have an administrator run: {what}"),
    }
}

/// One apt configuration: the system's, or a private one beside it.
#[derive(Clone, Debug)]
pub(super) struct Apt {
    options: Vec<String>,
    private: bool,
}

impl Apt {
    pub(super) fn system() -> Self {
        Self {
            options: Vec::new(),
            private: false,
        }
    }

    /// Debian's `suite`, from the mirror that the system's own apt uses, with
    /// lists and cache of ours. Signatures are checked as ever.
    pub(super) fn suite(suite: &str) -> Result<Self> {
        let dir = cache()?.join(format!("apt-{suite}"));
        for sub in ["lists/partial", "cache/archives/partial"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        // Debian's archive keyring; apt's other trusted keys where it is not.
        let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
        let signed_by = if keyring.is_file() {
            format!("[signed-by={}] ", keyring.display())
        } else {
            String::new()
        };
        let list = dir.join("sources.list");
        fs::write(
            &list,
            format!("deb {signed_by}{} {suite} main\n", mirror()?),
        )
        .with_context(|| format!("cannot write {}", list.display()))?;
        let apt = Self {
            options: vec![
                format!("Dir::Etc::sourcelist={}", list.display()),
                "Dir::Etc::sourceparts=-".to_owned(),
                format!("Dir::State::lists={}/lists", dir.display()),
                format!("Dir::Cache={}/cache", dir.display()),
            ],
            private: true,
        };
        apt.update()?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    fn update(&self) -> Result<()> {
        if self.private {
            let mut command = self.command("apt-get");
            return step::quiet(
                "fetching the package lists of the private apt configuration",
                command.arg("update"),
            );
        }
        get_rights("apt-get update")?;
        step::quiet(
            "fetching the package lists",
            apt_get_as_root().arg("update"),
        )
    }

    /// Whether there is a version of the package to be had.
    fn knows(&self, package: &str) -> bool {
        self.show(package).is_some()
    }

    /// The record of the version apt would take.
    fn show(&self, package: &str) -> Option<String> {
        let output = self
            .command("apt-cache")
            .args(["show", "--no-all-versions", package])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && text.contains("Filename:")).then_some(text)
    }

    /// The packages a package depends on, the first of each alternative.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        if self.show(package).is_none() {
            self.update()?;
        }
        let record = self.show(package).with_context(|| {
            format!("apt knows no package {package}: is the main archive among its sources?")
        })?;
        Ok(depends_of(&record))
    }

    /// Downloads packages into `dir` and returns the files.
    pub(super) fn download(&self, packages: &[String], dir: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let what = format!("downloading {}", packages.join(", "));
        if packages.iter().any(|package| !self.knows(package)) {
            self.update()?;
        }
        let call = || {
            let mut command = self.command("apt-get");
            command.arg("download").args(packages).current_dir(dir);
            step::quiet(&what, &mut command)
        };
        call().or_else(|_| {
            self.update()?;
            call()
        })?;
        let mut files: Vec<PathBuf> = fs::read_dir(dir)
            .with_context(|| format!("cannot read {}", dir.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
            .collect();
        files.sort();
        Ok(files)
    }
}

/// Unpacks a package below `root`, as files only.
pub(super) fn unpack(deb: &Path, root: &Path) -> Result<()> {
    let name = deb.file_name().unwrap_or_default().to_string_lossy();
    step::quiet(
        &format!("unpacking {}", name.split('_').next().unwrap_or(&name)),
        Command::new("dpkg-deb").arg("-x").args([deb, root]),
    )
}

/// Where the system's apt gets Debian's main archive from.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .env("LC_ALL", "C")
        .args([
            "indextargets",
            "--format",
            "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    main_archive(&String::from_utf8_lossy(&output.stdout)).context(
        "apt's sources name no Debian main archive, or its lists were never fetched \
         (apt-get update)",
    )
}

fn main_archive(targets: &str) -> Option<String> {
    targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian|Debian|"))
        .map(ToOwned::to_owned)
}

fn depends_of(record: &str) -> Vec<String> {
    record
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Depends: ")
                .or_else(|| line.strip_prefix("Pre-Depends: "))
        })
        .flat_map(|list| list.split(','))
        .filter_map(|word| word.split_whitespace().next())
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read() {
        let record = "Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2), \
                      kmod:any | module-init-tools\nFilename: pool/x.deb\n";
        assert_eq!(depends_of(record), ["linux-image-6.1.0-56-amd64", "kmod"]);
    }

    #[test]
    fn the_main_archive_is_neither_security_nor_somebody_elses() {
        let targets = "Google|x|https://a.invalid/\nDebian|Debian-Security|http://b.invalid/\n\
                       Debian|Debian|http://c.invalid/debian/\n";
        assert_eq!(
            main_archive(targets).as_deref(),
            Some("http://c.invalid/debian/")
        );
    }
}
