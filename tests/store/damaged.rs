//! What somebody or something changed behind the store's back.

use crate::backend::Backend;
use crate::change::{decision, heard, listed, seen, stored, sums, with_rollouts};
use serinus_judge::store::{Change, StoreError};

/// Whoever has to repair a database is told what to look at.
pub async fn what_is_damaged_is_named(backend: &mut Backend) {
    let change = Change {
        sums: vec![stored("digits", &sums(1, None, 1))],
        units: vec![listed("digits", false, &[(1, seen(1))])],
        sessions: heard(false, &[(1, 1)]),
        decisions: vec![decision("digits", 1, "created")],
        ..with_rollouts(&["digits"])
    };
    backend.store().commit(change).await.unwrap();
    let one = decision("digits", 1, "created");

    backend.sql("UPDATE decisions SET document = '{'").await;
    let store = backend.store();
    is_named(store.decisions("digits").await, "a decision of digits");
    is_named(store.decision("digits", 1).await, "decision 1 of digits");
    assert_eq!(
        store.load().await.unwrap().rollouts[0].last_decision,
        Some((1, one.hash)),
        "the chain goes on from its hash"
    );

    // Each damage is loaded before the one above it.
    let broken = backend.bytes("0102");
    backend
        .sql(&format!("UPDATE session_lists SET list = {broken}"))
        .await;
    is_named(backend.store().load().await, "worker sessions");
    backend
        .sql(&format!("UPDATE unit_lists SET list = {broken}"))
        .await;
    is_named(backend.store().load().await, "users of digits");
    backend
        .sql(&format!("UPDATE sums SET document = {broken}"))
        .await;
    is_named(backend.store().load().await, "sums of digits");
    backend.sql("UPDATE rollouts SET document = '{}'").await;
    is_named(backend.store().load().await, "rollout digits");
}

fn is_named<T>(result: Result<T, StoreError>, name: &str) {
    match result.map(drop) {
        Err(StoreError::Damaged { what, problem }) => {
            assert_eq!(what, name);
            assert!(!problem.is_empty());
        }
        other => panic!("{name}: {other:?}"),
    }
}
