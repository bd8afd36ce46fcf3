//! The valid name that is nearest to a wrong one.

/// A name that somebody may have meant: up to a third of its letters may be wrong, and
/// one at least.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody misspells so much, and the distance takes the square of it.
    const LONGEST: usize = 256;
    if wrong.len() > LONGEST {
        return None;
    }
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&wrong, &name.to_lowercase());
            (distance, name)
        })
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to say after "there is none of that name": which was meant, or which there are.
pub fn which_there_are(wrong: &str, names: &[&str]) -> String {
    /// More would hide the sentence.
    const LISTED: usize = 10;
    match (nearest(wrong, names.iter().copied()), names) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, []) => "there is none yet".to_owned(),
        (None, [only]) => format!("there is {only}"),
        (None, names) if names.len() <= LISTED => format!("there are {}", names.join(", ")),
        (None, names) => format!("there are {} others", names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_name_is_not() {
        let names = ["digits", "fraud-v2", "ranking"];
        assert_eq!(nearest("digitz", names), Some("digits"));
        assert_eq!(nearest("igdits", names), Some("digits"));
        assert_eq!(nearest("Fraud-V3", names), Some("fraud-v2"));
        assert_eq!(nearest("churn", names), None);
        assert_eq!(nearest("b", ["a"]), Some("a"));
        assert_eq!(nearest(&"a".repeat(100_000), ["a"]), None);
    }

    #[test]
    fn says_which_there_are() {
        assert_eq!(which_there_are("x", &[]), "there is none yet");
        assert_eq!(
            which_there_are("digit", &["digits"]),
            "did you mean `digits`?"
        );
        assert_eq!(which_there_are("churn", &["a1"]), "there is a1");
        assert_eq!(which_there_are("churn", &["a1", "b2"]), "there are a1, b2");
        assert_eq!(
            which_there_are("churn", &["ranking"; 11]),
            "there are 11 others"
        );
    }
}
