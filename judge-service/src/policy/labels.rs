//! Users with a first event since each process started: what [`super::harm`] bets on.

use super::view::{Comparison, Counted, EpochView, Side};
use crate::domain::sums::ArmSums;
use serinus_stats::ratio::LabelCounts;
use std::collections::BTreeMap;

/// Events that are not slow answers.
const BEFORE_SLOW: usize = 3;

/// What a user may have a first one of.
#[derive(Clone, Copy)]
pub enum Event {
    Error,
    Mismatch,
    /// An answer that turned out to be wrong.
    Wrong,
    /// An answer above the latency edge of this index.
    Slow(usize),
}

/// Users with a first event since each epoch of the step began, of all arms that are
/// compared: each map is walked once, whatever is compared with what.
pub struct Since {
    arms: usize,
    events: usize,
    epochs: usize,
    /// By what was counted, arm, event and epoch: users with their first one anywhere,
    users: Vec<u64>,
    /// and in the segment that it was counted in. Empty where each request is a unit of its
    /// own: then there is no difference.
    in_segment: Vec<u64>,
}

/// Users with a first event in the epochs and segments in which they were split alike,
/// and control's that may still have one.
#[derive(Clone, Copy)]
pub struct Labels {
    pub known: LabelCounts,
    pub late: u64,
}

/// A process begins with each epoch.
pub struct Process {
    pub began: Began,
    /// By share: what is split alike bets alike, so it is one. Most steps have one share,
    /// and each costs a logarithm for each ratio of the grid.
    pub by_share: Vec<Labels>,
    /// Index of the labels that are being counted.
    now: usize,
}

/// Where in a step a process begins.
#[derive(Clone, Copy, Default)]
pub struct Began {
    /// Index of its epoch in the step.
    pub in_step: usize,
    /// How often the split had changed before.
    pub split: usize,
}

/// The processes in the order of their starts. `event` is what is counted of a side.
///
/// A process ends where the split changes within the step, as it does when an arm is
/// dropped: of the users that move to control those who had an event are no longer
/// counted, so that who has yet to have one is not split by the new share.
pub fn by_process(comparison: &Comparison<'_>, event: impl Fn(Side) -> Event) -> Vec<Process> {
    let sides = [
        (Side::Control, comparison.control),
        (Side::Arm, comparison.arm),
    ];
    let sides = sides.map(|(side, arm)| (side, arm, event(side)));
    let mut processes: Vec<Process> = Vec::new();
    for view in &comparison.epochs {
        if processes
            .last()
            .is_none_or(|last| last.began.in_step != view.in_step)
        {
            processes.push(Process {
                began: Began {
                    in_step: view.in_step,
                    split: view.split,
                },
                by_share: Vec::new(),
                now: 0,
            });
        }
        let share = comparison.share(view.weights);
        let run = |process: &&mut Process| process.began.counts(view);
        for process in processes.iter_mut().filter(run) {
            process.go_on_with(share, view.late);
        }
        for (side, arm, event) in sides {
            let of_segment = comparison.segment.is_some();
            let since = comparison.since.of(view.counted, arm, event, of_segment);
            for process in processes.iter_mut().filter(run) {
                if let Some(&users) = since.get(process.began.in_step) {
                    process.count(users, side);
                }
            }
        }
    }
    processes
}

// === impl Began ===

impl Began {
    /// Whether what is counted there is of the process.
    pub fn counts(self, view: &EpochView<'_>) -> bool {
        self.split == view.split && self.in_step <= view.in_step
    }
}

// === impl Event ===

impl Event {
    /// Its place among all, of which slow answers are the last.
    fn place(self) -> usize {
        match self {
            Self::Error => 0,
            Self::Mismatch => 1,
            Self::Wrong => 2,
            Self::Slow(edge) => BEFORE_SLOW + edge,
        }
    }

    /// By the epoch in which a user had one before.
    fn firsts(self, sums: &ArmSums) -> Option<&BTreeMap<u64, u64>> {
        match self {
            Self::Error => Some(&sums.firsts.errors),
            Self::Mismatch => Some(&sums.firsts.mismatches),
            Self::Wrong => Some(&sums.answers.wrong),
            Self::Slow(edge) => sums.firsts.slow.get(edge),
        }
    }

