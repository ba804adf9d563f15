//! `router-ctl man`: the manual, made from what `--help` says.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{self, ExitCode, Stdio},
};

use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{Cli, globals::Globals};
use crate::{
    codes,
    error::{Error, Kind},
    output,
};

const EXAMPLES: &str = "\
Examples:
  router-ctl man                               read it; in a pipe: all pages as roff
  router-ctl man /usr/local/share/man/man1     one file a command, then `man router-ctl`";

/// Show the manual, or write its pages into a directory
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to write the pages, one a command
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// One page.
struct Page {
    file: String,
    text: Vec<u8>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let pages = pages();
    match &args.directory {
        Some(directory) => {
            write_all(directory, &pages)?;
            globals
                .format()
                .done(&format!("{} pages in {}", pages.len(), directory.display()))?;
        }
        None => show(&pages)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(directory: &Path, pages: &[Page]) -> Result<(), Error> {
    for page in pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => Kind::NotPermitted,
                _ => Kind::Failed,
            };
            let message = format!("cannot write {}", path.display());
            Error::new(kind, codes::OUTPUT, message)
                .cause(error)
                .help(format!("mkdir -p {0} && ls -ld {0}", directory.display()))
        })?;
    }
    Ok(())
}

/// In a terminal by man(1), where there is one.
fn show(pages: &[Page]) -> Result<(), Error> {
    let all: Vec<u8> = pages.iter().flat_map(|page| page.text.clone()).collect();
    if io::stdout().is_terminal() && read_by_man(&all).is_ok_and(|status| status.success()) {
        return Ok(());
    }
    output::print(String::from_utf8_lossy(&all).trim_end())
}

fn read_by_man(text: &[u8]) -> io::Result<process::ExitStatus> {
    let mut man = process::Command::new("man")
        .args(["--local-file", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = man.stdin.take() {
        // A reader that was closed early has seen enough.
        let _ = stdin.write_all(text);
    }
    man.wait()
}

/// The page of the whole first, then those of the commands in their order.
fn pages() -> Vec<Page> {
    let mut root = Cli::command();
    root.build();
    let names: Vec<String> = commands(&root, "router-ctl");
    let mut pages = Vec::new();
    collect(&root, "router-ctl", &names, &mut pages);
    pages
}

/// `router-ctl-routes` and so on: the commands with a page of their own.
fn commands(command: &Command, name: &str) -> Vec<String> {
    visible(command)
        .flat_map(|sub| {
            let name = format!("{name}-{}", sub.get_name());
            let below = commands(sub, &name);
            std::iter::once(name).chain(below)
        })
        .collect()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn collect(command: &Command, name: &str, names: &[String], pages: &mut Vec<Page>) {
    pages.push(Page {
        file: format!("{name}.1"),
        text: page(command, name, names),
    });
    for sub in visible(command) {
        collect(sub, &format!("{name}-{}", sub.get_name()), names, pages);
    }
}

fn page(command: &Command, name: &str, names: &[String]) -> Vec<u8> {
    let whole = name == "router-ctl";
    let mut command = command.clone().display_name(name.to_owned());
    if !whole {
        // They are explained once, in router-ctl(1).
        command = command.mut_args(|arg| {
            let global = arg.is_global_set();
            arg.hide(global)
        });
    }
    let has_options = command.get_arguments().any(|arg| !arg.is_hide_set());
    let man = Man::new(command.clone())
        .title(name.to_owned())
        .section("1")
        .source(format!("router-ctl {}", env!("CARGO_PKG_VERSION")))
        .manual("router-ctl");
    let mut text = Vec::new();
    let mut write = || -> io::Result<()> {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        if has_options {
            man.render_options_section(&mut text)?;
        }
        if visible(&command).next().is_some() {
            man.render_subcommands_section(&mut text)?;
        }
        if let Some(after) = command
            .get_after_long_help()
            .or_else(|| command.get_after_help())
        {
            sections(&after.to_string()).to_writer(&mut text)?;
        }
        see_also(name, names).to_writer(&mut text)
    };
    // Writing into memory does not fail.
    let _ = write();
    text
}

/// Whether a line keeps its place: indented ones, and those of a configuration.
fn as_written(line: &str) -> bool {
    line.starts_with([' ', '[', '#']) || line.contains(" = ")
}

/// What stands below the options of `--help`: a line `Title:` begins a section.
fn sections(after: &str) -> Roff {
    let mut roff = Roff::new();
    let mut verbatim = false;
    let mut begun = false;
    for line in after.lines() {
        let indented = as_written(line);
        if verbatim && !indented {
            roff.control("fi", []);
            verbatim = false;
        }
        if let Some(title) = line.strip_suffix(':').filter(|_| !indented) {
            roff.control("SH", [title.to_uppercase().as_str()]);
            begun = true;
        } else if line.is_empty() {
            roff.control("PP", []);
        } else {
            if !begun {
                roff.control("SH", ["NOTES"]);
                begun = true;
            }
            if indented && !verbatim {
                roff.control("nf", []);
                verbatim = true;
            }
            roff.text([roman(line)]);
        }
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff
}

/// The pages above and directly below; from the first page, all.
fn see_also(name: &str, names: &[String]) -> Roff {
    let above = name.rsplit_once('-').map(|(above, _)| above);
    let near = |other: &&str| {
        let below = other
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        name == "router-ctl" || below.is_some_and(|rest| !rest.contains('-'))
    };
    let mut pages: Vec<&str> = above
        .filter(|above| *above != "router")
        .into_iter()
        .collect();
    pages.extend(names.iter().map(String::as_str).filter(near));
    if name != "router-ctl" && !pages.contains(&"router-ctl") {
        pages.insert(0, "router-ctl");
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(page));
        line.push(roman("(1)"));
    }
    line.push(roman(", "));
    line.push(bold("ip"));
    line.push(roman("(8), "));
    line.push(bold("bpftool"));
    line.push(roman("(8)"));
    roff.text(line);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages();
        let find = |file: &str| {
            let page = pages.iter().find(|page| page.file == file);
            let page = page.unwrap_or_else(|| panic!("there is no {file}"));
            String::from_utf8(page.text.clone()).unwrap()
        };
        let whole = find("router-ctl.1");
        for section in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH EXAMPLES",
            ".SH \"EXIT CODES\"",
            ".SH FILES",
            ".SH ERRORS",
            "RC0107",
        ] {
            assert!(whole.contains(section), "{section} is missing in\n{whole}");
        }
        assert!(
            whole.contains("\\fBrouter\\-ctl\\-routes\\-add\\fR(1)"),
            "{whole}"
        );
        let routes = find("router-ctl-routes.1");
        assert!(routes.contains(".SH EXAMPLES"), "{routes}");
        assert!(!routes.contains("\\-\\-instance"), "{routes}");
        find("router-ctl-routes-add.1");
        find("router-ctl-config-check.1");
        assert!(!pages.iter().any(|page| page.file.contains("__")));
    }
}
