//! KServe's version 1, which is TensorFlow Serving's REST API.
//! <https://www.tensorflow.org/tfx/serving/api_rest>
//!
//! A request has `instances`, one for each row (row form), or `inputs`, one
//! tensor for each input with a batch axis (column form). So does a response,
//! with `predictions` and `outputs`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Model;
use super::body::{Message, shorten};
use super::elements::Elements;
use super::protocol::{Answer, Cause, Protocol, ProtocolError, Renamed, Tensors};
use super::tensor::{Tensor, Wrong, answer, joined, quoted, wrong};
use super::write;

/// The protocol with the names and the shapes that a model's server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    pub tensors: Tensors,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
    #[serde(borrow)]
    predictions: Option<&'a RawValue>,
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
}

/// Tensors by name, or the only one.
enum Named {
    One(Tensor),
    ByName(BTreeMap<String, Tensor>),
}

// === impl Instances ===

impl Instances {
    /// The protocol for a model whose server names its tensors as the description does.
    #[must_use]
    pub fn for_model(model: &dyn Model) -> Self {
        Self {
            tensors: Tensors::for_model(model, &Renamed::default()),
        }
    }
}

impl Protocol for Instances {
    fn write_request(&self, rows: &[Vec<f64>]) -> Vec<u8> {
        let body = write::instances(&self.tensors, rows);
        body.to_string().into_bytes()
    }

    fn write_response(&self, answer: &Answer) -> Vec<u8> {
        let body = write::predictions(&self.tensors, answer);
        body.to_string().into_bytes()
    }

    fn request(&self, message: &Message<'_>) -> Result<Vec<Vec<f64>>, ProtocolError> {
        let body = message.decoded()?;
        let body: Body<'_> = parse(&body)?;
        let (list, named) = read("instances", body.instances, "inputs", body.inputs)?;
        let found = match named {
            Named::One(tensor) if self.tensors.inputs.len() == 1 => vec![tensor],
            Named::One(_) => {
                let reason = format!(
                    "has no names, but the model has {} inputs",
                    self.tensors.inputs.len()
                );
                return Err(wrong(list, "", (Cause::Missing, reason)));
            }
            Named::ByName(mut tensors) => {
                let known = quoted(tensors.keys().map(String::as_str));
                let take = |name: &String| {
                    tensors.remove(name).ok_or_else(|| ProtocolError::Missing {
                        list,
                        wanted: format!("`{name}`"),
                        found: known.clone(),
                    })
                };
                self.tensors
                    .inputs
                    .iter()
                    .map(|input| &input.name)
                    .map(take)
                    .collect::<Result<_, _>>()?
            }
        };
        // A batch axis is always there, and for one row it is 1.
        for (input, tensor) in self.tensors.inputs.iter().zip(&found) {
            if tensor.shape == input.shape && input.shape != [1] {
                let reason = format!(
                    "has shape {:?}, but must have that of a list of rows of {:?}",
                    tensor.shape, input.shape
                );
                return Err(wrong(list, &input.name, (Cause::Shape, reason)));
            }
        }
        joined(&self.tensors, list, &found)
    }

    fn response(&self, message: &Message<'_>) -> Result<Answer, ProtocolError> {
        let body = message.decoded()?;
        let body: Body<'_> = parse(&body)?;
        let (list, named) = read("predictions", body.predictions, "outputs", body.outputs)?;
        match named {
            Named::One(tensor) => {
                // One number for each row: a label where the model has labels.
                let is_label = self.tensors.has_labels && matches!(*tensor.shape, [_] | [_, 1]);
                let (labels, numbers) = if is_label {
                    (Some(&tensor), None)
                } else {
                    (None, Some(&tensor))
                };
                answer(&self.tensors, list, labels, numbers, String::new)
            }
            Named::ByName(tensors) => {
                let labels = tensors.get(&self.tensors.label_output);
                let numbers = tensors.get(&self.tensors.probabilities_output);
                answer(&self.tensors, list, labels, numbers, || {
                    quoted(tensors.keys().map(String::as_str))
                })
            }
        }
    }
}

fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, ProtocolError> {
    serde_json::from_slice(json).map_err(malformed)
}

fn malformed(error: serde_json::Error) -> ProtocolError {
    ProtocolError::Malformed(shorten(&error.to_string()))
}

