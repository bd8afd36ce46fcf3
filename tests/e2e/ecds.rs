//! The judge as Envoy's xDS server: the plan comes within the filter's configuration,
//! and all that holds of polled plans holds of these.

use crate::soak::{median, size_mib, tenths};
use crate::wire::{Counts, Ecds, ID, WORKERS, Wire, arm_at_half, spec};
use crate::world::{LIMIT, arm_of, canary_after, keys, settled_by, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::envoy::Edit;
use serinus_tests::failure::Result;
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const STATE_OF_THE_WORLD: Edit = ("api_type: DELTA_GRPC", "api_type: GRPC");

/// Where Envoy counts the filter configurations that it took, and those that it did not.
const RELOADS: &str = "extension_config_discovery.http_filter.serinus.config_reload";
const REFUSALS: &str = "extension_config_discovery.http_filter.serinus.update_rejected";

const VMS: &str = "wasm.envoy.wasm.runtime.v8.active";
const VMS_CREATED: &str = "wasm.envoy.wasm.runtime.v8.created";

/// The name of the node in `envoy/ecds.yaml`.
const NODE: &str = "envoy-1";

/// Envoy by ECDS from a running judge, with the rollout, and all workers have it.
async fn with_rollout(asked: Ecds<'_>) -> Wire {
    let wire = Wire::by_ecds(Ecds {
        judge_runs: true,
        ..asked
    });
    let wire = wire.await.unwrap();
    wire.judge.create(&spec()).await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    wire
}

async fn get(wire: &Wire, path: &str) -> Result<Value> {
    Ok(wire.judge.call(Method::GET, path, None).await?.body)
}

async fn revision(wire: &Wire) -> Result<String> {
    let plan = get(wire, "/v1/plan").await?;
    let revision = &plan["revision"];
    Ok(format!(
        "{}.{}",
        revision["generation"], revision["counter"]
    ))
}

/// Waits until Envoy has taken the plan that is out.
async fn taken(wire: &Wire) -> Result<()> {
    let newest = revision(wire).await?;
    wait::until("Envoy to take the plan", LIMIT, async || {
        let proxies = get(wire, "/v1/proxies").await?;
        Ok((proxies[0]["accepted"] == json!(newest)).then_some(()))
    })
    .await
}

/// Waits until all that the judge knows of workers is that they refused, and says why.
async fn refused(wire: &Wire) -> Result<String> {
    wait::until("the refusal to be shown", LIMIT, async || {
        let workers = get(wire, "/v1/workers").await?;
        let workers = workers.as_array().cloned().unwrap_or_default();
        let all = workers.iter().all(|worker| worker["state"] == "refused");
        let why = workers.first().map(|worker| worker["refused"].clone());
        let why = why.filter(|_| all);
        Ok(why.and_then(|why| why.as_str().map(str::to_owned)))
    })
    .await
}

async fn all_are_served(wire: &Wire, arm_of: impl Fn(&str) -> Arm) {
    // Connections spread over the workers: that 24 miss one is a chance of 2^-23.
    for key in keys(24) {
        assert_eq!(wire.arm_of(&key).await.unwrap(), arm_of(&key), "{key}");
    }
}

/// Writes the judge's plugin file anew, for its next start.
fn write_plugin(wire: &Wire, change: impl Fn(&mut Value)) {
    let text = serinus_tests::envoy::xds_plugin(&artefacts::wasm().unwrap()).unwrap();
    let mut plugin: Value = serde_json::from_str(&text).unwrap();
    change(&mut plugin);
    let path = wire.folder().join("xds-plugin.json");
    std::fs::write(path, plugin.to_string()).unwrap();
}

async fn restart_judge(wire: &mut Wire) {
    wire.judge.kill().await.unwrap();
    wire.judge.start().await.unwrap();
}

/// Envoy starts without a judge; then plans, steps and a rollback arrive.
async fn follows_the_judge(edits: &[Edit]) {
    let _turn = turn().await;
    let asked = Ecds {
        edits,
        ..Ecds::default()
    };
    let mut wire = Wire::by_ecds(asked).await.unwrap();
    all_are_served(&wire, |_| Arm::Control).await;
    wire.judge.start().await.unwrap();
    wire.judge.create(&spec()).await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    wire.unharmed().await;
    let at_75 = canary_after(&[50, 75]);
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    all_are_served(&wire, |key| arm_of(&at_75, key, ID)).await;
    wire.judge.act(ID, "abort", "enough").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    all_are_served(&wire, |_| Arm::Control).await;
    taken(&wire).await.unwrap();
    // Nobody asked for a plan: the workers say which one they have, and by the reports
    // of those that served something it is known that they serve.
    let status = wire.judge.status(ID).await.unwrap();
    assert_eq!(
        (status.delivery.workers, status.delivery.converged),
        (WORKERS as u32, WORKERS as u32)
    );
    wire.vms_live().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_started_alone_follows_the_judge_by_delta() {
    follows_the_judge(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_started_alone_follows_the_judge_by_the_state_of_the_world() {
    follows_the_judge(&[STATE_OF_THE_WORLD]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_judge_leaves_the_plan_and_a_new_one_goes_on() {
    let _turn = turn().await;
    let mut wire = with_rollout(Ecds::default()).await;
    wire.judge.kill().await.unwrap();
    wire.unharmed().await;
    wire.judge.start().await.unwrap();
    // Its plan is a new revision, which arrives though no user moves.
    settled_by(&wire.judge).await.unwrap();
    wire.unharmed().await;
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    let at_75 = canary_after(&[50, 75]);
    all_are_served(&wire, |key| arm_of(&at_75, key, ID)).await;
}

/// A proxy that comes back with what it has gets nothing, in both variants.
async fn comes_back(edits: &[Edit]) {
    let _turn = turn().await;
    let asked = Ecds {
        edits,
        relayed: true,
        ..Ecds::default()
    };
    let wire = with_rollout(asked).await;
    let sent = async || get(&wire, "/v1/counters").await.unwrap()["ecds_sent"].clone();
    let (reloads, before) = (wire.envoy.statistic(RELOADS).await.unwrap(), sent().await);
    for _ in 0..3 {
        let accepted = get(&wire, "/v1/counters").await.unwrap()["ecds_accepted"].clone();
        wire.relay.as_ref().unwrap().cut();
        // It comes back and says what it has.
        wait::until("Envoy to come back", LIMIT, async || {
            let counters = get(&wire, "/v1/counters").await?;
            Ok((counters["ecds_accepted"].as_u64() > accepted.as_u64()).then_some(()))
        })
        .await
        .unwrap();
    }
    assert_eq!(sent().await, before, "nothing that it has is sent again");
    assert_eq!(wire.envoy.statistic(RELOADS).await.unwrap(), reloads);
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    assert_eq!(wire.envoy.statistic(RELOADS).await.unwrap(), reloads + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_what_is_out_is_sent_nothing_by_delta() {
    comes_back(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_what_is_out_is_sent_nothing_by_the_state_of_the_world() {
    comes_back(&[STATE_OF_THE_WORLD]).await;
}

/// What a proxy refuses is shown with its reason, and harms nobody: settings that the
/// filter does not know, and a module that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_and_the_plan_before_goes_on() {
    let _turn = turn().await;
    let mut wire = with_rollout(Ecds::default()).await;
    for (change, words) in [
        (
            &(|plugin: &mut Value| plugin["configuration"]["colour"] = json!("red"))
                as &dyn Fn(&mut Value),
            "Unable to create Wasm plugin serinus; a filter of this version says: colour: unknown field",
        ),
        (
            &|plugin: &mut Value| plugin["wasm"] = json!("/nowhere/filter.wasm"),
            "/nowhere/filter.wasm",
        ),
    ] {
        let refusals = wire.envoy.statistic(REFUSALS).await.unwrap();
        write_plugin(&wire, change);
        restart_judge(&mut wire).await;
        let why = refused(&wire).await.unwrap();
        println!("refused: {why}");
        assert!(why.contains(words), "{why}");
        assert!(wire.envoy.statistic(REFUSALS).await.unwrap() > refusals);
        all_are_served(&wire, arm_at_half).await;
        let proxies = get(&wire, "/v1/proxies").await.unwrap();
        assert_eq!(proxies[0]["node"], NODE);
        assert_eq!(proxies[0]["connected"], true);
        assert_eq!(proxies[0]["refused"], revision(&wire).await.unwrap());
    }
    // And what is right again is taken, in both places.
    write_plugin(&wire, |_| ());
    restart_judge(&mut wire).await;
    settled_by(&wire.judge).await.unwrap();
    let proxies = get(&wire, "/v1/proxies").await.unwrap();
    assert_eq!(proxies[0]["refused"], Value::Null);
    all_are_served(&wire, arm_at_half).await;
    // What was tried in vain left nothing behind.
    let active = wire.envoy.statistic(VMS).await.unwrap();
    assert_eq!(active, WORKERS + 2);
}

/// An Envoy that never had a filter says so too; its requests get the baseline.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_refusal_of_a_proxy_is_shown_without_any_worker() {
    let _turn = turn().await;
    let mut wire = Wire::by_ecds(Ecds::default()).await.unwrap();
    write_plugin(&wire, |plugin| {
        plugin["configuration"]["colour"] = json!("red")
    });
    wire.judge.start().await.unwrap();
    wire.judge.create(&spec()).await.unwrap();
    refused(&wire).await.unwrap();
    let workers = get(&wire, "/v1/workers").await.unwrap();
    assert_eq!(workers[0]["node"], NODE);
    assert_eq!(workers.as_array().unwrap().len(), 1);
    all_are_served(&wire, |_| Arm::Control).await;
}

/// Has a rollout of nobody's requests come and go, so that a new plan goes out.
struct Pusher {
    pushes: u64,
}

impl Pusher {
    async fn push(&mut self, wire: &Wire) -> Result<()> {
        self.pushes += 1;
        match self.pushes % 3 {
            1 => {
                let mut nobody = spec();
                nobody["id"] = json!("nobody");
                nobody["match"] = json!({"host": "nobody.example"});
                wire.judge.create(&nobody).await?;
            }
            2 => {
                wire.judge.act("nobody", "abort", "it was nobody's").await?;
            }
            _ => {
                let path = "/v1/rollouts/nobody";
                let reply = wire.judge.call(Method::DELETE, path, None).await?;
                assert!((200..300).contains(&reply.status), "{reply:?}");
            }
        }
        Ok(())
    }
}

struct Storm {
    pushes: u64,
    /// What the median of the last third may have over that of the middle third.
    tolerated_mib: f64,
}

impl Storm {
    /// Plans in a row, each taken before the next comes, while requests are served.
    async fn run(&self) -> Value {
        let _turn = turn().await;
        let wire = with_rollout(Ecds::default()).await;
        let reloads = wire.envoy.statistic(RELOADS).await.unwrap();
        let created = wire.envoy.statistic(VMS_CREATED).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let sent: Arc<[AtomicU64; 2]> = Arc::default();
        let client = tokio::spawn(ask_on_and_on(
            wire.http1().await,
            Arc::clone(&stop),
            Arc::clone(&sent),
        ));
        let mut pusher = Pusher { pushes: 0 };
        let mut sizes = Vec::new();
        while pusher.pushes < self.pushes {
            pusher.push(&wire).await.unwrap();
            taken(&wire).await.unwrap();
            sizes.push(size_mib(&wire.envoy).unwrap());
            if pusher.pushes.is_multiple_of(100) {
                let size = sizes[sizes.len() - 1];
                println!("ecds: {} pushes, {size:.1} MiB", pusher.pushes);
            }
        }
        stop.store(true, Ordering::Relaxed);
        client.await.unwrap();
        // As many workers as there were: no VM and no context more that calls, and each
        // with the newest plan.
        settled_by(&wire.judge).await.unwrap();
        wire.vms_live().await.unwrap();
        for (arm, sent) in [Arm::Control, Arm::Canary].into_iter().zip(sent.iter()) {
            let sent = sent.load(Ordering::Relaxed);
            let expected = Counts {
                exposures: sent,
                finished: sent,
                ..Counts::default()
            };
            wire.counted(arm, expected).await;
        }
        wire.unharmed().await;
        let third = sizes.len() / 3;
        let (middle, end) = (
            median(&sizes[third..2 * third]),
            median(&sizes[2 * third..]),
        );
        let figures = json!({
            "pushes": self.pushes,
            "taken": wire.envoy.statistic(RELOADS).await.unwrap() - reloads,
            "refused": wire.envoy.statistic(REFUSALS).await.unwrap(),
            "requests": sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>(),
            "vms_active": wire.envoy.statistic(VMS).await.unwrap(),
            "vms_created": wire.envoy.statistic(VMS_CREATED).await.unwrap() - created,
            "rss_start_mb": tenths(sizes[0]),
            "rss_middle_mb": tenths(middle),
            "rss_end_mb": tenths(end),
        });
        println!("ecds: {figures}");
        assert_eq!(figures["taken"], self.pushes);
        assert_eq!(figures["refused"], 0);
        assert!(
            end <= middle + self.tolerated_mib,
            "memory grows: {sizes:.1?}"
        );
        figures
    }
}

/// Requests one after the other, each of another user; counted by the arm that answered.
async fn ask_on_and_on(
    mut client: crate::wire::http1::Client,
    stop: Arc<AtomicBool>,
    sent: Arc<[AtomicU64; 2]>,
) {
    for key in keys(10_000).iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = client
            .ask("GET /", &[(USER_HEADER, key)], b"")
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.arm()),
            (200, Some(arm_at_half(key))),
            "{key}"
        );
        let canary = usize::from(answer.arm() == Some(Arm::Canary));
        sent[canary].fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_plans_loses_no_report_and_leaves_nothing_behind() {
    let storm = Storm {
        pushes: 50,
        tolerated_mib: 6.0,
    };
    storm.run().await;
}

/// A leak of 12 KB a push would show.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make soak-ecds` runs it"]
async fn memory_settles_over_a_thousand_pushes() {
    let storm = Storm {
        pushes: 1_000,
        tolerated_mib: 4.0,
    };
    let figures = storm.run().await;
    let path = artefacts::root().join("target/bench/soak-ecds.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(
        &path,
        serde_json::to_string_pretty(&figures).unwrap() + "\n",
    )
    .unwrap();
    println!("written to target/bench/soak-ecds.json");
}
