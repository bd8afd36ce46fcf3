//! Plain JSON, whose inputs and outputs are found by pointers (RFC 6901).
//!
//! ```json
//! {"inputs": ["/customer/age", "/customer/income"], "label": "/decision", "probabilities": null}
//! ```
//!
//! Each input of the model has one pointer; or, where the model has one input,
//! each of its columns has one. What a pointer leads to is a number (one row), or
//! an array as in other protocols.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Message, shorten};
use super::elements::Elements;
use super::protocol::{Answer, Protocol, ProtocolError, Tensors};
use super::tensor::{Tensor, answer, joined, wrong};
use super::write;
use super::{Input, Model};

/// 1 MiB: parsed JSON of any form takes up to 16 times its text.
const MAX_PLAIN_BYTES: usize = 1024 * 1024;

/// Where the parts of a body are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointers {
    /// One for each input, or one for each column.
    pub inputs: Vec<String>,
    pub label: Option<String>,
    pub probabilities: Option<String>,
}

/// Plain JSON for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainJson {
    tensors: Tensors,
    pointers: Pointers,
}

/// Why pointers do not belong to a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointersError {
    #[error("{at}: `{pointer}` must begin with `/`, as every pointer but the empty one")]
    NoPointer { at: String, pointer: String },
    #[error(
        "inputs: has {found} pointers, but must have {inputs} (one for each input) or {columns} (one for each column)"
    )]
    Count {
        found: usize,
        inputs: usize,
        columns: usize,
    },
    #[error("label, probabilities: at least one must be there")]
    NoOutput,
}

// === impl PlainJson ===

impl PlainJson {
    /// # Errors
    /// Pointers that are none, or not as many as the model needs.
    pub fn new(
        model: &dyn Model,
        tensors: Tensors,
        pointers: Pointers,
    ) -> Result<Self, PointersError> {
        Self::checked(model.input_len(), tensors, pointers)
    }

    pub(super) fn checked(
        columns: usize,
        mut tensors: Tensors,
        pointers: Pointers,
    ) -> Result<Self, PointersError> {
        let outputs = [
            ("label", &pointers.label),
            ("probabilities", &pointers.probabilities),
        ];
        let outputs = outputs
            .into_iter()
            .filter_map(|(at, pointer)| Some((at.to_owned(), pointer.as_ref()?)));
        let inputs = pointers
            .inputs
            .iter()
            .enumerate()
            .map(|(at, pointer)| (format!("inputs[{at}]"), pointer));
        for (at, pointer) in inputs.chain(outputs) {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(PointersError::NoPointer {
                    at,
                    pointer: pointer.clone(),
                });
            }
        }
        if pointers.label.is_none() && pointers.probabilities.is_none() {
            return Err(PointersError::NoOutput);
        }
        let (found, inputs) = (pointers.inputs.len(), tensors.inputs.len());
        if found != inputs {
            let (Some(input), 1, true) = (tensors.inputs.first(), inputs, found == columns) else {
                return Err(PointersError::Count {
                    found,
                    inputs,
                    columns,
                });
            };
            let column = |pointer: &String| Input {
                name: pointer.clone(),
                shape: vec![1],
                ..input.clone()
            };
            tensors.inputs = pointers.inputs.iter().map(column).collect();
        }
        Ok(Self { tensors, pointers })
    }
}

impl Protocol for PlainJson {
    fn write_request(&self, rows: &[Vec<f64>]) -> Vec<u8> {
        let body = write::at_pointers(&self.tensors, &self.pointers.inputs, rows);
        body.to_string().into_bytes()
    }

    fn write_response(&self, answer: &Answer) -> Vec<u8> {
        let Pointers {
            label,
            probabilities,
            ..
        } = &self.pointers;
        let body = write::answer_at_pointers(label.as_ref(), probabilities.as_ref(), answer);
        body.to_string().into_bytes()
    }

    fn request(&self, message: &Message<'_>) -> Result<Vec<Vec<f64>>, ProtocolError> {
        const LIST: &str = "inputs";
        let body = parse(message)?;
        let find =
            |pointer: &String| find(&body, LIST, pointer)?.ok_or_else(|| missing(LIST, pointer));
        let found: Vec<Tensor> = self
            .pointers
            .inputs
            .iter()
            .map(find)
            .collect::<Result<_, _>>()?;
        joined(&self.tensors, LIST, &found)
    }

    fn response(&self, message: &Message<'_>) -> Result<Answer, ProtocolError> {
        const LIST: &str = "outputs";
        let body = parse(message)?;
        let at = |pointer: &Option<String>| match pointer {
            Some(pointer) => find(&body, LIST, pointer),
            None => Ok(None),
        };
        let labels = at(&self.pointers.label)?;
        let mut numbers = at(&self.pointers.probabilities)?;
        // The probabilities of one row, without the list of rows around them.
        if let Some(Tensor { shape, .. }) = &mut numbers
            && let [width] = **shape
            && self.tensors.has_labels
        {
            *shape = vec![1, width];
        }
        answer(
            &self.tensors,
            LIST,
            labels.as_ref(),
            numbers.as_ref(),
            || "other fields".to_owned(),
        )
    }
}

fn parse(message: &Message<'_>) -> Result<Value, ProtocolError> {
    let body = message.decoded()?;
    if body.len() > MAX_PLAIN_BYTES {
        return Err(ProtocolError::TooLarge {
            bytes: body.len(),
            limit: MAX_PLAIN_BYTES,
        });
    }
    serde_json::from_slice(&body)
        .map_err(|error| ProtocolError::Malformed(shorten(&error.to_string())))
}

