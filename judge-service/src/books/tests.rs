//! What the books count, and how often.

use super::check::MAX_COUNT;
use super::entry::{MAX_SUM, grow};
use super::*;
use crate::domain::EpochSums;
use crate::domain::check::tests::{spec, spec_json};
use crate::domain::rollout::tests::rollout;
use crate::domain::sums::Firsts;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn books() -> Books {
    let mut books = Books::default();
    books.create(rollout(), "00".repeat(16));
    books
}

fn report(sequence: u64, part: &Value) -> Report {
    let mut rollout = json!({"rollout": "digits", "epoch": 1, "arms": [
        {"arm": "control", "slots": [[3, 10, 9, 1, 900, [5, 2]]], "histogram": [[40, 8]]},
        {"arm": "canary", "slots": [[3, 2, 2, 1, 200, []]]}
    ]});
    for (key, value) in part.as_object().unwrap() {
        rollout[key] = value.clone();
    }
    let report = json!({"version": 1, "session": "5e".repeat(16), "sequence": sequence,
        "revision": null, "rollouts": [rollout]});
    serde_json::from_value(report).unwrap()
}

#[test]
fn a_report_counts_once_and_gaps_are_seen() {
    let mut books = books();
    let first = report(1, &json!({}));
    assert!(!books.count(&first).unwrap().duplicate);
    assert!(books.count(&first).unwrap().duplicate);
    let later = books.count(&report(4, &json!({}))).unwrap();
    assert_eq!((later.duplicate, later.missing), (false, 2));
    assert!(
        books.count(&report(2, &json!({}))).unwrap().duplicate,
        "reordered"
    );
    let arm = &books.entries()[0].sums()[0].arms[0];
    assert_eq!(
        (arm.exposures[3], arm.finished[3], arm.errors[3]),
        (20, 18, 2)
    );
    assert_eq!(
        (arm.over[0][3], arm.over[1][3], arm.histogram[&40]),
        (10, 4, 16)
    );
}

#[test]
fn a_user_counts_once_an_epoch_whatever_the_workers_say() {
    let mut books = books();
    let lists = json!({"new_units": [[7, 1]], "first_outcomes": [[7, 1, true]], "first_errors": [[7, 1]],
        "first_slow": [[7, 1, 2]]});
    books.count(&report(1, &lists)).unwrap();
    books.count(&report(2, &lists)).unwrap();
    let firsts = &books.entries()[0].sums()[0].arms[1].firsts;
    assert_eq!(firsts.new_users, 1);
    assert_eq!(Firsts::since(&firsts.errors, 1), 1);
    assert_eq!(Firsts::outcomes_since(&firsts.outcomes, 1).bad, 1);
    assert_eq!(
        firsts
            .slow
            .iter()
            .map(|map| Firsts::since(map, 1))
            .collect::<Vec<_>>(),
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    // In the next epoch the same user's error counts for a process that
    // starts there, and not for one that started before.
    let entry = books.entry_mut("digits").unwrap();
    entry.rollout.restart_processes(5);
    entry.touch();
    books
        .count(&report(
            3,
            &json!({"epoch": 2, "new_units": [[7, 1]], "first_errors": [[7, 1]]}),
        ))
        .unwrap();
    let firsts = &books.entries()[0].sums()[1].arms[1].firsts;
    assert_eq!(firsts.new_users, 0);
    assert_eq!(
        (
            Firsts::since(&firsts.errors, 1),
            Firsts::since(&firsts.errors, 2)
        ),
        (0, 1)
    );
}

/// A request is in a segment, and a user in as many as their requests are.
#[test]
fn a_users_first_event_of_a_segment_counts_there_whatever_came_before() {
    let when = json!([{"header": "x"}]);
    let mut document = spec_json();
    document["segments"] = json!([
        {"name": "gold", "when": when}, {"name": "silver", "when": when},
        {"name": "pinned", "when": when, "arm": "canary"},
    ]);
    let rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 1_000).unwrap();
    let mut books = Books::default();
    books.create(rollout, "00".repeat(16));
    let lists = |segment: &str| json!({"segment": segment, "first_errors": [[7, 1]], "first_slow": [[7, 1, 2]]});
    let segments = ["gold", "silver", "gold", "pinned"];
    for (sequence, segment) in (1..).zip(segments) {
        books.count(&report(sequence, &lists(segment))).unwrap();
    }
    let found = Sampled {
        agrees: false,
        ..Sampled::default()
    };
    let entry = books.entry_mut("digits").unwrap();
    for segment in ["gold", "silver", "gold"] {
        let whose = Whose {
            segment: Some(segment),
            ..whose(1, 1, 9)
        };
        entry.sampled(whose, &found);
    }
    let users = |segment: &str| {
        let mut sums = entry.sums().iter();
        let sums = sums.find(|sums| sums.segment.as_deref() == Some(segment));
        let arm = &sums.unwrap().arms[1];
        let all = |map: &BTreeMap<u64, u64>| Firsts::since(map, 1);
        let there = &arm.in_segment;
        let slow = there.slow.iter().map(all).sum::<u64>();
        let anywhere = [&arm.firsts.errors, &arm.firsts.mismatches].map(all);
        ([all(&there.errors), slow, all(&there.mismatches)], anywhere)
    };
    assert_eq!(users("gold"), ([1, 2, 1], [1, 1]));
    assert_eq!(users("silver"), ([1, 2, 1], [0, 0]));
    // What goes to one arm as a whole is compared with nothing.
    assert_eq!(users("pinned"), ([0, 0, 0], [0, 0]));
}

