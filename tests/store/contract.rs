//! The promises of every store.

use crate::backend::Backend;
use crate::change::{
    KEY, audited, decision, heard, listed, rollout, seen, session, stored, sums, with_rollouts,
};
use serinus_core::plan::Revision;
use serinus_judge::domain::EpochSums;
use serinus_judge::domain::audit::follow;
use serinus_judge::domain::units::UnitRecord;
use serinus_judge::store::{Change, Loaded, LoadedRollout};
use std::collections::BTreeMap;

fn ids(loaded: &Loaded) -> Vec<&str> {
    let rollouts = loaded.rollouts.iter();
    rollouts
        .map(|loaded| loaded.rollout.spec.id.as_str())
        .collect()
}

fn units(loaded: &LoadedRollout) -> BTreeMap<u64, UnitRecord> {
    loaded.units.iter().collect()
}

/// As text that is the same for what is the same.
fn everything(loaded: Loaded) -> String {
    let rollouts = loaded.rollouts.iter().map(|entry| {
        let (rollout, sums, last) = (&entry.rollout, &entry.sums, &entry.last_decision);
        format!("{rollout:?} {sums:?} {:?} {last:?}", units(entry))
    });
    let rollouts: Vec<String> = rollouts.collect();
    format!("{:?} {:?} {rollouts:?}", loaded.revision, loaded.sessions)
}

fn revision(generation: u64, counter: u64) -> Revision {
    Revision {
        generation,
        counter,
    }
}

pub async fn at_first_nothing_is_known(backend: &mut Backend) {
    let loaded = backend.store().load().await.unwrap();
    assert_eq!(loaded.revision, Revision::default());
    assert!(loaded.rollouts.is_empty() && loaded.sessions.is_empty());
    assert!(
        backend
            .store()
            .decisions("digits")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(backend.store().decision("digits", 1).await.unwrap(), None);
}

pub async fn what_is_committed_is_loaded(backend: &mut Backend) {
    let first = decision("digits", 1, "created");
    let counted = sums(1, None, 42);
    backend
        .store()
        .commit(Change {
            revision: Some(revision(2, 7)),
            published: Some(b"{}".to_vec()),
            sums: vec![stored("digits", &counted)],
            units: vec![listed(
                "digits",
                false,
                &[(u64::MAX, seen(1)), (0, seen(2))],
            )],
            sessions: heard(false, &[(1, 3)]),
            decisions: vec![first.clone()],
            ..with_rollouts(&["digits"])
        })
        .await
        .unwrap();
    for _ in 0..2 {
        let loaded = backend.store().load().await.unwrap();
        assert_eq!(loaded.revision, revision(2, 7));
        assert_eq!(loaded.sessions, [(session(1), 3)]);
        let [entry] = loaded.rollouts.as_slice() else {
            panic!("{:?}", ids(&loaded));
        };
        assert_eq!(entry.rollout, rollout("digits"));
        assert_eq!(entry.identity_key, KEY);
        assert_eq!(entry.sums, std::slice::from_ref(&counted));
        assert_eq!(
            units(entry),
            BTreeMap::from([(0, seen(2)), (u64::MAX, seen(1))])
        );
        assert_eq!(entry.units_stored, 2);
        assert_eq!(entry.last_decision, Some((1, first.hash.clone())));
        backend.reopen().await;
    }
}

pub async fn rollouts_keep_the_order_of_their_creation(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["b", "a"])).await.unwrap();
    store.commit(with_rollouts(&["c"])).await.unwrap();
    let mut changed = rollout("b");
    changed.restart_processes(9);
    let change = Change {
        rollouts: vec![(changed.clone(), KEY.to_owned())],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(ids(&loaded), ["b", "a", "c"]);
    assert_eq!(loaded.rollouts[0].rollout, changed);

    let replaced = Change {
        deleted: vec!["b".to_owned()],
        ..with_rollouts(&["b"])
    };
    store.commit(replaced).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(ids(&loaded), ["a", "c", "b"], "created anew, it comes last");
    assert_eq!(loaded.rollouts[2].rollout, rollout("b"));
}

