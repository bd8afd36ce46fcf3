//! Users with a first event since each process started: what [`super::harm`] bets on.

use super::view::{Comparison, Side};
use crate::domain::sums::ArmSums;
use serinus_stats::ratio::LabelCounts;
use std::collections::BTreeMap;

/// Users with a first event in the epochs and segments in which they were split alike,
/// and control's that may still have one.
#[derive(Clone, Copy)]
pub struct Labels {
    pub known: LabelCounts,
    pub late: u64,
}

/// A process begins with each epoch.
struct Process {
    start: u64,
    split: usize,
    /// By share: what is split alike bets alike, so it is one. Most steps have one share,
    /// and each costs a logarithm for each ratio of the grid.
    by_share: Vec<Labels>,
    /// Index of the labels that are being counted.
    now: usize,
}

impl Labels {
    pub fn with_late(self) -> LabelCounts {
        LabelCounts {
            with_event: self.known.with_event + self.late,
            ..self.known
        }
    }
}

impl Process {
    /// From here on users are split by `share`.
    fn go_on_with(&mut self, share: f64, late: u64) {
        let mut known = self.by_share.iter();
        let same = known.position(|labels| labels.known.share == share);
        self.now = same.unwrap_or(self.by_share.len());
        if same.is_none() {
            self.by_share.push(Labels {
                known: LabelCounts {
                    share,
                    with_event: 0,
                    in_arm: 0,
                },
                late: 0,
            });
        }
        if let Some(labels) = self.by_share.get_mut(self.now) {
            labels.late += late;
        }
    }

    fn count(&mut self, users: u64, side: Side) {
        if let Some(labels) = self.by_share.get_mut(self.now) {
            labels.known.with_event += users;
            labels.known.in_arm += if side == Side::Arm { users } else { 0 };
        }
    }
}

/// For each process in the order of their starts its labels by share. `firsts` are those
/// of a side, by the epoch in which they had one before.
///
/// A process ends where the split changes within the step, as it does when an arm is
/// dropped: of the users that move to control those who had an event are no longer
/// counted, so that who has yet to have one is not split by the new share.
pub fn by_process<'a>(
    comparison: &Comparison<'a>,
    firsts: impl Fn(Side, &'a ArmSums) -> Option<&'a BTreeMap<u64, u64>>,
) -> Vec<Vec<Labels>> {
    let mut processes: Vec<Process> = Vec::new();
    for view in &comparison.epochs {
        let start = view.epoch.epoch;
        if processes.last().is_none_or(|last| last.start != start) {
            processes.push(Process {
                start,
                split: view.split,
                by_share: Vec::new(),
                now: 0,
            });
        }
        let share = comparison.share(view.weights);
        let run = |process: &&mut Process| process.split == view.split;
        for process in processes.iter_mut().filter(run) {
            process.go_on_with(share, view.late);
        }
        for side in [Side::Control, Side::Arm] {
            let counted = comparison.sums_of(view, side);
            let users = counted.and_then(|sums| firsts(side, sums));
            for (&before, &users) in users.into_iter().flatten() {
                for process in processes.iter_mut().filter(run) {
                    if process.start > before {
                        process.count(users, side);
                    }
                }
            }
        }
    }
    let labels = processes.into_iter().map(|process| process.by_share);
    labels.collect()
}
