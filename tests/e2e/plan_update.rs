//! The plan changes while answers are under way: each goes on to its end, and is
//! counted under the rules by which it was sent.

use crate::wire::fake_judge::{FakeJudge, Mood, plan};
use crate::wire::http1::{self, request};
use crate::wire::{Counts, ID, Wire, arm_at_half, arm_names, options};
use crate::world::{LIMIT, arm_of, canary_after, keys, settled_by, turn};
use serde_json::json;
use serinus_tests::artefacts;
use serinus_tests::failure::Result;
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;

/// What is counted of an epoch and arm.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    exposures: u64,
    finished: u64,
    errors: u64,
}

fn sums(judge: &FakeJudge, epoch: u64, arm: Arm) -> Sums {
    let name = arm_names()[usize::from(arm == Arm::Canary)];
    let reports = judge.acknowledged();
    let rollouts = reports.iter().flat_map(|report| &report.rollouts);
    let arms = rollouts
        .filter(|rollout| rollout.epoch == epoch)
        .flat_map(|rollout| &rollout.arms)
        .filter(|arm| arm.arm == name);
    let mut sums = Sums::default();
    for slot in arms.flat_map(|arm| &arm.slots) {
        sums.exposures += slot.1;
        sums.finished += slot.2;
        sums.errors += slot.3;
    }
    sums
}

async fn counted(judge: &FakeJudge, epoch: u64, arm: Arm, exposures: u64, finished: u64) {
    let expected = Sums {
        exposures,
        finished,
        errors: 0,
    };
    let counted = wait::until("the sums of an epoch", LIMIT, async || {
        Ok((sums(judge, epoch, arm) == expected).then_some(()))
    });
    if let Err(error) = counted.await {
        panic!(
            "{error}: {:?} and not {expected:?}",
            sums(judge, epoch, arm)
        );
    }
}

/// Begins an answer of five pieces, of which none is released yet.
async fn begin(wire: &Wire, key: &str, arm: Arm) -> Result<http1::Client> {
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, key), ("x-answer", "gated 5")];
    client.send(&request("GET /", &headers, b"")).await?;
    let answer = client.answer_without_body().await?;
    assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
    Ok(client)
}

/// Has the one answer of control that is under way go on.
async fn next_piece(wire: &Wire, client: &mut http1::Client, number: u32) -> Result<()> {
    wire.control.release(1);
    let expected = format!("piece {number}\n").into_bytes();
    assert_eq!(client.chunk().await?, Some(expected));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_outlives_the_plan_it_was_sent_by() {
    let _turn = turn().await;
    let wire = Wire::without_judge(&options::NO_TIMEOUT).await;
    let judge = FakeJudge::start(wire.judge.port(), Mood::Well(plan(1, 7, &[50]))).await;
    judge.polled(2).await.unwrap();
    // A user whom the next step moves.
    let next = canary_after(&[50, 75]);
    let moves =
        |key: &String| arm_at_half(key) == Arm::Control && arm_of(&next, key, ID) == Arm::Canary;
    let key = keys(200).into_iter().find(moves).unwrap();
    let mut client = begin(&wire, &key, Arm::Control).await.unwrap();
    next_piece(&wire, &mut client, 0).await.unwrap();

    // Another allocation: the user is canary's, and the answer is still control's.
    judge.met(Mood::Well(plan(2, 8, &[50, 75]))).await;
    assert_eq!(wire.arm_of(&key).await.unwrap(), Arm::Canary);
    next_piece(&wire, &mut client, 1).await.unwrap();
    counted(&judge, 7, Arm::Control, 1, 0).await;

    // No rollout any more.
    let mut none = plan(3, 9, &[75]);
    none["rollouts"] = json!([]);
    judge.met(Mood::Well(none)).await;
    assert_eq!(wire.arm_of(&key).await.unwrap(), Arm::Control);
    next_piece(&wire, &mut client, 2).await.unwrap();

    // Off, and on again: two root contexts have come and gone.
    let wasm = artefacts::wasm().unwrap();
    for (disabled, number) in [(true, 3), (false, 4)] {
        wire.envoy.set_disabled(disabled, &wasm).await.unwrap();
        next_piece(&wire, &mut client, number).await.unwrap();
    }
    assert_eq!(client.chunk().await.unwrap(), None);

    // The answer has ended under the plan by which it began.
    counted(&judge, 7, Arm::Control, 1, 1).await;
    counted(&judge, 8, Arm::Canary, 1, 1).await;
    for (epoch, arm) in [(7, Arm::Canary), (8, Arm::Control), (9, Arm::Control)] {
        assert_eq!(sums(&judge, epoch, arm), Sums::default(), "{epoch} {arm:?}");
    }
    wire.vms_live().await.unwrap();
}

/// With the real judge: a step while forty answers are under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_the_middle_of_many_answers_loses_none() {
    let _turn = turn().await;
    let wire = Wire::start(&options::NO_TIMEOUT).await;
    let users = keys(40);
    let mut clients = Vec::new();
    for key in &users {
        let arm = arm_at_half(key);
        clients.push((arm, begin(&wire, key, arm).await.unwrap()));
    }
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    for (arm, _) in &clients {
        wire.server(*arm).release(5);
    }
    for (_, client) in &mut clients {
        let mut body = Vec::new();
        while let Some(piece) = client.chunk().await.unwrap() {
            body.extend(piece);
        }
        assert_eq!(body, b"piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n");
    }
    for arm in [Arm::Control, Arm::Canary] {
        let theirs = users.iter().filter(|key| arm_at_half(key) == arm).count() as u64;
        let expected = Counts {
            exposures: theirs,
            finished: theirs,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    let next = canary_after(&[50, 75]);
    for key in &users {
        let arm = wire.arm_of(key).await.unwrap();
        assert_eq!(arm, arm_of(&next, key, ID), "{key}");
    }
    wire.vms_live().await.unwrap();
}
