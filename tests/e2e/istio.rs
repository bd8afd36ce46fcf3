//! What `serinus manifest istio` writes: by Istio's own schemas, and applied as istiod
//! applies it to a proxy that real Envoy runs.

mod backend;
mod delivery;
mod gateways;
mod guide;
mod kubernetes;
mod proxy;

use crate::cli::desk::Desk;
use crate::world::{LIMIT, arm_of, canary_after, keys, turn};
use backend::Backend;
use proxy::Proxy;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::envoy::{self, Envoy};
use serinus_tests::failure::Result;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::load::Arm;
use serinus_tests::{artefacts, wait};
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const ID: &str = "digits";

/// A URL by which a proxy that `proxy.rs` makes has the real module.
const MODULE: &str = "https://modules.example/serinus_filter.wasm";

const USER: &str = "x-user-id";

/// Half of the users are in canary, until somebody moves them.
fn spec() -> Value {
    json!({
        "id": ID,
        "enforced_at": "gateway",
        "match": {"host": "models.example.com", "path_prefix": "/v2/"},
        "unit": [{"header": USER}],
        "arms": [{"name": CONTROL, "version": "v1"}, {"name": CANARY, "version": "v2"}],
        "steps": [{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}],
        "minimum": {"seconds": 86_000, "exposures": 500},
    })
}