/// Where each request is a unit, counts say what lists would, and nobody is remembered.
#[test]
fn requests_without_users_are_counted_as_users_who_come_once() {
    let mut document = spec_json();
    document["unit"] = json!(["each_request"]);
    let rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 1_000).unwrap();
    let mut books = Books::default();
    books.create(rollout, "00".repeat(16));
    for sequence in [1, 2] {
        books.count(&report(sequence, &json!({}))).unwrap();
    }
    let entry = books.entry_mut("digits").unwrap();
    for agrees in [true, false] {
        let found = Sampled {
            agrees,
            ..Sampled::default()
        };
        entry.sampled(whose(1, 0, 77), &found);
    }
    let firsts = &entry.sums()[0].arms[0].firsts;
    assert_eq!(firsts.new_users, 20);
    assert_eq!(Firsts::since(&firsts.errors, 1), 2);
    let outcomes = Firsts::outcomes_since(&firsts.outcomes, 1);
    assert_eq!((outcomes.users, outcomes.bad), (18, 2));
    let slow = firsts.slow.iter().map(|map| Firsts::since(map, 1));
    assert_eq!(slow.take(3).collect::<Vec<_>>(), [10, 4, 0]);
    let samples = Firsts::outcomes_since(&firsts.samples, 1);
    assert_eq!((samples.users, samples.bad), (2, 1));
    let change = books.take_change();
    assert!(change.units.is_empty(), "nobody is remembered");
}

fn whose(epoch: u64, arm: usize, unit: u64) -> Whose<'static> {
    Whose {
        epoch,
        segment: None,
        arm,
        unit,
    }
}

/// The first sample of a user in a step says what they were answered there; a first
/// disagreement counts whenever it comes.
#[test]
fn a_users_first_sample_of_the_step_counts() {
    let mut books = books();
    let entry = books.entry_mut("digits").unwrap();
    let found = |label: i64, agrees: bool| Sampled {
        agrees,
        label: Some(label),
        score: Some(7),
        differs: vec![(1, label == 3)],
    };
    entry.sampled(whose(1, 0, 77), &found(3, true));
    entry.sampled(whose(1, 0, 77), &found(4, false));
    entry.sampled(whose(1, 1, 78), &found(4, true));
    // Nobody knows that epoch.
    entry.sampled(whose(99, 1, 79), &found(4, true));
    let arms = &entry.sums()[0].arms;
    assert_eq!(arms[0].answers.labels, BTreeMap::from([(3, 1)]));
    assert_eq!(arms[1].answers.scores, BTreeMap::from([(7, 1)]));
    let samples = Firsts::outcomes_since(&arms[0].firsts.samples, 1);
    assert_eq!((samples.users, samples.bad), (1, 0));
    assert_eq!(Firsts::since(&arms[0].firsts.mismatches, 1), 1);
    // Of all arms' users, at the arm whose model was asked.
    let differences = arms[1].answers.differences;
    assert_eq!((differences.users, differences.bad), (2, 1));
    assert!(!books.take_change().units.is_empty());
}

/// A user who comes back in a later epoch of the same step is no other user.
#[test]
fn outcomes_pairs_and_values_count_a_user_once_a_step() {
    let mut books = books();
    let entry = books.entry_mut("digits").unwrap();
    entry.rollout.restart_processes(2_000);
    entry.touch();
    let pair = Paired {
        treatment: 1,
        differs: true,
        treatment_wrong: true,
        control_wrong: false,
    };
    for epoch in [1, 2] {
        entry.paired(whose(epoch, 0, 5), pair);
        entry.told(
            whose(epoch, 0, 5),
            Told::Value {
                value: 2.0,
                by_id: false,
            },
        );
        assert!(entry.told(whose(epoch, 0, 5), Told::Answer { right: epoch == 2 }));
        assert!(!entry.told(whose(epoch, 0, 5), Told::Answer { right: true }));
    }
    let sums = entry.sums();
    let of = |epoch: usize, arm: usize| &sums[epoch].arms[arm].answers;
    assert_eq!((of(0, 1).pairs.users, of(1, 1).pairs.users), (1, 0));
    assert_eq!((of(0, 0).values.users, of(1, 0).values.users), (1, 0));
    // Each epoch has its own process, for which the user's outcome before is another's.
    assert_eq!(Firsts::outcomes_since(&of(0, 0).told, 1).bad, 1);
    assert_eq!(Firsts::outcomes_since(&of(1, 0).told, 1).users, 0);
    assert_eq!(Firsts::outcomes_since(&of(1, 0).told, 2).users, 1);
}

