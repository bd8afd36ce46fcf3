//! A user keeps their version: through a ramp nobody sees the old version after
//! the new one, and a rollback takes back only canary's users.

use crate::world::{arm_of, canary_after, settled, steady, turn};
use serde_json::json;
use serinus_core::allocation::Allocation;
use serinus_tests::failure::Result;
use serinus_tests::lab::{CANARY, Lab, Settings};
use serinus_tests::load::{Answer, Load, now_ms, user_key};
use serinus_tests::wait;
use std::time::Duration;

const ID: &str = "sticky";

/// A time in which one allocation surely held for every worker.
struct Held {
    from_ms: u64,
    to_ms: u64,
    allocation: Allocation,
}

/// Lets the load run until 600 more answers came.
async fn hold(lab: &Lab, load: &Load, allocation: Allocation) -> Result<Held> {
    settled(lab).await?;
    let from_ms = now_ms();
    let before = load.count();
    wait::until("600 answers", Duration::from_secs(60), async || {
        Ok((load.count() >= before + 600).then_some(()))
    })
    .await?;
    Ok(Held {
        from_ms,
        to_ms: now_ms(),
        allocation,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_moves_only_users_who_enter_and_a_rollback_only_canarys() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady(ID);
    spec["steps"] = json!([10, 25, 75].map(|percent| json!({"weights": {CANARY: percent}})));
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let load = lab.load(400, 300).unwrap();

    let mut held = Vec::new();
    let ramp = [10, 25, 75];
    for step in 1..=ramp.len() {
        if step > 1 {
            lab.judge.act(ID, "promote", "next step").await.unwrap();
        }
        let allocation = canary_after(&ramp[..step]);
        held.push(hold(&lab, &load, allocation).await.unwrap());
    }
    lab.judge.act(ID, "abort", "enough").await.unwrap();
    held.push(hold(&lab, &load, Allocation::whole(0)).await.unwrap());
    load.stop();

    let mut checked = [0u32; 4];
    for outcome in load.outcomes_from(0) {
        let Answer::Served { arm, .. } = outcome.answer else {
            panic!("{outcome:?}");
        };
        let key = user_key(outcome.user);
        for (index, held) in held.iter().enumerate() {
            // What was begun in time may have been decided later, but not what was answered.
            let answered_ms = outcome.sent_ms + u64::from(outcome.latency_us) / 1_000;
            if held.from_ms <= outcome.sent_ms && answered_ms < held.to_ms {
                checked[index] += 1;
                assert_eq!(
                    arm,
                    arm_of(&held.allocation, &key, ID),
                    "{key} at step {index}"
                );
            }
        }
    }
    assert!(checked.iter().all(|&count| count > 300), "{checked:?}");
    // That each user's way is monotone is then a matter of the allocations.
    for user in 0..300 {
        let arms: Vec<bool> = held[..3]
            .iter()
            .map(|held| {
                arm_of(&held.allocation, &user_key(user), ID) == serinus_tests::load::Arm::Canary
            })
            .collect();
        assert!(arms.is_sorted(), "user {user}: {arms:?}");
    }
}