pub async fn sums_are_replaced_and_come_by_epoch(backend: &mut Backend) {
    let store = backend.store();
    let first = [
        sums(10, None, 1),
        sums(2, Some("silver"), 2),
        sums(2, None, 3),
        sums(2, Some("Gold"), 4),
    ];
    let change = Change {
        sums: first.iter().map(|sums| stored("digits", sums)).collect(),
        ..with_rollouts(&["digits"])
    };
    store.commit(change).await.unwrap();
    let later = sums(2, Some("silver"), 9);
    let change = Change {
        sums: vec![stored("digits", &later)],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let [ten, _, two, gold] = first;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.rollouts[0].sums, [two, gold, later, ten]);
}

pub async fn lists_of_users_add_up_until_all_come_anew(backend: &mut Backend) {
    let store = backend.store();
    let list = |all, units: &[(u64, UnitRecord)]| Change {
        units: vec![listed("digits", all, units)],
        ..Change::default()
    };
    store
        .commit(with_rollouts(&["digits", "other"]))
        .await
        .unwrap();
    store
        .commit(list(false, &[(1, seen(1)), (2, seen(1))]))
        .await
        .unwrap();
    store
        .commit(list(false, &[(2, seen(5)), (3, seen(2))]))
        .await
        .unwrap();
    let other = Change {
        units: vec![
            listed("other", false, &[(1, seen(8))]),
            listed("other", false, &[(1, seen(9))]),
        ],
        ..Change::default()
    };
    store.commit(other).await.unwrap();
    let loaded = store.load().await.unwrap();
    let known = BTreeMap::from([(1, seen(1)), (2, seen(5)), (3, seen(2))]);
    assert_eq!(units(&loaded.rollouts[0]), known);
    assert_eq!(loaded.rollouts[0].units_stored, 4);

    let all: Vec<_> = known
        .iter()
        .map(|(&unit, &record)| (unit, record))
        .collect();
    store.commit(list(true, &all)).await.unwrap();
    store.commit(list(false, &[(4, seen(6))])).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.rollouts[0].units_stored, 4);
    assert_eq!(loaded.rollouts[0].units.get(4), Some(seen(6)));
    assert_eq!(loaded.rollouts[0].units.get(2), Some(seen(5)));
    assert_eq!(
        units(&loaded.rollouts[1]),
        BTreeMap::from([(1, seen(9))]),
        "another rollout's users are its own"
    );
}

pub async fn sessions_are_lists_that_replace_each_other(backend: &mut Backend) {
    let store = backend.store();
    for (all, list) in [
        (false, &[(1, 1), (2, 1)][..]),
        (false, &[(2, 7)]),
        (true, &[(2, 7), (3, 1)]),
        (false, &[(3, 2)]),
    ] {
        let change = Change {
            sessions: heard(all, list),
            ..Change::default()
        };
        store.commit(change).await.unwrap();
    }
    let loaded = store.load().await.unwrap().sessions;
    assert_eq!(loaded, [(session(2), 7), (session(3), 1), (session(3), 2)]);
}

fn full(ids: &[&str]) -> Change {
    let mut change = with_rollouts(ids);
    for id in ids {
        change.sums.push(stored(id, &sums(1, None, 5)));
        change.units.push(listed(id, false, &[(1, seen(1))]));
        change.decisions.push(decision(id, 1, "created"));
    }
    change
}

