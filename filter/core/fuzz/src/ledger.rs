//! A worker's ledger: requests, ticks, reports and plans in any order.
//!
//! Each pair of bytes is an event and its argument.

use serinus_core::decision::{Breakers, Decision, Fallback, Placement};
use serinus_core::identity::Share;
use serinus_core::json::read_strict;
use serinus_core::ledger::{Ending, FlightId, Ledger};
use serinus_core::plan::{CompiledPlan, Plan, compile};
use serinus_core::report::{MAX_BYTES, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    exposures: u64,
    finished: u64,
    errors: u64,
    local_replies: u64,
    disconnects: u64,
    sampled: u64,
    fallbacks: u64,
}

#[derive(Default)]
struct Judge {
    /// By epoch.
    sums: BTreeMap<u64, Sums>,
    /// Units that were listed as new, by epoch.
    new_units: BTreeSet<(u64, u64)>,
    sequence: u64,
    trips: u64,
}

/// Nothing that was counted is lost or told twice, whatever came in between.
pub fn ledger(data: &[u8]) {
    let mut ledger = Ledger::new("5e".repeat(16));
    let plans = PLANS.with(Rc::clone);
    let mut plan = &plans[1];
    let mut expected: BTreeMap<u64, Sums> = BTreeMap::new();
    let mut judge = Judge::default();
    let mut flights: Vec<FlightId> = Vec::new();
    let (mut now_us, mut trips) = (0, 0);
    for pair in data.chunks_exact(2) {
        let [event, argument] = pair else { continue };
        let argument = *argument;
        match event % 10 {
            0..=2 => {
                let rollout = &plan.rollouts[usize::from(argument) % plan.rollouts.len()];
                let sums = expected.entry(rollout.epoch).or_default();
                let placement = if argument % 7 == 6 {
                    sums.fallbacks += 1;
                    Placement::Fallback(Fallback::ALL[usize::from(argument) % 10])
                } else {
                    sums.exposures += 1;
                    // Few units, so that they come again.
                    let unit = u64::from(argument % 16).wrapping_mul(0x1234_5678_9abc_def1);
                    Placement::Randomised {
                        unit,
                        slot: argument,
                    }
                };
                let decision = Decision {
                    rollout: Rc::clone(rollout),
                    segment: (argument & 1 == 1).then_some(0),
                    arm: usize::from(argument >> 6) % rollout.arms.len(),
                    placement,
                    shadow: false,
                    set_cookie: None,
                };
                let id = ledger.begin(&decision, || now_us);
                let randomised = matches!(placement, Placement::Randomised { .. });
                assert_eq!(id.is_some(), randomised);
                flights.extend(id);
            }
            3 | 4 if !flights.is_empty() => {
                let id = flights.swap_remove(usize::from(argument) % flights.len());
                let epoch = ledger.flight(id).unwrap().rollout.epoch;
                let sums = expected.entry(epoch).or_default();
                let ending = match argument >> 6 {
                    0 => Ending::LocalReply,
                    1 => Ending::Disconnected,
                    error => Ending::Finished { error: error == 3 },
                };
                match ending {
                    Ending::LocalReply => sums.local_replies += 1,
                    Ending::Disconnected => sums.disconnects += 1,
                    Ending::Finished { error } => {
                        sums.finished += 1;
                        sums.errors += u64::from(error);
                    }
                }
                let (flight, tripped) = ledger.end(id, ending, now_us).unwrap();
                trips += u64::from(tripped);
                assert!(!tripped || ledger.tripped(&flight.rollout) == Some(flight.exposure.arm));
                assert!(ledger.end(id, ending, now_us).is_none(), "once");
                ledger.sampled(&flight.rollout, flight.exposure, argument & 1 == 1);
                expected.entry(epoch).or_default().sampled += 1;
            }
            5 => {
                // A clock may jump, and back.
                let step = 1u64 << (argument % 40);
                now_us = if argument >= 250 {
                    now_us.saturating_sub(step)
                } else {
                    now_us.saturating_add(step)
                };
                ledger.look_at_flights(now_us);
            }
            6 => {
                let first = ledger.report(Some(plan)).cloned();
                assert_eq!(ledger.report(Some(plan)).cloned(), first, "frozen");
                // The judge got it, and its word may be lost.
                if let Some(frozen) = first {
                    judge.take(frozen.sequence, &frozen.bytes);
                    if argument & 1 == 1 {
                        ledger.acknowledged(frozen.sequence);
                    }
                }
            }
            // Of some other report.
            7 => ledger.acknowledged(u64::from(argument) << 32),
            8 => plan = &plans[usize::from(argument) % plans.len()],
            _ => {
                ledger.take_tallies(|_, arms, tally| assert!(tally.exposures.len() <= arms.len()));
                let open = ledger.open_breakers().count();
                assert!(open as u64 <= trips);
            }
        }
    }
    for id in flights {
        let epoch = ledger.flight(id).unwrap().rollout.epoch;
        expected.entry(epoch).or_default().disconnects += 1;
        ledger.end(id, Ending::Disconnected, now_us).unwrap();
    }
    while let Some(frozen) = ledger.report(Some(plan)).cloned() {
        judge.take(frozen.sequence, &frozen.bytes);
        ledger.acknowledged(frozen.sequence);
    }
    judge.sums.retain(|_, sums| *sums != Sums::default());
    expected.retain(|_, sums| *sums != Sums::default());
    assert_eq!(judge.sums, expected);
    assert_eq!(judge.trips, trips);
}

