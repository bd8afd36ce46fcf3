//! TLS on the judge's port, and proxies by their certificates.

pub mod authority;
mod client;

use crate::world::LIMIT;
use authority::{Authority, Identity, Usage};
use client::Client;
use serinus_tests::judge::Judge;
use serinus_tests::tokens::Tokens;
use serinus_tests::{artefacts, wait};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

pub const NAME: &str = "judge.example";

struct Secured {
    folder: TempDir,
    authority: Authority,
    proxies: Authority,
    tokens: Tokens,
    judge: Judge,
}

impl Secured {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, proxies) = (Authority::new(), Authority::new());
        let names = [NAME, "localhost"];
        let shown = authority.identity(folder.path(), "judge", &names, Usage::Server);
        let tokens = Tokens::new(folder.path()).unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        for (name, value) in shown.options() {
            judge.option(name, &value);
        }
        judge.option("--tokens", &tokens.path());
        let ca = proxies.file(folder.path(), "proxies-ca.pem");
        judge.option("--client-ca", &ca.display().to_string());
        judge.start().await.unwrap();
        Self {
            folder,
            authority,
            proxies,
            tokens,
            judge,
        }
    }

    fn client(&self, identity: Option<&Identity>) -> Client {
        Client::new(self.judge.port(), &self.authority.pem, identity)
    }

    fn ca(&self) -> PathBuf {
        self.authority.file(self.folder.path(), "ca.pem")
    }
}

/// `serinus get` of a judge; its exit code and what it said.
async fn get(url: &str, token: &str, ca: Option<&Path>) -> (i32, String) {
    let mut command = Command::new(artefacts::program("serinus").unwrap());
    command.args(["get", "--judge", url, "--token", token]);
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
async fn one_port_speaks_what_the_client_likes() {
    let secured = Secured::start().await;
    let client = secured.client(None);
    for (offered, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], &b"h2"[..]),
        (&[b"http/1.1"], b"http/1.1"),
    ] {
        let stream = client.connect(offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen));
    }
    let viewer = Some(secured.tokens.viewer.as_str());
    assert_eq!(
        client.ask("GET", "/v1/rollouts", viewer).await.unwrap(),
        200
    );
    assert_eq!(client.ask("GET", "/v1/rollouts", None).await.unwrap(), 401);
    assert_eq!(client.ask("GET", "/health/ready", None).await.unwrap(), 200);

    let url = format!("https://localhost:{}", secured.judge.port());
    let (code, said) = get(&url, &secured.tokens.viewer, Some(&secured.ca())).await;
    assert_eq!(code, 0, "{said}");
    let plain = format!("http://localhost:{}", secured.judge.port());
    let (code, said) = get(&plain, &secured.tokens.viewer, None).await;
    assert_eq!(code, 3, "{said}");
}

#[tokio::test]
async fn a_judge_that_cannot_be_trusted_is_not_told_anything() {
    let secured = Secured::start().await;
    let url = format!("https://localhost:{}", secured.judge.port());
    let refused = async |url: &str, ca: Option<&Path>, words: &str| {
        let (code, said) = get(url, &secured.tokens.viewer, ca).await;
        assert!(code == 3 || code == 2, "{code}: {said}");
        assert!(said.contains(words), "`{words}` is not in {said}");
    };
    let other = secured.proxies.file(secured.folder.path(), "other-ca.pem");
    refused(
        &url,
        Some(&other),
        "UnknownIssuer; --ca FILE says whom to trust",
    )
    .await;
    let by_address = format!("https://127.0.0.1:{}", secured.judge.port());
    refused(&by_address, Some(&secured.ca()), "not valid for name").await;
    refused(
        &url,
        Some(Path::new("/nowhere")),
        "--ca: failed to read /nowhere",
    )
    .await;
    let key = secured.folder.path().join("judge.key");
    refused(&url, Some(&key), "has no certificate in PEM").await;

    // One that signs for itself, and one whose time is over.
    let folder = secured.folder.path();
    let own = Identity::self_signed(folder, "own", &["localhost"]);
    let old = secured
        .authority
        .identity_until(folder, "old", &["localhost"], Usage::Server, 2021);
    for (identity, words) in [(&own, "UnknownIssuer"), (&old, "xpired")] {
        let port = client::stand(identity).await;
        let url = format!("https://localhost:{port}");
        refused(&url, Some(&secured.ca()), words).await;
    }
}

