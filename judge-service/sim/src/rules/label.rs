//! Ours: bets on the arm of each user's first event, with a new process at every step
//! and at doubling times within it.

use super::{Rule, next_look};
use crate::worlds::{Event, Look, Run, World};
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::restart;

/// The first restart within a step: a minute at 1,000 requests a minute.
pub const FIRST_RESTART: u64 = 1_000;

pub struct Label {
    name: &'static str,
    grid: RatioGrid,
    alphas: Vec<f64>,
    restarts: bool,
    first_events: bool,
}

impl Label {
    /// As the judge has it, but that nothing is tolerated: an equal canary is then the
    /// worst that the null allows.
    #[must_use]
    pub fn ours(alphas: &[f64]) -> Self {
        Self {
            name: "ours",
            grid: RatioGrid::rollback(1.0),
            alphas: alphas.to_vec(),
            restarts: true,
            first_events: true,
        }
    }

    /// One process over the whole release.
    #[must_use]
    pub fn one_process(alphas: &[f64]) -> Self {
        Self {
            name: "one process",
            restarts: false,
            ..Self::ours(alphas)
        }
    }

    /// Every error counts, as if errors were independent.
    #[must_use]
    pub fn each_error(alphas: &[f64]) -> Self {
        Self {
            name: "each error counts",
            first_events: false,
            ..Self::one_process(alphas)
        }
    }

    /// The judge's default tolerance.
    #[must_use]
    pub fn tolerant(alphas: &[f64]) -> Self {
        Self {
            name: "ours, 1.1 tolerated",
            grid: RatioGrid::rollback(1.1),
            ..Self::ours(alphas)
        }
    }
}

impl Rule for Label {
    fn names(&self) -> Vec<String> {
        self.alphas
            .iter()
            .map(|alpha| format!("{}, alpha {alpha}", self.name))
            .collect()
    }

    fn counts_requests(&self) -> bool {
        false
    }

    fn run(&self, world: &World, run: &Run, _: &[Look]) -> Vec<Option<u64>> {
        let mut fired: Vec<Option<u64>> = vec![None; self.alphas.len()];
        let mut race = Processes::new(self, world);
        for (index, event) in run.events.iter().enumerate() {
            if event.known >= world.requests {
                break;
            }
            let to_come = run.events.iter().skip(index + 1);
            let late = || under_way(world, event.known, to_come.clone());
            let Some(evidence) = race.take(event, late) else {
                continue;
            };
            for (fired, &alpha) in fired.iter_mut().zip(&self.alphas) {
                if fired.is_none() && evidence >= restart::threshold(alpha) {
                    *fired = Some(next_look(event.known));
                }
            }
            if fired.iter().all(Option::is_some) {
                break;
            }
        }
        fired
    }
}

/// Control's errors that happened and are not known yet. The canary's are known at once
/// in the worlds that ask.
fn under_way<'a>(world: &World, now: u64, to_come: impl Iterator<Item = &'a Event>) -> u64 {
    if !world.under_way {
        return 0;
    }
    to_come
        .take_while(|event| event.known <= now + world.lateness.control)
        .filter(|event| !event.canary && event.at <= now)
        .count() as u64
}

/// What has been counted.
struct Processes<'a> {
    rule: &'a Label,
    world: &'a World,
    /// The least evidence that any level asks for.
    least: f64,
    step: Option<usize>,
    /// Counts epochs from 1; a process begins with each.
    epoch: u32,
    next_restart: u64,
    /// For each user the epoch of the last event, 0 for none.
    last: Vec<u32>,
    processes: Vec<Process>,
}

struct Process {
    start: u32,
    log_weight: f64,
    /// One entry for each share that canary had.
    labels: Vec<LabelCounts>,
}

impl<'a> Processes<'a> {
    fn new(rule: &'a Label, world: &'a World) -> Self {
        let least = rule.alphas.iter().copied().map(restart::threshold);
        Self {
            rule,
            world,
            least: least.fold(f64::INFINITY, f64::min),
            step: None,
            epoch: 0,
            next_restart: 0,
            last: vec![0; world.crowd.users as usize + 1],
            processes: Vec::new(),
        }
    }

