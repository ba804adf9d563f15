//! Changing one route in a configuration file, and nothing else in it: comments
//! and formatting stay as the user made them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{Config, StaticRoute};
use crate::{
    codes,
    error::{Error, Kind},
    instance::router_ctl,
};

/// What becomes of a route in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteEdit {
    /// Refuses one that is there.
    Add,
    /// Adds or changes.
    Set,
    /// Refuses one that is not there.
    Remove,
}

/// A changed file that is not in its place yet.
#[derive(Debug)]
pub struct Edited {
    instance: String,
    path: PathBuf,
    new: PathBuf,
    before: String,
    /// The route, as the file has it.
    pub route: StaticRoute,
}

impl Edited {
    /// Changes a route in the file at `path`, beside it: [`Edited::commit`] puts
    /// it into its place, and dropping it forgets it.
    ///
    /// # Errors
    /// If the file is wrong, or would be; if it has no such route, or has it
    /// already; if nothing can be written beside it.
    pub fn prepare(
        instance: &str,
        path: &Path,
        edit: RouteEdit,
        route: &StaticRoute,
    ) -> Result<Self, Error> {
        // Links stay links.
        let path = fs::canonicalize(path).map_err(|error| unwritable(instance, path, &error))?;
        let before = super::load::read(&path)?;
        let (after, route) = edited(instance, &path.display().to_string(), &before, edit, route)?;
        let new = beside(&path);
        // Dropped, it is removed.
        let prepared = Self {
            instance: instance.to_owned(),
            path,
            new,
            before,
            route,
        };
        prepared
            .write(&after)
            .map_err(|error| unwritable(instance, &prepared.path, &error))?;
        Ok(prepared)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let like = fs::metadata(&self.path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.new)?;
        file.write_all(text.as_bytes())?;
        if (like.uid(), like.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
        file.sync_all()
    }

    /// Puts it into its place, whole or not at all.
    ///
    /// # Errors
    /// If the file was changed meanwhile, or cannot be replaced.
    pub fn commit(self) -> Result<(), Error> {
        if super::load::read(&self.path)? != self.before {
            let changed = io::Error::other("somebody else has changed it meanwhile");
            return Err(unwritable(&self.instance, &self.path, &changed));
        }
        let sync_folder = || match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        };
        fs::rename(&self.new, &self.path)
            .and_then(|()| sync_folder())
            .map_err(|error| unwritable(&self.instance, &self.path, &error))
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        // In its place already, mostly.
        let _ = fs::remove_file(&self.new);
    }
}

/// `.router.toml.new-4711`, in the same folder.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new-{}", std::process::id()))
}

fn unwritable(instance: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::NotPermitted,
        _ => Kind::Failed,
    };
    Error::new(
        kind,
        codes::CONFIG_UNWRITABLE,
        format!("cannot write {}", path.display()),
    )
    .cause(error)
    .help(format!(
        "make the change there by hand, and `{} config apply`",
        router_ctl(instance)
    ))
}

/// The text with the change, and the route that it is about.
fn edited(
    instance: &str,
    name: &str,
    text: &str,
    edit: RouteEdit,
    route: &StaticRoute,
) -> Result<(String, StaticRoute), Error> {
    let config = Config::parse(name, text)?;
    let place = find(instance, &config, edit, route)?;
    let route = match (edit, place) {
        (RouteEdit::Remove, Some(at)) => config.routes[at].clone(),
        _ => route.clone(),
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(
            Kind::Usage,
            codes::CONFIG_SYNTAX,
            format!("{name} is not TOML"),
        )
        .cause(error)
        .help(format!("`router-ctl config check {name}` shows where"))
    })?;
    let entries = document.entry("route").or_insert_with(|| {
        let tables = ArrayOfTables::new();
        Item::ArrayOfTables(tables)
    });
    match entries {
        Item::ArrayOfTables(tables) => change_tables(tables, edit, place, &route),
        Item::Value(Value::Array(array)) => change_array(array, edit, place, &route),
        // The reader has refused anything else.
        _ => {}
    }
    let after = document.to_string();
    // What would be wrong is said with its lines, before anything is done.
    Config::parse(name, &after)?;
    Ok((after, route))
}

