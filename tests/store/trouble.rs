//! A store that fails for a while: workers are asked to wait, nothing that was
//! acknowledged is lost, nothing is counted twice, and the judge goes on by itself.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::postgres::Postgres;
use serinus_tests::wait;
use std::time::Duration;
use tokio::process::Command;

pub const ID: &str = "trouble";

pub const LIMIT: Duration = Duration::from_secs(60);

/// A worker as the judge sees it.
struct Worker<'judge> {
    judge: &'judge Judge,
    http: reqwest::Client,
    epoch: u64,
    sequence: u64,
    acknowledged: u64,
}

/// What the judge said to a report.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Counted,
    /// Wait, and send it again.
    Wait,
}

impl<'judge> Worker<'judge> {
    async fn new(judge: &'judge Judge) -> Result<Self> {
        let plan = judge.call(Method::GET, "/v1/plan", None).await?;
        Ok(Self {
            judge,
            http: reqwest::Client::new(),
            epoch: plan.body["rollouts"][0]["epoch"]
                .as_u64()
                .ok_or("the plan has no epoch")?,
            sequence: 0,
            acknowledged: 0,
        })
    }

    /// Sends the report that is due: the same one until it is acknowledged. Its users are
    /// new, and as many as a large report has, so that the store has something to write.
    async fn send(&mut self) -> Result<Said> {
        let first = self.sequence * 2_000;
        let users: Vec<Value> = (first..first + 2_000)
            .map(|user| json!([user, 0]))
            .collect();
        let report = json!({
            "version": 1, "session": "7e".repeat(16), "sequence": self.sequence + 1, "revision": null,
            "rollouts": [{"rollout": ID, "epoch": self.epoch, "new_units": users, "arms": [
                {"arm": CONTROL, "slots": [[3, 1, 1, 0, 900, []]]}, {"arm": CANARY, "slots": []},
            ]}],
        });
        let url = format!("{}/v1/reports", self.judge.address());
        let answer = self.http.post(url).body(report.to_string()).send().await;
        let answer = answer.during("send a report")?;
        let headers = answer.headers();
        if !headers.contains_key("x-serinus-judge") {
            return Err("an answer without the judge's header".into());
        }
        match answer.status() {
            StatusCode::OK => {
                self.sequence += 1;
                self.acknowledged += 1;
                Ok(Said::Counted)
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                if headers.contains_key("retry-after") {
                    Ok(Said::Wait)
                } else {
                    Err("asked to wait, and not for how long".into())
                }
            }
            other => Err(format!("{other}: {}", answer.text().await?).into()),
        }
    }

    async fn until(&mut self, wanted: Said) -> Result<()> {
        let what = format!("a report to be answered with {wanted:?}");
        wait::until(&what, LIMIT, async || {
            Ok((self.send().await? == wanted).then_some(()))
        })
        .await
    }

    /// All that was acknowledged is in the books, once.
    async fn check(&self) -> Result<()> {
        let status = self.judge.status(ID).await?;
        let counted = status.traffic_of(CONTROL).exposures;
        if counted == self.acknowledged {
            Ok(())
        } else {
            Err(format!("{counted} counted, {} acknowledged", self.acknowledged).into())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_waited_for() {
    let mut server = Postgres::start(&[]).await.unwrap();
    let database = server.database().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.store(&database.url());
    judge.start().await.unwrap();
    created(&judge).await.unwrap();
    let before = judge.process().unwrap().id();
    let mut worker = Worker::new(&judge).await.unwrap();
    for _ in 0..2 {
        for _ in 0..5 {
            worker.until(Said::Counted).await.unwrap();
        }
        server.stop().unwrap();
        for _ in 0..3 {
            worker.until(Said::Wait).await.unwrap();
        }
        server.start_again().unwrap();
        worker.until(Said::Counted).await.unwrap();
        worker.check().await.unwrap();
    }
    assert_eq!(judge.process().unwrap().id(), before, "it started anew");
    let acknowledged = worker.acknowledged;
    judge.kill().await.unwrap();
    judge.start().await.unwrap();
    let mut worker = Worker::new(&judge).await.unwrap();
    worker.acknowledged = acknowledged;
    // With a lease to be had first, it may take a moment until it judges again.
    wait::until("the judge to judge again", LIMIT, async || {
        let reply = judge
            .call(Method::GET, &format!("/v1/rollouts/{ID}"), None)
            .await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await
    .unwrap();
    worker.check().await.unwrap();
}

/// A limit of a file's size does to one process what a full disk does to all.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    let serinus = artefacts::program("serinus").unwrap();
    // Without the trap the system would end a process that writes too much.
    let limited = format!(
        "trap '' XFSZ; ulimit -S -f 1500; exec {} \"$@\"",
        serinus.display()
    );
    judge.command(["bash", "-c", &limited, "serinus"]);
    judge.start().await.unwrap();
    created(&judge).await.unwrap();
    let id = judge.process().unwrap().id().unwrap();
    let mut worker = Worker::new(&judge).await.unwrap();
    for room in [3_000_000, 10_000_000] {
        worker.until(Said::Wait).await.unwrap();
        assert!(worker.acknowledged > 0);
        let acknowledged = worker.acknowledged;
        for _ in 0..3 {
            worker.until(Said::Wait).await.unwrap();
        }
        assert_eq!(worker.acknowledged, acknowledged, "nothing fits");
        let raised = Command::new("prlimit")
            .args(["--pid", &id.to_string(), &format!("--fsize={room}:")])
            .status();
        assert!(raised.await.unwrap().success());
        worker.until(Said::Counted).await.unwrap();
        worker.check().await.unwrap();
    }
    assert_eq!(judge.process().unwrap().id(), Some(id), "it started anew");
    let acknowledged = worker.acknowledged;
    judge.kill().await.unwrap();
    judge.command([&serinus]);
    judge.start().await.unwrap();
    let mut worker = Worker::new(&judge).await.unwrap();
    worker.acknowledged = acknowledged;
    worker.check().await.unwrap();
}

pub async fn created(judge: &Judge) -> Result<()> {
    // Its first step lasts longer than the test.
    let spec = json!({
        "id": ID,
        "match": {"path_prefix": "/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": CONTROL}, {"name": CANARY}],
        "minimum": {"seconds": 86_000},
    })
    .to_string();
    wait::until("the judge to take a rollout", LIMIT, async || {
        let reply = judge
            .call(Method::POST, "/v1/rollouts", Some(&spec))
            .await?;
        match reply.status {
            201 => Ok(Some(())),
            503 => Ok(None),
            other => Err(format!("{other}: {}", reply.body).into()),
        }
    })
    .await
}
