//! Does this bpf-linker fit this rustc? `bpf-linker --version` does not name
//! its LLVM, so an empty crate of that rustc is linked by it, and the LLVM's
//! version is read from the bitcode that comes out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};

use crate::clean::clean;
use crate::{Compiler, TARGET, cache};

/// An empty crate: no `core` is there yet for the BPF target.
const EMPTY: &str = "#![feature(no_core)]\n#![no_core]\n";

/// Checks a pair, or remembers that it was found to fit.
pub(crate) fn check(compiler: &Compiler, linker: &Path) -> Result<()> {
    let stamp = stamp(compiler, linker);
    let remembered = cache::dir().ok().zip(stamp.as_ref()).map(|(dir, stamp)| {
        dir.join("fits")
            .join(format!("{:016x}", fnv1a(stamp.as_bytes())))
    });
    if let Some(file) = &remembered
        && fs::read_to_string(file).ok() == stamp
    {
        return Ok(());
    }
    link_empty(compiler, linker)?;
    // Only a success is remembered, and only to save time: a cache that
    // cannot be written costs a tenth of a second at each build.
    if let (Some(file), Some(stamp)) = (remembered, stamp)
        && let Some(dir) = file.parent()
    {
        let _ = fs::create_dir_all(dir);
        let _ = fs::write(file, stamp);
    }
    Ok(())
}

/// Names the pair as it is now: a new file at the same path is another pair.
fn stamp(compiler: &Compiler, linker: &Path) -> Option<String> {
    let describe = |path: &Path| {
        let real = path.canonicalize().ok()?;
        let meta = real.metadata().ok()?;
        let age = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!(
            "{} {} {}",
            real.display(),
            meta.len(),
            age.as_nanos()
        ))
    };
    Some(format!(
        "{}\n{}\n",
        describe(&compiler.rustc)?,
        describe(linker)?
    ))
}

fn link_empty(compiler: &Compiler, linker: &Path) -> Result<()> {
    let version = compiler.version()?;
    let rustc = format!(
        "{} ({}, LLVM {})",
        compiler.rustc.display(),
        version.release,
        version.llvm
    );
    let dir = Scratch::new()?;
    let source = dir.0.join("empty.rs");
    let bitcode = dir.0.join("empty.bc");
    let linked = dir.0.join("linked.bc");
    fs::write(&source, EMPTY).with_context(|| format!("cannot write {}", source.display()))?;

    let mut command = Command::new(&compiler.rustc);
    clean(&mut command)
        .env("RUSTC_BOOTSTRAP", "1")
        .args([
            "--crate-type=lib",
            "--edition=2024",
            "--target",
            TARGET,
            "--emit=llvm-bc",
        ])
        .arg("-o")
        .args([&bitcode, &source]);
    run(command, &format!("{rustc} cannot compile for {TARGET}"))?;

    let mut command = Command::new(linker);
    clean(&mut command)
        .args(["--target=bpfel", "--emit=llvm-bc", "-o"])
        .args([&linked, &bitcode]);
    run(
        command,
        &format!("{} cannot read bitcode of {rustc}", linker.display()),
    )?;

    let out =
        fs::read(&linked).with_context(|| format!("{} wrote no bitcode", linker.display()))?;
    match producer(&out) {
        Some(llvm) if llvm != version.llvm => bail!(
            "{} was built with LLVM {llvm}, but {rustc} has LLVM {}: they must be the same",
            linker.display(),
            version.llvm
        ),
        // It linked; a producer that cannot be read is no reason to refuse.
        _ => Ok(()),
    }
}

fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: cannot run it"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        bail!("{what}: {}", first.trim());
    }
    Ok(())
}

/// The major number of the LLVM that wrote this bitcode: its identification
/// block holds `LLVM22.1.8`, in characters of six, seven or eight bits which
/// begin at any bit.
fn producer(bitcode: &[u8]) -> Option<u32> {
    // The block is the first one; do not mistake a name further on for it.
    let head = bitcode.get(..bitcode.len().min(256))?;
    let bit = |at: usize| head.get(at / 8).map(|byte| byte >> (at % 8) & 1);
    let read = |at: usize, width: usize| {
        (0..width).try_fold(0u8, |value, i| Some(value | bit(at + i)? << i))
    };
    let char_at = |at: usize, width: usize| {
        let value = read(at, width)?;
        if width == 6 {
            CHAR6.get(usize::from(value)).copied()
        } else {
            Some(value)
        }
    };
    for width in [6, 7, 8] {
        for start in 0..head.len() * 8 {
            let is_tag = b"LLVM"
                .iter()
                .enumerate()
                .all(|(i, want)| char_at(start + i * width, width) == Some(*want));
            if !is_tag {
                continue;
            }
            let digits: String = (4..)
                .map_while(|i| char_at(start + i * width, width))
                .take_while(u8::is_ascii_digit)
                .take(3)
                .map(char::from)
                .collect();
            if let Ok(major) = digits.parse() {
                return Some(major);
            }
        }
    }
    None
}

/// LLVM's alphabet of six-bit characters.
const CHAR6: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";

/// FNV-1a: names a file of the cache; needs no more than to be stable.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A directory of this process that is gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("ebpf-toolchain-{}", process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::producer;

    #[test]
    fn producer_is_read_from_real_bitcode() {
        // The first bytes of what bpf-linker 0.13.0 with LLVM 22.1.8 writes.
        let head = [
            0x42, 0x43, 0xc0, 0xde, 0x35, 0x14, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x62, 0x0c,
            0x30, 0x24, 0x4a, 0x59, 0xbe, 0xa6, 0x6d, 0xfb, 0xb5, 0xcf, 0x0b, 0x51, 0x80, 0x4c,
            0x01, 0x00, 0x00, 0x00, 0x21, 0x0c, 0x00, 0x00, 0xa8, 0x01, 0x00, 0x00,
        ];
        assert_eq!(producer(&head), Some(22));
    }

    #[test]
    fn producer_in_bytes_is_read_too() {
        assert_eq!(producer(b"BC\xc0\xde....LLVM9.0.1"), Some(9));
        assert_eq!(producer(b"BC\xc0\xde no such name"), None);
        assert_eq!(producer(b""), None);
    }
}