/// The place of the route in the file.
fn find(
    instance: &str,
    config: &Config,
    edit: RouteEdit,
    route: &StaticRoute,
) -> Result<Option<usize>, Error> {
    let metric = |route: &StaticRoute| route.metric.unwrap_or(StaticRoute::DEFAULT_METRIC);
    // To remove it, the destination may be enough.
    let any_metric = edit == RouteEdit::Remove && route.metric.is_none();
    let mut places = (0..).zip(&config.routes).filter(|(_, other)| {
        other.to == route.to && (any_metric || metric(other) == metric(route))
    });
    let place = places.next().map(|(at, _)| at);
    let to = route.to;
    match (edit, place) {
        (RouteEdit::Add, Some(_)) => Err(Error::new(
            Kind::Failed,
            codes::ROUTE_EXISTS,
            format!("the file has a route to {to} with this metric already"),
        )
        .help(format!(
            "change it with `{} routes replace --persist`",
            router_ctl(instance)
        ))),
        (RouteEdit::Remove, None) => Err(Error::new(
            Kind::Failed,
            codes::ROUTE_MISSING,
            format!("the file has no route to {to}"),
        )
        .help("without --persist it is deleted from the kernel's table only")),
        (RouteEdit::Remove, Some(_)) if places.next().is_some() => Err(Error::new(
            Kind::Usage,
            codes::USAGE,
            format!("the file has several routes to {to}"),
        )
        .help("say which: metric N")),
        _ => Ok(place),
    }
}

fn change_tables(
    tables: &mut ArrayOfTables,
    edit: RouteEdit,
    place: Option<usize>,
    route: &StaticRoute,
) {
    match (edit, place) {
        (RouteEdit::Remove, Some(at)) => {
            tables.remove(at);
        }
        (_, Some(at)) => {
            if let Some(table) = tables.get_mut(at) {
                set(table, route);
            }
        }
        (_, None) => {
            let mut table = Table::new();
            set(&mut table, route);
            table.decor_mut().set_prefix("\n");
            tables.push(table);
        }
    }
}

fn change_array(array: &mut Array, edit: RouteEdit, place: Option<usize>, route: &StaticRoute) {
    match (edit, place) {
        (RouteEdit::Remove, Some(at)) => {
            array.remove(at);
        }
        (_, Some(at)) => {
            if let Some(table) = array.get_mut(at).and_then(Value::as_inline_table_mut) {
                set(table, route);
            }
        }
        (_, None) => {
            let mut table = InlineTable::new();
            set(&mut table, route);
            array.push(table);
        }
    }
}

