//! Our outputs against those of the libraries that made the models: every
//! `oracles/NAME.expected.json`, which `make oracles` writes. Tolerance: 1e-5
//! relative, and as much absolute (float32 sums in another order).

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serinus_inference::load;

const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Expected {
    by: String,
    inputs: Vec<Vec<Option<f64>>>,
    outputs: Vec<Vec<f64>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles")
}

/// The names of all models, in order.
fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap();
    let names = files.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".expected.json").map(str::to_owned)
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The first number that is not within the tolerance.
fn difference(found: &[Vec<f32>], expected: &[Vec<f64>]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{} rows for {}", found.len(), expected.len()));
    }
    let rows = found.iter().zip(expected).enumerate();
    rows.into_iter().find_map(|(row, (found, expected))| {
        if found.len() != expected.len() {
            return Some(format!("{} columns for {}", found.len(), expected.len()));
        }
        let columns = found.iter().zip(expected).enumerate();
        let mut wrong = columns.filter(|(_, (found, expected))| {
            let allowed = TOLERANCE * (1.0 + expected.abs());
            (f64::from(**found) - **expected).abs() > allowed
        });
        wrong.next().map(|(column, (found, expected))| {
            format!("row {row}, column {column}: {found} is not {expected}")
        })
    })
}

#[test]
fn outputs_are_those_of_the_libraries() {
    let mut wrong = Vec::new();
    let names = names();
    for name in &names {
        let text = std::fs::read(folder().join(format!("{name}.expected.json"))).unwrap();
        let expected: Expected = serde_json::from_slice(&text).unwrap();
        let rows: Vec<Vec<f64>> = expected
            .inputs
            .iter()
            .map(|row| row.iter().map(|x| x.unwrap_or(f64::NAN)).collect())
            .collect();
        let model = match load(&folder().join(format!("{name}.json"))) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let together = model.predict_wide(&rows).unwrap();
        let alone: Vec<_> = rows
            .iter()
            .flat_map(|row| model.predict_wide(std::slice::from_ref(row)).unwrap())
            .collect();
        for (how, found) in [("together", together), ("alone", alone)] {
            if let Some(difference) = difference(&found, &expected.outputs) {
                wrong.push(format!("{name}, {how}, by {}: {difference}", expected.by));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (by, least) in [("xgb-", 6), ("lgb-", 9), ("onnx-", 7), ("torch-", 4)] {
        let found = names.iter().filter(|name| name.starts_with(by)).count();
        assert!(found >= least, "{found} of {by}: {names:?}");
    }
}

/// Every file that is cut short is refused at load, whatever its format.
#[test]
fn a_file_that_is_cut_short_is_refused() {
    let copy = tempfile::tempdir().unwrap();
    for name in names() {
        let description = format!("{name}.json");
        let text = std::fs::read_to_string(folder().join(&description)).unwrap();
        std::fs::write(copy.path().join(&description), &text).unwrap();
        let parsed = serinus_inference::Description::parse(text.as_bytes()).unwrap();
        let bytes = std::fs::read(folder().join(&parsed.weights)).unwrap();
        for tenths in 0..10 {
            let cut = bytes.get(..bytes.len() * tenths / 10).unwrap();
            std::fs::write(copy.path().join(&parsed.weights), cut).unwrap();
            let error = load(&copy.path().join(&description)).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.contains("is cut short")
                    || error.contains("is empty")
                    || error.contains("is no "),
                "{name} cut at {tenths} tenths: `{error}`"
            );
        }
    }
}

/// A file with a byte changed is refused, or runs; it never panics.
#[test]
fn a_file_with_another_byte_never_panics() {
    const CHANGES: u64 = 60;
    let copy = tempfile::tempdir().unwrap();
    // Knuth's MMIX generator; the seed is fixed.
    let mut state = 20_261_126_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for name in names() {
        let description = format!("{name}.json");
        let text = std::fs::read_to_string(folder().join(&description)).unwrap();
        std::fs::write(copy.path().join(&description), &text).unwrap();
        let parsed = serinus_inference::Description::parse(text.as_bytes()).unwrap();
        let bytes = std::fs::read(folder().join(&parsed.weights)).unwrap();
        for _ in 0..CHANGES {
            let mut changed = bytes.clone();
            let at = random(changed.len());
            *changed.get_mut(at).unwrap() = u8::try_from(random(256)).unwrap();
            std::fs::write(copy.path().join(&parsed.weights), changed).unwrap();
            if let Ok(model) = load(&copy.path().join(&description)) {
                let row = vec![1.0; model.input_len()];
                let _ = model.predict_wide(&[row.clone(), row]);
            }
        }
    }
}
