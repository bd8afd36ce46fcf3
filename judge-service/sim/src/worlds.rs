//! Worlds: who sends requests, which of them fail, and when that becomes known.

mod catalogue;
mod crowd;
mod weather;

pub use catalogue::{all, delayed, iid, peers, rare, regressions};
pub use crowd::{Crowd, Hog, Unit};
use weather::Forecast;
pub use weather::Weather;

use crate::draw::Draw;

/// A look at the counts every so many requests: 10,000 looks are 250,000 requests.
pub const LOOK: u64 = 25;

/// The usual error rate of control.
pub const BASE: f64 = 0.01;

/// One kind of release.
#[derive(Clone, Debug)]
pub struct World {
    /// Its key in figures.
    pub name: &'static str,
    /// What is so about it, for people.
    pub words: &'static str,
    /// How long it lasts.
    pub requests: u64,
    pub crowd: Crowd,
    /// What happens to the error rate of both arms.
    pub weather: Weather,
    /// Canary's shares of users; equally long.
    pub steps: Vec<f64>,
    /// Canary errs this many times as often as control would, from this step on.
    pub ratio: f64,
    pub from_step: usize,
    pub lateness: Lateness,
    /// The rule knows how many requests of control are under way beyond the canary's,
    /// and takes them for errors, as the judge does. They are those that will fail.
    pub under_way: bool,
}

/// How many requests later an error becomes known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    pub control: u64,
    pub canary: u64,
    /// The mean of a part that is random, alike in both arms.
    pub random: f64,
}

/// One failed request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub at: u64,
    pub known: u64,
    /// None where every request is its own user.
    pub user: Option<u32>,
    pub canary: bool,
}

/// One run of a world.
pub struct Run {
    /// In the order in which they become known.
    pub events: Vec<Event>,
    /// Canary's share of requests at each step: chance decided which users it has.
    pub shares: Vec<f64>,
}

/// What happened in one look's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    pub canary_requests: u32,
    pub canary_errors: u32,
    pub control_requests: u32,
    pub control_errors: u32,
}

// === impl World ===

impl World {
    /// The step at a request, from 0.
    #[must_use]
    pub fn step(&self, at: u64) -> usize {
        let steps = self.steps.len().max(1) as u64;
        let step = (at * steps / self.requests.max(1)).min(steps - 1);
        usize::try_from(step).unwrap_or_default()
    }

    /// The request with which a step begins.
    #[must_use]
    pub fn start_of(&self, step: usize) -> u64 {
        let steps = self.steps.len().max(1) as u64;
        (step as u64 * self.requests).div_ceil(steps)
    }

    /// Canary's share of users at a step.
    #[must_use]
    pub fn share(&self, step: usize) -> f64 {
        self.steps.get(step).copied().unwrap_or_default()
    }

    fn ratio_at(&self, step: usize) -> f64 {
        if step >= self.from_step {
            self.ratio
        } else {
            1.0
        }
    }

    /// The errors of one run.
    #[must_use]
    pub fn run(&self, draw: &mut Draw) -> Run {
        let buckets = self.crowd.buckets(draw);
        let weather = self.weather.forecast(self.requests, draw);
        let classes = self.crowd.classes();
        let mut events = Vec::new();
        let mut at = 0;
        while at < self.requests {
            let (most, end) = weather.stretch(at);
            let end = end.min(self.requests);
            // Control may be the arm that errs more often.
            let most = most * self.ratio.max(1.0);
            // The highest rate that each kind of user may have, weighted by its traffic.
            let highest = classes.map(|class| (class.rate * most).min(1.0));
            let candidates = collect(
                classes
                    .iter()
                    .zip(highest)
                    .map(|(c, most)| c.traffic * most),
            );
            let rate: f64 = candidates.iter().sum();
            let ln_miss = libm::log1p(-rate);
            at = at.saturating_add(draw.gap(ln_miss));
            while at < end {
                let class = choose(&candidates, draw.uniform() * rate);
                let (own, highest) = nth(&classes.map(|class| class.rate), &highest, class);
                let kept = |times: f64| (own * times).min(1.0) / highest;
                events.extend(self.event(at, class, &buckets, &weather, kept, draw));
                at = at.saturating_add(1 + draw.gap(ln_miss));
            }
            // A gap has no memory: what is left of it begins anew with the next stretch.
            at = end;
        }
        // Stable, so that equal times keep the order of their requests.
        events.sort_by_key(|event| event.known);
        let shares = self
            .steps
            .iter()
            .map(|&share| self.crowd.share(&buckets, share));
        Run {
            events,
            shares: shares.collect(),
        }
    }

