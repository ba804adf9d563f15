//! What could stand in place of the last word. Pure: live names are handed in.

use clap::{Arg, ArgAction, Command};

use crate::codes;

/// A word that could stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) value: String,
    /// A few words; may be empty.
    pub(super) about: String,
}

/// Names that only the running system knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    Networks,
    Interfaces,
    Instances,
}

/// The names asked for.
pub(super) type Given = Vec<Candidate>;

/// Which daemon the words before are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Daemon {
    pub(super) instance: Option<String>,
    pub(super) socket: Option<String>,
}

/// What the shell is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Words(Vec<Candidate>),
    Files,
    Directories,
}

/// What is asked for, and what of it must be asked of the running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) live: Option<Live>,
    pub(super) given: Daemon,
    known: Answer,
    /// What is there already of the word.
    begun: String,
    /// What of it stays: `--instance=`.
    kept: String,
}

impl Asked {
    /// The candidates, with the names that `live` asked for.
    pub(super) fn answer(self, given: Given) -> Answer {
        let Answer::Words(mut words) = self.known else {
            return self.known;
        };
        words.extend(given);
        words.retain(|candidate| candidate.value.starts_with(&self.begun));
        for candidate in &mut words {
            candidate.value.insert_str(0, &self.kept);
        }
        Answer::Words(words)
    }
}

/// What there is for the value of an argument.
enum Values {
    Words(Vec<Candidate>),
    Live(Live),
    Files,
    Directories,
}

/// Reads the words as clap would, as far as they go.
pub(super) fn ask(root: &Command, words: &[String]) -> Asked {
    let empty = String::new();
    let (last, before) = words.split_last().map_or((&empty, words), |(l, b)| (l, b));
    let mut at = Place {
        command: root,
        operands: Vec::new(),
        pending: None,
        only_operands: false,
        daemon: Daemon::default(),
    };
    for word in before {
        at.step(word);
    }
    at.last(last)
}

/// Where in the command line.
struct Place<'c> {
    command: &'c Command,
    /// Words that are neither commands nor options.
    operands: Vec<&'c str>,
    /// The option whose value comes next.
    pending: Option<&'c Arg>,
    /// Behind `--`.
    only_operands: bool,
    daemon: Daemon,
}

impl<'c> Place<'c> {
    fn step(&mut self, word: &'c str) {
        if let Some(option) = self.pending.take() {
            self.value(option, word);
        } else if self.only_operands {
            self.operands.push(word);
        } else if word == "--" {
            self.only_operands = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(n, v)| (n, Some(v)));
            let Some(option) = self.long(name) else {
                return;
            };
            match value {
                Some(value) => self.value(option, value),
                None if takes_next(option) => self.pending = Some(option),
                None => {}
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
            self.pending = letters
                .chars()
                .last()
                .and_then(|letter| self.short(letter))
                .filter(|option| takes_next(option));
        } else if let Some(below) = self.below(word) {
            self.command = below;
        } else {
            self.operands.push(word);
        }
    }

    fn last(self, word: &str) -> Asked {
        if let Some(option) = self.pending {
            return self.asked(values(option), word, "");
        }
        if !self.only_operands {
            if let Some((name, value)) = word.strip_prefix("--").and_then(|w| w.split_once('=')) {
                let found = self.long(name).map_or_else(none, values);
                return self.asked(found, value, &format!("--{name}="));
            }
            if word.starts_with('-') {
                let found = Values::Words(self.options(word));
                return self.asked(found, word, "");
            }
            if self.operands.is_empty() && self.command.has_subcommands() {
                let found = Values::Words(self.commands());
                return self.asked(found, word, "");
            }
        }
        let found = self.operand();
        self.asked(found, word, "")
    }

