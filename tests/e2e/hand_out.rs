//! `serinus plan`: the plan by hand, through files that Envoy watches.

use crate::wire::{ID, Wire, arm_at_half, spec};
use crate::world::{LIMIT, arm_of, canary_after, keys, settled_by, turn};
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::envoy::xds_plugin;
use serinus_tests::failure::Result;
use serinus_tests::load::Arm;
use serinus_tests::process::Process;
use serinus_tests::wait;
use std::process::Output;
use tokio::process::Command;

fn serinus(wire: &Wire, arguments: &[&str]) -> Command {
    let mut command = Command::new(artefacts::program("serinus").unwrap());
    command
        .arg("plan")
        .args(["--judge", &wire.judge.address()])
        .args(arguments);
    command
}

async fn run(wire: &Wire, arguments: &[&str]) -> Output {
    serinus(wire, arguments).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this lab with this content, by its path.
fn file(wire: &Wire, name: &str, content: &str) -> String {
    let path = wire.folder().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// What the lab's proxies have where, as a file.
fn plugin(wire: &Wire) -> String {
    let wasm = artefacts::wasm().unwrap();
    file(wire, "plugin.json", &xds_plugin(&wasm).unwrap())
}

async fn served(wire: &Wire, arm_of: impl Fn(&str) -> Arm) -> Result<bool> {
    for key in keys(24) {
        if wire.arm_of(&key).await? != arm_of(&key) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_follows_the_file_that_is_written_for_it() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let plugin = plugin(&wire);
    // The file that Envoy watches: until now the one that polls.
    let watched = wire.folder().join("serinus.yaml").display().to_string();
    let command = serinus(
        &wire,
        &[
            "--as", "ecds", "--plugin", &plugin, "--output", &watched, "--watch",
        ],
    );
    let _writer = Process::start("serinus-plan", command, wire.folder()).unwrap();
    wait::until("Envoy to take the file", LIMIT, async || {
        let reloads = "extension_config_discovery.http_filter.serinus.config_reload";
        Ok((wire.envoy.statistic(reloads).await? >= 2).then_some(()))
    })
    .await
    .unwrap();
    wire.unharmed().await;
    // Nobody polls any more, and the next plan comes all the same.
    let at_75 = canary_after(&[50, 75]);
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    assert!(served(&wire, |key| arm_of(&at_75, key, ID)).await.unwrap());
    let written: Value = serde_json::from_slice(&std::fs::read(&watched).unwrap()).unwrap();
    let configuration = &written["resources"][0]["typed_config"]["config"]["configuration"];
    let configuration: Value =
        serde_json::from_str(configuration["value"].as_str().unwrap()).unwrap();
    assert_eq!(configuration["plan"]["rollouts"][0]["id"], ID);
    let left = std::fs::read_dir(wire.folder()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".new")
    });
    assert_eq!(left.count(), 0);
    wire.vms_live().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_put_back_moves_nobody_back() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let plugin = plugin(&wire);
    let watched = wire.folder().join("serinus.yaml");
    let path = watched.display().to_string();
    let write = ["--as", "ecds", "--plugin", &plugin, "--output", &path];
    assert!(run(&wire, &write).await.status.success());
    let old = std::fs::read(&watched).unwrap();
    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    assert!(run(&wire, &write).await.status.success());
    settled_by(&wire.judge).await.unwrap();
    let at_75 = canary_after(&[50, 75]);
    assert!(served(&wire, |key| arm_of(&at_75, key, ID)).await.unwrap());

    let back = wire.folder().join("back");
    std::fs::write(&back, old).unwrap();
    std::fs::rename(&back, &watched).unwrap();
    let why = wait::until("the workers to say so", LIMIT, async || {
        let workers = wire
            .judge
            .call(reqwest::Method::GET, "/v1/workers", None)
            .await?;
        let workers = workers.body.as_array().cloned().unwrap_or_default();
        let all = workers.iter().all(|worker| worker["state"] == "refused");
        Ok(all.then(|| workers[0]["refused"].to_string()))
    })
    .await
    .unwrap();
    assert!(why.contains("is older than the one that serves"), "{why}");
    assert!(served(&wire, |key| arm_of(&at_75, key, ID)).await.unwrap());
    // A newer one is taken again.
    assert!(run(&wire, &write).await.status.success());
    settled_by(&wire.judge).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_configuration_has_the_settings_and_the_plan() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let settings = file(
        &wire,
        "settings.json",
        r#"{"judge": {"cluster": "other"}, "response_header": "x-serinus"}"#,
    );
    let output = run(
        &wire,
        &["--as", "plugin-configuration", "--settings", &settings],
    )
    .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let configuration: Value = serde_json::from_slice(&output.stdout).unwrap();
    let plan = wire
        .judge
        .call(reqwest::Method::GET, "/v1/plan", None)
        .await
        .unwrap();
    assert_eq!(
        configuration,
        json!({
            "judge": {"cluster": "other"}, "response_header": "x-serinus", "plan": plan.body,
        })
    );
    // By itself it names the usual cluster. Envoy takes it as the filter's configuration.
    let output = run(&wire, &["--as", "plugin-configuration"]).await;
    let configuration = text(&output.stdout);
    let filter = serinus_tests::envoy::filter_file(&artefacts::wasm().unwrap(), false).unwrap();
    let (head, _) = filter.split_once("          value: |\n").unwrap();
    let filter = format!("{head}          value: {}\n", json!(configuration.trim()));
    let next = file(&wire, "next", &filter);
    std::fs::rename(next, wire.folder().join("serinus.yaml")).unwrap();
    wait::until("Envoy to take the file", LIMIT, async || {
        let reloads = "extension_config_discovery.http_filter.serinus.config_reload";
        Ok((wire.envoy.statistic(reloads).await? >= 2).then_some(()))
    })
    .await
    .unwrap();
    settled_by(&wire.judge).await.unwrap();
    assert!(served(&wire, arm_at_half).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_no_file_is_touched() {
    let _turn = turn().await;
    let wire = Wire::start_with(&spec(), &[]).await;
    let good = xds_plugin(&artefacts::wasm().unwrap()).unwrap();
    let plugin = file(&wire, "plugin.json", &good);
    let broken = file(
        &wire,
        "broken.json",
        r#"{"wasm": "f.wasm", "settings": {}}"#,
    );
    let output = file(&wire, "output", "as it was");
    for (arguments, problem) in [
        (
            &["--as", "ecds"][..],
            "--plugin: is missing; --as ecds needs it",
        ),
        (
            &["--as", "ecds", "--plugin", "/nowhere.json"],
            "--plugin: failed to read /nowhere.json: ",
        ),
        (
            &["--as", "ecds", "--plugin", &broken],
            "broken.json: configuration: is missing",
        ),
        (
            &["--as", "plugin-configuration", "--plugin", &plugin],
            "--plugin: is for --as ecds; --settings is right here",
        ),
        (
            &["--as", "plugin-configuration", "--settings", &broken],
            "broken.json: judge.cluster: is missing; ",
        ),
        (
            &["--as", "ecds", "--plugin", &plugin, "--watch"],
            "--watch: needs --output",
        ),
        (
            &["--as", "ecds", "--plugin", &plugin, "--judge", "judge:x"],
            "--judge: `judge:x` is no URL: ",
        ),
        (
            &[
                "--as",
                "ecds",
                "--plugin",
                &plugin,
                "--judge",
                "http://127.0.0.1:1",
            ],
            "GET http://127.0.0.1:1/v1/plan failed: ",
        ),
    ] {
        let mut command = Command::new(artefacts::program("serinus").unwrap());
        command.arg("plan").args(arguments);
        if !arguments.contains(&"--watch") {
            command.args(["--output", &output]);
        }
        let said = command.output().await.unwrap();
        let error = text(&said.stderr);
        assert!(!said.status.success());
        assert!(error.contains(problem), "{error}: {problem}");
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "as it was");
    }
}