/// The objects in a manifest, if Istio's schemas take them.
async fn checked(manifest: &str) -> std::result::Result<Vec<Value>, String> {
    let mut child = Command::new(artefacts::root().join("tests/check-istio"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(manifest.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The objects that a command writes, by kind.
async fn objects(desk: &Desk, arguments: &[&str]) -> Vec<Value> {
    let text = desk.run(arguments).await.done();
    checked(&text)
        .await
        .unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind)
        .unwrap()
}

fn sha256(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// The arms as subsets of one Service.
const ARMS: [&str; 6] = [
    "--subset-label",
    "version",
    "--address",
    "control=digits:8080",
    "--address",
    "canary=digits:8080",
];

/// The command for this judge's proxies, with the arms as subsets of one Service.
struct Asked {
    words: Vec<String>,
}

impl Asked {
    fn of(desk: &Desk, more: &[&str]) -> Self {
        let judge = desk.judge.address().replace("http://", "");
        let sha256 = sha256(&artefacts::wasm().unwrap());
        let usual = [
            "manifest",
            "istio",
            ID,
            "--judge-address",
            &judge,
            "--module",
            MODULE,
            "--sha256",
            &sha256,
        ];
        let words = usual.iter().chain(&ARMS).chain(more);
        let words = words.map(|word| (*word).to_owned());
        Self {
            words: words.collect(),
        }
    }

    async fn objects(&self, desk: &Desk) -> Vec<Value> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        objects(desk, &words).await
    }
}

const AT_GATEWAY: [&str; 2] = ["--gateway", "istio-ingress/public"];
const AT_SIDECAR: [&str; 4] = ["--at", "sidecar", "--host", "models.example.com"];

/// Waits until so many threads of Envoys have the newest plan.
async fn settled(desk: &Desk, threads: usize) -> Result<()> {
    wait::until(
        "every thread of Envoy to have the plan",
        LIMIT,
        async || {
            let workers = desk.judge.call(Method::GET, "/v1/workers", None).await?;
            let states = workers.body.as_array().cloned().unwrap_or_default();
            let all = states.iter().all(|state| state["state"] == "converged");
            Ok((all && states.len() == threads).then_some(()))
        },
    )
    .await
}

/// Who answers a user's request, and the arm header that came with it.
async fn ask(envoy: &Envoy, user: &str, forged: Option<&str>) -> (String, Value) {
    let mut request = reqwest::Client::new()
        .get(format!("{}/v2/models/digits", envoy.address()))
        .header("host", "models.example.com")
        .header(USER, user);
    if let Some(arm) = forged {
        request = request.header("x-serinus-arm", arm);
    }
    let response = request.send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    (
        answer["name"].as_str().unwrap().to_owned(),
        answer["arm"].clone(),
    )
}

/// The requests that the judge counted for the rollout's arms.
async fn counted(desk: &Desk) -> Result<u64> {
    let status = desk
        .judge
        .call(Method::GET, &format!("/v1/rollouts/{ID}"), None)
        .await?;
    let traffic = status.body["traffic"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Ok(traffic
        .iter()
        .filter_map(|arm| arm["exposures"].as_u64())
        .sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manifest_is_by_istios_schemas() {
    let desk = Desk::start().await;
    let mut sidecar = spec();
    sidecar["enforced_at"] = json!("sidecar");
    let mut shadow = spec();
    shadow["shadow"] = json!({"cluster": "copies"});
    let image = format!("oci://registry.example/serinus@sha256:{}", "ab".repeat(32));
    for (spec, more, kinds) in [
        (
            spec(),
            &["--gateway", "a/b"][..],
            "EnvoyFilter VirtualService",
        ),
        (
            spec(),
            &[
                "--gateway",
                "a/b",
                "--workload",
                "istio=ingressgateway",
                "--as",
                "wasm-plugin",
            ],
            "WasmPlugin VirtualService",
        ),
        (
            spec(),
            &["--gateway", "a/b", "--subset-label", "version"],
            "EnvoyFilter VirtualService DestinationRule DestinationRule",
        ),
        (
            spec(),
            &[
                "--only",
                "filter",
                "--judge-cluster",
                "outbound|8090||judge",
            ],
            "EnvoyFilter",
        ),
        (
            spec(),
            &["--only", "routes", "--at", "sidecar"],
            "VirtualService",
        ),
        (
            sidecar.clone(),
            &["--at", "sidecar"],
            "EnvoyFilter VirtualService",
        ),
        (
            sidecar,
            &["--at", "sidecar", "--as", "wasm-plugin"],
            "WasmPlugin VirtualService",
        ),
        (
            spec(),
            &[
                "--only",
                "filter",
                "--as",
                "wasm-plugin",
                "--workload",
                "istio=ingressgateway",
                "--judge-credential",
                "judge-tls",
            ],
            "WasmPlugin DestinationRule",
        ),
        (
            spec(),
            &[
                "--only",
                "filter",
                "--judge-ca",
                "/ca.pem",
                "--judge-token",
                "/secret.yaml",
            ],
            "EnvoyFilter",
        ),
        (
            spec(),
            &[
                "--gateway",
                "a/b",
                "--workload",
                "istio=ingressgateway",
                "--as",
                "wasm-plugin",
                "--judge-ca",
                "/ca.pem",
                "--judge-certificate",
                "/envoy.pem",
                "--judge-key",
                "/envoy.key",
            ],
            "WasmPlugin DestinationRule VirtualService",
        ),
        (
            shadow,
            &["--gateway", "a/b", "--shadow-address", "copies:80"],
            "EnvoyFilter VirtualService",
        ),
    ] {
        let file = desk.file("rollout.json", &spec.to_string());
        let usual = [
            "manifest",
            "istio",
            "-f",
            &file,
            "--module",
            &image,
            "--namespace",
            "models",
            "--address",
            "control=digits-v1:8080",
            "--address",
            "canary=digits-v2:8080",
        ];
        let found = objects(&desk, &[&usual, more].concat()).await;
        let found: Vec<&str> = found
            .iter()
            .map(|object| object["kind"].as_str().unwrap())
            .collect();
        assert_eq!(found.join(" "), kinds, "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_istio_would_refuse_is_seen() {
    let route = |more: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec:\n  hosts: [a]\n  {more}\n"
        )
    };
    checked(&route("http: []")).await.unwrap();
    for (more, problem) in [
        ("https: []", "spec.https: unknown field"),
        ("http: [{retries: {attempts: many}}]", "attempts"),
        (
            "http: [{route: [{destination: {port: {number: 80}}}]}]",
            "host",
        ),
    ] {
        let refused = checked(&route(more)).await.unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
    let filter = |patch: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec: {{configPatches: [{patch}]}}\n"
        )
    };
    let kind = checked(&filter("{applyTo: HTTP}")).await.unwrap_err();
    assert!(kind.contains("applyTo"), "{kind}");
    // A rule that only an API server knows, in CEL.
    let waypoint = "{applyTo: HTTP_FILTER, match: {context: GATEWAY, waypoint: {}}}";
    let rule = checked(&filter(waypoint)).await.unwrap_err();
    assert!(rule.contains("when context is WAYPOINT"), "{rule}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_named() {
    let desk = Desk::with_rollout().await;
    let file = |name: &str, changes: &[(&str, Value)]| {
        let mut spec = spec();
        for (field, value) in changes {
            spec[*field] = value.clone();
        }
        desk.file(name, &spec.to_string())
    };
    let good = file("good.json", &[]);
    let both = [
        "--address",
        "control=a:1",
        "--address",
        "canary=b:1",
        "--gateway",
        "a/b",
    ];
    let module = ["--module", "file:///f.wasm"];
    let usual = [&["manifest", "istio", "-f", &good][..], &module].concat();
    for (arguments, code, problem) in [
        (
            [&usual[..], &["--gateway", "a/b"]].concat(),
            2,
            "--address: arm `control` has none",
        ),
        (
            [&usual[..], &both[..4]].concat(),
            2,
            "--gateway: is missing",
        ),
        (
            [&["manifest", "istio", "-f", &good], &both[..]].concat(),
            2,
            "--module: is missing",
        ),
        (
            [
                &["manifest", "istio", "-f", &good, "--module", "oci://a/b:1"],
                &both[..],
            ]
            .concat(),
            2,
            "nothing says which module",
        ),
        (
            [&["manifest", "istio", ID], &module[..], &both].concat(),
            1,
            "enforced_at: is missing in rollout `digits`",
        ),
        (
            [&usual[..], &both, &["--point", "a b"]].concat(),
            2,
            "--point: `a b` is no name",
        ),
        (
            [&usual[..], &both, &["--judge-cluster", "a\"b"]].concat(),
            2,
            "--judge-cluster:",
        ),
        (
            [&usual[..], &both, &["--judge-token", "secret.yaml"]].concat(),
            2,
            "a path from the root",
        ),
        (
            [
                &usual[..],
                &both,
                &["--judge-token", "/secret.yaml", "--as", "wasm-plugin"],
            ]
            .concat(),
            2,
            "--judge-ca, --judge-certificate and --judge-key are right instead",
        ),
        (
            [&usual[..], &both, &["--judge-key", "/envoy.key"]].concat(),
            2,
            "--judge-key: is for TLS",
        ),
        (
            [&usual[..], &both, &["--judge-sni", "10.0.0.7"]].concat(),
            2,
            "a DNS name that the judge's certificate has",
        ),
        (
            [&usual[..], &both, &["--subset-label", "a b"]].concat(),
            2,
            "--subset-label:",
        ),
        (
            [&usual[..], &both, &["--workload", "a"]].concat(),
            2,
            "istio=ingressgateway",
        ),
        (
            [&usual[..], &both, &["--namespace", "A"]].concat(),
            2,
            "Kubernetes' rules",
        ),
    ] {
        desk.run(&arguments).await.failed(code, problem);
    }
}
