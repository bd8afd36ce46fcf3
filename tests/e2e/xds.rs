//! The judge's ECDS as a client of any kind sees it, over gRPC.

use crate::wire::spec;
use crate::world::LIMIT;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_client::ExtensionConfigDiscoveryServiceClient;
use envoy_types::pb::google::rpc;
use reqwest::Method;
use serde_json::Value;
use serinus_tests::artefacts;
use serinus_tests::envoy::xds_plugin;
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::wait;
use std::path::Path;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

type Client = ExtensionConfigDiscoveryServiceClient<Channel>;

const TYPE_URL: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

async fn judge() -> (Judge, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    serve_ecds(&mut judge, folder.path()).unwrap();
    judge.start().await.unwrap();
    (judge, folder)
}

/// Has a judge that is not started yet serve ECDS.
pub fn serve_ecds(judge: &mut Judge, folder: &Path) -> Result<()> {
    let plugin = folder.join("xds-plugin.json");
    std::fs::write(&plugin, xds_plugin(&artefacts::wasm()?)?)?;
    judge.option("--xds-plugin", &plugin.display().to_string());
    Ok(())
}

pub async fn client(judge: &Judge) -> Client {
    Client::connect(judge.address()).await.unwrap()
}

fn node(id: &str) -> Option<Node> {
    Some(Node {
        id: id.to_owned(),
        ..Node::default()
    })
}

pub fn subscribe(id: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: node(id),
        type_url: TYPE_URL.to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// A delta stream of one proxy.
pub struct Proxy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    pub async fn open(client: &mut Client, first: DeltaDiscoveryRequest) -> Self {
        let (requests, queue) = mpsc::channel(16);
        requests.send(first).await.unwrap();
        let responses = client
            .delta_extension_configs(ReceiverStream::new(queue))
            .await
            .unwrap()
            .into_inner();
        Self {
            requests,
            responses,
        }
    }

    pub async fn response(&mut self) -> std::result::Result<DeltaDiscoveryResponse, Status> {
        let response = tokio::time::timeout(LIMIT, self.responses.next()).await;
        response
            .expect("an answer within the limit")
            .expect("an answer")
    }

    pub async fn answer(&self, nonce: &str, refusal: Option<&str>) {
        let answer = DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            response_nonce: nonce.to_owned(),
            error_detail: refusal.map(|message| rpc::Status {
                message: message.to_owned(),
                ..rpc::Status::default()
            }),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(answer).await.unwrap();
    }
}

async fn get(judge: &Judge, path: &str) -> Result<Value> {
    Ok(judge.call(Method::GET, path, None).await?.body)
}

