//! Requests that say under which conditions they are meant: `If-Match`, and keys under
//! which nothing is done twice. And lists that come in pages.

use crate::world::{alone, steady};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;

struct Api {
    judge: Judge,
    http: Client,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        judge.start().await.unwrap();
        Self {
            judge,
            http: Client::new(),
            _folder: folder,
        }
    }

    /// A field of each that is listed, two at a time.
    async fn pages(&self, first: &str, field: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut next = Some(first.to_owned());
        while let Some(path) = next {
            let page = self.get(&path, &[]).await;
            let listed = page.body.as_array().unwrap();
            assert!((1..=2).contains(&listed.len()), "{}", page.body);
            let fields = listed.iter().map(|one| one[field].as_str().unwrap());
            found.extend(fields.map(str::to_owned));
            next = page.headers.get("link").map(|link| {
                let link = link.to_str().unwrap();
                let (path, rest) = link[1..].split_once('>').unwrap();
                assert_eq!(rest, "; rel=\"next\"");
                path.to_owned()
            });
        }
        found
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.judge.address());
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.during("ask the judge")?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.during("read the answer")?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.ask(Method::POST, path, headers, body).await.unwrap()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let asked = self.ask(Method::GET, path, headers, &Value::Null).await;
        asked.unwrap()
    }

    async fn decisions(&self, id: &str) -> usize {
        self.judge.decisions(id).await.unwrap().len()
    }
}

impl Answer {
    fn tag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }
}

