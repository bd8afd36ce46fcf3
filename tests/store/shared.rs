//! What several judges on one PostgreSQL are promised.

use crate::backend::{database, judge};
use crate::change::{heard, with_rollouts};
use serinus_core::plan::Revision;
use serinus_judge::store::{Change, LEASE, Letter, LetterKind, Outlook, Shared, Store, StoreError};
use serinus_tests::wait;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn letter(kind: LetterKind, body: &str) -> Letter {
    Letter {
        kind,
        body: body.as_bytes().to_vec(),
    }
}

fn bodies(letters: &[(i64, Letter)]) -> Vec<&str> {
    let bodies = letters.iter().map(|(_, letter)| letter.body.as_slice());
    bodies
        .map(|body| core::str::from_utf8(body).unwrap())
        .collect()
}

#[tokio::test]
async fn one_judge_has_the_lease() {
    let database = database().await;
    let (first, second) = (judge(&database).await, judge(&database).await);
    assert_eq!(first.outlook().await.unwrap(), Outlook::default());
    assert!(first.take_lease("http://first").await.unwrap());
    assert!(!second.take_lease("http://second").await.unwrap());
    assert!(first.renew().await.unwrap());
    assert!(!second.renew().await.unwrap());
    let leader = second.outlook().await.unwrap().leader;
    assert_eq!(leader.as_deref(), Some("http://first"));

    first.give_up().await.unwrap();
    assert_eq!(second.outlook().await.unwrap().leader, None);
    assert!(second.take_lease("http://second").await.unwrap());
    assert!(!first.renew().await.unwrap());
    let leader = first.outlook().await.unwrap().leader;
    assert_eq!(leader.as_deref(), Some("http://second"));
    first.give_up().await.unwrap();
    assert!(
        second.renew().await.unwrap(),
        "who has no lease takes none away"
    );
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends() {
    let database = database().await;
    let (frozen, next) = (judge(&database).await, judge(&database).await);
    let before = std::time::Instant::now();
    assert!(frozen.take_lease("http://frozen").await.unwrap());
    wait::until("the lease to end", LIMIT, async || {
        let taken = next.take_lease("http://next").await?;
        Ok(taken.then_some(()))
    })
    .await
    .unwrap();
    assert!(before.elapsed() >= LEASE, "it ended before its time");
    assert!(!frozen.renew().await.unwrap());
    let refused = frozen.commit(with_rollouts(&["digits"])).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert!(next.load().await.unwrap().rollouts.is_empty());
    next.commit(with_rollouts(&["digits"])).await.unwrap();
    assert_eq!(next.load().await.unwrap().rollouts.len(), 1);
}

#[tokio::test]
async fn without_a_lease_nothing_is_committed() {
    let database = database().await;
    let store = judge(&database).await;
    let refused = store.commit(with_rollouts(&["digits"])).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert!(store.take_lease("http://here").await.unwrap());
    store.commit(with_rollouts(&["digits"])).await.unwrap();
    store.give_up().await.unwrap();
    let refused = store.commit(with_rollouts(&["more"])).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}

/// Of many that try at once, over and over, exactly one may commit at any time.
#[tokio::test]
async fn no_two_judges_commit_for_one_lease() {
    let database = database().await;
    let mut judges = Vec::new();
    for _ in 0..4 {
        judges.push(judge(&database).await);
    }
    for round in 1..=5u64 {
        let taken = tokio::join!(
            judges[0].take_lease("http://0"),
            judges[1].take_lease("http://1"),
            judges[2].take_lease("http://2"),
            judges[3].take_lease("http://3"),
        );
        let taken = [taken.0, taken.1, taken.2, taken.3].map(Result::unwrap);
        assert_eq!(taken.iter().filter(|&&taken| taken).count(), 1, "{taken:?}");
        for (number, (judge, taken)) in judges.iter().zip(taken).enumerate() {
            let change = Change {
                sessions: heard(false, &[(number as u64, round)]),
                ..Change::default()
            };
            assert_eq!(judge.commit(change).await.is_ok(), taken, "judge {number}");
            if taken {
                judge.give_up().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_plan_that_is_out_is_known_to_all() {
    let database = database().await;
    let (leader, follower) = (judge(&database).await, judge(&database).await);
    assert_eq!(follower.published().await.unwrap(), None);
    assert!(leader.take_lease("http://leader").await.unwrap());
    for counter in [1, 2] {
        let revision = Revision {
            generation: 1,
            counter,
        };
        let plan = format!("plan {counter}").into_bytes();
        let change = Change {
            revision: Some(revision),
            published: Some(plan.clone()),
            ..Change::default()
        };
        leader.commit(change).await.unwrap();
        assert_eq!(follower.published().await.unwrap(), Some((revision, plan)));
        assert_eq!(follower.outlook().await.unwrap().revision, Some(revision));
    }
}

#[tokio::test]
async fn letters_stay_until_they_are_counted() {
    let database = database().await;
    let (leader, follower) = (judge(&database).await, judge(&database).await);
    assert!(leader.take_lease("http://leader").await.unwrap());
    follower.post(&[]).await.unwrap();
    assert!(leader.letters(10).await.unwrap().is_empty());
    let posted = [
        letter(LetterKind::Report, "first"),
        letter(LetterKind::Heard, "second"),
    ];
    follower.post(&posted).await.unwrap();
    follower
        .post(&[letter(LetterKind::Report, "third")])
        .await
        .unwrap();
    let found = leader.letters(10).await.unwrap();
    assert_eq!(bodies(&found), ["first", "second", "third"]);
    assert_eq!((&found[0].1, &found[1].1), (&posted[0], &posted[1]));
    assert_eq!(
        bodies(&leader.letters(2).await.unwrap()),
        ["first", "second"]
    );

    let read = |positions: &[(i64, Letter)]| Change {
        sessions: heard(false, &[(1, 1)]),
        letters_read: positions.iter().map(|(position, _)| *position).collect(),
        ..Change::default()
    };
    let refused = follower.commit(read(&found)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert_eq!(leader.letters(10).await.unwrap(), found, "nobody read them");
    leader.commit(read(&found[..2])).await.unwrap();
    assert_eq!(bodies(&leader.letters(10).await.unwrap()), ["third"]);
    leader.commit(read(&found)).await.unwrap();
    assert!(leader.letters(10).await.unwrap().is_empty());
}

/// News ends a wait; it also ends by itself, so the test is that news ends it many
/// times within what one wait would take.
#[tokio::test]
async fn news_comes_at_once() {
    let database = database().await;
    let (leader, follower) = (judge(&database).await, judge(&database).await);
    assert!(leader.take_lease("http://leader").await.unwrap());
    // The first one begins to listen.
    leader.news().await.unwrap();
    follower.news().await.unwrap();
    let start = std::time::Instant::now();
    for counter in 1..=40 {
        let letters = [letter(LetterKind::Report, "body")];
        let (posted, heard) = tokio::join!(follower.post(&letters), leader.news());
        posted.unwrap();
        heard.unwrap();
        // What it posted itself is news to the follower, too.
        follower.news().await.unwrap();
        let change = Change {
            revision: Some(Revision {
                generation: 1,
                counter,
            }),
            ..Change::default()
        };
        let (committed, heard) = tokio::join!(leader.commit(change), follower.news());
        committed.unwrap();
        heard.unwrap();
        leader.news().await.unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "160 waits of a second each took {:?}",
        start.elapsed()
    );
}
