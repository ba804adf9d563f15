//! The verifier gate: what the programs cost this kernel's verifier, against
//! what they cost when they were last looked at (`tests/verifier.toml`).
//!
//! Instructions processed are the same on every run, so that growth is a change
//! of ours: above 5 % it must be accepted. Time is recorded and shown only: it
//! is the machine's as well.

use std::{collections::BTreeMap, env, fs, time::Duration};

use router_common::abi::names;
use router_tests::{netns, prog::Object};
use serde::Deserialize;

/// Set to 1, it has the test write what it measures.
const ACCEPT: &str = "ROUTER_ACCEPT_VERIFIER";

/// Where it is recorded, from the folder of this crate.
const RECORD: &str = "verifier.toml";

/// Loads of which the fastest counts.
const LOADS: usize = 5;

/// What a program cost.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
struct Cost {
    /// Instructions that the verifier processed; 0: it does not say (before 5.16).
    instructions: u32,
    /// CPU time of the fastest load.
    milliseconds: f64,
}

/// Kernel (`6.18`) -> program -> cost.
type Record = BTreeMap<String, BTreeMap<String, Cost>>;

const HEAD: &str = "\
# What loading the programs costs the verifier: kernel, program, cost.
# Written by tests/prog_verifier.rs, when ROUTER_ACCEPT_VERIFIER=1 is set.
";

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD)
}

/// Major and minor number of the kernel that runs.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.trim().split(['.', '-']);
    let (major, minor) = (numbers.next(), numbers.next());
    format!("{}.{}", major.expect("major"), minor.expect("minor"))
}

/// How long this thread has had a CPU: what others do at the same time does not
/// count.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("CONFIG_SCHED_INFO");
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds"))
}

/// Those that this kernel is asked to take: frames in several buffers came with 5.18.
fn programs(kernel: &str) -> &'static [&'static str] {
    let numbers: Vec<u32> = kernel
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect();
    if numbers.as_slice() < [5, 18].as_slice() {
        &[names::PROGRAM]
    } else {
        &[names::PROGRAM, names::PROGRAM_FRAGS]
    }
}

fn measure(program: &str) -> Cost {
    let mut fastest = Duration::MAX;
    let mut instructions = 0;
    for _ in 0..LOADS {
        let mut object = Object::load().unwrap_or_else(|e| panic!("{e:?}"));
        let started = cpu_time();
        let verified = object.verify(program);
        fastest = fastest.min(cpu_time() - started);
        (instructions, _) = verified.unwrap_or_else(|e| panic!("{program}: {e:?}"));
    }
    Cost {
        instructions,
        milliseconds: (fastest.as_secs_f64() * 10_000.0).round() / 10.0,
    }
}

fn render(record: &Record) -> String {
    let mut text = HEAD.to_owned();
    // 6.9 before 6.12.
    let mut kernels: Vec<_> = record.iter().collect();
    kernels.sort_by_key(|(kernel, _)| {
        let numbers = kernel.split('.').map(|number| number.parse::<u32>().ok());
        numbers.collect::<Vec<_>>()
    });
    for (kernel, programs) in kernels {
        text += &format!("\n[\"{kernel}\"]\n");
        for (program, cost) in programs {
            text += &line(program, *cost);
        }
    }
    text
}

fn line(program: &str, cost: Cost) -> String {
    format!(
        "{program} = {{ instructions = {}, milliseconds = {:.1} }}\n",
        cost.instructions, cost.milliseconds
    )
}

/// Whether `now` is above 105 % of `then`.
fn has_grown(then: Cost, now: Cost) -> bool {
    u64::from(now.instructions) * 100 > u64::from(then.instructions) * 105
}

#[test]
fn the_verifier_gate() {
    let test = "the_verifier_gate";
    // Whoever may not make a namespace may not load programs either.
    if netns::private_or_skip(test).is_none() {
        return;
    }
    let kernel = kernel();
    let text = fs::read_to_string(path()).expect("the record");
    let mut record: Record = toml::from_str(&text).expect("a record");
    assert_eq!(render(&record), text, "{RECORD} is as this test writes it");
    let known = record.entry(kernel.clone()).or_default();

    // A kernel that nobody has looked at yet is told, and fails nobody; a program
    // that was not looked at on a kernel that was is a gap.
    let recorded = !known.is_empty();
    let mut grown = Vec::new();
    let mut fresh = String::new();
    for &program in programs(&kernel) {
        let now = measure(program);
        match known.get(program) {
            Some(then) => {
                println!("Linux {kernel}: {program} {now:?}, was {then:?}");
                if has_grown(*then, now) {
                    grown.push(format!(
                        "{program}: {} instructions verified, were {}",
                        now.instructions, then.instructions
                    ));
                }
            }
            None => {
                println!("Linux {kernel}: {program} {now:?}, not recorded yet");
                if recorded {
                    grown.push(format!("{program} is not recorded"));
                }
            }
        }
        fresh += &line(program, now);
        known.insert(program.to_owned(), now);
    }
    if env::var_os(ACCEPT).is_some_and(|value| value == "1") {
        println!("[\"{kernel}\"]\n{fresh}");
        match fs::write(path(), render(&record)) {
            Ok(()) => println!("written to tests/{RECORD}"),
            // In a virtual machine: the lines above are to be copied.
            Err(error) => println!("tests/{RECORD} cannot be written ({error})"),
        }
        return;
    }
    assert!(
        grown.is_empty(),
        "Linux {kernel}: {}\nhelp: make the program smaller, or accept it: \
         {ACCEPT}=1 cargo test -p router-tests --test prog_verifier",
        grown.join("; ")
    );
}

#[test]
fn old_kernels_have_one_program() {
    for (kernel, count) in [
        ("5.9", 1),
        ("5.10", 1),
        ("5.15", 1),
        ("5.18", 2),
        ("6.1", 2),
    ] {
        assert_eq!(programs(kernel).len(), count, "{kernel}");
    }
}

#[test]
fn five_per_cent_are_the_limit() {
    let cost = |instructions| Cost {
        instructions,
        milliseconds: 1.0,
    };
    for (then, now, grown) in [(1000, 1050, false), (1000, 1051, true), (1000, 10, false)] {
        assert_eq!(has_grown(cost(then), cost(now)), grown, "{then} -> {now}");
    }
}
