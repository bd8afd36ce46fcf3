//! Server-sent events: who watches is told what changes, without asking.

use crate::world::alone;
use reqwest::{Client, Response};
use serde_json::Value;
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

struct Stream {
    answer: Response,
    rest: String,
}

impl Stream {
    async fn open(judge: &Judge, path: &str) -> Self {
        let url = format!("{}{path}", judge.address());
        let answer = Client::new().get(url).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            rest: String::new(),
        }
    }

    /// The next event; `None` at the end. Comments keep the connection alive only.
    async fn next(&mut self) -> Result<Option<(String, Value)>> {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let event = field("event").zip(field("data"));
                let event = event.map(|(name, data)| (name.to_owned(), data.to_owned()));
                self.rest = rest.to_owned();
                if let Some((name, data)) = event {
                    return Ok(Some((name, serde_json::from_str(&data)?)));
                }
            }
            let more = tokio::time::timeout(LIMIT, self.answer.chunk()).await;
            let Some(more) = more.during("wait for an event")?.during("read events")? else {
                return Ok(None);
            };
            self.rest.push_str(core::str::from_utf8(&more)?);
        }
    }

    /// The next event of this name for which this holds; others may come between.
    async fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.next().await.unwrap() {
                Some((found, data)) if found == name && holds(&data) => return data,
                Some(_) => {}
                None => panic!("the stream ended before a {name}"),
            }
        }
    }
}

#[tokio::test]
async fn who_watches_is_told_of_deeds_and_deletions() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    judge.create(&alone("first")).await.unwrap();
    let mut all = Stream::open(&judge, "/v1/events").await;
    let (name, data) = all.next().await.unwrap().unwrap();
    assert_eq!(
        (name.as_str(), &data["ids"]),
        ("listed", &serde_json::json!(["first"]))
    );
    let (name, data) = all.next().await.unwrap().unwrap();
    assert_eq!((name.as_str(), &data["id"]), ("rollout", &"first".into()));

    let mut one = Stream::open(&judge, "/v1/rollouts/first/events").await;
    judge.create(&alone("second")).await.unwrap();
    let of = |id: &'static str| move |data: &Value| data["id"] == id;
    all.until("rollout", of("second")).await;
    let made = all
        .until("decision", |data| data["rollout"] == "second")
        .await;
    assert_eq!(made["decision"]["action"], "create");

    judge.act("first", "pause", "to look").await.unwrap();
    for stream in [&mut all, &mut one] {
        let made = stream.until("decision", |_| true).await;
        assert_eq!(made["rollout"], "first", "{made}");
        assert_eq!(made["decision"]["action"], "pause");
        assert_eq!(made["decision"]["reasons"][0], "to look");
    }
    judge.act("first", "abort", "enough").await.unwrap();
    one.until("rollout", |data| data["phase"] == "aborted")
        .await;
    let path = "/v1/rollouts/first";
    let deleted = judge
        .call(reqwest::Method::DELETE, path, None)
        .await
        .unwrap();
    assert_eq!(deleted.status, 204);
    all.until("deleted", of("first")).await;
    one.until("deleted", of("first")).await;
    assert_eq!(one.next().await.unwrap(), None, "nothing more can be told");

    let unknown = judge
        .call(reqwest::Method::GET, "/v1/rollouts/first/events", None)
        .await;
    assert_eq!(unknown.unwrap().status, 404);
}
