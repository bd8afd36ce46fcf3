//! What is remembered for outcomes that come later.

use crate::backend::Backend;
use crate::change::with_rollouts;
use serinus_judge::domain::remembered::{Forgotten, Kind, Name, Remembered};
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
    let (told, never) = (name(Kind::Told, 7), name(Kind::User, 7));
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
        [second[1].clone(), again, first[1].clone()]
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

pub async fn what_is_old_or_too_much_is_forgotten(backend: &mut Backend) {
    let store = backend.store();
    store.commit(with_rollouts(&["a", "b"])).await.unwrap();
    let names: Vec<Name> = (0..10).map(|hash| name(Kind::User, hash)).collect();
    let other = name(Kind::Told, 0);
    let mut remembered = vec![known("a", other, 0, ""), known("b", names[0], 0, "")];
    let users = names.iter();
    remembered.extend(users.map(|&name| known("a", name, name.hash, "")));
    store.commit(remembering(remembered)).await.unwrap();
    for (before_ms, most, left) in [(0, 100, 0), (3, 100, 3), (0, 4, 6), (100, 100, 10)] {
        let forgotten = Forgotten {
            rollout: "a".to_owned(),
            kind: Kind::User,
            before_ms,
            most,
        };
        let change = Change {
            forgotten: vec![forgotten],
            ..Change::default()
        };
        store.commit(change).await.unwrap();
        let users = recalled(store, "a", &names).await;
        let users: Vec<u64> = users.iter().map(|known| known.name.hash).collect();
        let wanted: Vec<u64> = (left..10).collect();
        assert_eq!(users, wanted, "before {before_ms}, at most {most}");
    }
    assert_eq!(recalled(store, "a", &[other]).await.len(), 1);
    assert_eq!(recalled(store, "b", &names).await.len(), 1);
}