pub async fn a_deleted_rollout_takes_all_of_it_along(backend: &mut Backend) {
    let store = backend.store();
    store.commit(full(&["goes", "stays"])).await.unwrap();
    let change = Change {
        deleted: vec!["goes".to_owned(), "never-was".to_owned()],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    assert!(store.decisions("goes").await.unwrap().is_empty());
    store.commit(with_rollouts(&["goes"])).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(ids(&loaded), ["stays", "goes"]);
    let [stays, anew] = loaded.rollouts.as_slice() else {
        panic!("{:?}", ids(&loaded));
    };
    assert_eq!((stays.sums.len(), stays.units.len()), (1, 1));
    assert!(stays.last_decision.is_some());
    assert!(anew.sums.is_empty() && anew.units.is_empty());
    assert_eq!(anew.last_decision, None);
}

pub async fn a_change_is_all_or_nothing(backend: &mut Backend) {
    let store = backend.store();
    store.commit(full(&["digits"])).await.unwrap();
    let before = everything(store.load().await.unwrap());
    let fails: [fn(&mut Change); 4] = [
        |change| change.sums.push(stored("nobody", &sums(1, None, 1))),
        |change| change.units.push(listed("nobody", false, &[(1, seen(1))])),
        |change| change.decisions.push(decision("nobody", 1, "never")),
        |change| change.decisions.push(decision("digits", 1, "again")),
    ];
    for (number, fail) in fails.into_iter().enumerate() {
        let mut change = Change {
            revision: Some(revision(3, 3)),
            published: Some(b"never".to_vec()),
            sums: vec![stored("digits", &sums(1, None, 99))],
            units: vec![listed("digits", true, &[(2, seen(2))])],
            sessions: heard(false, &[(1, 3)]),
            ..with_rollouts(&["new"])
        };
        fail(&mut change);
        let failed = store.commit(change).await;
        assert!(failed.is_err(), "change {number}");
        let after = everything(store.load().await.unwrap());
        assert_eq!(after, before, "change {number} left something");
    }
    store.commit(full(&["more"])).await.unwrap();
}

pub async fn decisions_are_a_chain_that_stays(backend: &mut Backend) {
    let all: Vec<_> = (1..=12)
        .map(|sequence| decision("digits", sequence, "because"))
        .collect();
    let mut change = with_rollouts(&["digits"]);
    // Numbers have an order of their own, in which 10 is not behind 1.
    change.decisions.extend(all.iter().rev().cloned());
    backend.store().commit(change).await.unwrap();
    backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.decisions("digits").await.unwrap(), all);
    assert_eq!(
        store.decision("digits", 10).await.unwrap().as_ref(),
        all.get(9)
    );
    assert_eq!(store.decision("digits", 13).await.unwrap(), None);
    assert_eq!(store.decision("digits", u64::MAX).await.unwrap(), None);
    let loaded = store.load().await.unwrap();
    let last = all.last().map(|sealed| (12, sealed.hash.clone()));
    assert_eq!(loaded.rollouts[0].last_decision, last);
}

pub async fn the_largest_numbers_and_the_oddest_texts_survive(backend: &mut Backend) {
    const LARGEST: u64 = i64::MAX as u64;
    let odd = "quote ' \" back \\ slash \u{0} \u{1f426} \u{202e} % $1 ?1";
    let mut counted = sums(LARGEST, Some("ségment ' \" $1"), u64::MAX);
    counted.fallbacks.insert(odd.to_owned(), u64::MAX);
    let record = UnitRecord {
        exposed: u32::MAX,
        slow: [u32::MAX; 12],
        ..UnitRecord::default()
    };
    let extremes = [(u64::MAX, record), (1 << 63, record), (LARGEST, record)];
    let sealed = decision("digits", LARGEST, odd);
    backend
        .store()
        .commit(Change {
            revision: Some(revision(LARGEST, LARGEST)),
            sums: vec![stored("digits", &counted)],
            units: vec![listed("digits", false, &extremes)],
            sessions: heard(false, &[(u64::MAX, LARGEST)]),
            decisions: vec![sealed.clone()],
            ..with_rollouts(&["digits"])
        })
        .await
        .unwrap();
    backend.reopen().await;
    let loaded = backend.store().load().await.unwrap();
    assert_eq!(loaded.revision, revision(LARGEST, LARGEST));
    assert_eq!(loaded.sessions, [(session(u64::MAX), LARGEST)]);
    let entry = &loaded.rollouts[0];
    assert_eq!(entry.sums, [counted]);
    assert_eq!(units(entry), BTreeMap::from(extremes));
    assert_eq!(entry.last_decision, Some((LARGEST, sealed.hash.clone())));
    let found = backend.store().decision("digits", LARGEST).await.unwrap();
    assert_eq!(found.as_ref(), Some(&sealed));
    assert!(sealed.is_intact());
}

