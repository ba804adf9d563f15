//! `router-ctl explain CODE`

use std::{fmt::Write as _, process::ExitCode};

use super::globals::Globals;
use crate::{
    api::model::Explanation,
    codes::{self, Code},
    error::{Error, Kind},
    output::{self, BOLD, Format, table},
};

const EXAMPLES: &str = "\
Examples:
  router-ctl explain RC0107            also rc107, or 107
  router-ctl explain                   every code, one line each";

/// Explain an error code: what it means, its usual causes, how to mend it
///
/// Without CODE: every code there is.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// RC0107, rc107 or 107
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<ExitCode, Error> {
    let format = globals.format();
    let text = match &args.code {
        Some(word) => one(find(word)?, format)?,
        None => every(format)?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn find(word: &str) -> Result<&'static Code, Error> {
    codes::find(word).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            codes::CODE_UNKNOWN,
            format!("there is no error code {word}"),
        )
        .help("`router-ctl explain` lists all of them")
    })
}

fn explanation(code: &Code) -> Explanation {
    Explanation {
        code: code.code.to_owned(),
        meaning: code.meaning().replace('\n', " "),
        text: code.text().trim_end().to_owned(),
    }
}

fn one(code: &Code, format: Format) -> Result<String, Error> {
    let explanation = explanation(code);
    if format.json {
        return format.json(&explanation);
    }
    if format.oneline {
        return Ok(format!("{} {}", explanation.code, explanation.meaning));
    }
    let mut text = format!("{BOLD}{}{BOLD:#}: ", explanation.code);
    for (i, line) in explanation.text.lines().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        // Writing into a string does not fail.
        let _ = match line {
            "Causes:" | "Mend:" => write!(text, "{BOLD}{line}{BOLD:#}"),
            _ => write!(text, "{line}"),
        };
    }
    Ok(text)
}

fn every(format: Format) -> Result<String, Error> {
    let all = codes::all().map(explanation);
    if format.json {
        return format.json(&all.collect::<Vec<_>>());
    }
    if format.oneline {
        let lines: Vec<String> = all.map(|e| format!("{} {}", e.code, e.meaning)).collect();
        return Ok(lines.join("\n"));
    }
    let rows = all.map(|e| vec![e.code, e.meaning]).collect();
    Ok(table(&["CODE", "MEANING"], rows, format))
}