    fn asked(self, values: Values, begun: &str, kept: &str) -> Asked {
        let (live, known) = match values {
            Values::Words(words) => (None, Answer::Words(words)),
            Values::Live(live) => (Some(live), Answer::Words(Vec::new())),
            Values::Files => (None, Answer::Files),
            Values::Directories => (None, Answer::Directories),
        };
        Asked {
            live,
            given: self.daemon,
            known,
            begun: begun.to_owned(),
            kept: kept.to_owned(),
        }
    }

    fn value(&mut self, option: &Arg, value: &str) {
        match option.get_id().as_str() {
            "instance" => self.daemon.instance = Some(value.to_owned()),
            "socket" => self.daemon.socket = Some(value.to_owned()),
            _ => {}
        }
    }

    fn arguments(&self) -> impl Iterator<Item = &'c Arg> {
        self.command.get_arguments()
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        self.arguments().find(|arg| arg.get_long() == Some(name))
    }

    fn short(&self, letter: char) -> Option<&'c Arg> {
        self.arguments().find(|arg| arg.get_short() == Some(letter))
    }

    /// The command or verb of that name, alias or clear beginning.
    fn below(&self, word: &str) -> Option<&'c Command> {
        if !self.operands.is_empty() {
            return None;
        }
        let mut begun = self.command.get_subcommands().filter(|sub| {
            sub.get_name_and_visible_aliases()
                .iter()
                .any(|name| name.starts_with(word))
        });
        let exact = self.command.find_subcommand(word);
        exact.or_else(|| begun.next().filter(|_| begun.next().is_none()))
    }

    fn commands(&self) -> Vec<Candidate> {
        let visible = self
            .command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set());
        visible
            .map(|sub| Candidate {
                value: sub.get_name().to_owned(),
                about: sub.get_about().map(ToString::to_string).unwrap_or_default(),
            })
            .collect()
    }

    fn options(&self, begun: &str) -> Vec<Candidate> {
        let mut options = Vec::new();
        for arg in self.arguments().filter(|arg| !arg.is_hide_set()) {
            let about = || arg.get_help().map(ToString::to_string).unwrap_or_default();
            // The long ones say what they are; short ones where only `-` is there.
            if let Some(letter) = arg.get_short().filter(|_| begun == "-" || begun.len() == 2) {
                options.push(Candidate {
                    value: format!("-{letter}"),
                    about: about(),
                });
            }
            if let Some(long) = arg.get_long() {
                options.push(Candidate {
                    value: format!("--{long}"),
                    about: about(),
                });
            }
        }
        options
    }

    /// A word that is not an option.
    fn operand(&self) -> Values {
        let mut places = self.command.get_positionals();
        let at = self.operands.len();
        let arg = places.nth(at).or_else(|| {
            let last = self.command.get_positionals().last();
            last.filter(|arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1))
        });
        match arg {
            Some(arg) if is_called(arg, "ROUTE") => route(&self.operands),
            Some(arg) if is_called(arg, "ROUTES") => routes(&self.operands),
            Some(arg) if is_called(arg, "NEIGHBOURS") => neighbours(&self.operands),
            Some(arg) if is_called(arg, "IP") => match self.operands.as_slice() {
                [_] => Values::Words(vec![word("from", "where the packet comes from")]),
                _ => none(),
            },
            Some(arg) => values(arg),
            None => none(),
        }
    }
}

/// `--watch` wants its value behind `=`.
fn takes_next(option: &Arg) -> bool {
    let takes = matches!(option.get_action(), ArgAction::Set | ArgAction::Append);
    takes && !option.is_require_equals_set()
}

fn is_called(arg: &Arg, name: &str) -> bool {
    arg.get_value_names()
        .is_some_and(|names| names.iter().any(|own| own.as_str() == name))
}

fn word(value: &str, about: &str) -> Candidate {
    Candidate {
        value: value.to_owned(),
        about: about.to_owned(),
    }
}

fn none() -> Values {
    Values::Words(Vec::new())
}

