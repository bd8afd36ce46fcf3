//! From values of a metric to high, low or pass.

use super::mann_whitney::{Shift, shift};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    Pass,
    High,
    Low,
    Nodata,
}

/// Which change is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Increase,
    Decrease,
    Either,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectSize {
    /// Canary's mean over control's.
    MeanRatio,
    /// The chance that a value of canary is above one of control.
    CommonLanguage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classifier {
    /// The interval must leave out this part of the estimated shift.
    pub tolerance: f64,
    pub confidence: f64,
    pub direction: Direction,
    pub effect_size: EffectSize,
    /// At most the first is low, at least the second is high.
    pub effect_size_thresholds: (f64, f64),
    pub critical_thresholds: (f64, f64),
    pub is_critical: bool,
}

impl Classifier {
    #[must_use]
    pub fn classify(&self, control: &[f64], canary: &[f64]) -> Classification {
        self.classify_critically(control, canary).0
    }

    /// The classification, and whether it alone fails the canary.
    #[must_use]
    pub fn classify_critically(&self, control: &[f64], canary: &[f64]) -> (Classification, bool) {
        let Some(found) = shift(canary, control, self.confidence) else {
            return (Classification::Nodata, self.is_critical);
        };
        if sorted(control) == sorted(canary) {
            return (Classification::Pass, false);
        }
        let Shift {
            low,
            high,
            estimate,
        } = found;
        let margin = self.tolerance * estimate.abs();
        let size = self.size(control, canary);
        let up = self.direction != Direction::Decrease && low > margin;
        let down = self.direction != Direction::Increase && high < -margin;
        if up && size >= self.effect_size_thresholds.1 {
            let critical = self.is_critical && size >= self.critical_thresholds.1;
            (Classification::High, critical)
        } else if down && size <= self.effect_size_thresholds.0 {
            let critical = self.is_critical && size <= self.critical_thresholds.0;
            (Classification::Low, critical)
        } else {
            (Classification::Pass, false)
        }
    }

    #[must_use]
    pub fn size(&self, control: &[f64], canary: &[f64]) -> f64 {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        match self.effect_size {
            EffectSize::MeanRatio => mean(canary) / mean(control),
            EffectSize::CommonLanguage => {
                let wins = canary.iter().map(|value| {
                    let below = control.iter().filter(|&other| other < value).count() as f64;
                    let equal = control.iter().filter(|&other| other == value).count() as f64;
                    (below + equal / 2.0) / control.len() as f64
                });
                wins.sum::<f64>() / canary.len() as f64
            }
        }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
