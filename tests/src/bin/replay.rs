//! Replays a capture through two routers alike but for XDP: `cargo xtask test
//! --replay FILE`. The last line is the result.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use comfy_table::{Table, presets};
use router_tests::{
    netns,
    oracle::{
        Twin,
        replay::{self, Pass},
    },
    packet::Mac,
    pcap::Capture,
    topology::mac_text,
};

/// Replay a capture (pcap or pcapng) through the router with XDP and without
///
/// Needs root. Everything happens in network namespaces of its own, which are gone
/// in the end.
#[derive(Debug, Parser)]
#[command(name = "replay", max_term_width = 100)]
struct Args {
    /// The capture
    file: PathBuf,
    /// MAC of the capture's router [default: the one by which most addresses are reached]
    #[arg(long, value_name = "MAC", value_parser = parse_mac)]
    router_mac: Option<Mac>,
    /// Only read the capture: whether it can be replayed
    #[arg(long)]
    check: bool,
}

fn parse_mac(text: &str) -> Result<Mac, String> {
    let parts: Vec<_> = text.split(':').collect();
    let bytes: Result<Vec<u8>, _> = parts
        .iter()
        .map(|part| u8::from_str_radix(part, 16))
        .collect();
    let bytes = bytes.ok().and_then(|bytes| Mac::try_from(bytes).ok());
    bytes.ok_or_else(|| "a MAC is six bytes, as in 02:00:00:00:00:01".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(0) if args.check => ExitCode::SUCCESS,
        Ok(0) => {
            println!("REPLAY RESULT: on = off");
            ExitCode::SUCCESS
        }
        Ok(differences) => {
            println!("REPLAY RESULT: failed: {differences} differences");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("REPLAY RESULT: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How many differences there are.
fn run(args: &Args) -> Result<usize> {
    let capture = Capture::open(&args.file)?;
    if args.check {
        return Ok(0);
    }
    // Ended here with its own words, not by the first of many threads.
    drop(netns::private().context("cannot make a network namespace")?);
    let router = args
        .router_mac
        .or_else(|| replay::router_of(&capture.frames));
    println!(
        "{} frames, {} cut by a snap length; its router is {}",
        capture.frames.len(),
        capture.cut,
        router.map_or_else(|| "nobody".to_owned(), mac_text)
    );
    let mut twin = Twin::build("replay", replay::mtu_for(&capture))?;
    println!("{:?} networks, MTU {}", twin.world().kind, twin.world().mtu);
    let passes = replay::replay(&mut twin, &capture, router);
    println!("{}", table(&passes));
    for line in twin.allowed() {
        println!("{line}");
    }
    let mut count = 0;
    for pass in &passes {
        for (number, line) in &pass.differences {
            println!("DIFFERENCE frame {number}, {}: {line}", pass.mapping.name());
            count += 1;
        }
    }
    Ok(count)
}

fn table(passes: &[Pass]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "frames",
        "by XDP",
        "by the kernel",
        "not forwarded",
        "left out",
        "differences",
    ]);
    for pass in passes {
        let counts = [
            pass.xdp,
            pass.kernel,
            pass.not,
            pass.left_out,
            pass.differences.len(),
        ];
        let counts = counts.map(|count| count.to_string());
        table.add_row([&[pass.mapping.name().to_owned()][..], &counts].concat());
    }
    table
}