fn missing(list: &'static str, pointer: &str) -> ProtocolError {
    ProtocolError::Missing {
        list,
        wanted: format!("at `{pointer}`"),
        found: "other fields".to_owned(),
    }
}

/// What a pointer leads to; a number, a text or a boolean is a list of one.
fn find(body: &Value, list: &'static str, pointer: &str) -> Result<Option<Tensor>, ProtocolError> {
    let Some(value) = body.pointer(pointer) else {
        return Ok(None);
    };
    let read = Elements::deserialize(value)
        .map_err(|error| ProtocolError::Malformed(shorten(&error.to_string())));
    let mut elements = read?;
    if elements.lengths.is_empty() && elements.numbers.len() == 1 {
        elements.problem = None;
        elements.lengths = vec![1];
    }
    Tensor::nested(elements)
        .map(Some)
        .map_err(|why| wrong(list, pointer, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Datatype};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tensors(shape: &[usize]) -> Tensors {
        Tensors {
            inputs: vec![Input {
                name: "x".to_owned(),
                shape: shape.to_vec(),
                datatype: Datatype::Fp32,
            }],
            takes_missing: true,
            label_output: "label".to_owned(),
            probabilities_output: "scores".to_owned(),
            label_names: BTreeMap::from([("deny".to_owned(), 0), ("allow".to_owned(), 1)]),
            has_labels: true,
        }
    }

    fn pointers(inputs: &[&str]) -> Pointers {
        Pointers {
            inputs: inputs.iter().map(|pointer| (*pointer).to_owned()).collect(),
            label: Some("/decision".to_owned()),
            probabilities: Some("/scores".to_owned()),
        }
    }

    fn protocol(inputs: &[&str]) -> PlainJson {
        PlainJson::checked(2, tensors(&[2]), pointers(inputs)).unwrap()
    }

    #[test]
    fn columns_and_arrays_are_found() {
        let columns = protocol(&["/customer/age", "/customer/income"]);
        let body = br#"{"customer": {"age": 30, "income": 5.5, "name": "x"}}"#;
        assert_eq!(columns.request(&Message::new(body)).unwrap(), [[30.0, 5.5]]);
        let missing = br#"{"customer": {"age": 30, "income": null}}"#;
        assert!(columns.request(&Message::new(missing)).unwrap()[0][1].is_nan());
        let array = protocol(&["/features"]);
        for (body, rows) in [
            (&br#"{"features": [1, 2]}"#[..], vec![vec![1.0, 2.0]]),
            (
                br#"{"features": [[1, 2], [3, 4]]}"#,
                vec![vec![1.0, 2.0], vec![3.0, 4.0]],
            ),
        ] {
            assert_eq!(array.request(&Message::new(body)).unwrap(), rows);
        }
    }

    #[test]
    fn an_answer_is_a_name_a_number_or_probabilities() {
        let one = protocol(&["/features"]);
        let named = one
            .decode_response(br#"{"decision": "allow", "scores": [0.25, 0.75]}"#)
            .unwrap();
        assert_eq!(named.labels, Some(vec![1]));
        assert_eq!(named.probabilities, Some(vec![vec![0.25, 0.75]]));
        let number = one.decode_response(br#"{"decision": 0}"#).unwrap();
        assert_eq!(
            number,
            Answer {
                labels: Some(vec![0]),
                probabilities: None
            }
        );
    }

    #[test]
    fn a_bad_body_has_its_cause() {
        let one = protocol(&["/features"]);
        let cases = [
            (&br#"{"features": [1]}"#[..], Cause::Shape),
            (br#"{"features": {"a": 1}}"#, Cause::Shape),
            (br#"{"feature": [1, 2]}"#, Cause::Missing),
            (br#"{"features": ["a", "b"]}"#, Cause::Datatype),
            (br#"{"features": [1, 1e300]}"#, Cause::Range),
            (b"[", Cause::Malformed),
        ];
        for (body, cause) in cases {
            let error = one.request(&Message::new(body)).unwrap_err();
            assert_eq!(error.cause(), cause, "{error}");
        }
        let large = vec![b' '; MAX_PLAIN_BYTES + 1];
        assert_eq!(
            one.request(&Message::new(&large)).unwrap_err().cause(),
            Cause::TooLarge
        );
        let unknown = one
            .decode_response(br#"{"decision": "maybe"}"#)
            .unwrap_err();
        assert!(
            unknown.to_string().contains("`maybe`, which is no label"),
            "{unknown}"
        );
    }

    #[test]
    fn pointers_have_to_belong_to_the_model() {
        let refused = |pointers| {
            PlainJson::checked(2, tensors(&[2]), pointers)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(pointers(&["a"])).starts_with("inputs[0]: `a` must begin with"));
        assert!(
            refused(pointers(&["/a", "/b", "/c"]))
                .contains("must have 1 (one for each input) or 2")
        );
        let mut none = pointers(&["/a"]);
        (none.label, none.probabilities) = (None, None);
        assert!(refused(none).contains("at least one"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(body in "[\\[\\]{},:0-9a\"]{0,60}") {
            let body = format!("{{\"features\": {body}}}");
            let one = protocol(&["/features"]);
            let _ = one.decode_request(body.as_bytes());
            let _ = one.decode_response(body.as_bytes());
        }
    }
}
