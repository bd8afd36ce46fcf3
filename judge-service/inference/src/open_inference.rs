//! The Open Inference Protocol, version 2, over JSON.
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>
//!
//! KServe, MLServer, Triton and Seldon speak it. The binary tensor extension is
//! not read.

use serde::Deserialize;

use super::elements::Elements;
use super::protocol::{Answer, MAX_BODY_BYTES, Protocol, ProtocolError};
use super::{Datatype, Input, Model};

/// The output that carries the predicted label, unless a protocol is told another.
pub const LABEL_OUTPUT: &str = "label";

/// How much of another's text goes into an error.
const MAX_QUOTED: usize = 200;

/// The protocol with the names and the shape that a model's server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInference {
    pub input: Input,
    /// The INT64 output of shape [n] that carries labels.
    pub label_output: String,
    /// The FP32 output of shape [n, columns] that carries probabilities or values.
    pub probabilities_output: String,
}

/// An inference request, as a server wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The client's id for the request, to be sent back.
    pub id: Option<String>,
    pub rows: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct RequestBody {
    id: Option<String>,
    inputs: Vec<TensorBody>,
}

#[derive(Deserialize)]
struct ResponseBody {
    outputs: Vec<TensorBody>,
}

#[derive(Deserialize)]
struct TensorBody {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    /// Absent where the tensor is in the binary extension, or in shared memory.
    data: Option<Elements>,
}

/// A tensor whose numbers fit its shape and its datatype.
struct Tensor {
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

// === impl OpenInference ===

impl OpenInference {
    /// The protocol for a model whose server names its tensors as the description does.
    pub fn for_model(model: &dyn Model) -> Self {
        Self {
            input: model.input().clone(),
            label_output: LABEL_OUTPUT.to_owned(),
            probabilities_output: model.output_name().to_owned(),
        }
    }

    /// Reads a request with its id.
    ///
    /// # Errors
    /// As [`Protocol::decode_request`].
    pub fn parse_request(&self, body: &[u8]) -> Result<Request, ProtocolError> {
        const LIST: &str = "inputs";
        let message: RequestBody = parse(body)?;
        let wanted = &self.input.name;
        let found = names(&message.inputs);
        let tensor = take(LIST, message.inputs, wanted)?;
        let tensor = tensor.ok_or_else(|| ProtocolError::Missing {
            list: LIST,
            wanted: format!("`{wanted}`"),
            found,
        })?;
        let rows = self
            .input_rows(&tensor)
            .map_err(|reason| wrong(LIST, wanted, reason))?;
        Ok(Request {
            id: message.id,
            rows,
        })
    }

    /// Accepts the model's own shape (one row), or that with a batch dimension in front.
    fn input_rows(&self, tensor: &Tensor) -> Result<Vec<Vec<f32>>, String> {
        let own = &self.input.shape;
        let batched = tensor
            .shape
            .split_first()
            .is_some_and(|(&count, rest)| rest == own && count > 0);
        if !batched && tensor.shape != *own {
            return Err(format!(
                "has shape {:?}, but must have {own:?} or that with a batch size before it",
                tensor.shape
            ));
        }
        rows(&tensor.numbers, self.input.len())
    }
}

impl Protocol for OpenInference {
    fn decode_request(&self, body: &[u8]) -> Result<Vec<Vec<f32>>, ProtocolError> {
        Ok(self.parse_request(body)?.rows)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Answer, ProtocolError> {
        const LIST: &str = "outputs";
        let mut outputs = parse::<ResponseBody>(body)?.outputs;
        let found = names(&outputs);
        // Outputs that nobody asks about may be of any kind.
        outputs.retain(|output| {
            output.name == self.label_output || output.name == self.probabilities_output
        });
        let (labels, numbers): (Vec<_>, Vec<_>) = outputs
            .into_iter()
            .partition(|output| output.name == self.label_output);
        let labels = take(LIST, labels, &self.label_output)?;
        let numbers = take(LIST, numbers, &self.probabilities_output)?;
        if labels.is_none() && numbers.is_none() {
            let wanted = format!("`{}` or `{}`", self.label_output, self.probabilities_output);
            return Err(ProtocolError::Missing {
                list: LIST,
                wanted,
                found,
            });
        }
        let labels = labels
            .map(|tensor| label_column(&tensor))
            .transpose()
            .map_err(|reason| wrong(LIST, &self.label_output, reason))?;
        let probabilities = numbers
            .map(|tensor| output_rows(&tensor))
            .transpose()
            .map_err(|reason| wrong(LIST, &self.probabilities_output, reason))?;
        Ok(Answer {
            labels,
            probabilities,
        })
    }
}

fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ProtocolError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(ProtocolError::TooLarge {
            bytes: body.len(),
            limit: MAX_BODY_BYTES,
        });
    }
    serde_json::from_slice(body)
        .map_err(|error| ProtocolError::Malformed(shorten(&error.to_string())))
}

