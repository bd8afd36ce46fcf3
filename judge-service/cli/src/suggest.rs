//! The valid name that is nearest to a wrong one.

use crate::failure::Failure;
use crate::judge::{Judge, rollout_path};
use crate::view::Status;
use serde::Deserialize;

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// A name that somebody may have meant: up to a third of its letters may be wrong, and
/// one at least.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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

/// What was found of a rollout, or which there are if there is none of that id.
pub async fn known<T>(judge: &Judge, id: &str, found: Result<T, Failure>) -> Result<T, Failure> {
    match found {
        Ok(found) => Ok(found),
        Err(failure) => Err(rollout(judge, id, failure).await),
    }
}

/// Adds to "there is no rollout" which there are. What it asks for that fails is not
/// worth a word of its own.
pub async fn rollout(judge: &Judge, wrong: &str, failure: Failure) -> Failure {
    if !matches!(&failure, Failure::NotFound(text) if text.contains("no rollout")) {
        return failure;
    }
    let Ok(known) = judge.get::<Vec<Named>>("/v1/rollouts").await else {
        return failure;
    };
    let ids: Vec<&str> = known.iter().map(|named| named.id.as_str()).collect();
    failure.map(|text| format!("{text}; {}", which_there_are(wrong, &ids)))
}

/// Adds to "has no arm" which was meant.
pub async fn arm(judge: &Judge, id: &str, wrong: &str, failure: Failure) -> Failure {
    if !matches!(&failure, Failure::NotFound(text) if text.contains("has no arm")) {
        return failure;
    }
    let path = rollout_path(id, "");
    let Ok(status) = judge.get::<Status>(&path).await else {
        return failure;
    };
    let arms: Vec<&str> = status.arms.iter().map(|arm| arm.name.as_str()).collect();
    failure.map(|text| format!("{text}; {}", which_there_are(wrong, &arms)))
}

fn which_there_are(wrong: &str, ids: &[&str]) -> String {
    /// More would hide the sentence.
    const LISTED: usize = 10;
    match (nearest(wrong, ids.iter().copied()), ids) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, []) => "there is none yet".to_owned(),
        (None, ids) if ids.len() <= LISTED => format!("there are {}", ids.join(", ")),
        (None, ids) => format!("`serinus get` lists the {} that there are", ids.len()),
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
    }

    #[test]
    fn says_which_there_are() {
        assert_eq!(which_there_are("x", &[]), "there is none yet");
        assert_eq!(
            which_there_are("digit", &["digits"]),
            "did you mean `digits`?"
        );
        assert_eq!(which_there_are("churn", &["a1", "b2"]), "there are a1, b2");
        assert!(which_there_are("churn", &["ranking"; 11]).contains("the 11"));
    }
}
