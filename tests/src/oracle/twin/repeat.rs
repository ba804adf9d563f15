//! What differs only when frames go in together.
//!
//! A batch that differs is played one by one, to name the frame. Where no frame
//! differs alone, the fault is one of order, state or time: it is told all the
//! same, and the batch is played once more to say which. There is no number of
//! these that is allowed.

/// What to tell of a batch of which no frame differs alone: how it differed
/// `first`, and how it did when it was played once more (empty: it did not).
#[must_use]
pub fn only_together(first: &[String], again: &[String]) -> Vec<String> {
    let (how, lines) = if again.is_empty() {
        ("together, once; not when they were played again", first)
    } else {
        ("together, twice", again)
    };
    let told = lines.iter().cloned();
    std::iter::once(format!("no frame differs alone, but {how}:"))
        .chain(told)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_either_case() {
        let line = |text: &str| vec![text.to_owned()];
        let twice = only_together(&line("a"), &line("b"));
        assert!(twice[0].contains("twice") && twice[1] == "b", "{twice:?}");
        let once = only_together(&line("a"), &[]);
        assert!(once[0].contains("once") && once[1] == "a", "{once:?}");
    }
}
