//! A judge that is slow, mad or silent: Envoy serves every request, by the baseline
//! while there was no plan, and by the last good plan from then on.

use crate::wire::fake_judge::{FakeJudge, Mood, plan, says, says_nothing_new};
use crate::wire::{ID, Wire, arm_at_half, user};
use crate::world::{LIMIT, keys, turn};
use serde_json::{Value, json};
use serinus_core::report::Report;
use serinus_tests::load::Arm;
use serinus_tests::wait;
use std::collections::BTreeMap;

/// Answers to a poll that bring no plan.
fn nonsense(good: &Value) -> Vec<(&'static str, Mood)> {
    let with = |pointer: &str, value: Value| {
        let mut plan = good.clone();
        *plan.pointer_mut(pointer).unwrap() = value;
        says("200 OK", plan.to_string().as_bytes())
    };
    let text = good.to_string();
    let deep = "[".repeat(100_000);
    let other_judge = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let half =
        format!("HTTP/1.1 200 OK\r\nx-serinus-judge: 1\r\ncontent-length: 99999\r\n\r\n{text}");
    vec![
        (
            "no HTTP",
            Mood::Says(b"\0\xff\x16\x03 garbage\r\n\r\n".to_vec()),
        ),
        ("nothing", Mood::Says(Vec::new())),
        ("half an answer", Mood::Says(half.into_bytes())),
        (
            "an answer of somebody else",
            Mood::Says(other_judge.into_bytes()),
        ),
        ("500", says("500 Internal Server Error", b"")),
        (
            "500 with a plan",
            says("500 Internal Server Error", text.as_bytes()),
        ),
        ("404", says("404 Not Found", b"{}")),
        ("302", says("302 Found", text.as_bytes())),
        ("an empty plan", says("200 OK", b"")),
        ("no JSON", says("200 OK", b"<html>hello</html>")),
        ("no text", says("200 OK", b"\xff\xfe\0")),
        ("deep JSON", says("200 OK", deep.as_bytes())),
        ("deep in a plan", with("/rollouts/0/match", json!(deep))),
        (
            "an object that never ends",
            says("200 OK", "{\"a\":".repeat(100_000).as_bytes()),
        ),
        ("32 MB", says("200 OK", &vec![b'['; 32 << 20])),
        ("another version", with("/version", json!(99))),
        ("no such arm", with("/rollouts/0/baseline", json!("nobody"))),
        (
            "overlapping ranges",
            with(
                "/rollouts/0/allocation",
                json!([
                    {"from": 0, "to": 6000, "arm": "canary"}, {"from": 5000, "to": 10000, "arm": "control"},
                ]),
            ),
        ),
        (
            "a bucket too many",
            with("/rollouts/0/allocation/0/to", json!(10_001)),
        ),
        (
            "numbers of no size",
            with("/revision/counter", json!(1e300)),
        ),
        (
            "a broken pattern",
            with("/rollouts/0/match", json!({"path_regex": "(("})),
        ),
    ]
}

/// All are answered, by these arms.
async fn served(wire: &Wire, arm_of: impl Fn(&str) -> Arm, why: &str) {
    for key in keys(12) {
        let arm = wire.arm_of(&key).await.unwrap();
        assert_eq!(arm, arm_of(&key), "{key}, when the judge says {why}");
    }
    wire.vms_live().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mad_judge_moves_nobody() {
    let _turn = turn().await;
    let wire = Wire::without_judge(&[]).await;
    let judge = FakeJudge::start(wire.judge.port(), says_nothing_new()).await;
    // A revision that would be newer than what serves; every third kind will do, since
    // a plan is read alike with one before it and without.
    let without_a_plan = nonsense(&plan(2, 2, &[100]));
    for (what, mood) in without_a_plan.into_iter().step_by(3) {
        judge.met(mood).await;
        served(&wire, |_| Arm::Control, what).await;
    }
    judge.met(Mood::Well(plan(2, 2, &[50]))).await;
    wire.unharmed().await;
    let mut with_a_plan = nonsense(&plan(3, 3, &[100]));
    let older = plan(1, 1, &[100]).to_string();
    with_a_plan.push(("an older plan", says("200 OK", older.as_bytes())));
    for (what, mood) in with_a_plan {
        judge.met(mood).await;
        served(&wire, arm_at_half, what).await;
    }
    // And a judge that recovers is believed.
    judge.met(Mood::Well(plan(4, 4, &[100]))).await;
    served(&wire, |_| Arm::Canary, "a good plan").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_silent_judge_keeps_nobody_waiting() {
    let _turn = turn().await;
    let wire = Wire::without_judge(&[]).await;
    let judge = FakeJudge::start(wire.judge.port(), Mood::Silent).await;
    judge.polled(1).await.unwrap();
    served(&wire, |_| Arm::Control, "nothing").await;
    // The plan comes byte by byte, and until the last one all is as before.
    judge.become_so(Mood::Slow(plan(1, 1, &[50])));
    judge.polled(1).await.unwrap();
    served(&wire, |_| Arm::Control, "one byte after another").await;
    judge.finish();
    judge.polled(2).await.unwrap();
    wire.unharmed().await;
    judge.become_so(Mood::Silent);
    judge.polled(1).await.unwrap();
    wire.unharmed().await;
}

/// A report that the judge did not answer comes again, the same, until it does; each
/// request is counted once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_mad_judge_was_told_it_is_told_again() {
    let _turn = turn().await;
    let wire = Wire::without_judge(&[]).await;
    let plan = plan(1, 1, &[50]);
    let judge = FakeJudge::start(wire.judge.port(), Mood::Well(plan.clone())).await;
    judge.polled(2).await.unwrap();
    let mut sent = 0;
    for mood in [
        says("500 Internal Server Error", b""),
        says("429 Too Many Requests", b""),
        Mood::Says(b"no HTTP\r\n\r\n".to_vec()),
        Mood::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        Mood::Says(
            b"HTTP/1.1 200 OK\r\nx-serinus-judge: 1\r\ncontent-length: 9\r\n\r\n{}".to_vec(),
        ),
        Mood::Silent,
    ] {
        judge.become_so(mood);
        let before = judge.reports().len();
        for arm in [Arm::Control, Arm::Canary] {
            assert_eq!(wire.arm_of(&user(arm)).await.unwrap(), arm);
            sent += 1;
        }
        wait::until("a report", LIMIT, async || {
            Ok((judge.reports().len() > before).then_some(()))
        })
        .await
        .unwrap();
        judge.become_so(Mood::Well(plan.clone()));
        wait::until("all to be counted", LIMIT, async || {
            let counted = exposures(&judge.acknowledged());
            if counted > sent {
                return Err(format!("{counted} counted of {sent}").into());
            }
            Ok((counted == sent).then_some(()))
        })
        .await
        .unwrap();
    }
    // What has one name is one report.
    let mut named: BTreeMap<(String, u64), Report> = BTreeMap::new();
    let mut again = 0;
    for report in judge.reports() {
        let name = (report.session.clone(), report.sequence);
        if let Some(first) = named.insert(name, report.clone()) {
            assert_eq!(first, report);
            again += 1;
        }
    }
    assert!(again >= 6, "only {again} came again");
    wire.unharmed().await;
}

fn exposures(reports: &[Report]) -> u64 {
    let rollouts = reports.iter().flat_map(|report| &report.rollouts);
    let ours = rollouts.filter(|rollout| rollout.rollout == ID);
    let slots = ours.flat_map(|rollout| rollout.arms.iter().flat_map(|arm| &arm.slots));
    slots.map(|slot| slot.1).sum()
}
