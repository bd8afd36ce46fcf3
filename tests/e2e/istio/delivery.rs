//! Plans by way of the Kubernetes API: a judge that writes into a WasmPlugin.

use super::backend::Backend;
use super::kubernetes::{Kubernetes, Trouble};
use super::proxy::{Proxy, extension, put_extension};
use super::{AT_GATEWAY, Asked, MODULE, ask, of_kind, spec};
use crate::cli::desk::Desk;
use crate::world::{LIMIT, alone, arm_of, canary_after, keys, turn};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Method;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use serinus_tests::envoy::Envoy;
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::load::Arm;
use serinus_tests::postgres::Postgres;
use serinus_tests::{ports, wait};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const OBJECT: &str = "istio-ingress/serinus-gateway";

/// As `serinus manifest istio --as wasm-plugin` writes it, in short.
fn plugin() -> Value {
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"namespace": "istio-ingress", "name": "serinus-gateway"},
        "spec": {
            "url": "file:///f.wasm",
            "pluginConfig": {"judge": {"cluster": "outbound|8090||judge"}, "disabled": false},
        },
    })
}

/// A judge that writes into the object, and what of options it has besides.
async fn judge(folder: &Path, api: &str, more: &[(&str, &str)]) -> Judge {
    let mut judge = Judge::new(folder).unwrap();
    judge.option("--wasm-plugin", OBJECT);
    judge.option("--kubernetes", api);
    for (name, value) in more {
        judge.option(name, value);
    }
    judge.start().await.unwrap();
    judge
}

async fn revision(judge: &Judge) -> Result<Value> {
    let plan = judge.call(Method::GET, "/v1/plan", None).await?;
    Ok(plan.body["revision"].clone())
}

/// Waits until the object has the plan that is out.
async fn written(judge: &Judge, kubernetes: &Kubernetes) -> Result<()> {
    wait::until("the plan in the WasmPlugin", LIMIT, async || {
        let wanted = revision(judge).await?;
        let plan = &kubernetes.object(OBJECT)["spec"]["pluginConfig"]["plan"];
        Ok((!wanted.is_null() && plan["revision"] == wanted).then_some(()))
    })
    .await
}

