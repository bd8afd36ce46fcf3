//! Gradient-boosted trees: XGBoost's JSON and LightGBM's text format.

mod forest;
mod lightgbm;
mod number;
mod objective;
mod xgboost;

use forest::Forest;
use number::Number;
use objective::Link;

/// What is wrong with a file of trees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreesError {
    #[error("is no {format} model: {reason}")]
    Format {
        format: &'static str,
        reason: String,
    },
    #[error("is cut short: {0}")]
    Truncated(String),
    #[error("has {found}, which is not supported: {right}")]
    Unsupported { found: String, right: String },
    #[error("tree {tree} {reason}")]
    Tree { tree: usize, reason: String },
}

/// An ensemble that is ready to run.
#[derive(Debug)]
pub(crate) struct Trees {
    width: usize,
    groups: usize,
    link: Link,
    sums: Sums,
}

/// Leaves are added in the precision of the library.
#[derive(Debug)]
enum Sums {
    /// XGBoost: inputs, thresholds and sums in float32; the sums start at `base`.
    Single { forest: Forest<f32>, base: Vec<f32> },
    /// LightGBM: all in float64; the sums of a random forest are divided by its trees.
    Double { forest: Forest<f64>, divisor: f64 },
}

impl Trees {
    /// Reads XGBoost's JSON (`save_model("model.json")`), versions 1.0 to 3.x.
    ///
    /// # Errors
    /// Anything malformed, cut short, out of bounds, or not supported, by its name.
    pub(crate) fn xgboost(bytes: &[u8], iterations: Option<usize>) -> Result<Self, TreesError> {
        xgboost::read(bytes, iterations)
    }

    /// Reads LightGBM's text (`save_model("model.txt")`), versions v3 and v4.
    ///
    /// # Errors
    /// As [`Self::xgboost`].
    pub(crate) fn lightgbm(bytes: &[u8], iterations: Option<usize>) -> Result<Self, TreesError> {
        lightgbm::read(bytes, iterations)
    }

    /// The features in one row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The numbers in one output row, as the library's `predict` has them.
    pub(crate) fn outputs(&self) -> usize {
        self.groups
    }

    /// Whether the one output is the probability of label 1 against label 0.
    pub(crate) fn is_binary(&self) -> bool {
        self.groups == 1 && self.link.is_logistic()
    }

    /// Whether the outputs of a row are probabilities of labels.
    pub(crate) fn is_classifier(&self) -> bool {
        self.link.is_logistic() || self.link == Link::Softmax
    }

    /// Row-major [rows, width] gives row-major [rows, outputs]. NaN is a missing
    /// value. Numbers that are not whole rows at the end are ignored.
    pub(crate) fn run(&self, rows: &[f64]) -> Vec<f32> {
        let count = rows.len() / self.width.max(1);
        match &self.sums {
            Sums::Single { forest, base } => {
                let rows: Vec<f32> = rows.iter().map(|x| f32::narrow(*x)).collect();
                let mut sums: Vec<f32> = base
                    .iter()
                    .copied()
                    .cycle()
                    .take(count * self.groups)
                    .collect();
                forest.add_sums(&rows, &mut sums);
                self.outputs_of(&sums)
            }
            Sums::Double { forest, divisor } => {
                let mut sums = vec![0.0; count * self.groups];
                // LightGBM's predictors keep only what is not nearly zero.
                let zeroed = |x: &f64| if x.is_near_zero() { 0.0 } else { *x };
                let rows: Vec<f64> = rows.iter().map(zeroed).collect();
                forest.add_sums(&rows, &mut sums);
                sums.iter_mut().for_each(|sum| *sum /= divisor);
                self.outputs_of(&sums)
            }
        }
    }

    fn outputs_of<T: Number>(&self, sums: &[T]) -> Vec<f32> {
        let rows = sums.chunks(self.groups.max(1));
        let outputs = rows.flat_map(|row| self.link.apply(row));
        outputs.map(f32::narrow).collect()
    }
}

fn unsupported(found: impl Into<String>, right: impl Into<String>) -> TreesError {
    TreesError::Unsupported {
        found: found.into(),
        right: right.into(),
    }
}

/// How many of `rounds` are evaluated: all, unless the description says fewer.
fn rounds(wanted: Option<usize>, rounds: usize) -> Result<usize, TreesError> {
    match wanted {
        Some(0) => Err(unsupported("0 iterations", "say at least 1")),
        Some(wanted) if wanted > rounds => Err(unsupported(
            format!("{rounds} iterations"),
            format!("the description asks for {wanted}"),
        )),
        Some(wanted) => Ok(wanted),
        None => Ok(rounds),
    }
}
