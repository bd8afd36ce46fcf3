//! What a description may say.

use super::*;

const GOOD: &str = r#"{
    "name": "tiny", "weights": "tiny.safetensors",
    "input": {"name": "x", "shape": [2], "datatype": "FP32"},
    "preprocess": [{"scale": 0.5}, {"offset": -1}, {"clip": {"low": -1, "high": 1}},
                   {"standardise": {"mean": [0, 1], "deviation": [1, 2]}}],
    "layers": [{"linear": {"weight": "w", "bias": "b"}}, "tanh", "softmax"],
    "output": {"name": "p", "kind": "probabilities", "labels": [3, 4]}
}"#;

#[test]
fn a_description_survives_a_round_trip() {
    let description = Description::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(description.input.len(), 2);
    let again = Description::parse(&serde_json::to_vec(&description).unwrap()).unwrap();
    assert_eq!(again, description);
}

/// Replaces a part of the good description and returns what `parse` says.
fn refused(part: &str, by: &str) -> String {
    assert!(
        GOOD.contains(part),
        "`{part}` is not in the good description"
    );
    Description::parse(GOOD.replace(part, by).as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn every_error_names_its_field() {
    let cases = [
        (
            r#""kind""#,
            r#""knd": 1, "kind""#,
            "output.knd: unknown field `knd`",
        ),
        (
            r#""bias""#,
            r#""bais""#,
            "layers[0].linear.bais: unknown field `bais`",
        ),
        (
            r#""low": -1"#,
            r#""lo": -1"#,
            "preprocess[2].clip.lo: unknown field `lo`",
        ),
        (
            r#"{"scale": 0.5}"#,
            r#"{"scal": 0.5}"#,
            "preprocess[0]: unknown variant `scal`",
        ),
        (
            r#""tanh""#,
            r#""tahn""#,
            "layers[1]: unknown variant `tahn`",
        ),
        (
            r#""FP32""#,
            r#""FLOAT""#,
            "input.datatype: unknown variant `FLOAT`",
        ),
        (
            r#"[2]"#,
            r#"[-2]"#,
            "input.shape[0]: invalid value: integer `-2`",
        ),
        (
            r#"[2]"#,
            r#"[]"#,
            "input.shape: [] must have at least one dimension",
        ),
        (r#"[2]"#, r#"[0]"#, "input.shape: [0] must have"),
        (
            r#"[2]"#,
            r#"[4294967296, 4294967296]"#,
            "input.shape: [4294967296, 4294967296] must have",
        ),
        // Refused by serde_json or here, as its `float_roundtrip` feature decides.
        (r#"0.5"#, r#"1e60"#, "preprocess[0]"),
        (
            r#""high": 1"#,
            r#""high": -1"#,
            "preprocess[2]: clip from -1 to -1",
        ),
        (
            r#"[0, 1]"#,
            r#"[0]"#,
            "preprocess[3]: has 1 means and 2 deviations, but the input has 2 columns",
        ),
        (
            r#"[1, 2]"#,
            r#"[1, 0]"#,
            "preprocess[3]: deviation must have only positive",
        ),
        (
            r#", "softmax""#,
            "",
            "output.kind: is `probabilities`, so the last layer must be `softmax`",
        ),
        (
            r#""probabilities""#,
            r#""values""#,
            "output.labels: must be left out",
        ),
        (r#"[3, 4]"#, r#"[3, 3]"#, "output.labels: has a label twice"),
        (r#""tiny","#, r#"" ","#, "name: is empty"),
        (
            r#""name": "tiny","#,
            "",
            "the description: missing field `name`",
        ),
    ];
    for (part, by, expected) in cases {
        let found = refused(part, by);
        assert!(
            found.contains(expected),
            "{by}: expected `{expected}`, found `{found}`"
        );
    }
}

#[test]
fn text_after_the_description_is_refused() {
    let error = Description::parse(format!("{GOOD} {{}}").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("trailing characters"), "{error}");
}

#[test]
fn a_network_without_layers_is_refused() {
    let error = Description::parse(
        GOOD.replace(
            r#"[{"linear": {"weight": "w", "bias": "b"}}, "tanh", "softmax"]"#,
            "[]",
        )
        .as_bytes(),
    );
    assert_eq!(error.unwrap_err().at, "layers");
}