#[tokio::test]
async fn a_certificate_makes_a_proxy_and_nobody_else() {
    let secured = Secured::start().await;
    let folder = secured.folder.path();
    let proxies = &secured.proxies;
    let envoy = proxies.identity(folder, "envoy", &["envoy-1.example"], Usage::Client);
    let client = secured.client(Some(&envoy));
    let ask = async |client: &Client, method, path, token| client.ask(method, path, token).await;
    // It is let in: an empty report is none, and the plan is there.
    assert_eq!(
        ask(&client, "POST", "/v1/reports", None).await.unwrap(),
        400
    );
    assert_eq!(ask(&client, "GET", "/v1/plan", None).await.unwrap(), 200);
    assert_eq!(ask(&client, "GET", "/v1/session", None).await.unwrap(), 200);
    assert_eq!(
        ask(&client, "GET", "/v1/rollouts", None).await.unwrap(),
        403
    );
    let viewer = Some(secured.tokens.viewer.as_str());
    let by_token = ask(&client, "GET", "/v1/rollouts", viewer).await.unwrap();
    assert_eq!(by_token, 200, "a token says more than the connection");

    let none = secured.client(None);
    assert_eq!(ask(&none, "POST", "/v1/reports", None).await.unwrap(), 401);
    let stranger = Authority::new().identity(folder, "stranger", &[NAME], Usage::Client);
    let late = proxies.identity_until(folder, "late", &[NAME], Usage::Client, 2021);
    let server = proxies.identity(folder, "server", &[NAME], Usage::Server);
    for identity in [&stranger, &late, &server] {
        let client = secured.client(Some(identity));
        let said = ask(&client, "POST", "/v1/reports", None).await;
        said.expect_err("the handshake is to fail");
    }
    assert_eq!(ask(&none, "GET", "/health/live", None).await.unwrap(), 200);
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let secured = Secured::start().await;
    let folder = secured.folder.path();
    let shown = async |ca: &Authority| {
        let client = Client::new(secured.judge.port(), &ca.pem, None);
        client.connect(&[]).await.is_ok()
    };
    assert!(shown(&secured.authority).await);
    // A key that is another's, first: what was shown goes on to be.
    let next = Authority::new();
    let identity = next.identity(folder, "next", &[NAME], Usage::Server);
    std::fs::copy(&identity.key, folder.join("judge.key")).unwrap();
    let log = secured.judge.process().unwrap();
    wait::until("the judge to say so", LIMIT, async || {
        Ok(log
            .log_tail()
            .contains("is not that of the certificate")
            .then_some(()))
    })
    .await
    .unwrap();
    assert!(shown(&secured.authority).await);
    std::fs::copy(&identity.certificate, folder.join("judge.pem")).unwrap();
    wait::until("the new certificate", LIMIT, async || {
        Ok(shown(&next).await.then_some(()))
    })
    .await
    .unwrap();
    assert!(!shown(&secured.authority).await);
}

#[tokio::test]
async fn what_cannot_be_shown_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    let good = authority.identity(folder, "good", &[NAME], Usage::Server);
    let other = authority.identity(folder, "other", &[NAME], Usage::Server);
    let old = authority.identity_until(folder, "old", &[NAME], Usage::Server, 2021);
    let nowhere = folder.join("nowhere.pem");
    let everybodys = folder.join("everybodys.pem");
    std::fs::copy(&good.key, &everybodys).unwrap();
    std::fs::set_permissions(&everybodys, Permissions::from_mode(0o644)).unwrap();
    for (certificate, key, words) in [
        (&old.certificate, &old.key, "the certificate ended on "),
        (
            &good.certificate,
            &other.key,
            "is not that of the certificate",
        ),
        (&good.key, &good.key, "has no certificate in PEM"),
        (
            &good.certificate,
            &good.certificate,
            "has no private key in PEM",
        ),
        (
            &good.certificate,
            &everybodys,
            "may be read or written by every user",
        ),
        (&nowhere, &good.key, "nowhere.pem: "),
    ] {
        let output = Command::new(artefacts::program("serinus").unwrap())
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder.join("judge.sqlite"))
            .arg("--tls-certificate")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains(words), "`{words}` is not in {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