    /// A candidate, if it is an event: with the chance `kept` gives its factor.
    fn event(
        &self,
        at: u64,
        class: usize,
        buckets: &[f64],
        weather: &Forecast,
        kept: impl Fn(f64) -> f64,
        draw: &mut Draw,
    ) -> Option<Event> {
        let step = self.step(at);
        let user = self
            .crowd
            .user(class, at as f64 / self.requests as f64, draw);
        let bucket = match user.and_then(|user| buckets.get(user as usize)) {
            Some(&bucket) => bucket,
            None => draw.uniform(),
        };
        let canary = bucket < self.share(step);
        let ratio = if canary { self.ratio_at(step) } else { 1.0 };
        draw.chance(kept(weather.times(at) * ratio)).then(|| Event {
            at,
            known: self.known(at, canary, draw),
            user,
            canary,
        })
    }

    fn known(&self, at: u64, canary: bool, draw: &mut Draw) -> u64 {
        let fixed = if canary {
            self.lateness.canary
        } else {
            self.lateness.control
        };
        let random = if self.lateness.random > 0.0 {
            draw.exponential(self.lateness.random) as u64
        } else {
            0
        };
        at + fixed + random
    }

    /// The counts of one run, look by look, for rules that need the requests too.
    /// They count an error when its request is sent.
    #[must_use]
    pub fn looks(&self, run: &Run, draw: &mut Draw) -> Vec<Look> {
        let looks = usize::try_from(self.requests / LOOK).unwrap_or_default();
        let mut counts = vec![Look::default(); looks];
        for event in &run.events {
            let look = usize::try_from(event.at / LOOK).unwrap_or(usize::MAX);
            if let Some(look) = counts.get_mut(look) {
                if event.canary {
                    look.canary_errors += 1;
                } else {
                    look.control_errors += 1;
                }
            }
        }
        for (index, look) in (0..).zip(&mut counts) {
            let step = self.step(index * LOOK);
            let share = run.shares.get(step).copied().unwrap_or_default();
            // Given that a request did not fail, it is a little less often canary's.
            let base = self.crowd.base;
            let good = 1.0 - base * self.ratio_at(step);
            let share = share * good / (share * good + (1.0 - share) * (1.0 - base));
            let errors = look.canary_errors + look.control_errors;
            let rest = (LOOK as u32).saturating_sub(errors);
            let in_canary = draw.binomial(u64::from(rest), share) as u32;
            look.canary_requests = look.canary_errors + in_canary;
            look.control_requests = look.control_errors + rest - in_canary;
        }
        counts
    }
}

fn collect(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut array = [0.0; 3];
    for (slot, value) in array.iter_mut().zip(values) {
        *slot = value;
    }
    array
}

fn nth(rates: &[f64; 3], highest: &[f64; 3], class: usize) -> (f64, f64) {
    let of = |values: &[f64; 3]| values.get(class).copied().unwrap_or_default();
    (of(rates), of(highest))
}

