//! One outcome, as it is told, and what is said of a batch of them.

use crate::assignment::Headers;
use crate::domain::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::json::FieldError;
use std::collections::BTreeMap;

/// Problems that are told one by one; all are counted.
const MAX_PROBLEMS: usize = 100;
const MAX_ID: usize = 256;
const MAX_VALUE: f64 = 1e100;

/// What became of a user after an answer.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
pub struct Feedback {
    /// Yours, of at most 256 bytes: what was counted under it for this rollout is not
    /// counted again. The judge remembers about the last million for a month; with `at_ms`
    /// what comes again after that is known by its user and its time.
    #[serde(default)]
    pub id: Option<String>,
    pub rollout: String,
    /// The user's key, as the rollout's `unit` finds it in a request; or
    #[serde(default)]
    pub unit: Option<String>,
    /// the id of a request that was sampled, as `remember.request_header` had it: its arm
    /// and its label are known.
    #[serde(default)]
    pub request_id: Option<String>,
    /// When the user's request was made, in milliseconds since 1970; default: now. The
    /// user's arm is that of this time.
    #[serde(default)]
    pub at_ms: Option<Millis>,
    /// Headers of the request that the rollout's segments look at.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether the answer was right; or
    #[serde(default)]
    pub right: Option<bool>,
    /// the true label. It is compared with `prediction`, or else with the label of the
    /// request's answer, or of the user's last sampled one.
    #[serde(default)]
    pub label: Option<i64>,
    #[serde(default)]
    pub prediction: Option<i64>,
    /// The probability that the model gave to what it predicted, for log loss and
    /// calibration; default: that of the sampled answer.
    #[serde(default)]
    pub score: Option<f64>,
    /// What it was worth: revenue, say. Judged is a user's first of a step; shown is also
    /// what all come to that have ids of their own.
    #[serde(default)]
    pub value: Option<f64>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Received {
    pub counted: u64,
    /// Their ids were told before, or their users have an outcome: each user counts once
    /// (but for the sum of values by id).
    pub repeated: u64,
    /// The rollout is over.
    pub late: u64,
    /// They are of before the rollout began.
    pub early: u64,
    /// Their users' arms were not drawn: a rule, the holdout, another rollout's layer.
    pub not_in_test: u64,
    /// A label of whose user no answer was sampled: send `prediction` too. It may come
    /// again under its id.
    pub without_prediction: u64,
    /// Requests that were not sampled, or are not remembered any more.
    pub unknown_request: u64,
    /// They do not make sense; the first hundred are in `problems`.
    pub refused: u64,
    pub problems: Vec<FeedbackProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FeedbackProblem {
    /// Of the outcome in the batch, from 0.
    pub index: usize,
    pub field: String,
    pub problem: String,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Counted,
    /// Its value was; its label waits for a prediction.
    ValueAlone,
    Repeated,
    Late,
    Early,
    NotInTest,
    WithoutPrediction,
    UnknownRequest,
}

/// What an outcome is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Unit(&'a str),
    Request(&'a str),
}

/// What is told of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    None,
    Right(bool),
    /// The true label, of which the prediction is not told.
    Label(i64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Meanings {
    pub answer: Meaning,
    pub value: Option<f64>,
}

// === impl Feedback ===

impl Feedback {
    /// Headers as the filter has them.
    pub(super) fn headers(&self) -> Headers {
        self.headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_bytes().to_vec()))
            .collect()
    }

    /// # Errors
    /// Neither a unit nor a request, or both.
    pub(super) fn subject(&self) -> Result<Subject<'_>, FieldError> {
        let some = |field, text: &'_ Option<String>| match text.as_deref() {
            Some("") => Err(FieldError::new(field, "is empty")),
            _ => Ok(()),
        };
        some("unit", &self.unit)?;
        some("request_id", &self.request_id)?;
        match (self.unit.as_deref(), self.request_id.as_deref()) {
            (Some(unit), None) => Ok(Subject::Unit(unit)),
            (None, Some(request)) => Ok(Subject::Request(request)),
            (Some(_), Some(_)) => Err(FieldError::new(
                "request_id",
                "stands beside `unit`; one of the two is right",
            )),
            (None, None) => Err(FieldError::new(
                "unit",
                "is missing; one of `unit` and `request_id` is needed",
            )),
        }
    }

    /// # Errors
    /// What says nothing, or contradicts itself.
    pub(super) fn meanings(&self) -> Result<Meanings, FieldError> {
        if self.id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(FieldError::new(
                "id",
                format!("has more than {MAX_ID} bytes"),
            ));
        }
        for (field, number) in [("score", self.score), ("value", self.value)] {
            if number.is_some_and(|number| !number.is_finite()) {
                return Err(FieldError::new(field, "is no finite number"));
            }
        }
        // Their squares are added up, and a sum must stay a number.
        if let Some(value) = self.value
            && value.abs() > MAX_VALUE
        {
            return Err(FieldError::new(
                "value",
                format!("is {value}; a number of at most {MAX_VALUE} either way is right"),
            ));
        }
        if let Some(score) = self.score
            && !(0.0..=1.0).contains(&score)
        {
            return Err(FieldError::new(
                "score",
                format!("is {score}; a probability of 0 to 1 is right"),
            ));
        }
        let answer = match (self.right, self.label, self.prediction) {
            (Some(_), Some(_), _) => {
                return Err(FieldError::new(
                    "label",
                    "stands beside `right`; one of the two is right",
                ));
            }
            (Some(right), None, None) => Meaning::Right(right),
            (None, Some(label), Some(prediction)) => Meaning::Right(label == prediction),
            (None, Some(label), None) => Meaning::Label(label),
            (_, None, Some(_)) => {
                return Err(FieldError::new(
                    "prediction",
                    "says nothing without the true `label`",
                ));
            }
            (None, None, None) => Meaning::None,
        };
        if answer == Meaning::None && self.value.is_none() {
            return Err(FieldError::new(
                "label",
                "is missing; one of `label`, `right` and `value` is needed",
            ));
        }
        Ok(Meanings {
            answer,
            value: self.value,
        })
    }
}

