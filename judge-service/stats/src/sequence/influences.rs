//! The estimate: what each slot adds to the rates, over all strata.

use super::strata::{Counts, SLOTS, Stratum, Totals, or_slots};
use super::{Difference, Margin};
use crate::math::sqrt;

/// `Delta` over all strata, as [`Influences::at`] has it.
///
/// None if no stratum counts, if all requests fell in one slot, if a slice does not
/// have [`SLOTS`] entries, or if the margin is not finite.
pub fn difference(strata: &[Stratum], margin: Margin) -> Option<Difference> {
    Influences::of(strata)?.at(margin)
}

/// What each slot adds to the rates of the arms: all margins are judged from one pass
/// over the strata. It lies on the stack; a look allocates nothing.
#[derive(Clone, Debug)]
pub struct Influences {
    /// `sum_e w_e (Y1_eb - R1_e N1_eb)/N1_e`, with weights as they are: what they add up
    /// to is divided by their sum at the end.
    canary: [f64; SLOTS],
    /// The same of control.
    control: [f64; SLOTS],
    sum: Sum,
    clusters: u32,
    /// Of the canary and of control.
    event_slots: [u32; 2],
}

impl Influences {
    /// A stratum in which an arm had no requests has no concurrent comparison and does
    /// not count.
    ///
    /// None if no stratum counts, if all requests fell in one slot, or if a slice does
    /// not have [`SLOTS`] entries.
    pub fn of(strata: &[Stratum]) -> Option<Influences> {
        let whole = strata
            .iter()
            .all(|s| s.canary.is_whole() && s.control.is_whole());
        let totals = strata.iter().map(|stratum| (*stratum, stratum.totals()));
        whole.then(|| Self::sum(totals)).flatten()
    }

    /// [`Influences::of`] strata whose totals are known, which spares a walk over them.
    pub fn with_totals(strata: &[(Stratum, Totals)]) -> Option<Influences> {
        let whole = strata
            .iter()
            .all(|(s, _)| s.canary.is_whole() && s.control.is_whole());
        whole.then(|| Self::sum(strata.iter().copied())).flatten()
    }

    fn sum<'a>(strata: impl Iterator<Item = (Stratum<'a>, Totals)>) -> Option<Influences> {
        let (mut canary, mut control) = ([0.0; SLOTS], [0.0; SLOTS]);
        let (mut requests, mut events) = ([0; SLOTS], [[0; SLOTS]; 2]);
        let [of_canary, of_control] = &mut events;
        let mut sum = Sum::default();
        for (stratum, totals) in strata {
            if !totals.are_comparable() {
                continue;
            }
            sum.add(totals);
            let weight = totals.weight();
            stratum.canary.pull(&mut canary, weight, totals.canary);
            stratum.control.pull(&mut control, weight, totals.control);
            or_slots(&mut requests, stratum.canary.requests);
            or_slots(&mut requests, stratum.control.requests);
            or_slots(of_canary, stratum.canary.events);
            or_slots(of_control, stratum.control.events);
        }
        let any = |slots: &[u64; SLOTS]| slots.iter().filter(|&&slot| slot > 0).count() as u32;
        let influences = Influences {
            canary,
            control,
            sum,
            clusters: any(&requests),
            event_slots: events.each_ref().map(any),
        };
        // One cluster shows no spread.
        (influences.sum.weights > 0.0 && influences.clusters > 1).then_some(influences)
    }

    /// `Delta` at one margin; None if that is not finite.
    ///
    /// A standard error of 0 means that no spread was seen (no events, or all of them in
    /// one slot), not that there is none: the gate is for that.
    pub fn at(&self, margin: Margin) -> Option<Difference> {
        let (ratio, offset) = match margin {
            Margin::Ratio(ratio) => (ratio, 0.0),
            Margin::Absolute(offset) => (1.0, offset),
        };
        if !ratio.is_finite() || !offset.is_finite() {
            return None;
        }
        let sum = &self.sum;
        let slots = self.canary.iter().zip(&self.control);
        let of_both = slots.map(|(canary, control)| canary - ratio * control);
        let [canary_event_slots, control_event_slots] = self.event_slots;
        Some(Difference {
            estimate: sum.canary_rate() - ratio * sum.control_rate() - offset,
            standard_error: self.standard_error(of_both),
            canary_error: self.standard_error(self.canary.iter().copied()),
            control_error: self.standard_error(self.control.iter().copied()),
            canary_rate: sum.canary_rate(),
            control_rate: sum.control_rate(),
            canary_events: sum.canary.events,
            control_events: sum.control.events,
            canary_event_slots,
            control_event_slots,
            n: sum.canary.requests.saturating_add(sum.control.requests),
            share: sum.canary.requests as f64
                / (sum.canary.requests as f64 + sum.control.requests as f64),
        })
    }

    fn standard_error(&self, influences: impl Iterator<Item = f64>) -> f64 {
        let squares: f64 = influences.map(|influence| influence * influence).sum();
        let (weights, clusters) = (self.sum.weights, f64::from(self.clusters));
        sqrt(squares / (weights * weights) * clusters / (clusters - 1.0))
    }
}

/// The arms' rates alone, as [`difference`] estimates them: they need nothing but the
/// strata's totals. None if no stratum counts.
pub fn rates(strata: impl IntoIterator<Item = Totals>) -> Option<Rates> {
    let mut sum = Sum::default();
    for totals in strata.into_iter().filter(Totals::are_comparable) {
        sum.add(totals);
    }
    (sum.weights > 0.0).then(|| Rates {
        canary: sum.canary_rate(),
        control: sum.control_rate(),
    })
}

/// What the strata add up to.
#[derive(Clone, Debug, Default)]
struct Sum {
    weights: f64,
    canary: Counts,
    control: Counts,
    canary_rates: f64,
    control_rates: f64,
}

impl Sum {
    fn add(&mut self, totals: Totals) {
        let weight = totals.weight();
        self.weights += weight;
        self.canary_rates += weight * totals.canary.rate();
        self.control_rates += weight * totals.control.rate();
        self.canary = self.canary.and(totals.canary);
        self.control = self.control.and(totals.control);
    }

    fn canary_rate(&self) -> f64 {
        self.canary_rates / self.weights
    }

    fn control_rate(&self) -> f64 {
        self.control_rates / self.weights
    }
}

/// Events per request, weighted over strata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// R1, of the arm that is judged.
    pub canary: f64,
    /// R0, of the concurrent control.
    pub control: f64,
}

impl Rates {
    /// R1 - R0.
    pub fn gap(self) -> f64 {
        self.canary - self.control
    }
}