#[tokio::test]
async fn a_deed_is_done_only_to_what_was_looked_at() {
    let api = Api::start().await;
    let created = api.post("/v1/rollouts", &[], &steady("tagged")).await;
    assert_eq!(created.status, 201);
    let path = "/v1/rollouts/tagged";
    let seen = api.get(path, &[]).await;
    assert_eq!(seen.tag(), created.tag());
    assert_eq!(seen.tag(), format!("{}", seen.body["version"]));
    let again = api.get(path, &[("if-none-match", seen.tag())]).await;
    assert_eq!(
        (again.status, again.body),
        (StatusCode::NOT_MODIFIED, Value::Null)
    );

    let pause = format!("{path}/pause");
    let paused = api
        .post(&pause, &[("if-match", seen.tag())], &json!({}))
        .await;
    assert_eq!(paused.status, 200);
    assert_ne!(paused.tag(), seen.tag());
    // Somebody else looked at it before that.
    for deed in ["resume", "abort", "promote", "arms/canary/drop"] {
        let late = api
            .post(
                &format!("{path}/{deed}"),
                &[("if-match", seen.tag())],
                &json!({}),
            )
            .await;
        assert_eq!(late.status, StatusCode::PRECONDITION_FAILED, "{deed}");
        let detail = late.body["detail"].as_str().unwrap();
        assert!(detail.contains("has changed since"), "{detail}");
    }
    assert_eq!(api.decisions("tagged").await, 2, "nothing was done");
    let seen_again = api.get(path, &[("if-none-match", seen.tag())]).await;
    assert_eq!(seen_again.tag(), paused.tag());
    let tags = format!("\"0-0\", {}", paused.tag());
    let resumed = api
        .post(
            &format!("{path}/resume"),
            &[("if-match", &tags)],
            &json!({}),
        )
        .await;
    assert_eq!(resumed.status, 200);
    let wrong = api.post(&pause, &[("if-match", "0-0")], &json!({})).await;
    assert_eq!(
        (wrong.status, &wrong.body["field"]),
        (StatusCode::BAD_REQUEST, &json!("If-Match"))
    );
    let aborted = api
        .post(&format!("{path}/abort"), &[("if-match", "*")], &json!({}))
        .await;
    assert_eq!(aborted.status, 200);
    let stale = [("if-match", seen.tag())];
    let deleted = api
        .ask(Method::DELETE, path, &stale, &Value::Null)
        .await
        .unwrap();
    assert_eq!(deleted.status, StatusCode::PRECONDITION_FAILED);
    let known = [("if-match", aborted.tag())];
    let deleted = api
        .ask(Method::DELETE, path, &known, &Value::Null)
        .await
        .unwrap();
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_is_asked_again_under_its_key_is_not_done_again() {
    let mut api = Api::start().await;
    let key = [("idempotency-key", "7f3a")];
    let created = api.post("/v1/rollouts", &key, &steady("keyed")).await;
    let again = api.post("/v1/rollouts", &key, &steady("keyed")).await;
    assert_eq!(
        (created.status, again.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(created.tag(), again.tag());
    let mut other = steady("keyed");
    other["holdback_percent"] = json!(1);
    let other = api.post("/v1/rollouts", &key, &other).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let without = api.post("/v1/rollouts", &[], &steady("keyed")).await;
    assert_eq!(without.status, StatusCode::CONFLICT);

    let promote = "/v1/rollouts/keyed/promote";
    let key = [("idempotency-key", "on to 25")];
    let first = api.post(promote, &key, &json!({"reason": "go"})).await;
    assert_eq!(
        (first.status, api.decisions("keyed").await),
        (StatusCode::OK, 2)
    );
    // Also when the judge was started anew between.
    api.judge.kill().await.unwrap();
    api.judge.start().await.unwrap();
    let again = api.post(promote, &key, &json!({"reason": "go"})).await;
    assert_eq!(
        (again.status, api.decisions("keyed").await),
        (StatusCode::OK, 2)
    );
    assert_eq!(first.body["step"], again.body["step"]);
    let used = api
        .post("/v1/rollouts/keyed/pause", &key, &json!({"reason": "go"}))
        .await;
    assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = used.body["detail"].as_str().unwrap();
    assert!(detail.contains("`on to 25`"), "{detail}");
    for wrong in ["", &"k".repeat(256)] {
        let wrong = [("idempotency-key", wrong)];
        let refused = api.post(promote, &wrong, &json!({})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(api.decisions("keyed").await, 2);
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_phase() {
    let api = Api::start().await;
    for id in ["a", "b", "c", "d", "e"] {
        api.judge.create(&alone(id)).await.unwrap();
    }
    for id in ["b", "d"] {
        api.judge.act(id, "pause", "for the list").await.unwrap();
    }
    let ids = |answer: &Answer| -> Vec<String> {
        let list = answer.body.as_array().unwrap().iter();
        list.map(|status| status["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let found = api.pages("/v1/rollouts?limit=2", "id").await;
    assert_eq!(found, ["a", "b", "c", "d", "e"]);
    let paused = api.get("/v1/rollouts?phase=paused", &[]).await;
    assert_eq!(ids(&paused), ["b", "d"]);
    let both = api
        .get("/v1/rollouts?phase=paused,running&after=b&limit=2", &[])
        .await;
    assert_eq!(ids(&both), ["c", "d"]);
    let link = both.headers["link"].to_str().unwrap();
    assert!(
        link.contains("after=d&limit=2&phase=paused,running>"),
        "{link}"
    );
    let wrong = api.get("/v1/rollouts?phase=passed", &[]).await;
    assert_eq!(
        (wrong.status, &wrong.body["field"]),
        (StatusCode::BAD_REQUEST, &json!("phase"))
    );
    let gone = api.get("/v1/rollouts?after=z", &[]).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let wrong = api.get("/v1/rollouts?limit=many&x=1", &[]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_in_pages_too() {
    let api = Api::start().await;
    let sessions: Vec<String> = (0..5).map(|number| format!("{number:032x}")).collect();
    // The nodes' order is not that of the sessions.
    for (session, node) in sessions.iter().zip(["e~1.x", "d", "a", "c", "b b"]) {
        let path = format!("/v1/plan?session={session}&wait=0");
        let polled = api.get(&path, &[("x-serinus-node", node)]).await;
        assert!(polled.status.is_success(), "{}", polled.body);
    }
    let found = api.pages("/v1/workers?limit=2", "node").await;
    assert_eq!(found, ["a", "b b", "c", "d", "e~1.x"]);
    let first = api.get("/v1/workers?limit=2&sort=state", &[]).await;
    assert_eq!(first.body.as_array().unwrap().len(), 2);
    assert!(first.headers.get("link").is_none());
    for query in ["sort=name", "limit=0"] {
        let wrong = api.get(&format!("/v1/workers?{query}"), &[]).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{query}");
    }
}