/// The first whose running sum is above `point`.
fn choose(weights: &[f64; 3], point: f64) -> usize {
    let mut sum = 0.0;
    weights
        .iter()
        .position(|weight| {
            sum += weight;
            point < sum
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean errors of canary and control and canary's share of users, over runs.
    fn rates(world: &World) -> (f64, f64) {
        const RUNS: u64 = 60;
        let (mut errors, mut requests) = ([0.0, 0.0], [0.0, 0.0]);
        for run in 0..RUNS {
            let mut draw = Draw::new(3, world.name, run);
            let run = world.run(&mut draw);
            for event in &run.events {
                errors[usize::from(event.canary)] += 1.0;
            }
            let part = world.requests as f64 / world.steps.len() as f64;
            for share in &run.shares {
                requests[1] += share * part;
                requests[0] += (1.0 - share) * part;
            }
        }
        (errors[1] / requests[1], errors[0] / requests[0])
    }

    #[test]
    fn calm_worlds_have_one_percent_errors_in_both_arms() {
        for world in all() {
            // On a ramp the arms have their users at different times of the day.
            let calm = match world.weather {
                Weather::Calm => true,
                Weather::Daily { .. } => world.steps.len() == 1,
                _ => false,
            };
            if !calm || world.ratio != 1.0 || world.crowd.hog.is_some() {
                continue;
            }
            let (canary, control) = rates(&world);
            // 150,000 errors and more, of which 15,000 canary's, from at least 60 x 250
            // canary users: 5% is over four standard errors even where they differ.
            assert!(
                (control / BASE - 1.0).abs() < 0.05,
                "{}: {control}",
                world.name
            );
            assert!(
                (canary / BASE - 1.0).abs() < 0.08,
                "{}: {canary}",
                world.name
            );
        }
    }

    #[test]
    fn a_worse_canary_errs_as_many_times_as_often_as_it_should() {
        for ratio in [5.0, 2.0, 1.5] {
            let (canary, control) = rates(&World { ratio, ..iid() });
            assert!((canary / control / ratio - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn a_rising_base_rises_and_a_ramp_ramps() {
        let world = all()
            .into_iter()
            .find(|world| world.name == "ramp_rising")
            .unwrap();
        let run = world.run(&mut Draw::new(1, "x", 0));
        let third = |n: u64| {
            let events = run
                .events
                .iter()
                .filter(|event| event.at * 3 / world.requests == n);
            let (canary, control): (Vec<&Event>, Vec<&Event>) =
                events.partition(|event| event.canary);
            (canary.len() as f64, control.len() as f64)
        };
        let part = world.requests as f64 / 3.0;
        for (n, share, base) in [(0, 0.1, 4.0 / 3.0), (1, 0.25, 2.0), (2, 0.75, 8.0 / 3.0)] {
            let (canary, control) = third(n);
            let expected = part * base * BASE;
            assert!(((canary + control) / expected - 1.0).abs() < 0.15);
            assert!(
                (canary / expected / share - 1.0).abs() < 0.35,
                "{canary} at {share}"
            );
        }
    }

    #[test]
    fn a_user_never_leaves_the_canary_on_a_ramp() {
        let world = all()
            .into_iter()
            .find(|world| world.name == "returning")
            .unwrap();
        let run = world.run(&mut Draw::new(1, "x", 0));
        let mut in_canary = std::collections::BTreeSet::new();
        for event in &run.events {
            let user = event.user.unwrap();
            assert!(event.canary || !in_canary.contains(&user));
            if event.canary {
                in_canary.insert(user);
            }
        }
    }

    #[test]
    fn late_errors_are_known_late() {
        for world in delayed() {
            let run = world.run(&mut Draw::new(1, "x", 0));
            assert!(run.events.is_sorted_by_key(|event| event.known));
            for event in run.events {
                let late = if event.canary { 0 } else { 5_000 };
                assert_eq!(event.known - event.at, late);
            }
        }
    }

    #[test]
    fn looks_hold_the_same_errors() {
        let world = iid();
        let mut draw = Draw::new(1, "x", 0);
        let run = world.run(&mut draw);
        let looks = world.looks(&run, &mut draw);
        assert_eq!(looks.len(), 10_000);
        let canary: u32 = looks.iter().map(|look| look.canary_errors).sum();
        assert_eq!(
            canary as usize,
            run.events.iter().filter(|event| event.canary).count()
        );
        let all = looks
            .iter()
            .map(|look| look.canary_requests + look.control_requests);
        assert_eq!(all.sum::<u32>(), 250_000);
    }
}
