//! Whether a model is as often right as it says.

use schemars::JsonSchema;
use serde::Serialize;

const BINS: usize = 10;

/// A probability of 0 for what came true would be an infinite loss.
const LEAST: f64 = 1e-15;

/// Of answers whose outcome and probability are known.
#[derive(Debug, Clone, Default, JsonSchema, Serialize)]
pub struct Calibration {
    pub outcomes: u64,
    /// The mean of -ln of the probability that the truth was given. Exact for two classes;
    /// for more, a wrong answer's is taken to have what the prediction left.
    pub log_loss: Option<f64>,
    /// By the probability that was given to the prediction, in tenths.
    pub bins: Vec<CalibrationBin>,
    #[serde(skip)]
    loss: f64,
}

#[derive(Debug, Clone, Copy, Default, JsonSchema, Serialize)]
pub struct CalibrationBin {
    pub outcomes: u64,
    pub right: u64,
    /// The mean probability that was given.
    pub mean: f64,
}

impl Calibration {
    /// One more outcome of an answer to which the model gave this probability.
    pub fn count(&mut self, confidence: f64, right: bool) {
        if !(0.0..=1.0).contains(&confidence) {
            return;
        }
        if self.bins.is_empty() {
            self.bins = vec![CalibrationBin::default(); BINS];
        }
        // The cast is of a number from 0 to 10.
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.outcomes += 1;
            bin.right += u64::from(right);
            bin.mean += (confidence - bin.mean) / bin.outcomes as f64;
        }
        let truth = if right { confidence } else { 1.0 - confidence };
        self.outcomes += 1;
        self.loss -= truth.max(LEAST).ln();
        self.log_loss = Some(self.loss / self.outcomes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_model_that_is_right_loses_nothing() {
        let mut calibration = Calibration::default();
        calibration.count(1.0, true);
        assert_eq!(calibration.log_loss, Some(0.0));
        calibration.count(0.5, false);
        assert!((calibration.log_loss.unwrap() - 0.5_f64.ln().abs() / 2.0).abs() < 1e-12);
        calibration.count(0.0, true);
        assert!(calibration.log_loss.unwrap().is_finite());
        calibration.count(f64::NAN, true);
        assert_eq!(calibration.outcomes, 3);
        assert_eq!(calibration.bins[9].right, 1);
        assert_eq!(calibration.bins[5].outcomes, 1);
    }
}
