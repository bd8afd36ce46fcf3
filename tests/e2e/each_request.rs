//! A service whose callers have no key: each request's arm is drawn.

use crate::world::{LIMIT, ask, settled, steady, turn};
use serde_json::json;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_split_counted_and_judged_without_users() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("drawn");
    spec["unit"] = json!(["each_request"]);
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    // The verdict is to be the judge's own.
    spec["breaker"] = json!(null);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let mut arms = [0, 0];
    for _ in 0..60 {
        let arm = ask(&lab, &[(USER_HEADER, "one and the same")])
            .await
            .unwrap();
        arms[usize::from(arm == Arm::Canary)] += 1;
    }
    // 30 +- 5.5 sd: 1 in 20 million.
    assert!((9..=51).contains(&arms[1]), "{arms:?}");
    wait::until("60 requests in the books", LIMIT, async || {
        let status = lab.judge.status("drawn").await?;
        let counted = [CONTROL, CANARY].map(|arm| status.traffic_of(arm).exposures);
        assert!(counted.iter().sum::<u64>() <= 60, "{counted:?}");
        Ok((counted == arms).then_some(()))
    })
    .await
    .unwrap();

    lab.canary
        .set_faults(&json!({"error_rate": 0.5}))
        .await
        .unwrap();
    let load = lab.load(200, 10).unwrap();
    wait::until("a rollback", LIMIT, async || {
        let status = lab.judge.status("drawn").await?;
        Ok((status.phase == Phase::RolledBack).then_some(()))
    })
    .await
    .unwrap();
    load.stop();
    let decisions = lab.judge.decisions("drawn").await.unwrap();
    let last = decisions.last().unwrap();
    let said = &last.reasons[0];
    assert!(
        said.contains(
            "requests with an error at this step were on canary, which has 50% of requests"
        ),
        "{said}"
    );
    lab.judge.replay("drawn", last.sequence).await.unwrap();
}
