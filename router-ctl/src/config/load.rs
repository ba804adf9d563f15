//! Ways to a [`Config`]: a file, options, and single routes.

use std::{
    env,
    fs::{self, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    Config, Options, StaticRoute,
    diagnostic::{Diagnostics, Source},
    file, options,
    places::Loaded,
    reader,
    validate::{no_way, route, validate, without_network},
    words,
};
use crate::{
    codes,
    error::{Error, Kind},
    sys,
};

/// Longest file read, bytes: 4094 networks with all their keys take 1 MiB.
const LONGEST: u64 = 16 << 20;

impl Loaded {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// It cannot be read, others may write it, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let mut loaded = Self::parse(&path.display().to_string(), &text)?;
        // The daemon says where it is to those who are in another directory.
        let absolute = std::path::absolute(path);
        loaded.config.source = Some(absolute.unwrap_or_else(|_| path.to_owned()));
        Ok(loaded)
    }

    /// Reads the text of a configuration file; `name` stands for it in errors.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut wrong = Diagnostics::default();
        let Some(file) = reader::read(text, &mut wrong) else {
            return wrong.into_result(Self::default(), Source { name, text });
        };
        let config = validate(&file, &mut wrong);
        let loaded = Self::new(config, &file, name, text);
        wrong.into_result(loaded, Source { name, text })
    }

    /// Reads a configuration that the command line gives.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut wrong = Diagnostics::default();
        let (text, file) = options::read(options, &mut wrong);
        let config = validate(&file, &mut wrong);
        let source = command_line(&text);
        let loaded = Self::new(config, &file, source.name, &text);
        wrong.into_result(loaded, source)
    }
}

impl Config {
    /// [`Loaded::load`], without the places.
    ///
    /// # Errors
    /// As there.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Loaded::load(path).map(|loaded| loaded.config)
    }

    /// [`Loaded::parse`], without the places.
    ///
    /// # Errors
    /// As there.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        Loaded::parse(name, text).map(|loaded| loaded.config)
    }

    /// [`Loaded::from_options`], without the places.
    ///
    /// # Errors
    /// As there.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        Loaded::from_options(options).map(|loaded| loaded.config)
    }
}

impl StaticRoute {
    /// Reads `command` and the words of iproute2 behind it. `v6`: what
    /// `default` means where no address tells. `way`: whether a next hop or a
    /// network must be among the words.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn from_words(
        command: &str,
        words: &[String],
        v6: Option<bool>,
        way: bool,
    ) -> Result<Self, Error> {
        let text = format!("{command} {}", words.join(" "));
        let mut wrong = Diagnostics::default();
        let entry = words::read(&text, command.len() + 1..text.len(), &mut wrong);
        let route = entry.and_then(|entry| judged(&entry, v6, way, &mut wrong));
        // No route without a diagnostic: what is missing was reported.
        wrong
            .into_result(route, command_line(&text))?
            .ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    codes::USAGE,
                    format!("`{text}` is not a route"),
                )
                .help("a route is PREFIX via IP [dev NETWORK] [metric N] [src IP]")
            })
    }

    /// The checks of [`StaticRoute::from_words`], for a route that is to be made and
    /// did not come in words.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let (text, entry) = words::write(self);
        let mut wrong = Diagnostics::default();
        judged(&entry, None, true, &mut wrong);
        let name = "the request";
        wrong.into_result((), Source { name, text: &text })
    }
}

/// What is wrong with a route by itself: whatever way it came.
fn judged(
    entry: &file::Route,
    v6: Option<bool>,
    way: bool,
    wrong: &mut Diagnostics,
) -> Option<StaticRoute> {
    let route = route(entry, v6, wrong)?;
    if way && route.via.is_none() && route.network.is_none() {
        wrong.push(no_way(entry));
    }
    if way {
        wrong.extend(without_network(entry, &route));
    }
    Some(route)
}