#[test]
fn two_workers_of_one_name_are_told_apart() {
    let mut books = books();
    let own = report(1, &json!({}));
    books.count(&own).unwrap();
    let other = report(
        1,
        &json!({"arms": [{"arm": "canary", "slots": [[3, 2, 2, 0, 9, []]]}]}),
    );
    let refused = books.count(&other).unwrap_err();
    assert!(
        matches!(refused, Refusal::Claimed { sequence: 1, .. }),
        "{refused}"
    );
    assert!(books.count(&own).unwrap().duplicate, "it comes again");
    assert!(!books.count(&report(2, &json!({}))).unwrap().duplicate);
    // Older numbers are copies that were under way for long.
    assert!(books.count(&other).unwrap().duplicate);
    let sums = &books.entries()[0].sums()[0];
    assert_eq!(
        (sums.arms[0].exposures[3], sums.arms[1].exposures[3]),
        (20, 4)
    );
}

#[test]
fn a_lost_epoch_is_no_epoch_of_the_restored_books() {
    let seen = |generation, counter| Revision {
        generation,
        counter,
    };
    let mut books = books();
    let terms = crate::domain::plan::tests::terms();
    books.next_plan(&terms);
    // The judge of before went on to revision 9, and a worker reports its epoch 2.
    books.overtake(seen(1, 9), 5);
    assert_eq!(books.next_plan(&terms).revision, seen(2, 10));
    let late = report(7, &json!({"epoch": 2}));
    assert!(matches!(
        books.count(&late),
        Err(Refusal::UnknownRollout(_))
    ));
    let entry = books.entry("digits").unwrap();
    assert_eq!(entry.rollout.epoch().unwrap().epoch, 10);
    assert_eq!(books.first_epoch(), 11, "a new rollout's are later still");
    let now = books.count(&report(8, &json!({"epoch": 10}))).unwrap();
    assert_eq!((now.duplicate, now.missing), (false, 7));
    // What was counted before the backup is known, and may still be reported.
    assert!(books.count(&report(9, &json!({"epoch": 1}))).is_ok());
}

#[test]
fn a_poll_that_lies_moves_epochs_by_a_million_at_most() {
    let mut books = books();
    let lie = Revision {
        generation: 3,
        counter: u64::MAX,
    };
    books.overtake(lie, 5);
    let plan = books.next_plan(&crate::domain::plan::tests::terms());
    assert_eq!(
        (plan.revision.generation, plan.revision.counter),
        (4, 1_048_577)
    );
}