    /// Counts an event; the evidence of the strongest process, if it can be enough.
    /// `late` are errors of control that are still to come, and count as if they had.
    fn take(&mut self, event: &Event, late: impl Fn() -> u64) -> Option<f64> {
        self.begin(event.known);
        let before = self.before(event);
        let share = self.world.share(self.world.step(event.at));
        let mut strongest: Option<f64> = None;
        for process in &mut self.processes {
            if process.start <= before {
                continue;
            }
            process.count(share, event.canary);
            // Only an event on the canary can raise the evidence.
            if event.canary && process.may_reach(self.least, self.rule.grid.tolerated()) {
                let late = late();
                let with_late = process.labels.iter().map(|labels| LabelCounts {
                    with_event: labels.with_event + if labels.share == share { late } else { 0 },
                    ..*labels
                });
                let log_e = ratio::log_e(&self.rule.grid, with_late);
                let own = process.log_weight + log_e;
                strongest = Some(strongest.map_or(own, |best| best.max(own)));
            }
        }
        strongest
    }

    /// Starts the processes that are due.
    fn begin(&mut self, now: u64) {
        let step = self.world.step(now);
        let steps = u32::try_from(self.world.steps.len()).unwrap_or(u32::MAX);
        let start = self.world.start_of(step);
        if self.step != Some(step) && (self.rule.restarts || self.step.is_none()) {
            self.processes.clear();
            self.next_restart = start + FIRST_RESTART;
            let weight = if self.rule.restarts {
                restart::process_weight(steps, 0)
            } else {
                1.0
            };
            self.push(weight);
        }
        self.step = Some(step);
        while self.rule.restarts && now >= self.next_restart {
            let restarts = u32::try_from(self.processes.len()).unwrap_or(u32::MAX);
            self.push(restart::process_weight(steps, restarts));
            self.next_restart = start + 2 * (self.next_restart - start);
        }
    }

    fn push(&mut self, weight: f64) {
        self.epoch += 1;
        self.processes.push(Process {
            start: self.epoch,
            log_weight: libm::log(weight),
            labels: Vec::new(),
        });
    }

    /// The epoch of the user's last event before this one: it is the first for every
    /// process that began later.
    fn before(&mut self, event: &Event) -> u32 {
        let slot = event.user.and_then(|user| self.last.get_mut(user as usize));
        let before = slot.map_or(0, |last| std::mem::replace(last, self.epoch));
        if self.rule.first_events { before } else { 0 }
    }
}

impl Process {
    fn count(&mut self, share: f64, canary: bool) {
        let place = self.labels.iter().position(|labels| labels.share == share);
        let labels = match place.and_then(|place| self.labels.get_mut(place)) {
            Some(labels) => labels,
            None => {
                self.labels.push(LabelCounts {
                    share,
                    with_event: 0,
                    in_arm: 0,
                });
                let Some(last) = self.labels.last_mut() else {
                    return;
                };
                last
            }
        };
        labels.with_event += 1;
        labels.in_arm += u64::from(canary);
    }

    /// No mixture has more evidence than its best point, and no point more than the
    /// share that was seen: n times the divergence of it from the tolerated one. This
    /// is cheap, and nearly always too little.
    fn may_reach(&self, evidence: f64, tolerated: f64) -> bool {
        let most: f64 = self
            .labels
            .iter()
            .map(|labels| ratio::most_evidence(labels, tolerated))
            .sum();
        self.log_weight + most >= evidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, user: u32, canary: bool) -> Event {
        Event {
            at,
            known: at,
            user: Some(user),
            canary,
        }
    }

    #[test]
    fn a_user_counts_once_in_each_process() {
        let world = World {
            crowd: crate::worlds::Crowd::ALIKE,
            ..crate::worlds::iid()
        };
        let rule = Label::ours(&[0.05]);
        let mut processes = Processes::new(&rule, &world);
        let counts = |processes: &Processes<'_>| -> Vec<u64> {
            let labels = processes
                .processes
                .iter()
                .map(|process| process.labels.iter());
            labels
                .map(|labels| labels.map(|labels| labels.with_event).sum())
                .collect()
        };
        processes.take(&event(10, 1, true), || 0);
        processes.take(&event(20, 1, true), || 0);
        assert_eq!(counts(&processes), [1]);
        // Restarts at 1,000 and 2,000.
        processes.take(&event(1_500, 1, true), || 0);
        assert_eq!(counts(&processes), [1, 1]);
        processes.take(&event(2_500, 2, true), || 0);
        assert_eq!(counts(&processes), [2, 2, 1]);
        processes.take(&event(2_600, 1, true), || 0);
        assert_eq!(counts(&processes), [2, 2, 2]);
    }
}
