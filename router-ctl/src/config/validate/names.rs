//! Names of interfaces and networks.

use toml::Spanned;

use super::{Diagnostics, Draft};
use crate::codes;

/// IFNAMSIZ without its NUL.
pub(super) const INTERFACE_LENGTH: usize = 15;
/// Longest network name: a column of a table, a label of a metric.
const NETWORK_LENGTH: usize = 63;

/// Whether the kernel takes it as the name of an interface (`dev_valid_name`),
/// and people can mean it as one.
pub(super) fn interface(name: &Spanned<String>, wrong: &mut Diagnostics) -> bool {
    let text = name.get_ref().as_str();
    let label = match text {
        "" => "empty".to_owned(),
        // sysctl's own folders, or the loopback: never a NIC.
        "." | ".." | "all" | "default" | "lo" => "cannot be a NIC".to_owned(),
        _ => match text.chars().find(|c| !interface_char(*c)) {
            Some(c) => format!("{c:?} cannot be in an interface's name"),
            None if text.len() > INTERFACE_LENGTH => {
                format!("{} characters, {INTERFACE_LENGTH} at most", text.len())
            }
            None => return true,
        },
    };
    wrong.push(
        Draft::new(
            codes::BAD_NAME,
            format!("\"{text}\" is not the name of an interface"),
        )
        .at(name.span(), label)
        .help("`ip -br link` lists the names"),
    );
    false
}

/// `%` makes the kernel count names up; `:` is an alias label.
fn interface_char(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%')
}

/// Whether it can be the name of a network.
pub(super) fn network(name: &Spanned<String>, wrong: &mut Diagnostics) -> bool {
    let text = name.get_ref().as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let label = match text.chars().find(|c| !fits(*c)) {
        Some(c) => format!("{c:?} cannot be in a network's name"),
        None if text.is_empty() => "empty".to_owned(),
        None if text.len() > NETWORK_LENGTH => {
            format!("{} characters, {NETWORK_LENGTH} at most", text.len())
        }
        // It would be taken for an option.
        None if text.starts_with('-') => "begins with `-`".to_owned(),
        None => return true,
    };
    wrong.push(
        Draft::new(
            codes::BAD_NAME,
            format!("\"{text}\" cannot be the name of a network"),
        )
        .at(name.span(), label)
        .help("letters, digits, `_`, `.` and `-`"),
    );
    false
}
