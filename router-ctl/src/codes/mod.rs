//! Every error code that users can meet, once, with what `router-ctl explain`
//! says of it.
//!
//! | range | who | where |
//! |---|---|---|
//! | RC00xx | the command line | `command_line` |
//! | RC01xx | the configuration | `configuration` |
//! | RC02xx | talking to the daemon: socket, permission, requests | `talking` |
//! | RC03xx | the kernel's network configuration: netlink, sysctl, offloads | `kernel` |
//! | RC04xx | the XDP program, its maps and pins | `program` |
//! | RC05xx | journal and take-down | `journal` |
//!
//! A code's doc comment is its explanation: what it means, then `Causes:` and
//! `Mend:` as lists. A test demands all three.
//!
//! Invariant: a number keeps its meaning; a retired one is never used again
//! (people search for them).

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)*) => {
        $(
            $(#[doc = $doc])+
            pub const $name: &str = $code;
        )*

        /// This file's codes, in order.
        pub(super) const ALL: &[super::Code] = &[$(super::Code {
            code: $code,
            doc: concat!($($doc, "\n"),+),
        }),*];
    };
}

mod command_line;
mod configuration;
mod journal;
mod kernel;
mod program;
mod talking;

pub use self::{command_line::*, configuration::*, journal::*, kernel::*, program::*, talking::*};

/// A code and its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `RC` and four digits.
    pub code: &'static str,
    /// The doc comment, a space before each line.
    doc: &'static str,
}

impl Code {
    /// What it means: one or two lines.
    #[must_use]
    pub fn meaning(&self) -> String {
        let lines = self.text();
        let meaning: Vec<&str> = lines.lines().take_while(|line| !line.is_empty()).collect();
        meaning.join("\n")
    }

    /// The whole explanation, as it is written below.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.doc.lines();
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        lines.join("\n")
    }
}

/// Every code, in order.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [
        command_line::ALL,
        configuration::ALL,
        talking::ALL,
        kernel::ALL,
        program::ALL,
        journal::ALL,
    ]
    .into_iter()
    .flatten()
}

/// The code that a user means: `RC0107`, `rc107` or `107`.
#[must_use]
pub fn find(word: &str) -> Option<&'static Code> {
    let digits = match word.get(..2) {
        Some(letters) if letters.eq_ignore_ascii_case("rc") => &word[2..],
        _ => word,
    };
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let wanted = format!("RC{digits:0>4}");
    all().find(|code| code.code == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_well_formed_and_in_order() {
        let codes: Vec<&str> = all().map(|code| code.code).collect();
        for code in &codes {
            let digits = code.strip_prefix("RC").unwrap();
            assert!(
                digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()),
                "{code}"
            );
        }
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn every_code_is_explained() {
        for code in all() {
            let text = code.text();
            let (meaning, rest) = text
                .split_once("\n\n")
                .unwrap_or_else(|| panic!("{}: more than its meaning, please", code.code));
            assert!(meaning.ends_with(['.', ':']), "{}: {meaning}", code.code);
            let (causes, mend) = rest
                .split_once("\n\nMend:\n")
                .unwrap_or_else(|| panic!("{}: `Mend:` is missing", code.code));
            let (_, causes) = causes
                .split_once("Causes:\n")
                .unwrap_or_else(|| panic!("{}: `Causes:` is missing", code.code));
            for list in [causes, mend] {
                assert!(
                    list.starts_with("- ") && list.len() > 20,
                    "{}: {list}",
                    code.code
                );
            }
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{}: a line is longer than a terminal is wide",
                code.code
            );
        }
    }

    #[test]
    fn codes_are_found_as_people_write_them() {
        for word in ["RC0107", "rc0107", "Rc107", "107", "0107"] {
            assert_eq!(find(word).map(|code| code.code), Some("RC0107"), "{word}");
        }
        for word in ["", "RC", "RC9999", "10 7", "RC01070", "x", "é107", "-107"] {
            assert_eq!(find(word), None, "{word}");
        }
    }
}
