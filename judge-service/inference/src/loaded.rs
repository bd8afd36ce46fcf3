//! A model artefact in memory: names, preprocessing, and the engine that computes.

use super::description::{Description, DescriptionError, Input, Output, OutputKind};
use super::preprocess::Preprocess;
use super::{BuildError, InferenceError, Model};

/// What computes: it knows no names, no labels and no preprocessing.
pub(super) trait Engine: Send + Sync {
    /// The numbers in one output row.
    fn outputs(&self) -> usize;

    /// Whether NaN is an input like another, a missing value.
    fn takes_missing(&self) -> bool {
        false
    }

    /// Row-major rows of the width that the engine was built for give row-major
    /// rows of [`outputs`](Self::outputs). There is at least one.
    ///
    /// # Errors
    /// A result that cannot be computed from these numbers.
    fn run(&self, rows: &[f64], count: usize) -> Result<Vec<f32>, InferenceError>;
}

/// SHA-256 in lowercase hex.
pub(super) struct Digests {
    /// Of the description followed by the weights.
    pub both: String,
    pub weights: String,
}

/// A model that is ready to run.
pub(super) struct Loaded {
    name: String,
    digests: Digests,
    input: Input,
    inputs: Vec<Input>,
    width: usize,
    output_name: String,
    labels: Option<Vec<i64>>,
    preprocess: Vec<(Preprocess, usize)>,
    engine: Box<dyn Engine>,
}

// === impl Loaded ===

impl Loaded {
    /// Joins a checked description and an engine for rows as they are after
    /// preprocessing.
    pub(super) fn new(
        description: &Description,
        engine: Box<dyn Engine>,
        digests: Digests,
    ) -> Result<Self, BuildError> {
        let mut width = description.width();
        let mut preprocess = Vec::new();
        for step in &description.preprocess {
            preprocess.push((step.clone(), width));
            width = step
                .check(width)
                .map_err(|reason| DescriptionError::new("preprocess", reason))?;
        }
        Ok(Self {
            name: description.name.clone(),
            digests,
            input: description.input.clone(),
            inputs: description.inputs().cloned().collect(),
            width: description.width(),
            output_name: description.output.name.clone(),
            labels: labels(&description.output, engine.outputs())?,
            preprocess,
            engine,
        })
    }

    /// All rows behind each other, checked.
    fn flat<T: Copy + Into<f64>>(&self, rows: &[Vec<T>]) -> Result<Vec<f64>, InferenceError> {
        let mut numbers = Vec::with_capacity(rows.len() * self.width);
        for (row, own) in rows.iter().enumerate() {
            if own.len() != self.width {
                return Err(InferenceError::Width {
                    row,
                    found: own.len(),
                    expected: self.width,
                });
            }
            numbers.extend(own.iter().map(|number| (*number).into()));
        }
        let takes_missing = self.engine.takes_missing();
        let is_bad = |number: &f64| !(number.is_finite() || takes_missing && number.is_nan());
        if let Some(at) = numbers.iter().position(is_bad) {
            return Err(InferenceError::InputNotFinite {
                row: at / self.width,
                column: at % self.width,
                found: numbers.get(at).copied().unwrap_or_default(),
            });
        }
        Ok(numbers)
    }

    /// The outputs of `count` rows.
    fn run(&self, mut numbers: Vec<f64>, count: usize) -> Result<Vec<Vec<f32>>, InferenceError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        for (step, width) in &self.preprocess {
            numbers = step.apply(numbers, *width)?;
        }
        let outputs = self.engine.run(&numbers, count)?;
        let outputs = outputs.chunks(self.output_len().max(1));
        let outputs: Vec<_> = outputs.map(<[f32]>::to_vec).collect();
        let is_finite = |row: &Vec<f32>| row.iter().all(|number| number.is_finite());
        match outputs.iter().position(|row| !is_finite(row)) {
            Some(row) => Err(InferenceError::OutputNotFinite { row }),
            None => Ok(outputs),
        }
    }
}

impl Model for Loaded {
    fn name(&self) -> &str {
        &self.name
    }

    fn digest(&self) -> &str {
        &self.digests.both
    }

    fn file_digest(&self) -> &str {
        &self.digests.weights
    }

    fn input(&self) -> &Input {
        &self.input
    }

    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn takes_missing(&self) -> bool {
        self.engine.takes_missing()
    }

    fn output_name(&self) -> &str {
        &self.output_name
    }

    fn output_len(&self) -> usize {
        self.engine.outputs()
    }

    fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    fn predict_wide(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f32>>, InferenceError> {
        self.run(self.flat(rows)?, rows.len())
    }

    fn predict(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, InferenceError> {
        self.run(self.flat(rows)?, rows.len())
    }
}

/// The label of each of `width` columns.
fn labels(output: &Output, width: usize) -> Result<Option<Vec<i64>>, DescriptionError> {
    match (output.kind, &output.labels) {
        (OutputKind::Values, _) => Ok(None),
        (OutputKind::Probabilities, None) => Ok(Some((0_i64..).take(width).collect())),
        (OutputKind::Probabilities, Some(labels)) if labels.len() == width => {
            Ok(Some(labels.clone()))
        }
        (OutputKind::Probabilities, Some(labels)) => {
            let reason = format!(
                "has {} labels, but the network has {width} outputs",
                labels.len()
            );
            Err(DescriptionError::new("output.labels", reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::weights::Tensors;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::path::Path;

    const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models");

    #[derive(Deserialize)]
    struct Expected {
        inputs: Vec<Vec<f32>>,
        probabilities: BTreeMap<String, Vec<Vec<f32>>>,
    }

    /// Source: scikit-learn 1.9.1's own predict_proba in float32, written by
    /// tests/models/train.py. Tolerance 1e-5: the same float32 products, summed in
    /// another order over at most 64 terms.
    #[test]
    fn the_answers_are_those_of_scikit_learn() {
        let text = std::fs::read(Path::new(MODELS).join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&text).unwrap();
        assert_eq!(expected.probabilities.len(), 2);
        for (name, rows) in &expected.probabilities {
            let model = crate::load(&Path::new(MODELS).join(format!("{name}.json"))).unwrap();
            let together = model.predict(&expected.inputs).unwrap();
            assert_eq!(together.len(), rows.len());
            for ((input, row), found) in expected.inputs.iter().zip(rows).zip(&together) {
                let alone = model.predict(std::slice::from_ref(input)).unwrap();
                for (column, (&right, &batched)) in row.iter().zip(found).enumerate() {
                    assert!(
                        (right - batched).abs() <= 1e-5,
                        "{name}, column {column}: {batched} is not {right}"
                    );
                    assert!(
                        (right - alone[0][column]).abs() <= 1e-5,
                        "{name}, column {column}, alone"
                    );
                }
            }
        }
    }

    /// A network of one column from its preprocessing and layers, without weights.
    fn plain(preprocess: serde_json::Value, layers: serde_json::Value, width: usize) -> Loaded {
        let text = json!({
            "name": "plain", "weights": "none", "preprocess": preprocess, "layers": layers,
            "input": {"name": "x", "shape": [width], "datatype": "FP32"},
            "output": {"name": "y", "kind": "values"},
        });
        let description = Description::parse(text.to_string().as_bytes()).unwrap();
        let network = Network::build(&description, &Tensors::new()).unwrap();
        let digests = Digests {
            both: String::new(),
            weights: String::new(),
        };
        Loaded::new(&description, Box::new(network), digests).unwrap()
    }

    #[test]
    fn every_operation_does_what_its_name_says() {
        // (preprocess, layer, input, output): by hand, tanh(0.5) and sigmoid(0.5) from Python's math.
        let cases = [
            (
                json!([{"scale": 0.5}]),
                json!("relu"),
                [3.0, -3.0],
                [1.5, 0.0],
            ),
            (
                json!([{"offset": 1}]),
                json!("relu"),
                [3.0, -0.5],
                [4.0, 0.5],
            ),
            (
                json!([{"clip": {"low": 0, "high": 1}}]),
                json!("relu"),
                [3.0, 0.25],
                [1.0, 0.25],
            ),
            (
                json!([{"standardise": {"mean": [1, 2], "deviation": [2, 4]}}]),
                json!("relu"),
                [3.0, 6.0],
                [1.0, 1.0],
            ),
            (
                json!([{"scale": 2}, {"offset": 1}]),
                json!("relu"),
                [1.0, 2.0],
                [3.0, 5.0],
            ),
            (json!([]), json!("tanh"), [0.5, 0.0], [0.462_117_16, 0.0]),
            (
                json!([]),
                json!("sigmoid"),
                [0.5, -200.0],
                [0.622_459_35, 0.0],
            ),
            (json!([]), json!("softmax"), [1000.0, 1000.0], [0.5, 0.5]),
        ];
        for (preprocess, layer, input, output) in cases {
            let found = plain(preprocess.clone(), json!([layer]), 2)
                .predict(&[input.to_vec()])
                .unwrap();
            for (found, right) in found[0].iter().zip(output) {
                assert!(
                    (found - right).abs() < 1e-6,
                    "{preprocess} {layer}: {found} is not {right}"
                );
            }
        }
    }

    #[test]
    fn values_have_no_label() {
        let network = plain(json!([]), json!(["relu"]), 2);
        assert_eq!(network.label_of(&[1.0, 2.0]), None);
    }

    #[test]
    fn a_row_that_cannot_be_computed_is_named() {
        let network = plain(json!([{"scale": 10}]), json!(["relu"]), 2);
        let refused = |rows: &[Vec<f32>]| network.predict(rows).unwrap_err().to_string();
        assert_eq!(
            refused(&[vec![1.0, 2.0], vec![1.0]]),
            "input row 1 has 1 numbers, but must have 2"
        );
        assert!(refused(&[vec![1.0, f32::NAN]]).starts_with("input row 0 has NaN in column 1"));
        assert!(refused(&[vec![1.0, 1e38]]).starts_with("output row 0 is not finite"));
        assert!(network.predict(&[]).unwrap().is_empty());
    }
}
