//! Real Envoys with what an EnvoyFilter patches into them.

use super::*;
use crate::tls::NAME;
use crate::tls::authority::{Authority, Usage};
use serinus_tests::tokens::Tokens;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_the_envoy_filter_routes_as_the_judge_says() {
    let _turn = turn().await;
    let desk = Desk::start().await;
    let mut spec = spec();
    spec["shadow"] = json!({"cluster": "copies"});
    desk.judge.create(&spec).await.unwrap();
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let copies = Backend::start("copies").await;
    let shadow = format!("127.0.0.1:{}", copies.port());
    let more = [&AT_GATEWAY[..], &["--shadow-address", &shadow]].concat();
    let objects = Asked::of(&desk, &more).objects(&desk).await;
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    proxy.apply(of_kind(&objects, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), MODULE);
    let file = folder.path().join("checked.yaml");
    std::fs::write(&file, &bootstrap).unwrap();
    Envoy::validate(&file.display().to_string()).await.unwrap();
    let envoy = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    settled(&desk, 3).await.unwrap();

    let allocation = canary_after(&[50]);
    let mut seen = [0, 0];
    for user in keys(40) {
        let (index, arm) = match arm_of(&allocation, &user, ID) {
            Arm::Control => (0, CONTROL),
            Arm::Canary => (1, CANARY),
        };
        seen[index] += 1;
        // Nobody picks an arm for themselves.
        let answer = ask(&envoy, &user, Some(CANARY)).await;
        assert_eq!(
            answer,
            (["v1", "v2"][index].to_owned(), json!(arm)),
            "{user}"
        );
    }
    assert!(seen.iter().all(|&count| count > 5), "{seen:?}");
    wait::until("the judge to count what was asked", LIMIT, async || {
        let counted = counted(&desk).await?;
        assert!(counted <= 40, "{counted} of 40");
        Ok((counted == 40).then_some(()))
    })
    .await
    .unwrap();
    wait::until("copies of requests", LIMIT, async || {
        Ok((copies.asked() == 40).then_some(()))
    })
    .await
    .unwrap();
}

/// A judge with TLS and tokens, which knows proxies by certificates too.
struct Secured {
    folder: TempDir,
    desk: Desk,
    tokens: Tokens,
    proxies: Authority,
}

