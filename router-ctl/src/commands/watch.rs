//! `--watch`: the same listing again and again.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    time::Duration,
};

use tokio::time::sleep;

use super::globals::Globals;
use crate::{error::Error, output};

/// Home, and clear to the end: without flicker, unlike clearing all.
const TOP_OF_SCREEN: &str = "\x1b[H\x1b[J";

/// Shortest interval: less is load, not news.
const SHORTEST: f64 = 0.1;

/// Runs `show` once, or with `--watch` until it fails or is interrupted.
pub(super) async fn repeat(
    globals: &Globals,
    mut show: impl AsyncFnMut() -> Result<String, Error>,
) -> Result<(), Error> {
    let screen = !globals.format().json && io::stdout().is_terminal();
    let mut first = true;
    loop {
        let text = show().await?;
        match globals.watch {
            None => return output::print(&text),
            Some(_) if screen => output::print(&format!("{TOP_OF_SCREEN}{text}"))?,
            Some(_) if first || globals.format().json => output::print(&text)?,
            // Between the blocks of a stream for people.
            Some(_) => output::print(&format!("\n{text}"))?,
        }
        first = false;
        sleep(globals.watch.unwrap_or_default()).await;
    }
}

/// Seconds, as users give them.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "seconds, as in 1 or 0.5".to_owned())?;
    if !(SHORTEST..=86_400.0).contains(&seconds) {
        return Err(format!("{SHORTEST} to 86400 seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `--watch 2` -> `--watch=2`. The value may be left out, so clap must not
/// take the next word for it; where that is a number, though, it is meant.
pub(super) fn join_interval(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for word in words {
        let number = word
            .to_str()
            .is_some_and(|text| text.parse::<f64>().is_ok());
        match joined.last_mut() {
            Some(last) if number && last == "--watch" => {
                last.push("=");
                last.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_may_stand_apart() {
        let join = |text: &str| {
            let words = join_interval(text.split(' ').map(OsString::from));
            words
                .iter()
                .map(|word| word.to_str().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(join("stats --watch 2 -j"), "stats --watch=2 -j");
        assert_eq!(join("--watch stats"), "--watch stats");
        assert_eq!(
            join("routes --watch get 10.0.0.1"),
            "routes --watch get 10.0.0.1"
        );
    }

    #[test]
    fn intervals_are_bounded() {
        assert_eq!(interval("0.5").unwrap(), Duration::from_millis(500));
        for text in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