impl Judge {
    fn take(&mut self, sequence: u64, bytes: &[u8]) {
        assert!(bytes.len() <= MAX_BYTES);
        let report: Report = read_strict(bytes).unwrap();
        assert_eq!(report.sequence, sequence);
        if sequence == self.sequence {
            return;
        }
        assert_eq!(sequence, self.sequence + 1, "without gaps");
        self.sequence = sequence;
        for rollout in &report.rollouts {
            let sums = self.sums.entry(rollout.epoch).or_default();
            sums.fallbacks += rollout.fallbacks.values().sum::<u64>();
            self.trips += u64::from(rollout.breaker.is_some());
            for arm in &rollout.arms {
                let mut answered = 0;
                for slot in &arm.slots {
                    sums.exposures += slot.1;
                    sums.finished += slot.2;
                    sums.errors += slot.3;
                    answered += slot.2 - slot.3;
                    let over = slot.5.iter();
                    assert!(
                        over.clone()
                            .zip(over.skip(1))
                            .all(|(left, right)| left >= right)
                    );
                    assert!(slot.5.iter().all(|&over| over <= slot.2 - slot.3));
                }
                let histogram: u64 = arm.histogram.iter().map(|(_, count)| count).sum();
                assert_eq!(histogram, answered);
                sums.local_replies += arm.local_replies;
                sums.disconnects += arm.disconnects;
                sums.sampled += arm.samples_sent + arm.samples_dropped;
            }
            for unit in &rollout.new_units {
                let known = !self.new_units.insert((rollout.epoch, unit.0));
                // An epoch that no plan names is forgotten, with its units.
                assert!(!(known && rollout.rollout == "stays"), "new only once");
            }
        }
    }
}

thread_local! {
    static PLANS: Rc<[CompiledPlan; 4]> = Rc::new([0, 1, 2, 3].map(plan_of));
}

/// Two rollouts whose epochs no other plan has, but for one that always stays.
fn plan_of(number: u64) -> CompiledPlan {
    let rollout = |id: &str, epoch: u64| {
        serde_json::json!({
            "id": id, "epoch": epoch, "match": {}, "unit": [{"header": "x"}], "salt": "s",
            "identity_key": "000102030405060708090a0b0c0d0e0f",
            "arms": ["control", "canary", "third"], "baseline": "control",
            "allocation": [{"from": 0, "to": 10_000, "arm": "control"}],
            "segments": [{"name": "gold", "when": [{"header": "y"}], "arm": "canary"}],
            "latency_edges_us": [1, 1_000, 1_000_000],
            "breaker": {"minimum_requests": 1, "error_share": 0.1, "window_ms": 1_000},
            "new_unit_share": if id == "stays" { 1.0 } else { 0.5 },
        })
    };
    let document = serde_json::json!({
        "version": 1, "revision": {"generation": 1, "counter": number},
        "report_interval_ms": 1_000,
        "rollouts": [rollout("stays", 100), rollout("changes", number)],
    });
    let plan: Plan = read_strict(document.to_string().as_bytes()).unwrap();
    let compiled = compile(&plan).unwrap();
    assert_eq!(compiled.rollouts[0].new_unit_share, Share::ALL);
    compiled
}
