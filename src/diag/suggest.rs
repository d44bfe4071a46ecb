//! "Did you mean …?"

/// The candidate that `word` is probably a slip of.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = match word.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        length => length / 3,
    };
    let (distance, candidate) = least_distant(word, candidates)?;
    (distance <= bound).then_some(candidate)
}

/// The candidate that is most like `word`, however little.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    least_distant(word, candidates).map(|(_, candidate)| candidate)
}

fn least_distant<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
}
