//! "Did you mean": the known word that is nearest to an unknown one.

/// The candidate nearest to `word`, if it is near enough to be a slip.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // One slip in three characters; two letters swapped count as one.
    let reach = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let words = ["interface", "vlan", "gateway", "pcp"];
        assert_eq!(nearest("gatway", words), Some("gateway"));
        assert_eq!(nearest("valn", words), Some("vlan"));
        assert_eq!(nearest("color", words), None);
        assert_eq!(nearest("x", words), None);
    }
}
