//! What the models answer to a batch: as few runs of each as can be.

use super::read::{Read, Rows};
use crate::inference::Model;
use crate::service::models::Kit;

/// Rows that a model answers at once: more gain nothing, and take memory in every layer.
const TOGETHER: usize = 1_024;

/// Rows of one model's answer to one sample; `None` where it cannot be asked, or does not
/// take what it is asked.
pub type Prediction = Option<Vec<Vec<f32>>>;

/// By arm, and then by sample.
pub struct Predictions(Vec<Vec<Prediction>>);

impl Predictions {
    /// Every model answers all rows: its own arm's to see what was served, and all to see
    /// whether they differ.
    pub fn of(kit: &Kit, rows: &Rows, read: &[Read]) -> Self {
        let of_arm = |arm: usize| {
            let Some(reader) = kit.arm(arm) else {
                return vec![None; read.len()];
            };
            let model = &*reader.model;
            let Some(rows) = rows.get(kit.inputs_like(arm)) else {
                return vec![None; read.len()];
            };
            let together = all(model, rows);
            let of_sample = |sample: &Read| {
                let own = sample.rows_of(arm)?;
                match &together {
                    Some(together) => together.get(own).map(<[_]>::to_vec),
                    // A row of the batch that the model does not take: each is asked alone.
                    None => all(model, rows.get(own)?),
                }
            };
            read.iter().map(of_sample).collect()
        };
        Self((0..kit.arms.len()).map(of_arm).collect())
    }

    pub fn get(&self, arm: usize, sample: usize) -> Option<&[Vec<f32>]> {
        self.0.get(arm)?.get(sample)?.as_deref()
    }
}

fn all(model: &dyn Model, rows: &[Vec<f64>]) -> Prediction {
    let mut answers = Vec::with_capacity(rows.len());
    for rows in rows.chunks(TOGETHER) {
        answers.append(&mut model.predict_wide(rows).ok()?);
    }
    Some(answers)
}
