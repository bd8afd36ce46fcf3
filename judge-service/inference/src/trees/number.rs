//! The two precisions that tree libraries compute in.

use std::ops::Add;

/// XGBoost compares and adds in float32, LightGBM in float64.
pub(super) trait Number: Copy + PartialOrd + Add<Output = Self> + Send + Sync {
    const ZERO: Self;
    const NAN: Self;

    fn narrow(number: f64) -> Self;
    fn wide(self) -> f64;
    fn is_nan(self) -> bool;

    /// LightGBM's zero: up to 1e-35, its `kZeroThreshold` (`meta.h`, 4.x).
    fn is_near_zero(self) -> bool {
        self.wide().abs() <= f64::from(1e-35_f32)
    }
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const NAN: Self = Self::NAN;

    fn narrow(number: f64) -> Self {
        number as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const NAN: Self = Self::NAN;

    fn narrow(number: f64) -> Self {
        number
    }

    fn wide(self) -> f64 {
        self
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }
}
