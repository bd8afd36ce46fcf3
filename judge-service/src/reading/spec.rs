//! What a person asks for, read as far as it can be.

use super::schema::Shape;
use super::taken_out::take_out;
use crate::domain::RolloutSpec;
use crate::domain::check::{Problems, Unsound, check};
use serinus_core::json::{self, FieldError, Tree, UNKNOWN};

/// More would not be read, and each costs another reading.
const MOST: usize = 20;

/// Whether it makes sense is not looked at: [`check`] does.
///
/// # Errors
/// What does not fit, is missing or is not known, with the names that were meant: all of it,
/// but of a list in which something does not fit no more than that, and twenty at most.
pub fn spec(json: &[u8]) -> Result<RolloutSpec, Unsound> {
    let mut tree = json::tree(json)?;
    let mut unknown = Vec::new();
    match json::read_tree(&tree, &mut unknown) {
        Ok(spec) if unknown.is_empty() => return Ok(spec),
        _ => {}
    }
    let mut reading = Reading::of(Shape::of::<RolloutSpec>());
    reading.see_what_is_missing(&tree);
    reading.read_what_fits(&mut tree);
    Err(reading.found())
}

/// The same with its defaults, and checked by itself.
///
/// # Errors
/// As for [`spec`]; or all that makes no sense.
pub fn checked_spec(json: &[u8]) -> Result<RolloutSpec, Unsound> {
    let spec = spec(json)?.completed();
    check(&spec)?;
    Ok(spec)
}

struct Reading {
    shape: Shape,
    problems: Problems,
    /// The paths of what is not there or was taken out.
    gone: Vec<String>,
    /// Some of the fields that are not known.
    unknown: Vec<String>,
}

