//! A file of trees as the engine of a model.

use super::InferenceError;
use super::description::{Description, DescriptionError, OutputKind};
use super::loaded::Engine;
use super::trees::Trees;

/// Trees with the columns that the description asks for.
pub(super) struct Tabular {
    trees: Trees,
    /// `[1 - p, p]` from the one probability that the library returns, so that
    /// each label has its column.
    both: bool,
}

impl Tabular {
    /// Joins trees and a checked description.
    ///
    /// # Errors
    /// Another number of features, or probabilities from trees without labels.
    pub(super) fn new(description: &Description, trees: Trees) -> Result<Self, DescriptionError> {
        let width = description.network_width()?;
        if trees.width() != width {
            let features = trees.width();
            let reason = format!("gives rows of {width} numbers, but the trees take {features}");
            return Err(DescriptionError::new("input.shape", reason));
        }
        let probabilities = description.output.kind == OutputKind::Probabilities;
        if probabilities && !trees.is_classifier() {
            let reason = "is `probabilities`, but the trees' objective has none: say `values`";
            return Err(DescriptionError::new("output.kind", reason));
        }
        Ok(Self {
            both: probabilities && trees.is_binary(),
            trees,
        })
    }
}

impl Engine for Tabular {
    fn outputs(&self) -> usize {
        if self.both { 2 } else { self.trees.outputs() }
    }

    fn takes_missing(&self) -> bool {
        true
    }

    fn run(&self, rows: &[f64], _: usize) -> Result<Vec<f32>, InferenceError> {
        let outputs = self.trees.run(rows);
        Ok(if self.both {
            outputs.iter().flat_map(|p| [1.0 - p, *p]).collect()
        } else {
            outputs
        })
    }
}
