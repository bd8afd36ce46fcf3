//! What is remembered for outcomes that come later.

use crate::backend::Backend;
use crate::change::with_rollouts;
use serinus_judge::domain::remembered::{AT_ONCE, Forgotten, Kind, Name, Remembered};
use serinus_judge::store::{Change, Store};

fn name(kind: Kind, hash: u64) -> Name {
    Name { kind, hash }
}

fn known(rollout: &str, name: Name, at_ms: u64, record: &str) -> Remembered {
    Remembered {
        rollout: rollout.to_owned(),
        name,
        at_ms,
        record: record.to_owned(),
    }
}

fn remembering(remembered: Vec<Remembered>) -> Change {
    Change {
        remembered,
        ..Change::default()
    }
}

/// In the order of their names.
async fn recalled(store: &dyn Store, rollout: &str, names: &[Name]) -> Vec<Remembered> {
    let mut recalled = store.recall(rollout, names).await.unwrap();
    recalled.sort_by_key(|known| known.name);
    recalled
}

pub async fn what_is_remembered_is_recalled(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["a", "b"])).await.unwrap();
    let (user, request) = (name(Kind::User, u64::MAX), name(Kind::Request, 7));
    let (told, never) = (name(Kind::AnswerById, 7), name(Kind::User, 7));
    let first = vec![
        known("a", user, 1, "before"),
        known("a", request, 2, "\u{1f426} \"quoted\""),
        known("b", user, 3, "another rollout's"),
    ];
    store.commit(remembering(first.clone())).await.unwrap();
    let again = known("a", user, 4, "after");
    let second = vec![again.clone(), known("a", told, 5, "")];
    store.commit(remembering(second.clone())).await.unwrap();
    backend.reopen().await;
    let store = backend.store();
    let all = [user, request, told, never];
    assert_eq!(
        recalled(store, "a", &all).await,
        [again, first[1].clone(), second[1].clone()]
    );
    assert_eq!(recalled(store, "b", &all).await, [first[2].clone()]);
    assert!(recalled(store, "a", &[never]).await.is_empty());
    assert!(recalled(store, "a", &[]).await.is_empty());
    let deleted = Change {
        deleted: vec!["a".to_owned()],
        ..Change::default()
    };
    store.commit(deleted).await.unwrap();
    store.commit(with_rollouts(&["a"])).await.unwrap();
    assert!(recalled(store, "a", &all).await.is_empty());
}

/// Those of a rollout's users that are remembered.
async fn users(store: &dyn Store, rollout: &str, upto: u64) -> Vec<u64> {
    let names: Vec<Name> = (0..upto).map(|hash| name(Kind::User, hash)).collect();
    let users = recalled(store, rollout, &names).await;
    users.iter().map(|known| known.name.hash).collect()
}

fn of_users(rollout: &str, upto: u64) -> Vec<Remembered> {
    let users = (0..upto).map(|hash| known(rollout, name(Kind::User, hash), hash, ""));
    users.collect()
}

pub async fn what_is_old_or_too_much_is_forgotten(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["a", "b"])).await.unwrap();
    let other = name(Kind::ValueById, 0);
    let mut remembered = of_users("a", 10);
    remembered.extend([known("a", other, 0, "")]);
    remembered.extend(of_users("b", 1));
    store.commit(remembering(remembered)).await.unwrap();
    for (before_ms, gone) in [(0, 0), (3, 3), (3, 0), (6, 3)] {
        let old = Forgotten {
            rollout: "a".to_owned(),
            kind: Kind::User,
            before_ms,
        };
        assert_eq!(
            store.forget(&old).await.unwrap(),
            gone,
            "before {before_ms}"
        );
        let left: Vec<u64> = (before_ms..10).collect();
        assert_eq!(users(store, "a", 10).await, left);
    }
    assert_eq!(recalled(store, "a", &[other]).await.len(), 1);
    assert_eq!(users(store, "b", 1).await, [0]);
    // From when on there are so many.
    let since = async |most| store.since_most("a", Kind::User, most).await.unwrap();
    assert_eq!(
        (since(3).await, since(4).await, since(5).await),
        (Some(7), Some(6), None)
    );
    assert_eq!(store.since_most("a", Kind::Request, 1).await.unwrap(), None);
    assert_eq!(
        store.since_most("nobody", Kind::User, 1).await.unwrap(),
        None
    );
}

pub async fn what_is_of_deleted_rollouts_goes_in_parts(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["a", "b", "c"])).await.unwrap();
    let many = u64::from(AT_ONCE) + 10;
    for (rollout, upto) in [("a", many), ("b", 5), ("c", 5)] {
        let remembered = of_users(rollout, upto);
        store.commit(remembering(remembered)).await.unwrap();
    }
    assert_eq!(store.forget_deleted().await.unwrap(), 0);
    let deleted = Change {
        deleted: vec!["a".to_owned(), "c".to_owned()],
        ..Change::default()
    };
    store.commit(deleted).await.unwrap();
    // One of that name is another, and what it remembers is its own.
    store.commit(with_rollouts(&["a"])).await.unwrap();
    assert!(users(store, "a", many).await.is_empty());
    store.commit(remembering(of_users("a", 3))).await.unwrap();
    let mut gone = Vec::new();
    for _ in 0..4 {
        gone.push(store.forget_deleted().await.unwrap());
    }
    assert_eq!(gone, [u64::from(AT_ONCE), 10, 5, 0]);
    assert_eq!(users(store, "a", many).await, [0, 1, 2]);
    assert_eq!(users(store, "b", many).await.len(), 5);
}
