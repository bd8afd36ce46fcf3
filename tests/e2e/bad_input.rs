//! What no worker should say and some may: names of any length, reports for what is gone,
//! old numbers, and another's name.

use crate::wire::http1::{self, request};
use crate::wire::{self, Counts, ID, Wire, arm_at_half, options, user};
use crate::world::{LIMIT, keys, settled_by, steady, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::envoy::Edit;
use serinus_tests::failure::Result;
use serinus_tests::judge::{Judge, Reply};
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;

fn named(length: usize) -> Edit {
    let line = format!("  id: {}\n", "n".repeat(length));
    ("  id: envoy-1\n", line.leak())
}

async fn get(judge: &Judge, path: &str) -> Value {
    judge.call(Method::GET, path, None).await.unwrap().body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_have_a_name_of_10_kb() {
    let _turn = turn().await;
    let wire = Wire::start(&[named(10_000)]).await;
    wire.unharmed().await;
    let workers = get(&wire.judge, "/v1/workers").await;
    for worker in workers.as_array().unwrap() {
        assert_eq!(worker["node"], "n".repeat(128), "{worker}");
    }
    // And whoever does not cut it himself is cut.
    let poll = async |length: usize| -> Result<u16> {
        let path = format!("/v1/plan?session={}", "5e".repeat(16));
        let url = format!("{}{path}", wire.judge.address());
        let node = "m".repeat(length);
        let sent = reqwest::Client::new()
            .get(url)
            .header("x-serinus-node", node);
        Ok(sent.send().await?.status().as_u16())
    };
    assert_eq!(poll(10_000).await.unwrap(), 200);
    let workers = get(&wire.judge, "/v1/workers").await;
    let longest = workers.as_array().unwrap().iter();
    let longest = longest.filter_map(|worker| worker["node"].as_str().map(str::len));
    assert_eq!(longest.max(), Some(512));
    // A head of a megabyte is nobody's: an answer that says so, or none.
    if let Ok(status) = poll(1_000_000).await {
        assert_eq!(status, 431);
    }
    assert_eq!(poll(1).await.unwrap(), 200, "the judge is well");
}

/// The answer to a request ends when its rollout is deleted: the report of that is refused
/// for good, which the proxy says, and the worker goes on with what comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_for_a_deleted_rollout_blocks_nothing() {
    let _turn = turn().await;
    let wire = Wire::start(&options::NO_TIMEOUT).await;
    let key = user(Arm::Canary);
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, key.as_str()), ("x-answer", "gated 1")];
    client.send(&request("GET /", &headers, b"")).await.unwrap();
    client.answer_without_body().await.unwrap();
    let begun = Counts {
        exposures: 1,
        ..Counts::default()
    };
    wire.counted(Arm::Canary, begun).await;

    wire.judge.act(ID, "abort", "gone").await.unwrap();
    let path = format!("/v1/rollouts/{ID}");
    let deleted = wire.judge.call(Method::DELETE, &path, None).await.unwrap();
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    settled_by(&wire.judge).await.unwrap();
    finish(&wire, &mut client).await;
    wait::until("the report to be refused", LIMIT, async || {
        let counters = get(&wire.judge, "/v1/counters").await;
        let refused = wire
            .envoy
            .statistic("wasmcustom.serinus.reports_total.outcome.refused");
        Ok((counters["reports_refused"] == 1 && refused.await? == 1).then_some(()))
    })
    .await
    .unwrap();

    wire.judge.create(&wire::spec()).await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    wire.unharmed().await;
    for arm in [Arm::Control, Arm::Canary] {
        let theirs = keys(24)
            .iter()
            .filter(|key| arm_at_half(key) == arm)
            .count() as u64;
        let expected = Counts {
            exposures: theirs,
            finished: theirs,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    let counters = get(&wire.judge, "/v1/counters").await;
    assert_eq!(counters["reports_refused"], 1, "never again: {counters}");
}

async fn finish(wire: &Wire, client: &mut http1::Client) {
    wire.canary.release(1);
    while client.chunk().await.unwrap().is_some() {}
}

/// A judge alone with one rollout, and its first epoch.
async fn judge() -> (tempfile::TempDir, Judge, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    judge.create(&wire::spec()).await.unwrap();
    let plan = get(&judge, "/v1/plan").await;
    let epoch = plan["rollouts"][0]["epoch"].as_u64().unwrap();
    (folder, judge, epoch)
}

fn report(session: &str, sequence: u64, epoch: u64, requests: u64) -> String {
    json!({
        "version": 1, "session": session, "sequence": sequence, "revision": null,
        "rollouts": [{"rollout": ID, "epoch": epoch, "arms": [
            {"arm": CONTROL, "slots": [[7, requests, requests, 0, 5 * requests, []]]}]}],
    })
    .to_string()
}

async fn send(judge: &Judge, report: &str) -> Reply {
    let sent = judge.call(Method::POST, "/v1/reports", Some(report));
    sent.await.unwrap()
}

async fn counted(judge: &Judge) -> u64 {
    let status = judge.status(ID).await.unwrap();
    status.traffic_of(CONTROL).exposures + status.traffic_of(CANARY).exposures
}

#[tokio::test(flavor = "multi_thread")]
async fn old_numbers_count_once_through_restarts_and_are_counted() {
    let (_folder, mut judge, epoch) = judge().await;
    let session = "5e".repeat(16);
    for sequence in 1..=5 {
        send(&judge, &report(&session, sequence, epoch, 10)).await;
    }
    for again in 0..2 {
        for sequence in [5, 1, 3, 2, 4] {
            let answer = send(&judge, &report(&session, sequence, epoch, 10)).await;
            assert_eq!(
                (answer.status, &answer.body["duplicate"]),
                (200, &json!(true))
            );
        }
        let counters = get(&judge, "/v1/counters").await;
        assert_eq!(counters["reports_duplicate"], 5, "{again}: {counters}");
        assert_eq!(counted(&judge).await, 50);
        judge.kill().await.unwrap();
        judge.start().await.unwrap();
    }
    // Numbers that no worker counts to.
    for sequence in [0, u64::MAX, 1 << 63] {
        let answer = send(&judge, &report(&session, sequence, epoch, 10)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(counted(&judge).await, 50);
}

/// Nothing proves who a worker is (an installation keeps others away from the judge), but
/// what does not fit is refused and counted, and says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_claims_to_be_another_is_noticed() {
    let (_folder, judge, epoch) = judge().await;
    let session = "c1".repeat(16);
    let path = format!("/v1/plan?session={session}");
    get(&judge, &path).await;
    assert_eq!(
        send(&judge, &report(&session, 1, epoch, 10)).await.status,
        200
    );
    // The same number, and other sums.
    let answer = send(&judge, &report(&session, 1, epoch, 70)).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let said = answer.body["detail"].as_str().unwrap();
    assert!(said.contains("two workers say that they are one"), "{said}");
    assert_eq!(counted(&judge).await, 10);
    // The worker itself goes on.
    let again = send(&judge, &report(&session, 1, epoch, 10)).await;
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(
        send(&judge, &report(&session, 2, epoch, 10)).await.status,
        200
    );
    assert_eq!(counted(&judge).await, 20);
    // Numbers that are ahead of it: what seems to be missing is counted, and so is what
    // then seems to have been counted before.
    send(&judge, &report(&session, 9, epoch, 10)).await;
    send(&judge, &report(&session, 3, epoch, 10)).await;
    let counters = get(&judge, "/v1/counters").await;
    for (name, count) in [
        ("reports_claimed", 1),
        ("reports_refused", 1),
        ("reports_missing", 6),
        ("reports_duplicate", 2),
    ] {
        assert_eq!(counters[name], count, "{name} in {counters}");
    }
    let said = notices(&judge, ID).await;
    assert!(
        said.contains("6 reports of workers never arrived"),
        "{said}"
    );
}

async fn notices(judge: &Judge, id: &str) -> String {
    let rollout = get(judge, &format!("/v1/rollouts/{id}")).await;
    rollout["notices"].to_string()
}

/// It is created, since only its owner knows what it is worth, and says what it cannot see.
#[tokio::test(flavor = "multi_thread")]
async fn more_segments_than_evidence_could_serve_are_named_with_the_numbers() {
    let (_folder, judge, _) = judge().await;
    let mut spec = steady("sliced");
    let of = |country: usize| {
        let name = format!("country-{country}");
        json!({"name": name, "when": [{"header": "x-country", "in": [name]}]})
    };
    spec["segments"] = (0..20).map(of).collect();
    for (per_minute, blind) in [(40.0, true), (1e6, false)] {
        spec["id"] = json!(format!("sliced-{blind}"));
        spec["match"] = json!({"host": format!("{blind}.example")});
        spec["expected"] = json!({"requests_per_minute": per_minute, "error_rate": 0.01});
        // A week at a step: what a small service may want.
        spec["deadline"] = json!({"seconds": 7 * 86_400});
        spec["minimum"] = json!({"seconds": 60, "exposures": 50});
        judge.create(&spec).await.unwrap();
        let said = notices(&judge, &format!("sliced-{blind}")).await;
        let named = said.contains("segment country-0 has about 19,000 requests to compare")
            && said.contains("19 other segments are like it");
        assert_eq!(named, blind, "{said}");
    }
}

/// A poll may say that it was given any plan. A new generation has every worker follow, so
/// one is begun for what can have been given out, and seldom.
#[tokio::test(flavor = "multi_thread")]
async fn invented_revisions_begin_no_generations_without_end() {
    let (_folder, judge, _) = judge().await;
    let generation = async || get(&judge, "/v1/plan").await["revision"]["generation"].as_u64();
    let begun = generation().await.unwrap();
    let poll = async |revision: &str, session: &str| {
        let path = format!("/v1/plan?revision={revision}&wait=0{session}");
        judge.call(Method::GET, &path, None).await.unwrap().status
    };
    let by_worker = format!("&session={}", "0e".repeat(16));
    // Nobody who looks was given a plan, and no judge gave out such a one.
    assert_eq!(poll(&format!("{}.1", begun + 5), "").await, 200);
    assert_eq!(poll(&format!("{}.1", begun + 5_000), &by_worker).await, 200);
    assert_eq!(generation().await, Some(begun));
    for time in 0..3 {
        let seen = begun + 10 * (time + 1);
        assert_eq!(poll(&format!("{seen}.1"), &by_worker).await, 200);
        assert_eq!(generation().await, Some(seen + 1));
    }
    let last = generation().await;
    assert_eq!(poll(&format!("{}.1", begun + 100), &by_worker).await, 503);
    assert_eq!(generation().await, last);
    let said = notices(&judge, ID).await;
    assert!(said.contains("is not believed for now"), "{said}");
    // A worker that has what this judge gave out is served as ever.
    assert_eq!(poll("1.1", &by_worker).await, 200);
    let audit = get(&judge, "/v1/audit").await.to_string();
    assert_eq!(audit.matches("\"overtake\"").count(), 3, "{audit}");
}
