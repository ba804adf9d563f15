//! `cargo xtask run`: the article, played on this host where its kernel can,
//! else in a virtual machine; with words after `--`, the daemon on this host.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::{ExitCode, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};

use crate::process::{self, Rights};
use crate::setup::{self, Kernel, Need};
use crate::{build, paths, step, vm};

/// Play the article (a switch, a router, four containers) and show what XDP forwarded
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where: host, or a virtual machine with 5.10, 6.1, 6.12 or newest
    /// [default: host where its kernel has 802.1Q, else 6.12]
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<Place>,
    /// Leave the scene standing, to play with it
    #[arg(long)]
    keep: bool,
    /// Put a pass-everything program in place of ours: the kernel forwards all
    #[arg(long)]
    without_xdp: bool,
    /// Run `router-ctl run` with these words on this host instead
    #[arg(last = true, value_name = "ROUTER_CTL_RUN_ARGS")]
    daemon: Vec<OsString>,
}

/// Where the article is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Host,
    Vm(Kernel),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Vm(kernel) => kernel.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "host" {
            return Ok(Self::Host);
        }
        text.parse()
            .map(Self::Vm)
            .map_err(|_| Error::msg("there are host, 5.10, 6.1, 6.12 and newest"))
    }
}

/// Minutes under software emulation; an article that hangs ends some time.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How the article's last line begins, before `ok` or `failed: why`.
pub(crate) const RESULT: &str = "ARTICLE RESULT: ";

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if !args.daemon.is_empty() {
        if args.kernel.is_some() || args.keep || args.without_xdp {
            bail!("--kernel, --keep and --without-xdp belong to the article, not to a daemon");
        }
        return daemon(&args.daemon);
    }
    let place = match args.kernel {
        Some(place) => place,
        None => choose("the article runs")?,
    };
    let mut options = Vec::new();
    if args.keep {
        options.push("--keep".into());
    }
    if args.without_xdp {
        options.push("--without-xdp".into());
    }
    if let (Place::Vm(kernel), true) = (place, args.keep) {
        let words: Vec<String> = command(&options)?
            .iter()
            .map(|word| vm::quote(&word.to_string_lossy()))
            .collect();
        return vm::shell(kernel, &words.join(" "));
    }
    article(place, &options, &mut vm::echo)?;
    Ok(ExitCode::SUCCESS)
}

/// Plays the article; an error says why it failed.
pub(crate) fn article(
    place: Place,
    options: &[OsString],
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    match place {
        Place::Host => on_host(options),
        Place::Vm(kernel) => in_vm(kernel, options, on_line),
    }
}

/// The article's program and its words.
pub(crate) fn command(options: &[OsString]) -> Result<Vec<OsString>> {
    let (router_ctl, article) = build::article()?;
    let mut command = vec![article.into(), "--router-ctl".into(), router_ctl.into()];
    command.extend_from_slice(options);
    Ok(command)
}

fn on_host(options: &[OsString]) -> Result<()> {
    setup::ensure(&[Need::Programs])?;
    if process::rights() == Rights::None {
        bail!(
            "the article makes network namespaces, which takes root, and there is no sudo\n\
             help: run it as root, or in a virtual machine: cargo xtask run --kernel 6.12"
        );
    }
    let words = command(options)?;
    step::headline("the article, on this host");
    let status = process::as_root(&words[0])
        .args(&words[1..])
        .current_dir(paths::root())
        .stdin(Stdio::inherit())
        .status()
        .context("cannot run the article")?;
    if !status.success() {
        bail!("the article failed on this host ({status}): its own words are above");
    }
    Ok(())
}

fn in_vm(kernel: Kernel, options: &[OsString], on_line: &mut dyn FnMut(&str)) -> Result<()> {
    // The guest runs what the host has installed.
    setup::ensure(&[Need::EbpfToolchain, Need::Programs, Need::Vm(kernel)])?;
    let words = command(options)?;
    let mut result = None;
    let outcome = vm::run(kernel, &words, LIMIT, &mut |line| {
        on_line(line);
        if let Some(text) = line.strip_prefix(RESULT) {
            result = Some(text.to_owned());
        }
    })?;
    let status = outcome.status()?;
    let result = result.unwrap_or_else(|| format!("exit status {status}, and no `{RESULT}`"));
    if status != 0 || result != "ok" {
        bail!("the article failed on Linux {kernel}: {result}");
    }
    Ok(())
}

/// The host where its kernel has what routers are about, else a guest. `what`
/// happens there is told.
pub(crate) fn choose(what: &str) -> Result<Place> {
    let fallback = Place::Vm(Kernel::V6_12);
    setup::ensure(&[Need::Programs])?;
    match process::rights() {
        Rights::None => {
            step::headline(&format!("no root rights here: {what} in a virtual machine"));
            return Ok(fallback);
        }
        Rights::Sudo => step::headline("asking sudo: this needs root on this host"),
        Rights::Root => {}
    }
    // Tried in a namespace that is gone with the shell. Not on `lo`, which
    // refuses VLANs on every kernel.
    let output = process::as_root("unshare")
        .args(["--net", "sh", "-c"])
        .arg(
            "ip link add p0 type veth peer name p1 && \
             ip link add link p0 name p0.5 type vlan id 5 && \
             ip link add link p0.5 name m0 type macvlan mode bridge",
        )
        .stdin(Stdio::null())
        .output()
        .context("cannot run unshare")?;
    if output.status.success() {
        return Ok(Place::Host);
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().next().unwrap_or("no reason given").trim();
    step::headline(&format!(
        "this kernel makes no 802.1Q sub-interfaces ({reason}): {what} in a virtual machine with \
         Linux {fallback}"
    ));
    Ok(fallback)
}

/// `router-ctl run` on this host, in place of us.
fn daemon(words: &[OsString]) -> Result<ExitCode> {
    let router_ctl = build::router_ctl()?;
    let error = process::as_root(&router_ctl).arg("run").args(words).exec();
    Err(error).with_context(|| format!("cannot run {}", router_ctl.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["host", "5.10", "6.1", "6.12", "newest"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert!("5.4".parse::<Place>().is_err());
    }
}