/// Waits until `/v1/proxies` says this of the object.
async fn says(judge: &Judge, words: &str) -> Result<()> {
    wait::until(&format!("`{words}`"), LIMIT, async || {
        let proxies = judge.call(Method::GET, "/v1/proxies", None).await?;
        let why = proxies.body.pointer("/0/why").and_then(Value::as_str);
        Ok(why.is_some_and(|why| why.contains(words)).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_written_when_it_changes_and_at_most_once_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start().await;
    kubernetes.kubectl(OBJECT, &plugin());
    let judge = judge(folder.path(), &kubernetes.url(), &[]).await;
    written(&judge, &kubernetes).await.unwrap();
    for number in 0..12 {
        judge.create(&alone(&format!("r{number}"))).await.unwrap();
    }
    written(&judge, &kubernetes).await.unwrap();
    let object = kubernetes.object(OBJECT);
    let plan = &object["spec"]["pluginConfig"]["plan"];
    assert_eq!(plan["rollouts"].as_array().unwrap().len(), 12);
    // Each field is of who set it, and what was there is there.
    assert_eq!(object["spec"]["url"], "file:///f.wasm");
    for owner in object["metadata"]["managedFields"].as_array().unwrap() {
        let is_judge = owner["manager"] == "serinus-judge";
        for field in owner["fields"].as_array().unwrap() {
            let is_plan = field.as_str().unwrap().starts_with("/pluginConfig/plan/");
            assert_eq!(is_plan, is_judge, "{field} of {owner}");
        }
    }
    let writes = kubernetes.known().writes.clone();
    assert!(writes.len() < 13, "{} writes", writes.len());
    for pair in writes.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        // It is counted from answer to call, and the arrivals are what is seen here.
        assert!(apart > Duration::from_millis(900), "{apart:?}");
    }
    // Without change it is read and not written.
    let reads = kubernetes.known().reads;
    wait::until("two more looks", LIMIT, async || {
        Ok((kubernetes.known().reads > reads + 1).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(kubernetes.known().writes.len(), writes.len());
    // Somebody replaced the object, and the plan with it.
    kubernetes.replace(OBJECT, &plugin());
    written(&judge, &kubernetes).await.unwrap();
    let proxies = judge.call(Method::GET, "/v1/proxies", None).await.unwrap();
    let shown = &proxies.body[0];
    assert_eq!(
        (&shown["node"], &shown["why"]),
        (&json!(format!("WasmPlugin {OBJECT}")), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_somebody_else_are_not_taken_unless_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start().await;
    let mut theirs = plugin();
    theirs["spec"]["pluginConfig"]["plan"] = json!({"version": 7});
    kubernetes.kubectl(OBJECT, &theirs);
    let mut judge = judge(folder.path(), &kubernetes.url(), &[]).await;
    judge.create(&spec()).await.unwrap();
    says(&judge, "somebody else's").await.unwrap();
    for words in [
        "kubectl",
        ".spec.pluginConfig.plan.version",
        "--wasm-plugin-force",
    ] {
        says(&judge, words).await.unwrap();
    }
    assert_eq!(kubernetes.object(OBJECT)["spec"], theirs["spec"]);
    let status = judge
        .call(Method::GET, "/v1/rollouts/digits", None)
        .await
        .unwrap();
    let notices = status.body["notices"].to_string();
    assert!(notices.contains("somebody else's"), "{notices}");

    judge.kill().await.unwrap();
    judge.flag("--wasm-plugin-force");
    judge.start().await.unwrap();
    written(&judge, &kubernetes).await.unwrap();
    let status = judge
        .call(Method::GET, "/v1/rollouts/digits", None)
        .await
        .unwrap();
    let notices = status.body["notices"].to_string();
    assert!(!notices.contains("WasmPlugin"), "{notices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_in_trouble_is_named_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports::free().unwrap();
    let judge = judge(folder.path(), &format!("http://127.0.0.1:{port}"), &[]).await;
    says(&judge, "does not answer").await.unwrap();
    let kubernetes = Kubernetes::at(port).await;
    judge.create(&alone("a")).await.unwrap();
    says(
        &judge,
        "there is no WasmPlugin istio-ingress/serinus-gateway",
    )
    .await
    .unwrap();
    assert_eq!(kubernetes.object(OBJECT), Value::Null);
    kubernetes.kubectl(OBJECT, &plugin());
    written(&judge, &kubernetes).await.unwrap();
    for (number, (trouble, words)) in [
        (
            Trouble::Answers(500),
            "(500 Internal Server Error): in trouble",
        ),
        (Trouble::Answers(403), "needs the verbs get and patch"),
        (Trouble::Hangs, "not within 5s"),
    ]
    .into_iter()
    .enumerate()
    {
        kubernetes.known().trouble = Some(trouble);
        judge.create(&alone(&format!("b{number}"))).await.unwrap();
        says(&judge, words).await.unwrap();
        kubernetes.known().trouble = None;
        // A new plan does not wait for the pause after the failure.
        judge.create(&alone(&format!("c{number}"))).await.unwrap();
        written(&judge, &kubernetes).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_is_read_again_and_goes_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let account = folder.path().join("account");
    std::fs::create_dir(&account).unwrap();
    let kubernetes = Kubernetes::start().await;
    kubernetes.kubectl(OBJECT, &plugin());
    kubernetes
        .known()
        .tokens
        .insert("first".to_owned(), "judge");
    let (authority, tls) = tls_before(&kubernetes).await;
    std::fs::write(account.join("ca.crt"), &authority).unwrap();
    std::fs::write(account.join("token"), "first").unwrap();
    let api = format!("https://127.0.0.1:{tls}");
    let account_option = account.display().to_string();
    let more = [("--kubernetes-account", account_option.as_str())];
    let judge = judge(folder.path(), &api, &more).await;
    written(&judge, &kubernetes).await.unwrap();
    let tokens = |token: &str| {
        kubernetes.known().tokens = [(token.to_owned(), "judge")].into();
    };
    tokens("second");
    judge.create(&alone("a")).await.unwrap();
    says(&judge, "does not know the service account's token")
        .await
        .unwrap();
    std::fs::write(account.join("token"), "second\n").unwrap();
    written(&judge, &kubernetes).await.unwrap();
    // One that nobody of this cluster signed is told nothing.
    let (other, _) = tls_before(&kubernetes).await;
    std::fs::write(account.join("ca.crt"), other).unwrap();
    judge.create(&alone("b")).await.unwrap();
    says(&judge, "certificate").await.unwrap();
    std::fs::write(account.join("ca.crt"), "none").unwrap();
    judge.create(&alone("c")).await.unwrap();
    says(&judge, "ca.crt has no certificate").await.unwrap();
    std::fs::write(account.join("ca.crt"), authority).unwrap();
    judge.create(&alone("d")).await.unwrap();
    written(&judge, &kubernetes).await.unwrap();
}

/// TLS in front of the server, by an authority of its own: that, and the port.
async fn tls_before(kubernetes: &Kubernetes) -> (String, u16) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = own.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), kubernetes.port());
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that trusts nobody here hangs up.
                if let Ok(mut tls) = acceptor.accept(connection).await {
                    let mut plain = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                }
            });
        }
    });
    (authority, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_judges_the_one_that_judges_writes() {
    let folder = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start().await;
    kubernetes.kubectl(OBJECT, &plugin());
    kubernetes.known().tokens = [("0".to_owned(), "first"), ("1".to_owned(), "second")].into();
    let (authority, tls) = tls_before(&kubernetes).await;
    let api = format!("https://127.0.0.1:{tls}");
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut judges = Vec::new();
    for number in 0..2 {
        let own = folder.path().join(format!("judge-{number}"));
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("ca.crt"), &authority).unwrap();
        std::fs::write(own.join("token"), number.to_string()).unwrap();
        let mut judge = Judge::new(&own).unwrap();
        judge.store(&database.url());
        judge.option("--wasm-plugin", OBJECT);
        judge.option("--kubernetes", &api);
        judge.option("--kubernetes-account", &own.display().to_string());
        judge.start().await.unwrap();
        // The first one judges before there is another.
        if number == 0 {
            written(&judge, &kubernetes).await.unwrap();
        }
        judges.push(judge);
    }
    wait::until("the second to follow", LIMIT, async || {
        let ready = judges[1].call(Method::GET, "/health/ready", None).await?;
        Ok((ready.body["role"] == "follower").then_some(()))
    })
    .await
    .unwrap();
    judges[1].create(&alone("a")).await.unwrap();
    written(&judges[1], &kubernetes).await.unwrap();
    let writers = || {
        let writes = kubernetes.known().writes.clone();
        writes.into_iter().map(|(_, who)| who).collect::<Vec<_>>()
    };
    let before = writers();
    assert!(before.iter().all(|who| who == "first"), "{before:?}");
    judges[0].kill().await.unwrap();
    wait::until("the second to write", LIMIT, async || {
        Ok((writers().last().map(String::as_str) == Some("second")).then_some(()))
    })
    .await
    .unwrap();
    written(&judges[1], &kubernetes).await.unwrap();
    assert!(writers()[before.len()..].iter().all(|who| who == "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_the_wasm_plugin_routes_by_the_plan_in_it() {
    let _turn = turn().await;
    let kubernetes = Kubernetes::start().await;
    let api = kubernetes.url();
    let desk = Desk::with(&[("--wasm-plugin", OBJECT), ("--kubernetes", &api)]).await;
    desk.judge.create(&spec()).await.unwrap();
    let judge_cluster = "outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local";
    let more = ["--as", "wasm-plugin", "--namespace", "istio-ingress"];
    let objects = Asked::of(&desk, &[&AT_GATEWAY[..], &more].concat())
        .objects(&desk)
        .await;
    let mut own = of_kind(&objects, "WasmPlugin").clone();
    // Its cluster is one that Istio has for the judge's Service.
    assert_eq!(
        own["spec"]["pluginConfig"]["judge"]["cluster"],
        format!("outbound|{}||127.0.0.1", desk.judge.port())
    );
    own["spec"]["pluginConfig"]["judge"]["cluster"] = json!(judge_cluster);
    kubernetes.kubectl(OBJECT, &own);
    written(&desk.judge, &kubernetes).await.unwrap();

    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    proxy.serve_judge(judge_cluster, desk.judge.port());
    proxy.plug(&kubernetes.object(OBJECT));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), MODULE);
    let envoy = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    followed(&desk, &kubernetes, folder.path()).await.unwrap();
    let arm = |allocation, user: &str| match arm_of(allocation, user, "digits") {
        Arm::Control => "v1",
        Arm::Canary => "v2",
    };
    let half = canary_after(&[50]);
    for user in keys(30) {
        assert_eq!(
            ask(&envoy, &user, None).await.0,
            arm(&half, &user),
            "{user}"
        );
    }
    let sessions = async || {
        let workers = desk
            .judge
            .call(Method::GET, "/v1/workers", None)
            .await
            .unwrap();
        let all = workers.body.as_array().unwrap().clone();
        let mut names: Vec<String> = all.iter().map(|one| one["session"].to_string()).collect();
        names.sort();
        names
    };
    let before = sessions().await;
    desk.run(&["promote", "digits"]).await.done();
    written(&desk.judge, &kubernetes).await.unwrap();
    followed(&desk, &kubernetes, folder.path()).await.unwrap();
    for user in keys(30) {
        assert_eq!(ask(&envoy, &user, None).await.0, "v2", "{user}");
    }
    // The machines stay, with all that they have counted.
    assert_eq!(sessions().await, before);
}

/// Sends what the object has now as istiod would, until Envoy has the plan that is out.
async fn followed(desk: &Desk, kubernetes: &Kubernetes, folder: &Path) -> Result<()> {
    let mut sent = Value::Null;
    wait::until("Envoy to have the object's plan", LIMIT, async || {
        let object = kubernetes.object(OBJECT);
        if sent != object {
            put_extension(folder, extension(&object), MODULE);
            sent = object;
        }
        let workers = desk.judge.call(Method::GET, "/v1/workers", None).await?;
        let all = workers.body.as_array().cloned().unwrap_or_default();
        let converged = all.iter().filter(|one| one["state"] == "converged").count();
        Ok((converged == 3 && all.len() == 3).then_some(()))
    })
    .await
}
