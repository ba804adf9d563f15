//! What tests tell of conformance cases: kept for each kernel, and made into
//! docs/conformance.md.
//!
//! Tests print lines (tests/src/oracle/report.rs); every stage that runs them
//! keeps them in a file of its own, so that a report is of several runs.

mod accepted;
mod commit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail};

use super::table::Row;
use crate::{paths, step};
use accepted::{ACCEPT, Shown};
use commit::{COMMIT, Commits};

/// How the lines begin; fields follow, separated by tabs.
const RESULT: &str = "CONFORMANCE\t";
const CASE: &str = "CONFORMANCE-CASE\t";
const ALLOWED: &str = "CONFORMANCE-ALLOWED\t";

/// What a kernel that lacks a feature tells of its cases.
const SKIPPED: &str = "skipped";

/// What the program would do without the daemon: it shows no case.
const ALONE: &str = "alone";

fn directory() -> PathBuf {
    paths::work().join("conformance")
}

/// The file of the report.
fn document() -> PathBuf {
    paths::root().join("docs/conformance.md")
}

/// The file of a stage.
fn kept(stage: &str) -> PathBuf {
    directory().join(format!("{}.tsv", stage.replace(' ', "-")))
}

/// Forgets what a stage told before: it is played anew, and what it does not tell
/// this time it must not have told.
pub(super) fn forget(stage: &str) -> Result<()> {
    let path = kept(stage);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Keeps the lines of a stage that ran on this kernel, with the commit. `partial`:
/// some tests of it; what the others told before stays.
pub(super) fn keep(kernel: &str, stage: &str, text: &str, partial: bool) -> Result<()> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| {
            let kinds = [RESULT, CASE, ALLOWED];
            kinds.iter().any(|kind| line.starts_with(kind))
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let directory = directory();
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let path = kept(stage);
    let before = if partial {
        fs::read_to_string(&path).unwrap_or_default()
    } else {
        String::new()
    };
    let others = before.lines().skip(1).filter(|line| stays(line, &lines));
    let commit = commit::here();
    let parts: BTreeSet<String> = if partial {
        lines.iter().filter_map(|line| test(line)).collect()
    } else {
        [String::new()].into()
    };
    let commits: Vec<String> = parts
        .iter()
        .map(|part| format!("{COMMIT}{commit}\t{part}"))
        .collect();
    let lines: Vec<&str> = others
        .chain(commits.iter().map(String::as_str))
        .chain(lines.iter().copied())
        .collect();
    let text = format!("{kernel}\n{}\n", lines.join("\n"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The test of a result, `PROGRAM::TEST`, without the table.
fn test(line: &str) -> Option<String> {
    let name = line.strip_prefix(RESULT)?.split('\t').nth(2)?;
    Some(name.split("::").take(2).collect::<Vec<_>>().join("::"))
}

/// Whether what was told before is not told anew: by another test, of a test that
/// was played at that commit, or of a case that the list has still.
fn stays(line: &str, anew: &[&str]) -> bool {
    let of_another = |name: &str| anew.iter().all(|line| test(line).as_deref() != Some(name));
    if let Some(fields) = line.strip_prefix(COMMIT) {
        return of_another(fields.split('\t').nth(1).unwrap_or_default());
    }
    match test(line) {
        Some(name) => of_another(&name),
        None => anew.iter().all(|line| !line.starts_with(CASE)),
    }
}

/// Whether a test program tells of cases.
pub(super) fn tells(program: &str) -> bool {
    ["prog_", "net_oracle", "net_storm"]
        .iter()
        .any(|begin| program.starts_with(begin))
}

/// This machine's kernel, as the report calls it: `6.18`.
pub(super) fn host_kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    short(release.trim())
}

/// `6.12.90+deb13-amd64` is 6.12.
pub(super) fn short(release: &str) -> String {
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A case of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Case {
    letter: String,
    what: String,
    note: String,
}

/// Rows by fate.
type Fates = BTreeMap<String, usize>;

/// Everything that is known.
#[derive(Debug, Default)]
struct Results {
    cases: BTreeMap<u16, Case>,
    kernels: BTreeSet<(Vec<u32>, String)>,
    tests: BTreeMap<u16, BTreeSet<String>>,
    fates: BTreeMap<(u16, String), Fates>,
    /// What may differ, and why.
    allowed: BTreeMap<String, String>,
    commits: Commits,
}

impl Results {
    fn read(&mut self, text: &str) {
        let mut lines = text.lines();
        let Some(kernel) = lines.next() else { return };
        let numbers = kernel.split('.').map(|part| part.parse().unwrap_or(0));
        self.kernels.insert((numbers.collect(), kernel.to_owned()));
        self.commits.read(kernel, text);
        for line in lines {
            if let Some(fields) = line.strip_prefix(CASE) {
                let mut fields = fields.split('\t');
                let number = fields.next().and_then(|number| number.parse().ok());
                let mut field = || fields.next().unwrap_or_default().to_owned();
                let case = Case {
                    letter: field(),
                    what: field(),
                    note: field(),
                };
                self.cases.extend(number.map(|number| (number, case)));
            } else if let Some((what, why)) = line
                .strip_prefix(ALLOWED)
                .and_then(|fields| fields.split_once('\t'))
            {
                self.allowed.insert(what.to_owned(), why.to_owned());
            } else if let Some(fields) = line.strip_prefix(RESULT) {
                let fields: Vec<_> = fields.split('\t').collect();
                let [number, fate, test, rows] = fields[..] else {
                    continue;
                };
                let (Ok(number), Ok(rows)) = (number.parse(), rows.parse::<usize>()) else {
                    continue;
                };
                let fates = self.fates.entry((number, kernel.to_owned())).or_default();
                *fates.entry(fate.to_owned()).or_default() += rows;
                self.tests
                    .entry(number)
                    .or_default()
                    .insert(test.to_owned());
            }
        }
    }

    /// What keeps the report from being good.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.cases.is_empty() {
            complaints.push("no run has told the list of cases".to_owned());
        }
        for ((number, kernel), fates) in &self.fates {
            if fates.contains_key("differs") {
                complaints.push(format!("case {number} differs on {kernel}"));
            }
        }
        for number in self.cases.keys() {
            let of = |kernel: &String| self.fates.get(&(*number, kernel.clone()));
            for (_, kernel) in &self.kernels {
                if of(kernel).is_none() {
                    complaints.push(format!("case {number} has no test on {kernel}"));
                }
            }
            // A kernel may lack what a case is about; not all of them.
            let shown = |fates: &Fates| fates.keys().any(|fate| fate != SKIPPED && fate != ALONE);
            let mut kernels = self.kernels.iter().filter_map(|(_, kernel)| of(kernel));
            if !kernels.any(shown) {
                complaints.push(format!("case {number} was shown on no kernel"));
            }
        }
        complaints
    }

    /// What is played at several commits although nobody asked for a part alone.
    fn mixed(&self, in_parts: bool) -> Option<String> {
        (!in_parts && !self.commits.are_one()).then(|| {
            format!(
                "the results are not of one commit: {}\n\
                 help: play all anew, or those stages with --only, those tests with --test, \
                 which the report tells then",
                self.commits.tell()
            )
        })
    }

    fn document(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        let kernels: Vec<_> = self.kernels.iter().map(|(_, kernel)| kernel).collect();
        let rows: usize = self.fates.values().flat_map(BTreeMap::values).sum();
        let _ = writeln!(
            text,
            "\n{} cases, {rows} rows in all, on Linux {}.",
            self.cases.len(),
            kernels
                .iter()
                .map(|kernel| kernel.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
        let _ = writeln!(text, "\nPlayed at {}.", self.commits.tell());
        let mut letter = "";
        for (number, case) in &self.cases {
            if case.letter != letter {
                letter = &case.letter;
                let _ = write!(text, "\n## {letter}\n\n| case | what |");
                for kernel in &kernels {
                    let _ = write!(text, " {kernel} |");
                }
                let _ = write!(
                    text,
                    " tests |\n|---|---|{}---|\n",
                    "---|".repeat(kernels.len())
                );
            }
            let _ = write!(text, "| {number} | {} |", case.what);
            for kernel in &kernels {
                let fates = self.fates.get(&(*number, (*kernel).clone()));
                let _ = write!(text, " {} |", fates.map_or("-".to_owned(), cell));
            }
            let tests = self.tests.get(number);
            let tests: Vec<_> = tests
                .into_iter()
                .flatten()
                .map(|t| format!("`{t}`"))
                .collect();
            let _ = writeln!(text, " {} |", tests.join(", "));
        }
        text.push_str("\n## What may differ, and why\n\n");
        for (what, why) in &self.allowed {
            let _ = writeln!(text, "* {what}: {why}.");
        }
        text.push_str("\n## Where the list and the kernel disagree\n\n");
        for (number, case) in &self.cases {
            if !case.note.is_empty() {
                let _ = writeln!(text, "* {number}, {}: {}.", case.what, case.note);
            }
        }
        text
    }
}

/// `XDP 12, kernel 3`
fn cell(fates: &Fates) -> String {
    let names = [
        ("differs", "**differs**"),
        ("xdp", "XDP"),
        ("kernel", "kernel"),
        ("not", "not"),
        ("up", "up"),
        ("unasked", "unasked"),
        (ALONE, "alone"),
        (SKIPPED, "lacking"),
    ];
    let cells = names.iter().filter_map(|(fate, name)| {
        let rows = fates.get(*fate)?;
        Some(format!("{name} {rows}"))
    });
    cells.collect::<Vec<_>>().join(", ")
}

const INTRODUCTION: &str = "\
# Conformance

Made by `cargo xtask test --conformance`; do not edit.

Every row was played with XDP and without, and what came out was compared
(tests/src/oracle.rs says how), or run through the program alone and compared
with the kernel (tests/src/prog.rs). The numbers are rows:

* **XDP**: XDP forwarded it, as the kernel does
* **kernel**: XDP passed it up, and the kernel forwarded it
* **not**: nobody forwarded it; an answer, if any, is the kernel's
* **up**: XDP passed it up, untouched; the kernel was not asked
* **unasked**: XDP forwarded it, with the bytes that etherparse builds; the
  kernel was not asked (maps or frames that this kernel could not have had)
* **alone**: the program alone, with maps as no daemon fills them, forwarded what
  the kernel drops or answers, or elsewhere than the kernel. The daemon keeps
  this from happening: the same frame under its maps is another row of the case.
  These rows tell when a kernel changes its mind
* **lacking**: this kernel has not what the case is about
* **differs**: with XDP something else came out than without
";

/// Writes the report of all that is kept, and judges it. `in_parts`: some stages
/// or tests alone were asked for.
pub(super) fn report(in_parts: bool) -> Result<Row> {
    let mut results = Results::default();
    let directory = directory();
    let entries = fs::read_dir(&directory)
        .with_context(|| format!("no stage has left results in {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            let text = fs::read_to_string(&path);
            results.read(&text.with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    let path = document();
    let Some(parent) = path.parent() else {
        bail!("{} is in no directory", path.display());
    };
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let document = results.document();
    fs::write(&path, &document).with_context(|| format!("cannot write {}", path.display()))?;
    step::note(&format!("wrote {}", path.display()));
    let mut complaints = results.complaints();
    complaints.extend(results.mixed(in_parts));
    let gone = Shown::committed().gone(&Shown::read(&document));
    if env::var_os(ACCEPT).is_some_and(|value| value == "1") {
        for line in gone {
            step::note(&format!("accepted: {line}"));
        }
    } else {
        let help = format!(
            "the committed report shows it\nhelp: accept it by {ACCEPT}=1, and commit the report"
        );
        complaints.extend(gone.iter().map(|line| format!("{line}: {help}")));
    }
    for complaint in &complaints {
        eprintln!("FAILED conformance: {complaint}");
    }
    Ok(Row {
        passed: results.cases.len().saturating_sub(complaints.len()),
        failed: complaints.len(),
        ..Row::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(texts: &[&str]) -> Results {
        let mut results = Results::default();
        for text in texts {
            results.read(text);
        }
        results
    }

    const LIST: &str = "6.1\n\
        CONFORMANCE-CASE\t1\tA\tA to B\t\n\
        CONFORMANCE-CASE\t27\tB\tTTL 0\tthe kernel answers it\n\
        CONFORMANCE-ALLOWED\torder\ttwo ways\n\
        CONFORMANCE\t1\txdp\tprog_a::pairs\t12\n\
        CONFORMANCE\t1\txdp\tnet_oracle::pairs\t3\n\
        CONFORMANCE\t27\tnot\tprog_b::ttl\t2\n";

    #[test]
    fn rows_are_summed_by_kernel() {
        let results = results(&[LIST, "6.12\nCONFORMANCE\t1\txdp\tprog_a::pairs\t12\n"]);
        let document = results.document();
        assert!(
            document.contains(
                "| 1 | A to B | XDP 15 | XDP 12 | `net_oracle::pairs`, `prog_a::pairs` |"
            ),
            "{document}"
        );
        assert!(
            document.contains("| 27 | TTL 0 | not 2 | - |"),
            "{document}"
        );
        assert!(
            document.contains("* 27, TTL 0: the kernel answers it."),
            "{document}"
        );
        assert!(document.contains("* order: two ways.\n"), "{document}");
    }

    #[test]
    fn a_case_without_a_test_and_one_that_differs_are_complaints() {
        assert_eq!(results(&[LIST]).complaints(), [""; 0]);
        let other = "6.12\nCONFORMANCE\t1\tdiffers\tprog_a::pairs\t1\n";
        assert_eq!(
            results(&[LIST, other]).complaints(),
            ["case 1 differs on 6.12", "case 27 has no test on 6.12"]
        );
        let skipped = "6.12\nCONFORMANCE-CASE\t95\tF\tVRF\t\nCONFORMANCE\t95\tskipped\tx\t1\n";
        assert_eq!(
            results(&[skipped]).complaints(),
            ["case 95 was shown on no kernel"]
        );
        let alone = skipped.replace("skipped", "alone");
        assert_eq!(
            results(&[&alone]).complaints(),
            ["case 95 was shown on no kernel"]
        );
        assert_eq!(
            results(&[]).complaints(),
            ["no run has told the list of cases"]
        );
    }

    #[test]
    fn kernels_are_in_order_of_their_numbers() {
        let results = results(&["6.12\n", "6.1\n", "6.2\n"]);
        let kernels: Vec<_> = results.kernels.iter().map(|(_, kernel)| kernel).collect();
        assert_eq!(kernels, ["6.1", "6.2", "6.12"]);
        assert_eq!(short("6.12.90+deb13-amd64"), "6.12");
    }

    #[test]
    fn a_part_that_is_played_anew_replaces_its_own_rows() {
        let anew = ["CONFORMANCE\t95\tkernel\tnet_oracle::vrf::vrf\t2"];
        assert!(!stays(
            "CONFORMANCE\t95\tnot\tnet_oracle::vrf::vrf\t2",
            &anew
        ));
        assert!(stays(
            "CONFORMANCE\t1\txdp\tnet_oracle::plain::vrf\t2",
            &anew
        ));
        assert!(stays("CONFORMANCE\t95\txdp\tprog_f_fib::vrf\t1", &anew));
        let case = "CONFORMANCE-CASE\t1\tA\tA to B\t";
        assert!(stays(case, &anew) && !stays(case, &[case]));
        // Its commit, too.
        assert!(!stays("CONFORMANCE-COMMIT\tabc\tnet_oracle::vrf", &anew));
        assert!(stays("CONFORMANCE-COMMIT\tabc\tnet_oracle::plain", &anew));
        assert!(stays("CONFORMANCE-COMMIT\tabc\t", &anew));
    }

    #[test]
    fn results_of_several_commits_are_told_or_refused() {
        let of = |kernel: &str, commit: &str| format!("{kernel}\n{COMMIT}{commit}\t\n");
        let one = results(&[&of("6.1", "abc"), &of("6.12", "abc")]);
        assert_eq!(one.mixed(false), None);
        assert!(
            one.document()
                .contains("Played at abc (Linux 6.1, Linux 6.12).")
        );
        let two = results(&[&of("6.1", "abc"), &of("6.12", "def")]);
        assert!(
            two.mixed(false)
                .is_some_and(|told| told.contains("def (Linux 6.12)"))
        );
        assert_eq!(two.mixed(true), None);
        assert!(
            two.document()
                .contains("abc (Linux 6.1); def (Linux 6.12).")
        );
    }
}
