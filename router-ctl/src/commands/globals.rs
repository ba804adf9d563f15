//! Options of every command.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ColorChoice};

use super::watch;
use crate::{api::Client, instance::DEFAULT, output::Format, service::RouteFilter};

#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Globals {
    /// Print JSON; with --watch one document a line
    #[arg(short, long, global = true)]
    json: bool,
    /// With -j: over several lines
    #[arg(short, long, global = true)]
    pretty: bool,
    /// One record a line, without headers
    #[arg(short, long, global = true, conflicts_with = "json")]
    oneline: bool,
    /// IPv4 only
    #[arg(short = '4', long = "ipv4", global = true, conflicts_with = "ipv6")]
    ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long = "ipv6", global = true)]
    ipv6: bool,
    /// Which router, where several run on one machine; or $ROUTER_CTL_INSTANCE
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = DEFAULT,
        env = "ROUTER_CTL_INSTANCE",
        hide_env = true,
        value_parser = instance_name
    )]
    pub(super) instance: String,
    /// The daemon's socket, where it is not in its usual place; or $ROUTER_CTL_SOCKET
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "ROUTER_CTL_SOCKET",
        hide_env = true
    )]
    socket: Option<PathBuf>,
    /// Colour: on terminals, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    color: ColorChoice,
    /// Repeat every SEC seconds [default: 1]
    #[arg(
        long,
        global = true,
        value_name = "SEC",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = watch::interval
    )]
    pub(super) watch: Option<Duration>,
    /// Show more; with `run`: log more
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// No headers, no confirmations
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl Globals {
    pub(super) fn format(&self) -> Format {
        Format {
            json: self.json,
            // A stream is a document a line.
            pretty: self.pretty && self.watch.is_none(),
            oneline: self.oneline,
            quiet: self.quiet,
            verbose: self.verbose,
        }
    }

    pub(super) fn apply_color(&self) {
        let choice = match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.instance, self.socket.as_deref())
    }

    /// Neither `-4` nor `-6`: both families.
    pub(super) const fn families(&self) -> RouteFilter {
        RouteFilter {
            v4: !self.ipv6,
            v6: !self.ipv4,
        }
    }

    /// The family that `-4` or `-6` names.
    pub(super) const fn v6(&self) -> Option<bool> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        }
    }
}

/// The name becomes part of paths.
fn instance_name(name: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > 63 {
        return Err("1 to 63 characters");
    }
    if name.starts_with(['.', '-']) || !name.chars().all(fits) {
        return Err("letters, digits, `_`, `.` and `-`, and neither `.` nor `-` first");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::instance_name;

    #[test]
    fn instance_names_stay_in_their_folder() {
        assert!(instance_name("lab-1.a").is_ok());
        for name in ["", ".", "..", "../x", "a/b", "-j", "a b"] {
            assert!(instance_name(name).is_err(), "{name}");
        }
    }
}
