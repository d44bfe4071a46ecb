//! "Did you mean …?"

/// The candidate that `word` is probably a slip of. Upper and lower case count only between candidates that are equally near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = match word.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        length => length / 3,
    };
    let ((distance, _), candidate) = least_distant(word, candidates)?;
    (distance <= bound).then_some(candidate)
}

/// The candidate that is most like `word`, however little.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    least_distant(word, candidates).map(|(_, candidate)| candidate)
}

fn least_distant<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<((usize, usize), &'a str)> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let without_case = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            let exact = strsim::damerau_levenshtein(word, candidate);
            ((without_case, exact), candidate)
        })
        .min()
}

#[cfg(test)]
mod tests {
    use crate::diag::nearest;

    #[test]
    fn case_counts_less_than_letters() {
        let algorithms = ["HS256", "RS256", "ES256", "EdDSA"];
        for (word, meant) in [
            ("rs256", Some("RS256")),
            ("RS265", Some("RS256")),
            ("EDDSA", Some("EdDSA")),
            ("eddas", Some("EdDSA")),
            ("none", None),
        ] {
            assert_eq!(nearest(word, algorithms), meant, "{word}");
        }
        assert_eq!(nearest("Lobby", ["lobby", "Lobbi"]), Some("lobby"));
    }
}
