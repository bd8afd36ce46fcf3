//! What operators see: Envoy's statistics, and a header for the client.

use crate::world::{LIMIT, ask, keys, settled, steady, turn};
use serde_json::json;
use serinus_tests::lab::{CANARY, Lab, Settings};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn statistics_have_readable_names_and_labels() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("fraud.v2");
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    for key in keys(50) {
        ask(&lab, &[(USER_HEADER, &key)]).await.unwrap();
    }
    for _ in 0..7 {
        ask(&lab, &[]).await.unwrap();
    }
    let value = |text: &str, line: &str| -> Option<u64> {
        let mut lines = text.lines();
        let rest = lines.find_map(|found| found.strip_prefix(line))?;
        rest.trim().parse().ok()
    };
    let text = wait::until("the counters", LIMIT, async || {
        let text = lab.envoy.prometheus().await?;
        let of = |arm: &str| {
            let line = format!("serinus_exposures_total{{rollout=\"fraud_v2\",arm=\"{arm}\"}}");
            value(&text, &line).unwrap_or_default()
        };
        let fallbacks = "serinus_fallbacks_total{rollout=\"fraud_v2\",cause=\"no_unit\"}";
        let counted = of("control") + of("canary") == 50 && value(&text, fallbacks) == Some(7);
        Ok((counted && of("canary") > 10).then_some(text))
    })
    .await
    .unwrap();
    let plan = lab
        .judge
        .call(reqwest::Method::GET, "/v1/plan", None)
        .await
        .unwrap();
    let counter = plan.body["revision"]["counter"].as_u64();
    assert_eq!(value(&text, "serinus_plan_counter{}"), counter, "{text}");
    wait::until("acknowledged reports", LIMIT, async || {
        let text = lab.envoy.prometheus().await?;
        let acknowledged = "serinus_reports_total{outcome=\"acknowledged\"}";
        Ok(value(&text, acknowledged).filter(|&count| count > 0))
    })
    .await
    .unwrap();
}
