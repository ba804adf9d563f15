//! A deliberate bug: a patch for `git apply`, and above it in plain words what
//! is wrong and which tests must see it.
//!
//! ```text
//! What is wrong, in as many lines as it takes.
//!
//! Caught by prog_b_ipv4::time_to_live: case 24: 64 to 63
//! Caught by model::random_packets_meet_the_model: smallest: otherwise
//!
//! diff --git a/... b/...
//! ```
//!
//! Behind the test stands a line that it prints when it fails, whole: so it
//! failed of this bug and not of something else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// How a line begins that names a test.
const CAUGHT_BY: &str = "Caught by ";

/// What git writes above each file's changes.
const DIFF: &str = "\ndiff --git ";

/// One test, and what it says of the bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// As in tests/NAME.rs.
    pub(super) program: String,
    pub(super) name: String,
    /// A whole line of what it prints when it fails.
    pub(super) says: String,
}

impl Test {
    /// `PROGRAM::TEST`
    pub(super) fn path(&self) -> String {
        format!("{}::{}", self.program, self.name)
    }

    fn read(line: &str) -> Option<Self> {
        let (path, says) = line.split_once(": ")?;
        let (program, name) = path.split_once("::")?;
        let test = Self {
            program: program.to_owned(),
            name: name.to_owned(),
            says: says.trim().to_owned(),
        };
        let words = [&test.program, &test.name, &test.says];
        words.iter().all(|word| !word.is_empty()).then_some(test)
    }
}

/// A deliberate bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bug {
    /// The file's name, without `.patch`.
    pub(super) name: String,
    pub(super) patch: PathBuf,
    /// What is wrong, in one line.
    pub(super) what: String,
    /// Each of them must see it.
    pub(super) tests: Vec<Test>,
}

/// All bugs of a folder, by name.
pub(super) fn all(folder: &Path) -> Result<Vec<Bug>> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut bugs = Vec::new();
    for file in files {
        let path = file.context("cannot read a folder's entry")?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            bail!("{} is no NAME.patch", path.display());
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bug = parse(&path, &text).with_context(|| format!("in {}", path.display()))?;
        bugs.push(bug);
    }
    ensure!(!bugs.is_empty(), "{} holds no bug", folder.display());
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(path: &Path, text: &str) -> Result<Bug> {
    let (head, _) = text
        .split_once(DIFF)
        .context("it holds no \"diff --git\"")?;
    let (mut what, mut tests) = (Vec::new(), Vec::new());
    for line in head.lines().map(str::trim) {
        if let Some(test) = line.strip_prefix(CAUGHT_BY) {
            let test = Test::read(test).with_context(|| {
                format!("\"{line}\" is not \"{CAUGHT_BY}PROGRAM::TEST: A LINE THAT IT PRINTS\"")
            })?;
            tests.push(test);
        } else if !line.is_empty() {
            ensure!(tests.is_empty(), "\"{line}\" stands below the tests");
            what.push(line);
        }
    }
    ensure!(!what.is_empty(), "nothing says what is wrong");
    ensure!(!tests.is_empty(), "no \"{CAUGHT_BY}\" names a test");
    let name = path.file_stem().context("it has no name")?;
    Ok(Bug {
        name: name.to_string_lossy().into_owned(),
        patch: path.to_path_buf(),
        what: what.join(" "),
        tests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
The TTL stays,
for ever.

Caught by prog_b_ipv4::time_to_live: case 24: 64 to 63
Caught by model::packets: smallest: otherwise

diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1 +1 @@
-Caught by day
+Caught by night
";

    fn read(text: &str) -> Result<Bug> {
        parse(Path::new("bugs/ttl.patch"), text)
    }

    #[test]
    fn the_head_says_what_is_wrong_and_who_sees_it() {
        let test = |program: &str, name: &str, says: &str| Test {
            program: program.to_owned(),
            name: name.to_owned(),
            says: says.to_owned(),
        };
        let bug = Bug {
            name: "ttl".to_owned(),
            patch: "bugs/ttl.patch".into(),
            what: "The TTL stays, for ever.".to_owned(),
            tests: vec![
                test("prog_b_ipv4", "time_to_live", "case 24: 64 to 63"),
                test("model", "packets", "smallest: otherwise"),
            ],
        };
        assert_eq!(read(PATCH).unwrap(), bug);
        assert_eq!(bug.tests[0].path(), "prog_b_ipv4::time_to_live");
    }

    #[test]
    fn a_head_that_lacks_something_is_refused() {
        for (text, complaint) in [
            (
                PATCH.replace("The TTL stays,\nfor ever.", ""),
                "what is wrong",
            ),
            (
                PATCH.replace("Caught by model", "Seen by model"),
                "stands below",
            ),
            (PATCH.replace("Caught by ", "Seen by "), "names a test"),
            (PATCH.replace("::time_to_live", ""), "is not"),
            (
                PATCH.replace("time_to_live: case 24: 64 to 63", "time_to_live"),
                "is not",
            ),
            (PATCH.replace("case 24: 64 to 63", ""), "is not"),
            (PATCH.replace("diff --git", "diff"), "it holds no"),
        ] {
            let error = read(&text).expect_err(&text).to_string();
            assert!(error.contains(complaint), "{error}\n{text}");
        }
    }
}