impl Reading {
    fn of(shape: Shape) -> Self {
        Self {
            shape,
            problems: Problems::default(),
            gone: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// The reader stops at the first.
    fn see_what_is_missing(&mut self, tree: &Tree) {
        if !matches!(tree, Tree::Object(_)) {
            return;
        }
        for name in self.shape.required() {
            if tree.field(name).is_none() {
                self.problems.add(FieldError::new(name, "is missing"));
                self.gone.push(name.to_owned());
            }
        }
    }

    /// What does not fit is taken out, until the rest can be read, or cannot be without
    /// it.
    fn read_what_fits(&mut self, tree: &mut Tree) {
        for _ in 0..MOST {
            let mut unknown = Vec::new();
            let read = json::read_tree::<RolloutSpec>(tree, &mut unknown);
            for field in unknown {
                if self.unknown.len() < MOST && !self.unknown.contains(&field) {
                    self.unknown.push(field);
                }
            }
            let Err(error) = read else {
                return;
            };
            let taken = take_out(tree, &error.field);
            if !self.gone.contains(&error.field) {
                self.problems.add(error);
            }
            match taken {
                Some(taken) => self.gone.push(taken),
                None => return,
            }
        }
        let more = "more may be wrong; mend these first";
        self.problems.add(FieldError::new(".", more));
    }

    fn found(mut self) -> Unsound {
        for field in core::mem::take(&mut self.unknown) {
            let error = FieldError::new(field, UNKNOWN);
            self.problems.add(self.shape.with_meant(error));
        }
        // Whoever asks has seen a problem.
        let nothing = || FieldError::new(".", "cannot be read").into();
        self.problems.into_result().err().unwrap_or_else(nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::spec_json;
    use serde_json::{Value, json};

    /// Sorted: where a field stands in a document depends on who writes it.
    fn said(document: &Value) -> Vec<String> {
        let wrong = spec(document.to_string().as_bytes()).unwrap_err();
        let mut said: Vec<String> = wrong.all().map(ToString::to_string).collect();
        said.sort_unstable();
        said
    }

    #[test]
    fn a_spec_is_read() {
        let json = spec_json().to_string();
        assert!(spec(json.as_bytes()).unwrap().steps.is_empty());
        assert_eq!(checked_spec(json.as_bytes()).unwrap().steps.len(), 4);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_whatever_its_kind() {
        let mut document = spec_json();
        document["steeps"] = json!([]);
        document["minimum"] = json!({"seconds": "long", "exposure": 5});
        document["alpha"] = json!({"rollback": 2, "promotion": true});
        document["unit"] = json!(["each_reqest"]);
        document["arms"][1]["model"] = json!(5);
        document["deadline"] = json!({"then": "explode"});
        assert_eq!(
            said(&document),
            [
                "alpha.promotion: is a truth value; a number is right",
                "arms[1].model: is 5; a text is right",
                "deadline.then: is `explode`; one of pause, roll_back, proceed is right",
                "minimum.exposure: unknown field; did you mean `exposures`?",
                "minimum.seconds: is a text; a number is right",
                "steeps: unknown field; did you mean `steps`?",
                "unit[0]: is `each_reqest`; one of header, cookie, query, jwt_claim, body, issue_cookie, each_request is right",
            ]
        );
    }

    /// What one field was taken out of is not wrong for that.
    #[test]
    fn nothing_untrue_is_said_beside_what_is_true() {
        for (field, value, right) in [
            (
                "unit",
                json!([{"header": 5}, {"cookie": "a"}]),
                "unit[0].header: is 5; a text is right",
            ),
            (
                "protocol",
                json!({"json": {"inputs": 7}}),
                "protocol.json.inputs: is 7; a list is right",
            ),
        ] {
            let mut document = spec_json();
            document[field] = value;
            assert_eq!(said(&document), [right]);
        }
    }

    /// What was misspelt is not taken for what it would be without a word.
    #[test]
    fn nothing_is_made_up_of_what_cannot_be_read() {
        let mut document = spec_json();
        document["arms"] =
            json!([{"name": "v2"}, {"name": "v1", "serves": {"label": "l"}, "modle": "x"}]);
        document["basline"] = json!("v1");
        document["steps"] = json!([{"weights": {"v2": 10}}]);
        document["sampling"] = json!(true);
        document["pairing"] = json!({"endpoints": {}});
        assert_eq!(
            said(&document),
            [
                "arms[1].modle: unknown field; did you mean `model`?",
                "basline: unknown field; did you mean `baseline`?",
                "sampling: is a truth value; an object is right",
            ]
        );
    }

    #[test]
    fn what_is_missing_hides_nothing() {
        assert_eq!(
            said(&json!({"arm": [], "id": 7})),
            [
                "arm: unknown field; did you mean `arms`?",
                "arms: is missing",
                "id: is 7; a text is right",
                "match: is missing",
                "unit: is missing",
            ]
        );
        let mut document = spec_json();
        document["arms"][1] = json!({"nam": "canary"});
        document["breaker"] = json!("never");
        assert_eq!(
            said(&document),
            [
                "arms[1].nam: unknown field; did you mean `name`?",
                "arms[1].name: is missing",
                "breaker: is a text; an object is right",
            ]
        );
    }

    #[test]
    fn what_is_no_document_is_one_problem() {
        for text in ["", "[]", "7", "{", "{\"id\": \"a\", \"id\": \"a\""] {
            let wrong = spec(text.as_bytes()).unwrap_err();
            assert_eq!(wrong.first().field, ".", "{text}: {wrong}");
            assert!(!wrong.is_several(), "{text}: {wrong}");
        }
        let mut twice = spec_json().to_string();
        twice.truncate(twice.len() - 1);
        twice += ", \"id\": \"b\", \"baseline\": 4}";
        let wrong = spec(twice.as_bytes()).unwrap_err();
        let fields: Vec<&str> = wrong.all().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["id", "baseline"], "{wrong}");
    }

    #[test]
    fn a_flood_of_problems_ends() {
        let mut document = spec_json();
        let weights: serde_json::Map<String, Value> = (0..5_000)
            .map(|arm| (format!("a{arm}"), json!("x")))
            .collect();
        document["steps"] = json!([{"weights": weights}]);
        let many = said(&document);
        assert_eq!(many.len(), MOST + 1);
        assert_eq!(many[0], ".: more may be wrong; mend these first");
        let mut document = spec_json();
        for field in 0..5_000 {
            document[format!("f{field}")] = json!(0);
        }
        assert_eq!(said(&document).len(), MOST);
    }
}