/// By the possible values, or by what the argument's value is called.
fn values(arg: &Arg) -> Values {
    let possible = arg.get_possible_values();
    if !possible.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue) {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        return Values::Words(
            shown
                .map(|value| Candidate {
                    value: value.get_name().to_owned(),
                    about: value
                        .get_help()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                })
                .collect(),
        );
    }
    let is = |name| is_called(arg, name);
    if arg.get_id() == "instance" {
        Values::Live(Live::Instances)
    } else if is("FILE") || is("PATH") {
        Values::Files
    } else if is("DIR") {
        Values::Directories
    } else if is("INTERFACE") {
        Values::Live(Live::Interfaces)
    } else if is("NETWORK") && arg.is_positional() {
        Values::Live(Live::Networks)
    } else if is("CODE") {
        Values::Words(
            codes::all()
                .map(|code| word(code.code, code.meaning().lines().next().unwrap_or_default()))
                .collect(),
        )
    } else if is("MODE") {
        Values::Words(vec![
            word("native", "in the driver"),
            word("generic", "on any device, slower"),
            word("auto", "native where it can be had"),
            word("off", "the kernel forwards alone"),
        ])
    } else {
        none()
    }
}

/// Words of a route: `PREFIX via IP [dev NETWORK] [metric N] [src IP]`.
fn route(before: &[&str]) -> Values {
    const KEYS: [(&str, &str); 4] = [
        ("via", "next hop"),
        ("dev", "network it leaves by"),
        ("metric", "lower is better"),
        ("src", "source address of the router's own packets"),
    ];
    match before.last() {
        None => Values::Words(vec![word("default", "every destination")]),
        Some(&"dev") => Values::Live(Live::Networks),
        Some(key) if KEYS.iter().any(|(name, _)| name == key) => none(),
        Some(_) => {
            let rest = KEYS.iter().filter(|(name, _)| !before.contains(name));
            Values::Words(rest.map(|(name, about)| word(name, about)).collect())
        }
    }
}

/// Words of `routes list` and `flush`: `[PREFIX] [via IP] [dev NETWORK] [proto NAME]`.
fn routes(before: &[&str]) -> Values {
    const KEYS: [(&str, &str); 3] = [
        ("dev", "network that they leave by"),
        ("via", "next hop"),
        ("proto", "who made them"),
    ];
    match before.last() {
        Some(&"dev") => Values::Live(Live::Networks),
        Some(&("via" | "proto" | "protocol" | "to")) => none(),
        _ => {
            let rest = KEYS.iter().filter(|(name, _)| !before.contains(name));
            Values::Words(rest.map(|(name, about)| word(name, about)).collect())
        }
    }
}

/// Words of `neigh`: `[list] [[dev] NETWORK] [nud STATE]`.
fn neighbours(before: &[&str]) -> Values {
    const STATES: [&str; 7] = [
        "reachable",
        "stale",
        "delay",
        "probe",
        "failed",
        "incomplete",
        "permanent",
    ];
    match before.last() {
        Some(&"nud") => Values::Words(STATES.iter().map(|state| word(state, "")).collect()),
        None | Some(&("dev" | "list" | "ls" | "show")) => Values::Live(Live::Networks),
        Some(_) if before.contains(&"nud") => none(),
        Some(_) => Values::Words(vec![word("nud", "by state")]),
    }
}

/// bash breaks words at `=` and `:`. Puts them together again; the second is
/// what stands before the last break of the last word.
pub(super) fn join_breaks(words: &[String]) -> (Vec<String>, String) {
    let is_break = |word: &String| !word.is_empty() && word.chars().all(|c| c == '=' || c == ':');
    let mut joined: Vec<String> = Vec::new();
    let mut glued = String::new();
    let mut glue = false;
    for word in words {
        let breaks = is_break(word);
        match joined.last_mut() {
            Some(last) if glue || breaks => {
                if !breaks {
                    glued.clone_from(last);
                }
                last.push_str(word);
                if breaks {
                    glued.clone_from(last);
                }
            }
            _ => {
                joined.push(word.clone());
                glued.clear();
            }
        }
        glue = breaks;
    }
    (joined, glued)
}