    /// The same in the segment.
    fn firsts_in_segment(self, sums: &ArmSums) -> Option<&BTreeMap<u64, u64>> {
        match self {
            Self::Error => Some(&sums.in_segment.errors),
            Self::Mismatch => Some(&sums.in_segment.mismatches),
            Self::Wrong => Some(&sums.in_segment.wrong),
            Self::Slow(edge) => sums.in_segment.slow.get(edge),
        }
    }
}

/// What is bet on, of control or of the other arms: some edges are for promotion alone.
fn events_of<'a>(counted: &Counted<'a>, of_control: bool) -> impl Iterator<Item = Event> + use<'a> {
    let thresholds = counted.epoch.thresholds.iter();
    let tail = thresholds.flat_map(|known| &known.tail);
    let slow = tail.map(move |edges| match of_control {
        true => edges.control,
        false => edges.arm,
    });
    [Event::Error, Event::Mismatch, Event::Wrong]
        .into_iter()
        .chain(slow.map(Event::Slow))
}

// === impl Since ===

impl Since {
    /// `epochs` are those of the step.
    pub fn new(
        counted: &[Counted<'_>],
        compared: &[bool],
        control: usize,
        epochs: &[u64],
        each_request: bool,
    ) -> Self {
        let thresholds = counted.iter().flat_map(|own| &own.epoch.thresholds);
        let edges = thresholds.map(|known| known.edges_us.len()).max();
        let events = BEFORE_SLOW + edges.unwrap_or_default();
        let mut since = Self {
            arms: compared.len(),
            events,
            epochs: epochs.len(),
            users: vec![0; counted.len() * compared.len() * events * epochs.len()],
            in_segment: Vec::new(),
        };
        let alone = counted.iter().any(|own| own.sums.segment.is_some()) && !each_request;
        if alone {
            since.in_segment = since.users.clone();
        }
        for (index, own) in counted.iter().enumerate() {
            let alone = alone && own.sums.segment.is_some();
            let arms = own.sums.arms.iter().zip(compared).enumerate();
            for (arm, (sums, _)) in arms.filter(|(_, (_, compared))| **compared) {
                for event in events_of(own, arm == control) {
                    let place = since.place(index, arm, event);
                    let place = place..place + epochs.len();
                    count(
                        since.users.get_mut(place.clone()),
                        event.firsts(sums),
                        epochs,
                    );
                    if alone {
                        let users = since.in_segment.get_mut(place);
                        count(users, event.firsts_in_segment(sums), epochs);
                    }
                }
            }
        }
        since
    }

    fn place(&self, counted: usize, arm: usize, event: Event) -> usize {
        ((counted * self.arms + arm) * self.events + event.place()) * self.epochs
    }

    /// Users by the epoch of the step since which it is their first, anywhere or in the
    /// segment; nothing of an event that was not counted.
    fn of(&self, counted: usize, arm: usize, event: Event, of_segment: bool) -> &[u64] {
        if event.place() >= self.events {
            return &[];
        }
        let users = if of_segment && !self.in_segment.is_empty() {
            &self.in_segment
        } else {
            &self.users
        };
        let place = self.place(counted, arm, event);
        let users = users.get(place..place + self.epochs);
        users.unwrap_or_default()
    }
}

/// Users by the epoch since which it is their first, from those by the epoch of the one
/// before.
fn count(users: Option<&mut [u64]>, firsts: Option<&BTreeMap<u64, u64>>, epochs: &[u64]) {
    let (Some(users), Some(firsts)) = (users, firsts) else {
        return;
    };
    users.fill(0);
    for (&before, &more) in firsts {
        for (sum, &start) in users.iter_mut().zip(epochs) {
            *sum += if start > before { more } else { 0 };
        }
    }
}

// === impl Labels ===

impl Labels {
    pub fn with_late(self) -> LabelCounts {
        LabelCounts {
            with_event: self.known.with_event + self.late,
            ..self.known
        }
    }
}

// === impl Process ===

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