fn command_line(text: &str) -> Source<'_> {
    Source {
        name: "command line",
        text,
    }
}

/// The text of a configuration file that may be trusted.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let caller = env::var("SUDO_UID").ok().and_then(|user| user.parse().ok());
    read_as(path, sys::effective_user(), caller)
}

/// The same for this user, who may have become it by sudo.
pub(super) fn read_as(path: &Path, user: u32, caller: Option<u32>) -> Result<String, Error> {
    let file = OpenOptions::new()
        .read(true)
        // A pipe without a writer would be waited for.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| unreadable(path, &error))?;
    // Asked of the open file: the path may mean another one by now.
    let meta = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !meta.is_file() {
        return Err(unusable(path, "it is not a regular file"));
    }
    trusted(path, &meta, user, caller)?;
    for folder in folders_of(path) {
        let meta = fs::metadata(&folder).map_err(|error| unreadable(path, &error))?;
        kept(&folder, path, &meta)?;
    }
    text_of(file, path)
}

/// All of it, if it is not too much.
pub(super) fn text_of(file: impl Read, path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let length = file
        .take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(path, &error))?;
    if length as u64 > LONGEST {
        return Err(unusable(path, "it is longer than any configuration"));
    }
    Ok(text)
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "read it as its owner or as root: sudo",
        io::ErrorKind::InvalidData => "TOML is UTF-8: save it as such (`iconv -t UTF-8`)",
        _ => "name a file that is there; `router-ctl config --help` shows one to begin with",
    };
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::NotPermitted,
        _ => Kind::Usage,
    };
    Error::new(
        kind,
        codes::CONFIG_UNREADABLE,
        format!("cannot read {}", path.display()),
    )
    .cause(error)
    .help(help)
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(
        Kind::Usage,
        codes::CONFIG_UNREADABLE,
        format!("{} cannot be a configuration", path.display()),
    )
    .cause(why)
    .help("give the path of a TOML file; `router-ctl config --help` shows one")
}

/// Who may write the file decides where root's router sends packets.
fn trusted(path: &Path, meta: &Metadata, user: u32, caller: Option<u32>) -> Result<(), Error> {
    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    let (mode, owner) = (meta.mode(), meta.uid());
    // Whoever is not root decides nothing but what is checked and shown; whoever
    // called sudo is root when they like.
    if user == 0 && owner != 0 && Some(owner) != caller {
        return Err(untrusted(
            format!("another user than root may write {}", path.display()),
            format!("it belongs to user {owner}"),
            format!("chown root {}", path.display()),
        ));
    }
    if mode & GROUP_AND_OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(untrusted(
        format!("others than its owner may write {}", path.display()),
        format!("its mode is {:04o}", mode & 0o7777),
        format!("chmod go-w {}", path.display()),
    ))
}

/// Who may write the folder puts another file in the place of this one, unless
/// it is sticky.
fn kept(folder: &Path, path: &Path, meta: &Metadata) -> Result<(), Error> {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let mode = meta.mode();
    if mode & OTHERS_WRITE == 0 || mode & STICKY != 0 {
        return Ok(());
    }
    Err(untrusted(
        format!(
            "anybody may put another file in the place of {}",
            path.display()
        ),
        format!("the mode of {} is {:04o}", folder.display(), mode & 0o7777),
        format!("chmod o-w {}", folder.display()),
    ))
}

/// The folder of the path, and, where that is a symbolic link, of the file.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let given = std::path::absolute(path).ok();
    let real = fs::canonicalize(path).ok();
    let mut folders: Vec<PathBuf> = given
        .into_iter()
        .chain(real)
        .filter_map(|path| Some(path.parent()?.to_owned()))
        .collect();
    folders.dedup();
    folders
}

fn untrusted(message: String, cause: String, help: String) -> Error {
    Error::new(Kind::Usage, codes::CONFIG_UNTRUSTED, message)
        .cause(cause)
        .help(help)
}