// === impl Received ===

impl Received {
    /// How many there were of each, but for what is said in full.
    pub(super) fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("counted", self.counted),
            ("repeated", self.repeated),
            ("late", self.late),
            ("early", self.early),
            ("not_in_test", self.not_in_test),
            ("without_prediction", self.without_prediction),
            ("unknown_request", self.unknown_request),
            ("refused", self.refused),
        ]
    }

    pub(super) fn add(&mut self, index: usize, fate: Result<Fate, FieldError>) {
        match fate {
            Ok(Fate::Counted) => self.counted += 1,
            Ok(Fate::ValueAlone) => {
                self.counted += 1;
                self.without_prediction += 1;
            }
            Ok(Fate::Repeated) => self.repeated += 1,
            Ok(Fate::Late) => self.late += 1,
            Ok(Fate::Early) => self.early += 1,
            Ok(Fate::NotInTest) => self.not_in_test += 1,
            Ok(Fate::WithoutPrediction) => self.without_prediction += 1,
            Ok(Fate::UnknownRequest) => self.unknown_request += 1,
            Err(error) => self.refuse(index, error),
        }
    }

    fn refuse(&mut self, index: usize, error: FieldError) {
        self.refused += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(FeedbackProblem {
                index,
                field: error.field,
                problem: error.problem,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use serinus_core::json::read_strict;

    fn meaning(more: &Value) -> Result<Meaning, String> {
        let mut item = json!({"rollout": "r", "unit": "ada"});
        for (name, value) in more.as_object().unwrap() {
            item[name] = value.clone();
        }
        let told: Feedback = read_strict(item.to_string().as_bytes()).unwrap();
        told.subject().map_err(|error| error.field)?;
        let meant = told.meanings().map_err(|error| error.field)?;
        Ok(meant.answer)
    }

    #[test]
    fn says_what_it_means_or_which_field_is_wrong() {
        assert_eq!(meaning(&json!({"right": true})), Ok(Meaning::Right(true)));
        assert_eq!(
            meaning(&json!({"label": 3, "prediction": 3})),
            Ok(Meaning::Right(true))
        );
        assert_eq!(
            meaning(&json!({"label": 3, "prediction": 4})),
            Ok(Meaning::Right(false))
        );
        assert_eq!(meaning(&json!({"label": 3})), Ok(Meaning::Label(3)));
        assert_eq!(meaning(&json!({"label": -3.0})), Ok(Meaning::Label(-3)));
        assert_eq!(meaning(&json!({"value": -1.5})), Ok(Meaning::None));
        for (wrong, field) in [
            (json!({}), "label"),
            (json!({"prediction": 1}), "prediction"),
            (json!({"right": true, "label": 1}), "label"),
            (json!({"right": true, "prediction": 1}), "prediction"),
            (json!({"right": true, "score": 1.5}), "score"),
            (json!({"value": 1, "unit": ""}), "unit"),
            (json!({"value": 1, "unit": null}), "unit"),
            (json!({"value": 1, "request_id": "7"}), "request_id"),
            (
                json!({"value": 1, "unit": null, "request_id": ""}),
                "request_id",
            ),
            (json!({"value": 1e101}), "value"),
            (json!({"value": 1, "id": "x".repeat(257)}), "id"),
        ] {
            assert_eq!(meaning(&wrong), Err(field.to_owned()), "{wrong}");
        }
    }
}
