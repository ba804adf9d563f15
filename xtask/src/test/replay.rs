//! `cargo xtask test --replay FILE`: a capture through the router with XDP and
//! without, on this host where its kernel has 802.1Q, else in a virtual machine.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{self, Rights};
use crate::run::{self, Place};
use crate::setup::{self, Kernel, Need};
use crate::{build, paths, step, vm};

/// For a capture of some ten thousand frames, under software emulation.
const LIMIT: Duration = Duration::from_secs(60 * 60);

pub(super) fn main(file: &Path, router: Option<&str>, kernels: &[Kernel]) -> Result<ExitCode> {
    fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    let program = build::replay()?;
    // What cannot be replayed is told before a machine is booted for it.
    let check = Command::new(&program)
        .arg(file)
        .arg("--check")
        .stdin(Stdio::null())
        .status()
        .context("cannot run the replay")?;
    if !check.success() {
        return Ok(ExitCode::FAILURE);
    }
    let places = match kernels {
        [] => vec![run::choose("the capture is replayed")?],
        kernels => kernels.iter().copied().map(Place::Vm).collect(),
    };
    // Where a guest sees it as well.
    let copy = paths::work().join(format!("replay-{}", std::process::id()));
    fs::create_dir_all(paths::work()).context("cannot make a directory")?;
    fs::copy(file, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    let mut words: Vec<OsString> = vec![program.into(), copy.clone().into()];
    if let Some(router) = router {
        words.extend(["--router-mac".into(), router.into()]);
    }
    let done = everywhere(&places, &words);
    let _ = fs::remove_file(copy);
    Ok(ExitCode::from(u8::from(!done?)))
}

/// Whether it went well at every place; a later one is played even so.
fn everywhere(places: &[Place], words: &[OsString]) -> Result<bool> {
    let mut good = true;
    for place in places {
        step::headline(&format!("replaying: {place}"));
        let status = match place {
            Place::Host => on_host(words)?,
            Place::Vm(kernel) => in_vm(*kernel, words)?,
        };
        good &= status == 0;
    }
    Ok(good)
}

fn on_host(words: &[OsString]) -> Result<i32> {
    setup::ensure(&[Need::Programs])?;
    anyhow::ensure!(
        process::rights() != Rights::None,
        "a replay makes network namespaces, which takes root, and there is no sudo\n\
         help: run it as root, or in a virtual machine: add --kernel 6.12"
    );
    let status = process::as_root(&words[0])
        .args(&words[1..])
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .status()
        .context("cannot run the replay")?;
    Ok(status.code().unwrap_or(1))
}

fn in_vm(kernel: Kernel, words: &[OsString]) -> Result<i32> {
    setup::ensure(&[Need::EbpfToolchain, Need::Programs, Need::Vm(kernel)])?;
    vm::run(kernel, words, LIMIT, &mut vm::echo)?.status()
}
