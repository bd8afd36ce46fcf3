//! Who gets in to what: tokens and their roles, the page's cookie, and what is said to
//! those who are sent away.

use crate::world::{LIMIT, alone};
use reqwest::header::{RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use serinus_tests::artefacts;
use serinus_tests::judge::Judge;
use serinus_tests::{tokens, wait};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use tokio::process::Command;

struct Guarded {
    folder: TempDir,
    judge: Judge,
    tokens: tokens::Tokens,
    http: Client,
}

impl Guarded {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens::Tokens::new(folder.path()).unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        judge.option("--tokens", &tokens.path());
        judge.token(Some(&tokens.operator));
        judge.start().await.unwrap();
        Self {
            folder,
            judge,
            tokens,
            http: Client::new(),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("{}{path}", self.judge.address());
        let mut request = self.http.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn with(&self, token: &str, method: &str, path: &str) -> Response {
        let bearer = format!("Bearer {token}");
        self.ask(method, path, &[("authorization", &bearer)]).await
    }

    async fn status(&self, token: &str, method: &str, path: &str) -> u16 {
        self.with(token, method, path).await.status().as_u16()
    }
}

async fn detail(response: Response) -> String {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["x-serinus-judge"], "1");
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

/// What the description says of a path and method, the judge does: nobody without a
/// role that stands there gets further than the door, and everybody with one does.
#[tokio::test]
async fn every_path_asks_for_what_its_description_says() {
    let judge = Guarded::start().await;
    let document = judge.ask("GET", "/v1/openapi.json", &[]).await;
    let document: Value = serde_json::from_str(&document.text().await.unwrap()).unwrap();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{sequence}", "1");
        let path = path.replace("{id}", "nobody").replace("{arm}", "canary");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let ways = operation["security"].as_array().unwrap();
            let enough = |role: &str| {
                ways.iter().any(|way| {
                    let roles = way["token"].as_array();
                    roles.is_some_and(|roles| roles.iter().any(|enough| enough == role))
                })
            };
            let nobody = judge.ask(&method, &path, &[]).await;
            assert_eq!(nobody.status() != 401, ways.is_empty(), "{method} {path}");
            if ways.is_empty() {
                continue;
            }
            let header = nobody.headers()[WWW_AUTHENTICATE].to_str().unwrap();
            assert!(header.starts_with("Bearer "), "{header}");
            assert!(detail(nobody).await.contains("send a token"));
            for (role, token) in [
                ("viewer", &judge.tokens.viewer),
                ("operator", &judge.tokens.operator),
                ("proxy", &judge.tokens.proxy),
            ] {
                // Who may decide may look.
                let may = enough(role) || role == "operator" && enough("viewer");
                let answer = judge.with(token, &method, &path).await;
                let status = answer.status().as_u16();
                if may {
                    assert!(status != 401 && status != 403, "{role}: {method} {path}");
                } else {
                    assert_eq!(status, 403, "{role}: {method} {path}");
                    let words = format!("has the role {role}");
                    let said = detail(answer).await;
                    assert!(said.contains(&words) && said.contains("needs"), "{said}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "only {asked} were asked");
    for path in ["/v1/nothing", "/v1/rollouts/", "//v1/rollouts", "/v2"] {
        let status = judge.ask("GET", path, &[]).await.status();
        assert_eq!(status, 401, "{path}");
        assert_eq!(judge.status(&judge.tokens.viewer, "GET", path).await, 404);
    }
}

#[tokio::test]
async fn a_token_that_is_taken_out_of_the_file_is_out_at_once() {
    let judge = Guarded::start().await;
    let rollouts = "/v1/rollouts";
    let (viewer, file) = (judge.tokens.viewer.as_str(), judge.tokens.file());
    assert_eq!(judge.status(viewer, "GET", rollouts).await, 200);
    let mut stays = judge
        .with(&judge.tokens.operator, "GET", "/v1/events")
        .await;
    let mut watches = judge.with(viewer, "GET", "/v1/events").await;
    assert!(watches.chunk().await.unwrap().is_some());
    assert!(stays.chunk().await.unwrap().is_some());
    judge.tokens.remove("bob").unwrap();
    // Whoever watches by it is shown nothing more.
    let ended = async { while watches.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    let is = async |token: &str, wanted: u16| {
        wait::until("the file to be read again", LIMIT, async || {
            Ok((judge.status(token, "GET", rollouts).await == wanted).then_some(()))
        })
        .await
        .unwrap();
    };
    is(viewer, 401).await;
    let deed = judge.judge.create(&alone("seen")).await;
    assert_eq!(deed.unwrap().id, "seen");
    let more = tokio::time::timeout(LIMIT, stays.chunk()).await.unwrap();
    assert!(more.unwrap().is_some(), "another's stream goes on");
    let carol = tokens::add(file, "viewer", "carol").unwrap();
    is(&carol, 200).await;

    // A file that others may read is not taken, and what was known goes on to be.
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let dave = tokens::add(file, "viewer", "dave").unwrap();
    let log = judge.judge.process().unwrap();
    wait::until("the judge to say so", LIMIT, async || {
        Ok(log.log_tail().contains("chmod 600").then_some(()))
    })
    .await
    .unwrap();
    // 429 rather than 401, after so many wrong ones.
    assert_ne!(judge.status(&dave, "GET", rollouts).await, 200);
    assert_eq!(judge.status(&carol, "GET", rollouts).await, 200);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    log.hang_up().await.unwrap();
    is(&dave, 200).await;
}

#[tokio::test]
async fn who_guesses_is_made_to_wait_and_nobody_else_is() {
    let judge = Guarded::start().await;
    let mut limited = None;
    for number in 0..600 {
        let answer = judge
            .with(&format!("serinus_{number}"), "GET", "/v1/rollouts")
            .await;
        match answer.status().as_u16() {
            401 => {}
            429 => {
                limited = Some(answer);
                break;
            }
            other => panic!("{other}"),
        }
    }
    let limited = limited.expect("nobody was made to wait");
    let seconds = limited.headers()[RETRY_AFTER].to_str().unwrap();
    assert!(
        (1..=5).contains(&seconds.parse::<u32>().unwrap()),
        "{seconds}"
    );
    assert!(detail(limited).await.contains("wrong tokens"));
    let right = judge.status(&judge.tokens.viewer, "GET", "/v1/rollouts");
    assert_eq!(right.await, 200, "the right token is let in all the same");

    // Deeds of one token are limited too, and reports are not.
    let mut seen = Vec::new();
    for _ in 0..600 {
        let promote = judge.status(&judge.tokens.operator, "POST", "/v1/rollouts/r/promote");
        let status = promote.await;
        seen.push(status);
        if status == 429 {
            break;
        }
    }
    assert_eq!(seen.iter().filter(|status| **status == 429).count(), 1);
    assert!(seen.len() >= 300, "only {} were let through", seen.len());
    for _ in 0..400 {
        let report = judge
            .status(&judge.tokens.proxy, "POST", "/v1/reports")
            .await;
        assert_eq!(report, 400);
    }
}

#[tokio::test]
async fn the_page_keeps_its_token_where_no_script_and_no_other_site_gets_it() {
    let judge = Guarded::start().await;
    assert_eq!(judge.ask("GET", "/", &[]).await.status(), 200);
    let begun = judge
        .with(&judge.tokens.operator, "POST", "/v1/session")
        .await;
    assert_eq!(begun.status(), 200);
    let cookie = begun.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let session = judge.ask("GET", "/v1/session", &[("cookie", cookie)]).await;
    let session: Value = serde_json::from_str(&session.text().await.unwrap()).unwrap();
    assert_eq!(
        (&session["name"], &session["role"]),
        (&"alice".into(), &"operator".into())
    );
    assert_eq!(session["guarded"], true);

    judge.judge.create(&alone("r")).await.unwrap();
    let pause = "/v1/rollouts/r/pause";
    let origin = judge.judge.address();
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", origin.as_str(), 200),
    ] {
        let headers = [("cookie", cookie), (name, value)];
        let answer = judge.ask("POST", pause, &headers).await;
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
    let ended = judge
        .ask("DELETE", "/v1/session", &[("cookie", cookie)])
        .await;
    let cleared = ended.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cleared.contains("serinus_token=;") && cleared.contains("Max-Age=0"));
    let by_cookie_alone = judge
        .ask("POST", "/v1/session", &[("cookie", cookie)])
        .await;
    assert_eq!(by_cookie_alone.status(), 400);
}

#[tokio::test]
async fn a_name_of_somebody_elses_is_not_answered_without_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.option("--host", "judge.example");
    judge.start().await.unwrap();
    let ask = async |host: &str| {
        let url = format!("{}/v1/rollouts", judge.address());
        let request = Client::new().get(url).header("host", host);
        request.send().await.unwrap()
    };
    for host in ["127.0.0.1:1", "localhost", "serinus-judge", "judge.example"] {
        assert_eq!(ask(host).await.status(), 200, "{host}");
    }
    let answer = ask("rebound.example:8090").await;
    assert_eq!(answer.status(), 421);
    assert!(detail(answer).await.contains("rebound.example"));

    let session = judge.call(Method::GET, "/v1/session", None).await.unwrap();
    assert_eq!(session.body["guarded"], false);
    let begun = judge.call(Method::POST, "/v1/session", None).await.unwrap();
    assert_eq!(begun.status, 409, "{}", begun.body);
}

/// The command fails before it listens, and says what to do.
#[tokio::test]
async fn a_door_that_would_be_open_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens::Tokens::new(folder.path()).unwrap();
    let refused = async |options: &[&str], words: &str| {
        let output = Command::new(artefacts::program("serinus").unwrap())
            .args(["serve", "--store"])
            .arg(folder.path().join("judge.sqlite"))
            .args(options)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains(words), "`{words}` is not in {said}");
        assert!(!said.contains("panicked"), "{said}");
    };
    refused(
        &["--listen", "0.0.0.0:0"],
        "nobody would be asked for a token",
    )
    .await;
    refused(&["--listen", "[::]:0"], "--allow-remote").await;
    let metrics = ["--listen", "127.0.0.1:0", "--metrics-listen", "0.0.0.0:0"];
    refused(&metrics, "--metrics-listen: 0.0.0.0:0 can be reached").await;
    refused(
        &["--tokens", "/nowhere/tokens"],
        "--tokens: failed to read /nowhere/tokens",
    )
    .await;
    let path = tokens.path();
    std::fs::set_permissions(tokens.file(), std::fs::Permissions::from_mode(0o604)).unwrap();
    refused(&["--tokens", &path], "run `chmod 600 ").await;
    std::fs::set_permissions(tokens.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(tokens.file(), "operator alice secret\n").unwrap();
    refused(&["--tokens", &path], "line 1: `secret` is no SHA-256").await;
    refused(&["--client-ca", &path], "--tls-certificate").await;
}

#[tokio::test]
async fn the_command_line_says_who_asks() {
    let judge = Guarded::start().await;
    let run = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = Command::new(artefacts::program("serinus").unwrap())
            .args(arguments)
            .args(["--judge", &judge.judge.address()])
            .envs(environment.iter().copied())
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code().unwrap(), said)
    };
    let (code, said) = run(&["get"], &[]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("SERINUS_TOKEN"), "{said}");
    let viewer = judge.tokens.viewer.as_str();
    assert_eq!(run(&["get", "--token", viewer], &[]).await.0, 0);
    assert_eq!(run(&["get"], &[("SERINUS_TOKEN", viewer)]).await.0, 0);
    let file = judge.folder.path().join("token");
    std::fs::write(&file, format!("{viewer}\n")).unwrap();
    let file = file.display().to_string();
    assert_eq!(run(&["get", "--token-file", &file], &[]).await.0, 0);
    let (code, said) = run(&["abort", "r", "--token-file", &file], &[]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("needs the role operator"), "{said}");
    // Which version a user has is for whoever may look; the secret of pseudonyms is not.
    let spec = judge.folder.path().join("r.json");
    std::fs::write(&spec, alone("r").to_string()).unwrap();
    let spec = spec.display().to_string();
    let operator = judge.tokens.operator.as_str();
    let (code, said) = run(&["apply", "-f", &spec, "--token", operator], &[]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&["assign", "r", "ada", "--token-file", &file], &[]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ada"), "{said}");
    let url = format!("{}/v1/plan/public", judge.judge.address());
    let plan = reqwest::Client::new().get(url).bearer_auth(viewer).send();
    let plan: Value = plan.await.unwrap().json().await.unwrap();
    assert_eq!(plan["rollouts"][0]["identity_key"], "0".repeat(32));
    let (code, said) = run(&["get", "--token", "a b"], &[]).await;
    assert_eq!(code, 2, "{said}");
    let (_, help) = run(&["get", "--help"], &[("SERINUS_TOKEN", viewer)]).await;
    assert!(!help.contains(viewer), "{help}");
}