/// The one tensor of that name, checked; `None` if there is none.
fn take(
    list: &'static str,
    tensors: Vec<TensorBody>,
    name: &str,
) -> Result<Option<Tensor>, ProtocolError> {
    let mut named = tensors.into_iter().filter(|tensor| tensor.name == name);
    let Some(tensor) = named.next() else {
        return Ok(None);
    };
    if named.next().is_some() {
        return Err(wrong(
            list,
            name,
            "is there twice, but must be there once".to_owned(),
        ));
    }
    tensor
        .check()
        .map(Some)
        .map_err(|reason| wrong(list, name, reason))
}

fn wrong(list: &'static str, name: &str, reason: String) -> ProtocolError {
    ProtocolError::Tensor {
        list,
        name: name.to_owned(),
        reason,
    }
}

fn names(tensors: &[TensorBody]) -> String {
    let quoted: Vec<_> = tensors
        .iter()
        .take(20)
        .map(|tensor| format!("`{}`", tensor.name))
        .collect();
    if quoted.is_empty() {
        "an empty list".to_owned()
    } else {
        shorten(&quoted.join(", "))
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// Cuts row-major numbers into rows of float32.
fn rows(numbers: &[f64], width: usize) -> Result<Vec<Vec<f32>>, String> {
    if width == 0 {
        return Err("has rows without numbers".to_owned());
    }
    numbers
        .chunks_exact(width)
        .map(|row| row.iter().map(|&number| narrow(number)).collect())
        .collect()
}

fn narrow(number: f64) -> Result<f32, String> {
    let narrow = number as f32;
    if narrow.is_finite() {
        Ok(narrow)
    } else {
        Err(format!("has {number:e}, which is beyond the range of FP32"))
    }
}

/// The labels of an output of shape [n] or [n, 1].
fn label_column(tensor: &Tensor) -> Result<Vec<i64>, String> {
    // 2^53: up to here a JSON number, read as a double, is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !matches!(*tensor.shape, [_] | [_, 1]) {
        return Err(format!(
            "has shape {:?}, but must have [n] or [n, 1]",
            tensor.shape
        ));
    }
    let label = |&number: &f64| {
        let exact = number.fract() == 0.0 && number.abs() <= EXACT;
        if exact {
            Ok(number as i64)
        } else {
            Err(format!(
                "has {number}, but a label must be a whole number within 2^53"
            ))
        }
    };
    tensor.numbers.iter().map(label).collect()
}

/// The rows of an output of shape [n, columns], or [n] for one column.
fn output_rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>, String> {
    match *tensor.shape {
        [_] => rows(&tensor.numbers, 1),
        [_, width] => rows(&tensor.numbers, width),
        _ => Err(format!(
            "has shape {:?}, but must have [n, columns]",
            tensor.shape
        )),
    }
}

// === impl TensorBody ===

impl TensorBody {
    /// Checks data against shape and datatype.
    fn check(self) -> Result<Tensor, String> {
        let Some(data) = self.data else {
            return Err("has no data in JSON; the binary tensor extension is not read".to_owned());
        };
        if let Some(problem) = data.problem {
            return Err(format!("its data {problem}"));
        }
        let shape: Option<Vec<usize>> = self
            .shape
            .iter()
            .map(|&size| usize::try_from(size).ok())
            .collect();
        let shape = shape.unwrap_or_default();
        let size = shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size));
        let fits = data.lengths == shape || data.lengths.len() == 1;
        if size != Some(data.numbers.len()) || size == Some(0) || !fits {
            let lengths = &data.lengths;
            let shape = shorten(&format!("{:?}", self.shape));
            return Err(format!(
                "has shape {shape}, but its data has {lengths:?}: they must be equal, flat or nested, and not empty"
            ));
        }
        let name = shorten(&self.datatype);
        let Some(datatype) = Datatype::from_name(&self.datatype) else {
            return Err(format!(
                "has datatype `{name}`, but must have BOOL, INT8..INT64, UINT8..UINT64, FP32 or FP64"
            ));
        };
        if data.has_booleans && datatype != Datatype::Bool {
            return Err(format!(
                "has booleans in its data, but its datatype is {name}"
            ));
        }
        if let Some(number) = data.numbers.iter().find(|&&number| !datatype.holds(number)) {
            return Err(format!(
                "has {number} in its data, which is not a value of {name}"
            ));
        }
        Ok(Tensor {
            shape,
            numbers: data.numbers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn protocol(shape: &[usize]) -> OpenInference {
        OpenInference {
            input: Input {
                name: "x".to_owned(),
                shape: shape.to_vec(),
                datatype: Datatype::Fp32,
            },
            label_output: LABEL_OUTPUT.to_owned(),
            probabilities_output: "probabilities".to_owned(),
        }
    }

    fn request(shape: Value, datatype: &str, data: Value) -> Vec<u8> {
        json!({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]})
            .to_string()
            .into_bytes()
    }

    fn response(outputs: Value) -> Vec<u8> {
        json!({"model_name": "digits", "outputs": outputs})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn flat_and_nested_requests_are_read() {
        let two = protocol(&[2]);
        let rows = [vec![1.0, 2.0], vec![3.0, 4.0]];
        assert_eq!(
            two.decode_request(&request(json!([2, 2]), "FP32", json!([1, 2, 3, 4])))
                .unwrap(),
            rows
        );
        assert_eq!(
            two.decode_request(&request(json!([2, 2]), "FP64", json!([[1, 2], [3, 4]])))
                .unwrap(),
            rows
        );
        assert_eq!(
            two.decode_request(&request(json!([2]), "INT64", json!([1, 2])))
                .unwrap(),
            rows[..1]
        );
        assert_eq!(
            two.decode_request(&request(json!([1, 2]), "BOOL", json!([true, false])))
                .unwrap(),
            [[1.0, 0.0]]
        );
        let image = protocol(&[1, 2]);
        assert_eq!(
            image
                .decode_request(&request(
                    json!([2, 1, 2]),
                    "UINT8",
                    json!([[[1, 2]], [[3, 4]]])
                ))
                .unwrap(),
            rows
        );
    }

    #[test]
    fn what_is_not_needed_is_ignored() {
        let body = json!({
            "id": "r1", "parameters": {"a": [1]}, "outputs": [{"name": "label"}],
            "inputs": [
                {"name": "session", "shape": [1], "datatype": "BYTES", "data": ["abc"], "parameters": {}},
                {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
            ],
        });
        let request = protocol(&[2])
            .parse_request(body.to_string().as_bytes())
            .unwrap();
        assert_eq!(
            request,
            Request {
                id: Some("r1".to_owned()),
                rows: vec![vec![1.0, 2.0]]
            }
        );
    }

    #[test]
    fn a_bad_request_is_refused_in_words() {
        let cases = [
            (request(json!([2, 3]), "FP32", json!([1, 2, 3, 4, 5, 6])), "has shape [2, 3], but must have [2] or that with a batch size"),
            (request(json!([2, 2]), "FP32", json!([1, 2, 3])), "has shape [2, 2], but its data has [3]"),
            (request(json!([2, 2]), "FP32", json!([[1, 2, 3, 4]])), "has shape [2, 2], but its data has [1, 4]"),
            (request(json!([2, 2]), "FP32", json!([[1, 2], [3]])), "its data has arrays of different lengths"),
            (request(json!([0, 2]), "FP32", json!([])), "and not empty"),
            (request(json!([]), "FP32", json!([])), "has shape []"),
            (request(json!([4_294_967_296_u64, 4_294_967_296_u64]), "FP32", json!([1])), "has shape [4294967296, 4294967296]"),
            (request(json!([-1, 2]), "FP32", json!([1, 2])), "invalid value: integer `-1`"),
            (request(json!([1, 2]), "FP32", json!([1, 1e300])), "has 1000"),
            (request(json!([1, 2]), "FP64", json!([1, 1e300])), "has 1e300, which is beyond the range of FP32"),
            (request(json!([1, 2]), "FP32", json!(["a", "b"])), "its data has a text"),
            (request(json!([1, 2]), "FP32", json!([1, null])), "its data has a null"),
            (request(json!([1, 2]), "FP32", json!(7)), "its data is not an array"),
            (request(json!([1, 2]), "FP32", json!([true, 1])), "has booleans in its data, but its datatype is FP32"),
            (request(json!([1, 2]), "UINT8", json!([1, 256])), "has 256 in its data, which is not a value of UINT8"),
            (request(json!([1, 2]), "INT32", json!([1, 1.5])), "has 1.5 in its data, which is not a value of INT32"),
            (request(json!([1, 2]), "BYTES", json!([1, 2])), "has datatype `BYTES`, but must have BOOL"),
            (request(json!([1, 2]), "FP32", Value::Null), "has no data in JSON"),
            (br#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1e999]}]}"#.to_vec(), "number out of range"),
            (br#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, NaN]}]}"#.to_vec(), "expected value"),
            (br#"{"inputs": [{"name": "y", "shape": [], "datatype": "FP32"}]}"#.to_vec(), "inputs has no tensor `x`, only `y`"),
            (br#"{"inputs": []}"#.to_vec(), "inputs has no tensor `x`, only an empty list"),
            (b"{}".to_vec(), "missing field `inputs`"),
            (b"".to_vec(), "EOF while parsing"),
            (b"\xff\xfe".to_vec(), "expected value"),
            ("[".repeat(200).into_bytes(), "the body is not an inference message"),
        ];
        for (body, expected) in cases {
            let error = protocol(&[2])
                .decode_request(&body)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected),
                "expected `{expected}`, found `{error}`"
            );
        }
    }

    #[test]
    fn an_input_that_is_there_twice_is_refused() {
        let tensor = json!({"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]});
        let body = json!({"inputs": [tensor, tensor]}).to_string();
        assert!(
            protocol(&[2])
                .decode_request(body.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("is there twice")
        );
    }

    #[test]
    fn a_body_and_its_errors_are_bounded() {
        let error = protocol(&[2])
            .decode_request(&vec![b' '; MAX_BODY_BYTES + 1])
            .unwrap_err();
        assert_eq!(
            error,
            ProtocolError::TooLarge {
                bytes: MAX_BODY_BYTES + 1,
                limit: MAX_BODY_BYTES
            }
        );
        let name = "é".repeat(10_000);
        let body = json!({"inputs": [{"name": name, "shape": [1], "datatype": name, "data": [1]}]})
            .to_string();
        assert!(
            protocol(&[2])
                .decode_request(body.as_bytes())
                .unwrap_err()
                .to_string()
                .len()
                < 1000
        );
    }

    #[test]
    fn responses_are_read() {
        let label = json!({"name": "label", "shape": [2], "datatype": "INT64", "data": [7, -1]});
        let column =
            json!({"name": "label", "shape": [2, 1], "datatype": "INT32", "data": [[7], [-1]]});
        let numbers = json!({"name": "probabilities", "shape": [2, 2], "datatype": "FP32", "data": [0.25, 0.75, 1, 0]});
        let other = json!({"name": "words", "shape": [1], "datatype": "BYTES", "data": ["a"]});
        let (labels, rows) = (
            Some(vec![7, -1]),
            Some(vec![vec![0.25, 0.75], vec![1.0, 0.0]]),
        );
        let cases = [
            (
                json!([label, numbers, other]),
                Answer {
                    labels: labels.clone(),
                    probabilities: rows.clone(),
                },
            ),
            (
                json!([column]),
                Answer {
                    labels,
                    probabilities: None,
                },
            ),
            (
                json!([other, numbers]),
                Answer {
                    labels: None,
                    probabilities: rows,
                },
            ),
        ];
        for (outputs, answer) in cases {
            assert_eq!(
                protocol(&[2]).decode_response(&response(outputs)).unwrap(),
                answer
            );
        }
    }

    #[test]
    fn a_bad_response_is_refused_in_words() {
        let output = |name: &str, shape: Value, data: Value| {
            response(json!([{"name": name, "shape": shape, "datatype": "FP64", "data": data}]))
        };
        let cases = [
            (
                response(json!([])),
                "outputs has no tensor `label` or `probabilities`, only an empty list",
            ),
            (
                output("predict", json!([1]), json!([1])),
                "outputs has no tensor `label` or `probabilities`, only `predict`",
            ),
            (
                output("label", json!([1]), json!([1.5])),
                "outputs `label`: has 1.5, but a label must be a whole number",
            ),
            (
                output("label", json!([1]), json!([1e300])),
                "a label must be a whole number within 2^53",
            ),
            (
                output("label", json!([1, 2]), json!([1, 2])),
                "has shape [1, 2], but must have [n] or [n, 1]",
            ),
            (
                output("probabilities", json!([1, 1, 1]), json!([1])),
                "must have [n, columns]",
            ),
            (
                output("probabilities", json!([1, 1]), json!([1e40])),
                "beyond the range of FP32",
            ),
            (
                br#"{"error": "no such model"}"#.to_vec(),
                "missing field `outputs`",
            ),
        ];
        for (body, expected) in cases {
            let error = protocol(&[2])
                .decode_response(&body)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected),
                "expected `{expected}`, found `{error}`"
            );
        }
    }

    /// Any JSON, biased to the words of the protocol, so that it gets past the first check.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (0_i64..4).prop_map(Value::from),
            "(x|label|probabilities|FP32|INT64|BOOL|BYTES)".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            let key = "(inputs|outputs|name|shape|datatype|data|id)";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A message of the right form with any shape, datatype and data.
    fn any_message() -> impl Strategy<Value = Value> {
        let datatype =
            prop::sample::select(vec!["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES"]);
        let name = prop::sample::select(vec!["x", "label", "probabilities"]);
        let shape = prop::collection::vec(0_u64..4, 0..4);
        let tensor = (name, shape, datatype, any_json()).prop_map(|(name, shape, datatype, data)| {
            json!({"name": name, "shape": shape, "datatype": datatype, "data": data})
        });
        prop::collection::vec(tensor, 0..4)
            .prop_map(|tensors| json!({"inputs": tensors, "outputs": tensors}))
    }

    /// Whatever is accepted is what the decoders promise.
    fn check(body: &[u8]) {
        if let Ok(rows) = protocol(&[2]).decode_request(body) {
            assert!(!rows.is_empty());
            assert!(
                rows.iter()
                    .all(|row| row.len() == 2 && row.iter().all(|number| number.is_finite()))
            );
        }
        if let Ok(answer) = protocol(&[2]).decode_response(body) {
            assert!(answer.labels.is_some() || answer.probabilities.is_some());
            assert!(
                answer
                    .probabilities
                    .iter()
                    .flatten()
                    .flatten()
                    .all(|number| number.is_finite())
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
            check(&body);
        }

        #[test]
        fn no_json_makes_a_decoder_panic(body in any_json()) {
            check(body.to_string().as_bytes());
        }

        #[test]
        fn no_message_makes_a_decoder_panic(body in any_message()) {
            check(body.to_string().as_bytes());
        }

        #[test]
        fn a_good_request_is_read_back(rows in prop::collection::vec(prop::collection::vec(-1e30_f32..1e30, 2), 1..5)) {
            let shape = json!([rows.len(), 2]);
            prop_assert_eq!(&protocol(&[2]).decode_request(&request(shape.clone(), "FP32", json!(rows))).unwrap(), &rows);
            prop_assert_eq!(&protocol(&[2]).decode_request(&request(shape, "FP32", json!(rows.concat()))).unwrap(), &rows);
        }
    }
}