impl Secured {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(folder.path()).unwrap();
        let (authority, proxies) = (Authority::new(), Authority::new());
        let names = [NAME, "localhost"];
        let shown = authority.identity(folder.path(), "judge", &names, Usage::Server);
        let ca = authority.file(folder.path(), "ca.pem");
        let client_ca = proxies.file(folder.path(), "proxies-ca.pem");
        let shown = shown.options();
        let mut options: Vec<(&str, &str)> = shown
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (tokens_file, client_ca) = (tokens.path(), client_ca.display().to_string());
        options.extend([
            ("--tokens", tokens_file.as_str()),
            ("--client-ca", client_ca.as_str()),
        ]);
        let desk = Desk::secured(&options, &ca, &tokens.operator).await;
        desk.judge.create(&spec()).await.unwrap();
        Self {
            folder,
            desk,
            tokens,
            proxies,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The manifest of a gateway whose proxies trust this judge.
    async fn objects(&self, more: &[&str]) -> Vec<Value> {
        let ca = self.path("ca.pem");
        self.objects_with(&[&["--judge-ca", &ca], more].concat())
            .await
    }

    async fn objects_with(&self, more: &[&str]) -> Vec<Value> {
        let rollout = self.desk.file("rollout.json", &spec().to_string());
        let sha256 = sha256(&artefacts::wasm().unwrap());
        let usual = [
            "manifest",
            "istio",
            "-f",
            &rollout,
            "--gateway",
            "istio-ingress/public",
            "--module",
            MODULE,
            "--sha256",
            &sha256,
            "--judge-sni",
            NAME,
        ];
        objects(&self.desk, &[&usual, &ARMS[..], more].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_shows_a_judge_its_token_by_tls_and_nobody_else() {
    let _turn = turn().await;
    let secured = Secured::start().await;
    let token = &secured.tokens.proxy;
    let secret = secured
        .desk
        .file("judge-secret.yaml", &envoy::judge_secret(token).unwrap());
    let judge = format!("127.0.0.1:{}", secured.desk.judge.port());
    let more = ["--judge-address", &judge, "--judge-token", &secret];
    let objects = secured.objects(&more).await;
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    proxy.apply(of_kind(&objects, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), MODULE);
    let envoy = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    settled(&secured.desk, 3).await.unwrap();
    let shown = envoy.config_dump().await.unwrap();
    assert!(shown.contains("credential_injector"));
    assert!(!shown.contains(token));
}

/// As Kubernetes mounts a Secret: files are links through a folder that is one too, which is
/// renamed over.
struct Mounted {
    folder: TempDir,
    turns: usize,
}

impl Mounted {
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let to = Path::new("..data").join(file);
            symlink(to, folder.path().join(file)).unwrap();
        }
        Self { folder, turns: 0 }
    }

    /// The authority that is trusted, and an identity of this one.
    fn put(&mut self, trusted: &str, proxies: &Authority) {
        self.turns += 1;
        let own = format!("..turn-{}", self.turns);
        let folder = self.folder.path().join(&own);
        std::fs::create_dir(&folder).unwrap();
        proxies.identity(&folder, "envoy", &["gateway.example"], Usage::Client);
        std::fs::write(folder.join("ca.pem"), trusted).unwrap();
        let next = self.folder.path().join("..data_tmp");
        symlink(own, &next).unwrap();
        std::fs::rename(next, self.folder.path().join("..data")).unwrap();
    }

    /// A file of the repository's `envoy/` that names these.
    fn naming(&self, desk: &Desk, name: &str, text: &str) -> String {
        let path = self.folder.path().display().to_string();
        desk.file(name, &text.replace("/etc/serinus/tls", &path))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_reads_what_it_trusts_and_shows_again_when_that_changes() {
    let _turn = turn().await;
    let secured = Secured::start().await;
    let mut mounted = Mounted::new(&["ca.pem", "envoy.pem", "envoy.key"]);
    let stranger = Authority::new();
    mounted.put(&stranger.pem, &stranger);
    let authority = mounted.naming(
        &secured.desk,
        "judge-authority.yaml",
        include_str!("../../../envoy/judge-authority.yaml"),
    );
    let identity = mounted.naming(
        &secured.desk,
        "judge-identity.yaml",
        include_str!("../../../envoy/judge-identity.yaml"),
    );
    let judge = format!("127.0.0.1:{}", secured.desk.judge.port());
    let more = [
        "--judge-address",
        &judge,
        "--judge-ca",
        &authority,
        "--judge-certificate",
        &identity,
    ];
    let objects = secured.objects_with(&more).await;
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    proxy.apply(of_kind(&objects, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), MODULE);
    let envoy = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    let has_failed = async |name: &str| {
        let name = format!("cluster.serinus-judge.ssl.{name}");
        wait::until("a handshake that fails", LIMIT, async || {
            Ok((envoy.statistic(&name).await? > 0).then_some(()))
        })
        .await
        .unwrap();
    };
    // Whom it trusts is not the judge.
    has_failed("fail_verify_error").await;
    let real = std::fs::read_to_string(secured.path("ca.pem")).unwrap();
    // The judge does not know what it shows.
    mounted.put(&real, &stranger);
    has_failed("connection_error").await;
    mounted.put(&real, &secured.proxies);
    settled(&secured.desk, 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_the_wasm_plugin_is_known_by_its_certificate() {
    let _turn = turn().await;
    let secured = Secured::start().await;
    let folder = secured.folder.path();
    let own = secured
        .proxies
        .identity(folder, "envoy", &["gateway.example"], Usage::Client);
    let certificate = own.certificate.display().to_string();
    let key = own.key.display().to_string();
    let more = [
        "--as",
        "wasm-plugin",
        "--judge-certificate",
        &certificate,
        "--judge-key",
        &key,
    ];
    let objects = secured.objects(&more).await;
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    let mut rules = objects
        .iter()
        .filter(|object| object["kind"] == "DestinationRule");
    let rule = rules.find(|rule| rule["spec"]["trafficPolicy"].is_object());
    proxy.serve_judge_by(rule.unwrap(), secured.desk.judge.port());
    proxy.plug(of_kind(&objects, "WasmPlugin"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), MODULE);
    let _envoy = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    settled(&secured.desk, 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hops_the_one_that_the_rollout_names_decides_and_counts() {
    let _turn = turn().await;
    let desk = Desk::start().await;
    desk.judge.create(&spec()).await.unwrap();
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let second = Asked::of(&desk, &AT_SIDECAR).objects(&desk).await;
    let mut sidecar = Proxy::new("SIDECAR_OUTBOUND", &second, &backends);
    sidecar.apply(of_kind(&second, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = sidecar.write(folder.path(), MODULE);
    let sidecar = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();

    // Whatever its arm, the gateway sends a request by way of the other proxy, as through
    // a service that passes on what it is asked.
    let first = Asked::of(&desk, &AT_GATEWAY).objects(&desk).await;
    let through = Backend::that_is(&sidecar);
    let mut gateway = Proxy::new("GATEWAY", &first, &[through.clone(), through]);
    gateway.apply(of_kind(&first, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = gateway.write(folder.path(), MODULE);
    let gateway = Envoy::with(folder.path(), &bootstrap, 2).await.unwrap();
    settled(&desk, 6).await.unwrap();

    let allocation = canary_after(&[50]);
    for user in keys(40) {
        let name = match arm_of(&allocation, &user, ID) {
            Arm::Control => "v1",
            Arm::Canary => "v2",
        };
        assert_eq!(ask(&gateway, &user, None).await.0, name, "{user}");
    }
    wait::until("the judge to count what was asked", LIMIT, async || {
        Ok((counted(&desk).await? >= 40).then_some(()))
    })
    .await
    .unwrap();
    // What the second hop counted would be there with its next report: it is asked for
    // the same once more, and both have reported since.
    for user in keys(40) {
        ask(&gateway, &user, None).await;
    }
    wait::until("the judge to count it again", LIMIT, async || {
        let counted = counted(&desk).await?;
        assert!(counted <= 80, "{counted} of 80");
        Ok((counted == 80).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_module_never_comes_serves_the_baseline() {
    let _turn = turn().await;
    let desk = Desk::start().await;
    desk.judge.create(&spec()).await.unwrap();
    let backends = [Backend::start("v1").await, Backend::start("v2").await];
    let objects = Asked::of(&desk, &AT_GATEWAY).objects(&desk).await;
    let mut proxy = Proxy::new("GATEWAY", &objects, &backends);
    proxy.apply(of_kind(&objects, "EnvoyFilter"));
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = proxy.write(folder.path(), "https://elsewhere.example");
    let envoy = Envoy::with(folder.path(), &bootstrap, 1).await.unwrap();
    for user in keys(5) {
        let answer = ask(&envoy, &user, Some(CANARY)).await;
        assert_eq!(answer, ("v1".to_owned(), Value::Null));
    }
}