pub async fn proxies_are(judge: &Judge, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = wait::until("what is known of proxies", LIMIT, async || {
        last = get(judge, "/v1/proxies").await?;
        Ok(wanted(&last).then(|| last.clone()))
    });
    found
        .await
        .unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_ends_its_stream_with_the_reason_and_is_counted() {
    let (judge, _folder) = judge().await;
    let mut client = client(&judge).await;
    let long = "n".repeat(10_000);
    let many: Vec<String> = (0..300).map(|number| format!("name-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cluster = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..subscribe("envoy-1", &["serinus"])
    };
    let nameless = DeltaDiscoveryRequest {
        node: None,
        ..subscribe("", &["serinus"])
    };
    let cases = [
        (subscribe(&long, &["serinus"]), "node.id: has 10000 bytes"),
        (nameless, "node.id: is missing in the first request"),
        (cluster, "is not served here"),
        (
            subscribe("envoy-1", &many),
            "300 names; 64 in one stream are the most",
        ),
        (subscribe("envoy-1", &[&long]), "a name has 10000 bytes"),
    ];
    let all = cases.len();
    for (request, problem) in cases {
        let mut proxy = Proxy::open(&mut client, request).await;
        let status = proxy.response().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(problem), "{status:?}");
    }
    // Two megabytes of names are not even read.
    let huge = "x".repeat(2 << 20);
    let mut proxy = Proxy::open(&mut client, subscribe("envoy-1", &[&huge])).await;
    assert_eq!(proxy.response().await.unwrap_err().code(), Code::OutOfRange);
    let counters = get(&judge, "/v1/counters").await.unwrap();
    assert_eq!(counters["requests_malformed"], all + 1);
    assert_eq!(
        get(&judge, "/v1/proxies").await.unwrap(),
        serde_json::json!([])
    );
    let unary = client
        .fetch_extension_configs(DiscoveryRequest::default())
        .await;
    assert_eq!(unary.unwrap_err().code(), Code::Unimplemented);
    // And the next one is served as ever.
    let mut proxy = Proxy::open(&mut client, subscribe("envoy-1", &["serinus"])).await;
    assert_eq!(proxy.response().await.unwrap().resources[0].name, "serinus");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_known_each_by_what_it_said() {
    let (judge, _folder) = judge().await;
    let mut client = client(&judge).await;
    let mut takes = Proxy::open(&mut client, subscribe("takes", &["serinus"])).await;
    let mut refuses = Proxy::open(&mut client, subscribe("refuses", &["serinus"])).await;
    let mut lost = Proxy::open(&mut client, subscribe("lost", &["another"])).await;
    let absent = lost.response().await.unwrap();
    assert_eq!(
        (absent.resources.len(), absent.removed_resources),
        (0, vec!["another".to_owned()])
    );
    let first = takes.response().await.unwrap();
    assert_eq!(first.resources.len(), 1);
    takes.answer(&first.nonce, None).await;
    let first = refuses.response().await.unwrap();
    refuses.answer(&first.nonce, None).await;
    judge.create(&spec()).await.unwrap();
    let second = takes.response().await.unwrap();
    takes.answer(&second.nonce, None).await;
    let second = refuses.response().await.unwrap();
    refuses.answer(&second.nonce, Some("not with me")).await;

    let proxies = proxies_are(&judge, |proxies| {
        proxies[2]["accepted"] == "1.2" && proxies[1]["refused"] == "1.2"
    })
    .await;
    let known = |index: usize, name: &str| proxies[index][name].clone();
    assert_eq!(known(0, "node"), "lost");
    assert_eq!(known(0, "accepted"), Value::Null);
    assert_eq!(
        (known(1, "accepted"), known(1, "why")),
        ("1.1".into(), "not with me".into())
    );
    assert_eq!(known(2, "refused"), Value::Null);
    let workers = get(&judge, "/v1/workers").await.unwrap();
    assert_eq!(workers.as_array().unwrap().len(), 1);
    assert_eq!(
        (&workers[0]["node"], &workers[0]["state"]),
        (&"refuses".into(), &"refused".into())
    );
    drop(refuses);
    proxies_are(&judge, |proxies| proxies[1]["connected"] == false).await;
    let counters = get(&judge, "/v1/counters").await.unwrap();
    assert_eq!(
        ["ecds_sent", "ecds_accepted", "ecds_refused"].map(|name| counters[name].as_u64()),
        [Some(4), Some(3), Some(1)]
    );
}

/// One who does not read misses plans and gets the newest; the judge keeps none for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_given_the_newest_when_it_does() {
    let (judge, _folder) = judge().await;
    let mut client = client(&judge).await;
    let mut proxy = Proxy::open(&mut client, subscribe("slow", &["serinus"])).await;
    for number in 0..200 {
        let mut rollout = spec();
        rollout["id"] = format!("rollout-{number}").into();
        rollout["match"] = serde_json::json!({"host": format!("host-{number}.example")});
        judge.create(&rollout).await.unwrap();
    }
    let plan = get(&judge, "/v1/plan").await.unwrap();
    let revision = &plan["revision"];
    let newest = format!("{}.{}-", revision["generation"], revision["counter"]);
    let mut responses = 0;
    loop {
        let response = proxy.response().await.unwrap();
        responses += 1;
        if response.system_version_info.starts_with(&newest) {
            break;
        }
    }
    println!("{responses} responses for 201 plans");
    assert!(responses < 201);
}

/// Over HTTP/1.1 and over HTTP/2 the port is the same.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_plugin_file_there_is_no_ecds() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    let mut client = client(&judge).await;
    let unary = client.fetch_extension_configs(DiscoveryRequest::default());
    let status = unary.await.unwrap_err();
    assert!(status.message().contains("404 Not Found"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_file_that_is_wrong_keeps_the_judge_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugin.json");
    for (text, problem) in [
        ("{", "plugin.json: .: is no JSON document"),
        ("{}", "plugin.json: wasm: is missing"),
        (
            r#"{"wasm": "f.wasm", "configuration": {"judge": {"cluster": "j"}}, "vm": 1}"#,
            "plugin.json: vm: unknown field",
        ),
    ] {
        std::fs::write(&plugin, text).unwrap();
        let output = tokio::process::Command::new(artefacts::program("serinus").unwrap())
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder.path().join("judge.sqlite"))
            .arg("--xds-plugin")
            .arg(&plugin)
            .output()
            .await
            .during("run serinus serve")
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(
            said.contains("--xds-plugin: ") && said.contains(problem),
            "{said}"
        );
    }
}
