//! What the judge must have counted: each report that it acknowledged, once.

use crate::counts::Counts;
use serinus_core::report::{Report, RolloutReport};
use serinus_tests::failure::Result;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A report's name: session and sequence number.
pub type Name = (String, u64);

#[derive(Default)]
pub struct Model {
    counts: Counts,
    acknowledged: BTreeSet<Name>,
    /// Those of which an answer said that they were new.
    new: BTreeSet<Name>,
    /// By rollout and pseudonym: the epoch in which each kind of event last was.
    users: HashMap<(String, u64), BTreeMap<Event, u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Exposed,
    Outcome,
    Failed,
    /// Slower than the edge with this index.
    Slow(usize),
    /// The same in the segment, of which there is one.
    FailedThere,
    SlowThere(usize),
}

impl Model {
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn acknowledged(&self) -> &BTreeSet<Name> {
        &self.acknowledged
    }

    /// A judge has acknowledged a report; `is_new` is what it said of that, if it did.
    ///
    /// # Errors
    /// When it says of one report twice that it is new.
    pub fn acknowledge(&mut self, report: &Report, is_new: Option<bool>) -> Result<()> {
        let name: Name = (report.session.clone(), report.sequence);
        if is_new == Some(true) && !self.new.insert(name.clone()) {
            return Err(format!("report {name:?} was counted twice").into());
        }
        if self.acknowledged.insert(name) {
            for part in &report.rollouts {
                self.count(part);
            }
        }
        Ok(())
    }

    fn count(&mut self, part: &RolloutReport) {
        let segment = part.segment.as_deref().unwrap_or("-");
        let whole = format!("{}/{}/{segment}", part.rollout, part.epoch);
        for arm in &part.arms {
            let whose = format!("{whole}/{}", arm.arm);
            let mut add = |what: String, count| self.counts.add(&whose, what, count);
            for slot in &arm.slots {
                add(format!("exposures/{}", slot.0), slot.1);
                add(format!("finished/{}", slot.0), slot.2);
                add(format!("errors/{}", slot.0), slot.3);
                add(format!("latency_us/{}", slot.0), slot.4);
                for (edge, &over) in slot.5.iter().enumerate() {
                    add(format!("over-{edge}/{}", slot.0), over);
                }
            }
            for &(bucket, count) in &arm.histogram {
                add(format!("histogram/{bucket}"), count);
            }
            add("local_replies/".to_owned(), arm.local_replies);
            add("disconnects/".to_owned(), arm.disconnects);
        }
        for (cause, &count) in &part.fallbacks {
            let what = format!("fallbacks/{}", cause.name());
            self.counts.add(&whole, what, count);
        }
        for unit in &part.new_units {
            let before = self.mark(part, unit.0, Event::Exposed);
            self.first(
                part,
                unit.1,
                "new_users",
                before.filter(|&epoch| epoch == 0),
            );
        }
        for unit in &part.first_outcomes {
            let before = self.mark(part, unit.0, Event::Outcome);
            self.first(part, unit.1, "outcomes", before);
            self.first(part, unit.1, "outcomes_bad", before.filter(|_| unit.2));
        }
        for unit in &part.first_errors {
            let before = self.mark(part, unit.0, Event::Failed);
            self.first(part, unit.1, "first_errors", before);
            if part.segment.is_some() {
                let before = self.mark(part, unit.0, Event::FailedThere);
                self.first(part, unit.1, "first_errors_there", before);
            }
        }
        for unit in &part.first_slow {
            for edge in 0..usize::from(unit.2) {
                let before = self.mark(part, unit.0, Event::Slow(edge));
                self.first(part, unit.1, &format!("first_slow-{edge}"), before);
                if part.segment.is_some() {
                    let before = self.mark(part, unit.0, Event::SlowThere(edge));
                    self.first(part, unit.1, &format!("first_slow_there-{edge}"), before);
                }
            }
        }
    }

    /// The epoch in which a user had such an event before (0 for never); `None` if it
    /// was in this one or a later one, and so does not count.
    fn mark(&mut self, part: &RolloutReport, unit: u64, event: Event) -> Option<u64> {
        let user = self.users.entry((part.rollout.clone(), unit)).or_default();
        let last = user.entry(event).or_default();
        (part.epoch > *last).then(|| std::mem::replace(last, part.epoch))
    }

    fn first(&mut self, part: &RolloutReport, arm: u8, what: &str, before: Option<u64>) {
        let Some(before) = before else {
            return;
        };
        let segment = part.segment.as_deref().unwrap_or("-");
        let arm = &part.arms[usize::from(arm)].arm;
        let whose = format!("{}/{}/{segment}/{arm}", part.rollout, part.epoch);
        self.counts.add(&whose, format!("{what}/{before}"), 1);
    }
}