/// Gives an entry the route's keys. The destination of one that is there stays
/// as it is written: it may be `default`, or an address alone.
fn set(entry: &mut dyn TableLike, route: &StaticRoute) {
    if entry.get("to").is_none() {
        entry.insert("to", toml_edit::value(route.to.to_string()));
    }
    let text = |value: String| Value::from(value);
    let values = [
        ("via", route.via.map(|via| text(via.to_string()))),
        ("network", route.network.clone().map(text)),
        (
            "metric",
            route.metric.map(|metric| i64::from(metric).into()),
        ),
        ("src", route.src.map(|src| text(src.to_string()))),
    ];
    for (key, value) in values {
        let Some(mut value) = value else {
            entry.remove(key);
            continue;
        };
        match entry.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) => {
                // With the comment behind it.
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            None => {
                entry.insert(key, Item::Value(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# my router
[[trunk]]
interface = 'eth0'   # odd quotes

[[network]]
name = \"a\"
vlan = 0x64
gateway = \"10.0.0.1/24\"

[[route]]
to = \"default\"       # to the world
via   =   \"10.0.0.9\"   # the old one
metric = 7

# the rest
[[route]]
to = \"10.9.0.0/16\"
via = \"10.0.0.7\"
";

    fn route(words: &str) -> StaticRoute {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        StaticRoute::from_words("routes", &words, None, false).unwrap()
    }

    fn after(text: &str, edit: RouteEdit, words: &str) -> Result<String, Error> {
        edited("default", "router.toml", text, edit, &route(words)).map(|(text, _)| text)
    }

    #[test]
    fn a_new_route_goes_to_the_end() {
        let text = after(FILE, RouteEdit::Add, "10.8.0.0/16 via 10.0.0.8 metric 9").unwrap();
        let added = "\n[[route]]\nto = \"10.8.0.0/16\"\nvia = \"10.0.0.8\"\nmetric = 9\n";
        assert_eq!(text, format!("{FILE}{added}"));
        let without = FILE.split("[[route]]").next().unwrap();
        let text = after(without, RouteEdit::Set, "10.8.0.0/16 dev a").unwrap();
        let config = Config::parse("router.toml", &text).unwrap();
        assert_eq!(config.routes, [route("10.8.0.0/16 dev a")]);
        assert!(text.starts_with(without.trim_end()));
    }

    #[test]
    fn a_changed_route_keeps_its_comments() {
        let text = after(FILE, RouteEdit::Set, "default via 10.0.0.8 metric 7").unwrap();
        assert_eq!(text, FILE.replace("10.0.0.9", "10.0.0.8"));
    }

    #[test]
    fn a_removed_route_goes_alone() {
        let text = after(FILE, RouteEdit::Remove, "10.9.0.0/16").unwrap();
        let config = Config::parse("router.toml", &text).unwrap();
        assert_eq!(config.routes, [route("default via 10.0.0.9 metric 7")]);
        assert!(text.contains("# the old one") && text.contains("'eth0'   # odd quotes"));
    }

    #[test]
    fn inline_entries_are_entries() {
        let head = FILE.split("[[route]]").next().unwrap();
        let (first, rest) = head.split_once("[[trunk]]").unwrap();
        let text = format!(
            "{first}route = [{{ to = \"10.9.0.0/16\", via = \"10.0.0.7\" }}]\n[[trunk]]{rest}"
        );
        let routes = |text: &str| Config::parse("router.toml", text).unwrap().routes;
        let added = after(&text, RouteEdit::Add, "10.8.0.0/16 via 10.0.0.8").unwrap();
        assert_eq!(routes(&added).len(), 2);
        let changed = after(&added, RouteEdit::Set, "10.9.0.0/16 via 10.0.0.6").unwrap();
        assert_eq!(routes(&changed)[0].via, Some("10.0.0.6".parse().unwrap()));
        let removed = after(&changed, RouteEdit::Remove, "10.9.0.0/16").unwrap();
        assert_eq!(routes(&removed), [route("10.8.0.0/16 via 10.0.0.8")]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let code =
            |text: &str, edit, words: &str| after(text, edit, words).unwrap_err().code.into_owned();
        assert_eq!(
            code(FILE, RouteEdit::Add, "10.9.0.0/16 via 10.0.0.8"),
            codes::ROUTE_EXISTS
        );
        assert_eq!(
            code(FILE, RouteEdit::Remove, "10.7.0.0/16"),
            codes::ROUTE_MISSING
        );
        let wrong = code(FILE, RouteEdit::Add, "10.7.0.0/16 via 10.55.0.8");
        assert_eq!(wrong, codes::NEXT_HOP_INVALID);
        let two =
            format!("{FILE}[[route]]\nto = \"10.9.0.0/16\"\nvia = \"10.0.0.6\"\nmetric = 8\n");
        assert_eq!(code(&two, RouteEdit::Remove, "10.9.0.0/16"), codes::USAGE);
        after(&two, RouteEdit::Remove, "10.9.0.0/16 metric 8").unwrap();
    }

    #[test]
    fn the_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("router.toml"), dir.path().join("link.toml"));
        fs::write(&path, FILE).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let new = route("10.8.0.0/16 via 10.0.0.8");
        let edit = Edited::prepare("default", &link, RouteEdit::Add, &new).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), FILE, "not yet");
        edit.commit().unwrap();
        assert_eq!(Config::load(&path).unwrap().routes.len(), 3);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // Given up, and overtaken.
        drop(Edited::prepare("default", &path, RouteEdit::Remove, &new).unwrap());
        let late = Edited::prepare("default", &path, RouteEdit::Remove, &new).unwrap();
        fs::write(&path, FILE).unwrap();
        assert_eq!(late.commit().unwrap_err().code, codes::CONFIG_UNWRITABLE);
        assert_eq!(fs::read_to_string(&path).unwrap(), FILE);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing is left"
        );
    }
}
