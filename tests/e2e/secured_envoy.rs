//! Real Envoy before a judge that lets nobody in without a token or a certificate.

use crate::tls::NAME;
use crate::tls::authority::{Authority, Usage};
use crate::world::{LIMIT, settled_by, steady, turn};
use reqwest::Method;
use serde_json::Value;
use serinus_tests::envoy::{self, Envoy, Upstreams};
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::load::USER_HEADER;
use serinus_tests::tokens::Tokens;
use serinus_tests::{artefacts, ports, wait};
use std::path::Path;
use tempfile::TempDir;

/// A judge with TLS and tokens.
struct Secured {
    folder: TempDir,
    judge: Judge,
    tokens: Tokens,
    upstreams: Upstreams,
}

impl Secured {
    async fn new(options: &[(&str, &str)], ecds: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.file(folder.path(), "ca.pem");
        let shown = authority.identity(folder.path(), "judge", &[NAME, "localhost"], Usage::Server);
        let tokens = Tokens::new(folder.path()).unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        for (name, value) in shown.options() {
            judge.option(name, &value);
        }
        judge.option("--tokens", &tokens.path());
        for (name, value) in options {
            judge.option(name, value);
        }
        if ecds {
            let plugin = folder.path().join("xds-plugin.json");
            let wasm = artefacts::wasm().unwrap();
            std::fs::write(&plugin, envoy::xds_plugin(&wasm).unwrap()).unwrap();
            judge.option("--xds-plugin", &plugin.display().to_string());
        }
        judge.token(Some(&tokens.operator));
        judge.trust(&folder.path().join("ca.pem")).unwrap();
        judge.start().await.unwrap();
        let upstreams = Upstreams {
            control: ports::free().unwrap(),
            canary: ports::free().unwrap(),
            shadow: ports::free().unwrap(),
            judge: judge.port(),
        };
        Self {
            folder,
            judge,
            tokens,
            upstreams,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A text of a file of `envoy/` that names another file, and that file in the lab.
    fn file(&self, before: &str, named: &str) -> (String, String) {
        let name = named.rsplit('/').next().unwrap();
        let path = self.path().join(name);
        (
            format!("{before}: {named} }}"),
            format!("{before}: {} }}", path.display()),
        )
    }

    fn port(&self) -> (String, String) {
        let port = self.upstreams.judge;
        ("port_value: 8090".to_owned(), format!("port_value: {port}"))
    }

    /// Envoy with the cluster `judge` of this file.
    async fn envoy(&self, cluster: &str, edits: &[(String, String)], ecds: bool) -> Envoy {
        let filter = self.path().join("serinus.yaml");
        let wasm = artefacts::wasm().unwrap();
        std::fs::write(&filter, envoy::filter_file(&wasm, false).unwrap()).unwrap();
        let bootstrap = if ecds {
            envoy::ecds_bootstrap(self.upstreams, &[])
        } else {
            envoy::bootstrap(self.upstreams, &filter, &[])
        };
        let mut edits = edits.to_vec();
        edits.push(self.port());
        edits.push(self.file("filename", "ca.pem"));
        let bootstrap = envoy::with_judge(&bootstrap.unwrap(), cluster, &edits).unwrap();
        Envoy::with(self.path(), &bootstrap, 2).await.unwrap()
    }

    /// The plan arrives, and reports are counted.
    async fn serves(&self, envoy: &Envoy) {
        self.judge.create(&steady("secured")).await.unwrap();
        settled_by(&self.judge).await.unwrap();
        let http = reqwest::Client::new();
        for user in 0..20 {
            let url = format!("{}/v2/models/digits/infer", envoy.address());
            let request = http.post(url).header(USER_HEADER, format!("user-{user}"));
            // Nobody serves: that is an answer too.
            request.send().await.unwrap();
        }
        wait::until("reports to be counted", LIMIT, async || {
            let status = self.judge.status("secured").await?;
            let exposures: u64 = status.traffic.iter().map(|arm| arm.exposures).sum();
            Ok((exposures == 20).then_some(()))
        })
        .await
        .unwrap();
    }

    /// What the judge knows of the one proxy on ECDS.
    async fn proxy(&self) -> Result<Value> {
        let proxies = self.judge.call(Method::GET, "/v1/proxies", None).await?;
        Ok(proxies.body[0].clone())
    }

    async fn has_stream(&self, wanted: bool) {
        wait::until("the stream to begin or to end", LIMIT, async || {
            let proxy = self.proxy().await?;
            Ok((proxy["connected"] == wanted).then_some(()))
        })
        .await
        .unwrap();
    }

    async fn accepted(&self) -> String {
        let proxy = self.proxy().await.unwrap();
        proxy["accepted"].as_str().unwrap().to_owned()
    }

    fn secret(&self, token: &str) {
        let next = self.path().join("judge-secret.new");
        std::fs::write(&next, envoy::judge_secret(token).unwrap()).unwrap();
        std::fs::rename(next, self.path().join("judge-secret.yaml")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_injected_and_shown_nowhere() {
    let _turn = turn().await;
    let secured = Secured::new(&[], false).await;
    secured.secret(&secured.tokens.proxy);
    let secret = secured.file("path", "envoy/judge-secret.yaml");
    let envoy = secured
        .envoy("envoy/judge-token.yaml", &[secret], false)
        .await;
    secured.serves(&envoy).await;
    let shown = envoy.config_dump().await.unwrap();
    assert!(shown.contains("credential_injector"));
    assert!(!shown.contains(&secured.tokens.proxy));
    let workers = secured.judge.call(Method::GET, "/v1/workers", None).await;
    assert_eq!(workers.unwrap().body.as_array().unwrap().len(), 3);

    // Another token is in use as soon as its file is renamed over the old one.
    let next = serinus_tests::tokens::add(secured.tokens.file(), "proxy", "envoy-2").unwrap();
    secured.secret(&next);
    secured.tokens.remove("envoy-1").unwrap();
    secured
        .judge
        .act("secured", "pause", "to make a plan")
        .await
        .unwrap();
    settled_by(&secured.judge).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_injected_into_the_stream_of_ecds_too() {
    let _turn = turn().await;
    let secured = Secured::new(&[], true).await;
    secured.secret(&secured.tokens.proxy);
    let edits = [
        secured.file("path", "envoy/judge-secret.yaml"),
        (
            "http_protocol_options: {}".to_owned(),
            "http2_protocol_options: {}".to_owned(),
        ),
        (
            "http_health_check: { path: /health/ready }".to_owned(),
            "http_health_check: { path: /health/ready, codec_client_type: HTTP2 }".to_owned(),
        ),
    ];
    let envoy = secured.envoy("envoy/judge-token.yaml", &edits, true).await;
    secured.serves(&envoy).await;
    secured.has_stream(true).await;

    // Who is taken out of the file has no stream any more, and no plan that is made later.
    let next = serinus_tests::tokens::add(secured.tokens.file(), "proxy", "envoy-2").unwrap();
    secured.tokens.remove("envoy-1").unwrap();
    secured.has_stream(false).await;
    let paused = secured.judge.act("secured", "pause", "to make a plan");
    let paused = paused.await.unwrap();
    assert_ne!(secured.accepted().await, paused.delivery.revision);
    // Until it has another token.
    secured.secret(&next);
    secured.has_stream(true).await;
    settled_by(&secured.judge).await.unwrap();
    assert_eq!(secured.accepted().await, paused.delivery.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_known_by_its_certificate() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let proxies = Authority::new();
    let ca = proxies.file(folder.path(), "proxies-ca.pem");
    let ca = ca.display().to_string();
    let secured = Secured::new(&[("--client-ca", &ca)], false).await;
    proxies.identity(secured.path(), "envoy", &["envoy-1.example"], Usage::Client);
    let edits = [
        secured.file("filename", "envoy.pem"),
        secured.file("filename", "envoy.key"),
    ];
    let envoy = secured
        .envoy("envoy/judge-certificate.yaml", &edits, false)
        .await;
    secured.serves(&envoy).await;
}