/// Reads the row form or the column form, whichever is there.
fn read(
    rows: &'static str,
    row_form: Option<&RawValue>,
    columns: &'static str,
    column_form: Option<&RawValue>,
) -> Result<(&'static str, Named), ProtocolError> {
    match (row_form, column_form) {
        (Some(json), None) => Ok((rows, by_rows(rows, json.get())?)),
        (None, Some(json)) => Ok((columns, by_columns(columns, json.get())?)),
        (Some(_), Some(_)) => Err(ProtocolError::Malformed(format!(
            "it has `{rows}` and `{columns}`, but must have one of them"
        ))),
        (None, None) => Err(ProtocolError::Malformed(format!(
            "it has neither `{rows}` nor `{columns}`"
        ))),
    }
}

fn by_rows(list: &'static str, json: &str) -> Result<Named, ProtocolError> {
    let inner = json
        .trim_start()
        .strip_prefix('[')
        .unwrap_or_default()
        .trim_start();
    if !inner.starts_with('{') {
        return nested(list, "", parse(json.as_bytes())?).map(Named::One);
    }
    let rows: Vec<BTreeMap<String, Elements>> = parse(json.as_bytes())?;
    let mut tensors: BTreeMap<String, (usize, Elements)> = BTreeMap::new();
    let count = rows.len();
    for row in rows {
        for (name, mut part) in row {
            // A number, as in a row of a table.
            if part.lengths.is_empty() && part.numbers.len() == 1 {
                part.problem = None;
            }
            match tensors.get_mut(&name) {
                None => {
                    tensors.insert(name, (1, part));
                }
                Some((seen, whole)) => {
                    *seen += 1;
                    append(whole, part);
                }
            }
        }
    }
    let mut named = BTreeMap::new();
    for (name, (seen, mut whole)) in tensors {
        if seen != count {
            let reason = format!("is in {seen} of {count} rows, but must be in all or none");
            return Err(wrong(list, &name, (Cause::Missing, reason)));
        }
        whole.lengths.insert(0, count);
        let tensor = nested(list, &name, whole)?;
        named.insert(name, tensor);
    }
    Ok(Named::ByName(named))
}

fn append(whole: &mut Elements, part: Elements) {
    if whole.lengths != part.lengths {
        whole.problem.get_or_insert("has rows of different shapes");
    }
    whole.problem = whole.problem.or(part.problem);
    whole.has_booleans |= part.has_booleans;
    whole.numbers.extend(part.numbers);
    whole.texts.extend(part.texts);
}

fn by_columns(list: &'static str, json: &str) -> Result<Named, ProtocolError> {
    if !json.trim_start().starts_with('{') {
        return nested(list, "", parse(json.as_bytes())?).map(Named::One);
    }
    let tensors: BTreeMap<String, Elements> = parse(json.as_bytes())?;
    let read = |(name, data): (String, Elements)| {
        let tensor = nested(list, &name, data)?;
        Ok((name, tensor))
    };
    tensors
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map(Named::ByName)
}