#[test]
fn what_is_wrong_is_refused_whole_and_named() {
    let mut books = books();
    for (part, field) in [
        (
            json!({"arms": [{"arm": "canry", "slots": []}]}),
            "rollouts[0].arms[0].arm",
        ),
        (json!({"first_errors": [[7, 2]]}), "rollouts[0]"),
        (
            json!({"arms": [{"arm": "canary", "slots": [[0, 1, 1, 2, 0, []]]}]}),
            "rollouts[0].arms[0].slots[0]",
        ),
        (
            json!({"arms": [{"arm": "canary", "slots": [[0, 3, 3, 2, 0, [2]]]}]}),
            "rollouts[0].arms[0].slots[0]",
        ),
        (
            json!({"breaker": {"arm": "no\r\nsuch", "finished": 9, "errors": 9}}),
            "rollouts[0].breaker",
        ),
        (
            json!({"breaker": {"arm": "canary", "finished": 0, "errors": 0}}),
            "rollouts[0].breaker",
        ),
    ] {
        match books.count(&report(1, &part)) {
            Err(Refusal::Malformed { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{other:?}"),
        }
    }
    for part in [json!({"rollout": "other"}), json!({"epoch": 9})] {
        assert!(
            matches!(
                books.count(&report(1, &part)),
                Err(Refusal::UnknownRollout(_))
            ),
            "{part}"
        );
    }
    assert_eq!(
        books.entries()[0].sums()[0],
        EpochSums::new(1, 2),
        "nothing was counted"
    );
    let mut half = report(1, &json!({}));
    half.rollouts
        .extend(report(1, &json!({"rollout": "deleted"})).rollouts);
    let counted = books.count(&half).unwrap();
    assert_eq!(
        counted.unknown.len(),
        1,
        "what is known counts all the same"
    );
    for bad in [
        json!({"version": 2}),
        json!({"session": "x"}),
        json!({"sequence": 0}),
    ] {
        let mut document = serde_json::to_value(report(1, &json!({}))).unwrap();
        for (key, value) in bad.as_object().unwrap() {
            document[key] = value.clone();
        }
        assert!(
            books
                .count(&serde_json::from_value(document).unwrap())
                .is_err(),
            "{bad}"
        );
    }
}

#[test]
fn sums_never_overflow() {
    let mut books = books();
    let with = |arm: Value| {
        let mut whole = json!({"arm": "control", "slots": [[0, MAX_COUNT, MAX_COUNT, 0, 7, [MAX_COUNT]]],
            "histogram": [[0, MAX_COUNT]], "disconnects": MAX_COUNT});
        for (field, value) in arm.as_object().unwrap() {
            whole[field] = value.clone();
        }
        json!({"arms": [whole]})
    };
    let more = MAX_COUNT + 1;
    for (changed, field) in [
        (json!({"slots": [[0, more, 1, 0, 7, []]]}), "slots[0]"),
        (json!({"histogram": [[0, more]]}), "histogram"),
        (
            json!({"histogram": [[0, u64::MAX], [1, u64::MAX]]}),
            "histogram",
        ),
        (json!({"histogram": [[9_999, 1]]}), "histogram"),
        (json!({"disconnects": u64::MAX}), "disconnects"),
        (json!({"local_replies": more}), "local_replies"),
        (json!({"samples_sent": more}), "samples_sent"),
        (json!({"samples_dropped": more}), "samples_dropped"),
    ] {
        let refused = books.count(&report(1, &with(changed)));
        let Err(Refusal::Malformed { field: named, .. }) = refused else {
            panic!("{field}: {refused:?}");
        };
        assert_eq!(named, format!("rollouts[0].arms[0].{field}"));
    }
    for sequence in 1..=3 {
        books.count(&report(sequence, &with(json!({})))).unwrap();
    }
    let arm = &books.entries()[0].sums()[0].arms[0];
    assert_eq!(arm.exposures[0], 3 * MAX_COUNT);
    let counted = (arm.histogram[&0], arm.disconnects);
    assert_eq!(counted, (3 * MAX_COUNT, 3 * MAX_COUNT));
    let mut sum = MAX_SUM - 1;
    grow(&mut sum, MAX_COUNT);
    assert_eq!(sum, MAX_SUM);
}

#[test]
fn trips_of_one_arm_leave_room_for_another() {
    let mut books = books();
    let trip = |sequence, arm: &str| {
        let breaker = json!({"breaker": {"arm": arm, "finished": 20, "errors": 18}});
        report(sequence, &breaker)
    };
    for sequence in 1..=100 {
        books.count(&trip(sequence, "control")).unwrap();
    }
    books.count(&trip(101, "canary")).unwrap();
    let trips = &books.entries()[0].sums()[0].trips;
    let of = |arm: &str| trips.iter().filter(|trip| trip.arm == arm).count();
    assert_eq!((of("control"), of("canary")), (64, 1));
}

#[test]
fn a_change_has_all_that_changed_and_only_once() {
    let mut books = books();
    let plan = books.next_plan(&crate::domain::plan::tests::terms());
    assert_eq!(
        (plan.revision, plan.rollouts.len()),
        (
            Revision {
                generation: 1,
                counter: 1
            },
            1
        )
    );
    books
        .count(&report(1, &json!({"new_units": [[7, 1]]})))
        .unwrap();
    let change = books.take_change();
    assert_eq!(change.revision, Some(plan.revision));
    assert_eq!(
        (
            change.rollouts.len(),
            change.sums.len(),
            change.units.len(),
            change.sessions.is_some()
        ),
        (1, 1, 1, true)
    );
    assert!(books.take_change().is_empty());
}

#[test]
fn what_was_answered_before_it_was_warm_teaches_nothing() {
    let mut books = books();
    let entry = books.entry_mut("digits").unwrap();
    let answers = |counts: [(u16, u64); 2]| BTreeMap::from(counts);
    // Slow at first, in bucket 90, and fast later.
    let cold = answers([(40, 3), (90, 700)]);
    assert!(entry.since_warm(1, &cold).is_empty());
    let now = answers([(40, 903), (90, 702)]);
    assert_eq!(entry.since_warm(1, &now), answers([(40, 900), (90, 2)]));
    // The next step is warm anew.
    assert!(entry.since_warm(4, &now).is_empty());
}
