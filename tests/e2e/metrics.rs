//! What a Prometheus reads of judge and proxies, and whether the dashboard that is shipped
//! asks for what there is.

use crate::tls::authority::{Authority, Usage};
use crate::world::{LIMIT, ask, settled, steady, turn};
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, Lab, Settings};
use serinus_tests::load::{USER_HEADER, user_key};
use serinus_tests::prometheus::Prometheus;
use serinus_tests::tokens::Tokens;
use serinus_tests::{artefacts, wait};
use std::collections::BTreeSet;

/// Queries of the dashboard, with its variables as Grafana would fill them in.
fn queries() -> Vec<String> {
    let file = artefacts::root().join("judge-service/deploy/grafana.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let all = targets.chain(annotations);
    let filled = all.map(|target| {
        let query = target["expr"].as_str().unwrap();
        query
            .replace("$rollout", ".*")
            .replace("$__rate_interval", "1m")
    });
    filled.collect()
}

/// Names of metrics that stand in a query.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("serinus_"))
}

/// Users who were asked about while both arms were well.
const WELL: u32 = 200;

/// Two hundred users while all is well, and some nobodies: the baseline, by a fallback.
async fn well(lab: &Lab) {
    for number in 0..WELL {
        ask(lab, &[(USER_HEADER, &user_key(number))]).await.unwrap();
    }
    for _ in 0..5 {
        ask(lab, &[]).await.unwrap();
    }
}

/// The canary fails, its breaker opens, and the judge takes it back, whenever it does.
async fn failing(lab: &Lab) {
    lab.canary
        .set_faults(&json!({"error_rate": 1.0}))
        .await
        .unwrap();
    for number in 0..WELL {
        let _ = ask(lab, &[(USER_HEADER, &user_key(number))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_what_judge_and_proxies_give() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("watched");
    spec["steps"] = json!([{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}]);
    // Open before the judge takes the version back, which ends what it counts: the window
    // has the good requests of before too.
    // The breakers are to open before the judge takes it back: its evidence is not enough.
    spec["guardrails"] = json!({"errors": {"tolerated_ratio": 99, "margin_ratio": 100}});
    spec["breaker"] = json!({"minimum_requests": 5, "error_share": 0.02, "window_ms": 60_000});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();

    // Another judge, with TLS and tokens: what is scraped needs a viewer's.
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.file(folder.path(), "ca.pem");
    let shown = authority.identity(folder.path(), "judge", &["localhost"], Usage::Server);
    let tokens = Tokens::new(folder.path()).unwrap();
    let mut secured = Judge::new(folder.path()).unwrap();
    for (name, value) in shown.options() {
        secured.option(name, &value);
    }
    secured.option("--tokens", &tokens.path());
    secured.option(
        "--xds-plugin",
        &artefacts::root()
            .join("envoy/xds-plugin.json")
            .display()
            .to_string(),
    );
    secured.start().await.unwrap();

    let host = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let jobs = [
        json!({"job_name": "serinus", "static_configs": [{"targets": [host(&lab.judge.address())]}]}),
        json!({
            "job_name": "serinus-secured",
            "scheme": "https",
            "tls_config": {"ca_file": ca},
            "authorization": {"credentials": tokens.viewer},
            "static_configs": [{"targets": [format!("localhost:{}", secured.port())]}],
        }),
        json!({
            "job_name": "envoy",
            "metrics_path": "/stats/prometheus",
            "params": {"filter": ["serinus"]},
            "static_configs": [{"targets": [host(lab.envoy.admin())]}],
        }),
    ];
    let prometheus = Prometheus::start(folder.path(), &jobs).await.unwrap();
    let all_up = wait::until("all to be scraped", LIMIT, async || {
        let up = prometheus.query("sum(up)").await?;
        Ok(up
            .first()
            .is_some_and(|found| found.value > 2.5)
            .then_some(()))
    })
    .await;
    if let Err(error) = all_up {
        panic!("{error}: {:#?}", prometheus.targets().await);
    }
    let share = "serinus_judge_rollout_share{rollout=\"watched\", arm=\"canary\"} == 0.5";
    wait::until("the share", LIMIT, async || {
        let found = prometheus.query(share).await?;
        Ok((!found.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    well(&lab).await;

    // What the proxies counted and what the judge counted come to the same.
    wait::until("both to say the same", LIMIT, async || {
        let sum = async |metric: &str| {
            let query = format!("sum({metric}{{rollout=\"watched\"}})");
            let found = prometheus.query(&query).await?;
            Ok::<_, serinus_tests::failure::Failure>(found.first().map_or(0.0, |found| found.value))
        };
        let proxies = sum("serinus_exposures_total").await?;
        let judge = sum("serinus_judge_rollout_exposures_total").await?;
        Ok((proxies > f64::from(WELL) - 0.5 && (proxies - judge).abs() < 0.5).then_some(()))
    })
    .await
    .unwrap();

    failing(&lab).await;

    let queries = queries();
    let wanted: BTreeSet<&str> = queries.iter().flat_map(|query| metrics(query)).collect();
    assert!(wanted.len() > 30, "{wanted:?}");
    for name in wanted {
        wait::until(&format!("the metric {name}"), LIMIT, async || {
            let found = prometheus.query(&format!("count({name})")).await?;
            Ok((!found.is_empty()).then_some(()))
        })
        .await
        .unwrap();
    }
    for query in &queries {
        prometheus.query(query).await.unwrap();
    }
}