fn nested(list: &'static str, name: &str, data: Elements) -> Result<Tensor, ProtocolError> {
    let failed = |why: Wrong| wrong(list, name, why);
    Tensor::nested(data).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Datatype, Input};
    use proptest::prelude::*;

    fn protocol(inputs: &[(&str, &[usize])]) -> Instances {
        let input = |(name, shape): &(&str, &[usize])| Input {
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            datatype: Datatype::Fp32,
        };
        Instances {
            tensors: Tensors {
                inputs: inputs.iter().map(input).collect(),
                takes_missing: false,
                label_output: "label".to_owned(),
                probabilities_output: "scores".to_owned(),
                label_names: BTreeMap::new(),
                has_labels: true,
            },
        }
    }

    fn rows(protocol: &Instances, body: &str) -> Result<Vec<Vec<f64>>, ProtocolError> {
        protocol.request(&Message::new(body.as_bytes()))
    }

    #[test]
    fn both_forms_of_a_request_are_read() {
        let one = protocol(&[("x", &[2])]);
        let two = protocol(&[("x", &[2]), ("y", &[1])]);
        let expected = [[1.0, 2.0], [3.0, 4.0]];
        for body in [
            r#"{"instances": [[1, 2], [3, 4]], "signature_name": "serving_default"}"#,
            r#"{"inputs": [[1, 2], [3, 4]]}"#,
            r#"{"inputs": {"x": [[1, 2], [3, 4]]}}"#,
            r#"{"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}"#,
        ] {
            assert_eq!(rows(&one, body).unwrap(), expected, "{body}");
        }
        for body in [
            r#"{"instances": [{"y": [9], "x": [1, 2]}, {"x": [3, 4], "y": [8]}]}"#,
            r#"{"inputs": {"x": [[1, 2], [3, 4]], "y": [[9], [8]]}}"#,
        ] {
            assert_eq!(
                rows(&two, body).unwrap(),
                [[1.0, 2.0, 9.0], [3.0, 4.0, 8.0]],
                "{body}"
            );
        }
    }

    #[test]
    fn rows_of_a_table_are_read() {
        let table = protocol(&[("age", &[1]), ("income", &[1])]);
        for body in [
            r#"{"instances": [{"age": 30, "income": 5}, {"age": 40, "income": 6}]}"#,
            r#"{"inputs": {"age": [30, 40], "income": [[5], [6]]}}"#,
        ] {
            assert_eq!(
                rows(&table, body).unwrap(),
                [[30.0, 5.0], [40.0, 6.0]],
                "{body}"
            );
        }
    }

    #[test]
    fn a_bad_request_has_its_cause() {
        let one = protocol(&[("x", &[2])]);
        let cases = [
            (r#"{"instances": [[1, 2, 3]]}"#, Cause::Shape),
            (r#"{"instances": [1, 2]}"#, Cause::Shape),
            (r#"{"instances": [[1, 2], [3]]}"#, Cause::Shape),
            (
                r#"{"instances": [{"x": [1, 2]}, {"x": [3]}]}"#,
                Cause::Shape,
            ),
            (
                r#"{"instances": [{"x": [1, 2]}, {"y": [3]}]}"#,
                Cause::Missing,
            ),
            (r#"{"instances": [{"y": [1, 2]}]}"#, Cause::Missing),
            (r#"{"instances": []}"#, Cause::Shape),
            (r#"{"instances": [["a", "b"]]}"#, Cause::Datatype),
            (r#"{"instances": [[1, null]]}"#, Cause::NotFinite),
            (r#"{"instances": [[1, 1e300]]}"#, Cause::Range),
            (r#"{"instances": [{"b64": "aGk="}]}"#, Cause::Missing),
            (
                r#"{"instances": [[1, 2]], "inputs": [[1, 2]]}"#,
                Cause::Malformed,
            ),
            (r#"{"instance": [[1, 2]]}"#, Cause::Malformed),
            ("{", Cause::Malformed),
        ];
        for (body, cause) in cases {
            let error = rows(&one, body).unwrap_err();
            assert_eq!(error.cause(), cause, "{body}: {error}");
        }
    }

    #[test]
    fn both_forms_of_a_response_are_read() {
        let one = protocol(&[("x", &[2])]);
        let labels = Answer {
            labels: Some(vec![7, 1]),
            probabilities: None,
        };
        let scores = Some(vec![vec![0.25, 0.75], vec![1.0, 0.0]]);
        let cases = [
            (r#"{"predictions": [7, 1]}"#, labels.clone()),
            (r#"{"outputs": [[7], [1]]}"#, labels),
            (
                r#"{"predictions": [[0.25, 0.75], [1, 0]]}"#,
                Answer {
                    labels: None,
                    probabilities: scores.clone(),
                },
            ),
            (
                r#"{"predictions": [{"label": 7, "scores": [0.25, 0.75], "more": "a"}, {"label": 1, "scores": [1, 0], "more": "b"}]}"#,
                Answer {
                    labels: Some(vec![7, 1]),
                    probabilities: scores.clone(),
                },
            ),
            (
                r#"{"outputs": {"scores": [[0.25, 0.75], [1, 0]]}}"#,
                Answer {
                    labels: None,
                    probabilities: scores,
                },
            ),
        ];
        for (body, answer) in cases {
            assert_eq!(
                one.decode_response(body.as_bytes()).unwrap(),
                answer,
                "{body}"
            );
        }
        let error = one
            .decode_response(br#"{"error": "no such model"}"#)
            .unwrap_err();
        assert_eq!(error.cause(), Cause::Malformed);
        let other = one
            .decode_response(br#"{"outputs": {"logits": [[1]]}}"#)
            .unwrap_err();
        assert_eq!(other.cause(), Cause::Missing);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(body in "[\\[\\]{},:0-9a\"]{0,60}") {
            for field in ["instances", "inputs", "predictions", "outputs"] {
                let body = format!("{{\"{field}\": {body}}}");
                let one = protocol(&[("x", &[2])]);
                let _ = one.decode_request(body.as_bytes());
                let _ = one.decode_response(body.as_bytes());
            }
        }
    }
}
