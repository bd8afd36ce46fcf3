//! What is read of the Open Inference Protocol, and what is refused.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::{LABEL_OUTPUT, MAX_BODY_BYTES};
use crate::{Datatype, Input};
use proptest::prelude::*;
use serde_json::{Value, json};

fn protocol(shape: &[usize]) -> OpenInference {
    OpenInference {
        tensors: tensors(&[("x", shape)]),
    }
}

fn tensors(inputs: &[(&str, &[usize])]) -> Tensors {
    let input = |(name, shape): &(&str, &[usize])| Input {
        name: (*name).to_owned(),
        shape: shape.to_vec(),
        datatype: Datatype::Fp32,
    };
    Tensors {
        inputs: inputs.iter().map(input).collect(),
        takes_missing: false,
        label_output: LABEL_OUTPUT.to_owned(),
        probabilities_output: "probabilities".to_owned(),
        label_names: BTreeMap::from([("seven".to_owned(), 7)]),
        has_labels: true,
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
        (request(json!([1, 2]), "FP32", json!(["a", "b"])), "has a text in its data, but its datatype is FP32"),
        (request(json!([1, 2]), "FP32", json!([1, null])), "has a null or NaN in its data"),
        (request(json!([1, 2]), "FP32", json!(7)), "its data is not an array"),
        (request(json!([1, 2]), "FP32", json!([true, 1])), "has booleans in its data, but its datatype is FP32"),
        (request(json!([1, 2]), "UINT8", json!([1, 256])), "has 256 in its data, which is not a value of UINT8"),
        (request(json!([1, 2]), "INT32", json!([1, 1.5])), "has 1.5 in its data, which is not a value of INT32"),
        (request(json!([1, 2]), "BYTES", json!([1, 2])), "has no texts in its data, but its datatype is BYTES"),
        (request(json!([1, 2]), "STRING", json!([1, 2])), "has datatype `STRING`, but must have BOOL"),
        (request(json!([1, 2]), "FP32", Value::Null), "has no data, neither in JSON nor in bytes"),
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
    let datatype = prop::sample::select(vec!["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES"]);
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

/// A message of one tensor in bytes.
fn with_bytes(json: Value, raw: &[u8]) -> (Vec<u8>, usize) {
    let json = json.to_string().into_bytes();
    let length = json.len();
    ([json, raw.to_vec()].concat(), length)
}

#[test]
fn binary_tensors_are_read_with_and_without_the_header() {
    let x: Vec<u8> = [1.5_f32, -2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let flags = [1_u8, 0];
    let json = json!({"inputs": [
        {"name": "flags", "shape": [1, 2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}},
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
    ]});
    let (body, length) = with_bytes(json, &[&flags[..], &x].concat());
    let two = OpenInference {
        tensors: tensors(&[("x", &[2]), ("flags", &[2])]),
    };
    for header_length in [None, Some(length)] {
        let message = Message {
            header_length,
            ..Message::new(&body)
        };
        assert_eq!(two.request(&message).unwrap(), [[1.5, -2.0, 1.0, 0.0]]);
    }
    let texts = [&[5, 0, 0, 0][..], b"seven", &[1, 0, 0, 0], b"3"].concat();
    let json = json!({"outputs": [
        {"name": "label", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": texts.len()}},
    ]});
    let answer = two
        .response(&Message::new(&with_bytes(json, &texts).0))
        .unwrap();
    assert_eq!(answer.labels, Some(vec![7, 3]));
}

#[test]
fn bad_bytes_are_refused_by_their_cause() {
    let tensor = |shape: Value, datatype: &str, size: u64| {
        json!({"inputs": [{"name": "x", "shape": shape, "datatype": datatype,
                           "parameters": {"binary_data_size": size}}]})
    };
    let nan = [f32::NAN.to_le_bytes(), 1.0_f32.to_le_bytes()].concat();
    let infinite = [f32::INFINITY.to_le_bytes(), 1.0_f32.to_le_bytes()].concat();
    let wide = [1e300_f64.to_le_bytes(), 1.0_f64.to_le_bytes()].concat();
    let cases = [
        (
            tensor(json!([1, 2]), "FP32", 8),
            nan.as_slice(),
            Cause::NotFinite,
        ),
        (
            tensor(json!([1, 2]), "FP32", 8),
            &infinite,
            Cause::NotFinite,
        ),
        (tensor(json!([1, 2]), "FP64", 16), &wide, Cause::Range),
        (tensor(json!([1, 2]), "FP32", 80), &nan, Cause::Shape),
        (tensor(json!([1, 3]), "FP32", 8), &nan, Cause::Shape),
        (tensor(json!([1, 2]), "FP32", 4), &nan, Cause::Malformed),
        (tensor(json!([u64::MAX, 2]), "FP32", 8), &nan, Cause::Shape),
        (tensor(json!([1, 2]), "BYTES", 8), &nan, Cause::Shape),
        (tensor(json!([1, 2]), "FP8", 8), &nan, Cause::Datatype),
    ];
    for (json, raw, cause) in cases {
        let (body, _) = with_bytes(json.clone(), raw);
        let error = protocol(&[2]).request(&Message::new(&body)).unwrap_err();
        assert_eq!(error.cause(), cause, "{json}: {error}");
    }
    let short = Message {
        header_length: Some(99),
        ..Message::new(b"{}")
    };
    let error = protocol(&[2]).request(&short).unwrap_err();
    assert_eq!(error.cause(), Cause::Malformed);
}

#[test]
fn a_version_may_change_datatypes_and_names() {
    let wide = request(json!([1, 2]), "FP64", json!([0.1, 0.2]));
    assert_eq!(
        protocol(&[2]).request(&Message::new(&wide)).unwrap(),
        [[0.1, 0.2]]
    );
    let output = |name: &str, datatype: &str| {
        response(
            json!([{"name": name, "shape": [1, 2], "datatype": datatype, "data": [0.25, 0.75]}]),
        )
    };
    let mut renamed = protocol(&[2]);
    renamed.tensors.probabilities_output = "scores".to_owned();
    for datatype in ["FP16", "BF16", "FP32", "FP64"] {
        let answer = renamed
            .decode_response(&output("scores", datatype))
            .unwrap();
        assert_eq!(answer.probabilities, Some(vec![vec![0.25, 0.75]]));
    }
    let error = renamed
        .decode_response(&output("probabilities", "FP32"))
        .unwrap_err();
    assert_eq!(error.cause(), Cause::Missing);
}

#[test]
fn a_missing_value_is_one_for_models_that_take_them() {
    let body = request(json!([1, 2]), "FP32", json!([1, null]));
    let mut trees = protocol(&[2]);
    assert_eq!(
        trees.request(&Message::new(&body)).unwrap_err().cause(),
        Cause::NotFinite
    );
    trees.tensors.takes_missing = true;
    let rows = trees.request(&Message::new(&body)).unwrap();
    assert!(rows[0][0] == 1.0 && rows[0][1].is_nan());
    let whole = request(json!([1, 2]), "INT64", json!([1, null]));
    assert_eq!(
        trees.request(&Message::new(&whole)).unwrap_err().cause(),
        Cause::NotFinite
    );
}