pub async fn a_change_may_be_large(backend: &mut Backend) {
    let names: Vec<String> = (0..100)
        .map(|number| format!("rollout-{number:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut change = with_rollouts(&names);
    let mut all: Vec<EpochSums> = Vec::new();
    for (id, number) in names.iter().zip(0u64..) {
        let counted = sums(1, None, number);
        change.sums.push(stored(id, &counted));
        all.push(counted);
        let users: Vec<_> = (0..200)
            .map(|user| (user * 1_000 + number, seen(1)))
            .collect();
        change.units.push(listed(id, false, &users));
    }
    let sessions: Vec<_> = (0..20_000).map(|number| (number, number + 1)).collect();
    change.sessions = heard(false, &sessions);
    backend.store().commit(change).await.unwrap();
    let loaded = backend.store().load().await.unwrap();
    assert_eq!(ids(&loaded), names);
    assert_eq!(loaded.sessions.len(), 20_000);
    for (entry, (counted, number)) in loaded.rollouts.iter().zip(all.iter().zip(0u64..)) {
        assert_eq!(&entry.sums, core::slice::from_ref(counted));
        assert_eq!(entry.units.len(), 200);
        assert_eq!(entry.units.get(199_000 + number), Some(seen(1)));
    }
}

/// Readers and the writer do not wait for each other, and see whole changes.
pub async fn what_is_acknowledged_is_there_for_others_at_once(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["digits"])).await.unwrap();
    for sequence in 1..=20 {
        let change = Change {
            decisions: vec![decision("digits", sequence, "because")],
            sums: vec![stored("digits", &sums(1, None, sequence))],
            ..Change::default()
        };
        let (committed, meanwhile) = tokio::join!(store.commit(change), store.decisions("digits"));
        committed.unwrap();
        let meanwhile = meanwhile.unwrap().len() as u64;
        assert!((sequence - 1..=sequence).contains(&meanwhile));
        let (now, loaded) = tokio::join!(store.decisions("digits"), store.load());
        assert_eq!(now.unwrap().len() as u64, sequence);
        let loaded = loaded.unwrap();
        assert_eq!(loaded.rollouts[0].sums, [sums(1, None, sequence)]);
    }
}

pub async fn the_record_of_deeds_outlives_rollouts(backend: &mut Backend) {
    let store = backend.store();
    assert!(store.audit(0, 10).await.unwrap().is_empty());
    assert_eq!(store.load().await.unwrap().audited, None);
    let chain = audited(&["create", "pause", "delete"]);
    for (number, audited) in chain.iter().enumerate() {
        let deleted = (number == 2).then(|| "digits".to_owned());
        let change = Change {
            audit: vec![audited.clone()],
            deleted: deleted.into_iter().collect(),
            ..if number == 0 {
                with_rollouts(&["digits"])
            } else {
                Change::default()
            }
        };
        store.commit(change).await.unwrap();
    }
    assert_eq!(store.audit(0, 10).await.unwrap(), chain);
    assert_eq!(store.audit(1, 1).await.unwrap(), chain[1..2]);
    // One that does not go on where the record ends is not kept, nor what came with it.
    let again = Change {
        audit: vec![chain[1].clone()],
        ..with_rollouts(&["other"])
    };
    store.commit(again).await.unwrap_err();
    backend.reopen().await;
    let loaded = backend.store().load().await.unwrap();
    assert!(loaded.rollouts.is_empty());
    assert_eq!(loaded.audited, Some(chain[2].head()));
    assert_eq!(follow(None, &chain).unwrap(), loaded.audited);
}
