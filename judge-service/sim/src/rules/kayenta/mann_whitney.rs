//! The Mann-Whitney test with R's asymptotic interval for the shift (`wilcox.test`,
//! `exact = FALSE, correct = TRUE`), which Kayenta follows.

/// Values of canary and control so far, with what the test needs of them at a shift of
/// zero, kept up to date in one pass a value.
#[derive(Clone, Debug, Default)]
pub struct Window {
    canary: Vec<f64>,
    control: Vec<f64>,
    /// Pairs in which canary is above; a tie is half.
    above: f64,
    /// The sum of t^3 - t over groups of t equal values.
    ties: f64,
}

impl Window {
    /// A minute without a value has none.
    pub fn push(&mut self, canary: Option<f64>, control: Option<f64>) {
        if let Some(value) = canary {
            self.above += self
                .control
                .iter()
                .map(|&other| pair(value, other))
                .sum::<f64>();
            self.tie(value);
            self.canary.push(value);
        }
        if let Some(value) = control {
            self.above += self
                .canary
                .iter()
                .map(|&other| pair(other, value))
                .sum::<f64>();
            self.tie(value);
            self.control.push(value);
        }
    }

    fn tie(&mut self, value: f64) {
        let all = self.canary.iter().chain(&self.control);
        let equal = all.filter(|&&other| other == value).count() as f64;
        // (t + 1)^3 - (t + 1) less t^3 - t.
        self.ties += 3.0 * equal * (equal + 1.0);
    }

    #[must_use]
    pub fn canary(&self) -> &[f64] {
        &self.canary
    }

    #[must_use]
    pub fn control(&self) -> &[f64] {
        &self.control
    }

    /// The standardised statistic for "no shift".
    #[must_use]
    pub fn statistic(&self) -> f64 {
        standardised(
            self.above,
            self.ties,
            self.canary.len() as f64,
            self.control.len() as f64,
        )
    }
}

fn pair(canary: f64, control: f64) -> f64 {
    match canary.total_cmp(&control) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    }
}

/// `(U - xy/2 -+ 1/2) / sigma`, sigma corrected for ties; 0 where all values are tied.
fn standardised(above: f64, ties: f64, canary: f64, control: f64) -> f64 {
    let all = canary + control;
    let distance = above - canary * control / 2.0;
    let correction = if distance == 0.0 {
        0.0
    } else {
        distance.signum() * 0.5
    };
    let spread = (all + 1.0) - ties / (all * (all - 1.0));
    let sigma = (canary * control / 12.0 * spread).sqrt();
    if sigma > 0.0 {
        (distance - correction) / sigma
    } else {
        0.0
    }
}

/// The statistic for "canary is shifted by `shift`".
#[must_use]
pub fn statistic(canary: &[f64], control: &[f64], shift: f64) -> f64 {
    let shifted = canary.iter().map(|value| (value - shift, true));
    let mut all: Vec<(f64, bool)> = shifted
        .chain(control.iter().map(|&value| (value, false)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut above, mut ties, mut controls_below) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let size = group.len() as f64;
        let canaries = group.iter().filter(|(_, canary)| *canary).count() as f64;
        above += canaries * (controls_below + (size - canaries) / 2.0);
        controls_below += size - canaries;
        ties += size * size * size - size;
    }
    standardised(above, ties, canary.len() as f64, control.len() as f64)
}

/// The shift and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    pub low: f64,
    pub high: f64,
    pub estimate: f64,
}

/// `None` without values.
#[must_use]
pub fn shift(canary: &[f64], control: &[f64], confidence: f64) -> Option<Shift> {
    let quantile = quantile(confidence);
    Some(Shift {
        low: shift_of(canary, control, quantile)?,
        high: shift_of(canary, control, -quantile)?,
        estimate: estimate(canary, control)?,
    })
}

/// Hodges and Lehmann's; `None` without values.
#[must_use]
pub fn estimate(canary: &[f64], control: &[f64]) -> Option<f64> {
    shift_of(canary, control, 0.0)
}

/// The shift at which the statistic falls through a value.
fn shift_of(canary: &[f64], control: &[f64], wanted: f64) -> Option<f64> {
    let (canary_least, canary_most) = range(canary)?;
    let (control_least, control_most) = range(control)?;
    let (least, most) = (canary_least - control_most, canary_most - control_least);
    Some(root(least, most, |shift| {
        statistic(canary, control, shift) - wanted
    }))
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some((least, most))
}

/// Where a falling step function crosses zero. Kayenta's solver stops anywhere within
/// 1e-4 of it; this one stops closer.
fn root(least: f64, most: f64, function: impl Fn(f64) -> f64) -> f64 {
    if least >= most || function(least) <= 0.0 {
        return least;
    }
    if function(most) >= 0.0 {
        return most;
    }
    let (mut low, mut high) = (least, most);
    while high - low > 1e-9 * (most - least) {
        let middle = f64::midpoint(low, high);
        if function(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The normal quantile that leaves half of the rest on each side.
#[must_use]
pub fn quantile(confidence: f64) -> f64 {
    let outside = 1.0 - confidence;
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if libm::erfc(middle / std::f64::consts::SQRT_2) > outside {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_up_to_date_is_what_is_computed() {
        let mut window = Window::default();
        let mut draw = crate::draw::Draw::new(1, "window", 0);
        for _ in 0..60 {
            let [canary, control] = [(); 2].map(|()| f64::from(draw.below(5)));
            window.push(Some(canary), Some(control));
            let whole = statistic(window.canary(), window.control(), 0.0);
            assert!((window.statistic() - whole).abs() < 1e-12);
        }
    }

    #[test]
    fn quantiles_are_the_normal_ones() {
        assert!((quantile(0.98) - 2.326_347_874_040_841).abs() < 1e-12);
        assert!((quantile(0.95) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
