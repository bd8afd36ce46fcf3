//! Three judges on one PostgreSQL: all take reports and give plans out, one judges.
//! The one that judges is killed, frozen and cut off, and nothing is lost.

use crate::world::{LIMIT, steady};
use crate::xds::{Proxy, client, proxies_are, serve_ecds, subscribe};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::postgres::Postgres;
use serinus_tests::relay::Relay;
use serinus_tests::wait;
use std::collections::BTreeSet;
use std::path::PathBuf;

const ID: &str = "several";

/// Judges that reach their database each by a line of its own, which can be cut.
struct Judges {
    judges: Vec<Judge>,
    lines: Vec<Relay>,
    http: reqwest::Client,
    /// A database of this test's own.
    _folder: tempfile::TempDir,
}

/// A worker as the judges see it: it sends each report, to one judge after another,
/// until one of them acknowledges it.
struct Worker {
    session: String,
    sequence: u64,
    epoch: u64,
    /// Requests in acknowledged reports.
    counted: u64,
    revisions: Vec<(u64, u64)>,
}

impl Judges {
    async fn start(count: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = Postgres::shared().await?.database().await?;
        let mut judges = Vec::new();
        let mut lines = Vec::new();
        for number in 0..count {
            let line = Relay::start(database.address()).await?;
            let own: PathBuf = folder.path().join(format!("judge-{number}"));
            std::fs::create_dir(&own)?;
            let mut judge = Judge::new(&own)?;
            judge.store(&database.url_by(line.port()));
            serve_ecds(&mut judge, &own)?;
            judge.start().await?;
            judges.push(judge);
            lines.push(line);
        }
        let judges = Self {
            judges,
            lines,
            http: reqwest::Client::new(),
            _folder: folder,
        };
        judges.leader(&[]).await?;
        Ok(judges)
    }

    /// Which of them says that it judges, but for those that cannot be asked; the others
    /// know it by then, and pass on to it what they are asked.
    async fn leader(&self, without: &[usize]) -> Result<usize> {
        wait::until("a judge to judge", LIMIT, async || {
            let mut found = Vec::new();
            let mut all_know = true;
            for (number, judge) in self.judges.iter().enumerate() {
                if without.contains(&number) {
                    continue;
                }
                let ready = judge.call(Method::GET, "/health/ready", None).await?;
                if ready.body["role"] == "leader" {
                    found.push(number);
                }
                let asked = judge.call(Method::GET, "/v1/rollouts", None).await?;
                all_know &= asked.status == 200;
            }
            if found.len() > 1 {
                return Err(format!("judges {found:?} all say that they judge").into());
            }
            Ok(found.first().copied().filter(|_| all_know))
        })
        .await
    }

    /// The rollout's state, as the judge says that judges.
    async fn status(&self, by: usize) -> Result<Value> {
        let path = format!("/v1/rollouts/{ID}");
        let reply = self.judges[by].call(Method::GET, &path, None).await?;
        if reply.status == 200 {
            Ok(reply.body)
        } else {
            Err(format!("{}: {}", reply.status, reply.body).into())
        }
    }

    /// Has a report counted by the first judge that does, beginning with `first`.
    async fn send(&self, worker: &mut Worker, first: usize, canary_fails: bool) -> Result<()> {
        worker.sequence += 1;
        let body = worker.report(canary_fails);
        let mut turn = first;
        wait::until("a judge to take a report", LIMIT, async || {
            let judge = &self.judges[turn % self.judges.len()];
            turn += 1;
            let sent = self
                .http
                .post(format!("{}/v1/reports", judge.address()))
                .timeout(std::time::Duration::from_secs(1))
                .body(body.clone())
                .send()
                .await;
            let Ok(answer) = sent else {
                return Ok(None);
            };
            match answer.status().as_u16() {
                200 => Ok(Some(())),
                429 | 503 => Ok(None),
                other => Err(format!("{other}: {}", answer.text().await?).into()),
            }
        })
        .await?;
        worker.counted += 20;
        Ok(())
    }

    /// What a worker sees of the plan: asked with its own revision, whoever answers.
    async fn poll(&self, worker: &mut Worker, by: usize) -> Result<()> {
        let known = worker.revisions.last().copied().unwrap_or_default();
        let path = format!(
            "/v1/plan?revision={}.{}&wait=0&session={}",
            known.0, known.1, worker.session
        );
        let reply = self.judges[by].call(Method::GET, &path, None).await?;
        if reply.status == 200 {
            let revision = &reply.body["revision"];
            let number = |name: &str| revision[name].as_u64().unwrap_or_default();
            worker
                .revisions
                .push((number("generation"), number("counter")));
        }
        Ok(())
    }

    async fn counted(&self, by: usize, expected: u64) -> Result<()> {
        let what = format!("{expected} requests in the books");
        wait::until(&what, LIMIT, async || {
            let status = self.status(by).await?;
            let counted: u64 = status["traffic"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|arm| arm["exposures"].as_u64())
                .sum();
            if counted > expected {
                return Err(format!("{counted} requests counted, {expected} sent").into());
            }
            Ok((counted == expected).then_some(()))
        })
        .await
    }

    /// Decisions in their order, each once, and a chain that holds.
    async fn chain_holds(&self, by: usize) -> Result<Vec<String>> {
        let decisions = self.judges[by].decisions(ID).await?;
        let numbers: Vec<u64> = decisions.iter().map(|one| one.sequence).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected);
        Ok(decisions.into_iter().map(|one| one.action).collect())
    }

    fn signal(&self, number: usize, signal: &str) -> Result<()> {
        let id = self.judges[number].process().and_then(|one| one.id());
        let id = id.ok_or("the judge does not run")?.to_string();
        let done = std::process::Command::new("kill")
            .args([signal, &id])
            .status()
            .during("send a signal")?;
        done.success().then_some(()).ok_or("kill failed".into())
    }
}

impl Worker {
    fn new(number: u64, epoch: u64) -> Self {
        Self {
            session: format!("{number:032x}"),
            sequence: 0,
            epoch,
            counted: 0,
            revisions: Vec::new(),
        }
    }

    /// Twenty requests of users whom nobody saw before.
    fn report(&self, canary_fails: bool) -> String {
        let arm = |name: &str, failed: u64| json!({"arm": name, "slots": [[self.sequence % 256, 10, 10, failed, 10_000, []]]});
        let unit = |number: u64| self.sequence * 1_000 + number;
        let failed = if canary_fails { 10 } else { 0 };
        let failures: Vec<Value> = (0..failed).map(|number| json!([unit(number), 1])).collect();
        json!({
            "version": 1,
            "session": self.session,
            "sequence": self.sequence,
            "revision": null,
            "rollouts": [{
                "rollout": ID,
                "epoch": self.epoch,
                "arms": [arm(CONTROL, 0), arm(CANARY, failed)],
                "new_units": (0..20).map(|number| json!([unit(number), number / 10])).collect::<Vec<_>>(),
                "first_errors": failures,
            }],
        })
        .to_string()
    }

    fn revisions_only_rise(&self) {
        assert!(!self.revisions.is_empty());
        let distinct: BTreeSet<_> = self.revisions.iter().collect();
        assert_eq!(distinct.len(), self.revisions.len(), "{:?}", self.revisions);
        assert!(self.revisions.is_sorted(), "{:?}", self.revisions);
    }
}

/// How the judge that judges is taken out of the others' way, and let back.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Killed,
    Frozen,
    CutOff,
}

impl Trouble {
    async fn begin(self, judges: &mut Judges, leader: usize) -> Result<()> {
        match self {
            Self::Killed => judges.judges[leader].kill().await,
            Self::Frozen => judges.signal(leader, "-STOP"),
            Self::CutOff => {
                judges.lines[leader].cut();
                Ok(())
            }
        }
    }

    async fn end(self, judges: &mut Judges, leader: usize) -> Result<()> {
        match self {
            Self::Killed => judges.judges[leader].start().await,
            Self::Frozen => judges.signal(leader, "-CONT"),
            Self::CutOff => {
                judges.lines[leader].mend();
                Ok(())
            }
        }
    }
}

async fn another_goes_on(trouble: Trouble) {
    let mut judges = Judges::start(3).await.unwrap();
    let leader = judges.leader(&[]).await.unwrap();
    // Whoever is asked passes it on to the one that judges.
    let follower = (leader + 1) % 3;
    let created = judges.judges[follower].create(&steady(ID)).await.unwrap();
    let epoch = judges.status(leader).await.unwrap()["epoch"]
        .as_u64()
        .unwrap();
    assert_eq!(created.id, ID);
    let mut worker = Worker::new(1, epoch);
    for round in 0..30 {
        judges.send(&mut worker, round, false).await.unwrap();
        judges.poll(&mut worker, round % 3).await.unwrap();
    }
    judges.counted(leader, worker.counted).await.unwrap();

    trouble.begin(&mut judges, leader).await.unwrap();
    // Reports are taken while nobody judges.
    for round in 0..10 {
        judges.send(&mut worker, round, false).await.unwrap();
    }
    let next = judges.leader(&[leader]).await.unwrap();
    assert_ne!(next, leader);
    for round in 0..30 {
        judges.send(&mut worker, round, false).await.unwrap();
    }
    judges.counted(next, worker.counted).await.unwrap();
    judges.judges[next]
        .act(ID, "promote", "to 25%")
        .await
        .unwrap();
    judges.poll(&mut worker, next).await.unwrap();

    trouble.end(&mut judges, leader).await.unwrap();
    // It is one of them again, judges nothing, and knows the newest plan.
    let newest = *worker.revisions.last().unwrap();
    wait::until("the judge of before to follow", LIMIT, async || {
        let reply = judges.judges[leader]
            .call(Method::GET, "/v1/plan?wait=0", None)
            .await?;
        let counter = reply.body["revision"]["counter"].as_u64();
        Ok((counter == Some(newest.1)).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(judges.leader(&[]).await.unwrap(), next);
    for round in 0..10 {
        judges.send(&mut worker, round, false).await.unwrap();
        judges.poll(&mut worker, round % 3).await.unwrap();
    }
    judges.counted(leader, worker.counted).await.unwrap();
    worker.revisions_only_rise();
    assert_eq!(
        judges.chain_holds(leader).await.unwrap(),
        ["create", "promote"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_goes_on_when_the_judge_that_judges_is_killed() {
    another_goes_on(Trouble::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_goes_on_when_it_is_frozen_past_its_lease() {
    another_goes_on(Trouble::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_goes_on_when_it_is_cut_off_from_the_database() {
    another_goes_on(Trouble::CutOff).await;
}

/// All evidence for a rollback goes to judges that do not judge.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_others_took_rolls_back() {
    let judges = Judges::start(2).await.unwrap();
    let leader = judges.leader(&[]).await.unwrap();
    let follower = 1 - leader;
    judges.judges[follower].create(&steady(ID)).await.unwrap();
    let epoch = judges.status(leader).await.unwrap()["epoch"]
        .as_u64()
        .unwrap();
    let mut worker = Worker::new(2, epoch);
    for _ in 0..30 {
        judges.send(&mut worker, follower, true).await.unwrap();
    }
    wait::until("a rollback", LIMIT, async || {
        let status = judges.status(follower).await?;
        Ok((status["phase"] == "rolled_back").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(
        judges.chain_holds(follower).await.unwrap(),
        ["create", "roll_back"]
    );
}

/// A proxy on ECDS speaks to one judge, and the one that judges knows what it says; so
/// does the next one, which was never told of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_says_to_one_judge_the_one_that_judges_knows() {
    let mut judges = Judges::start(3).await.unwrap();
    let leader = judges.leader(&[]).await.unwrap();
    let follower = (leader + 1) % 3;
    let mut client = client(&judges.judges[follower]).await;
    let mut proxy = Proxy::open(&mut client, subscribe("refuses", &["serinus"])).await;
    let first = proxy.response().await.unwrap();
    proxy.answer(&first.nonce, None).await;
    judges.judges[leader].create(&steady(ID)).await.unwrap();
    let second = proxy.response().await.unwrap();
    proxy.answer(&second.nonce, Some("not with me")).await;

    let refuses = |proxies: &Value| {
        let proxy = &proxies[0];
        proxy["connected"] == true && !proxy["accepted"].is_null() && proxy["why"] == "not with me"
    };
    proxies_are(&judges.judges[leader], refuses).await;
    let workers = judges.judges[leader]
        .call(Method::GET, "/v1/workers", None)
        .await
        .unwrap();
    assert_eq!(workers.body[0]["refused"], "not with me", "{workers:?}");

    judges.judges[leader].kill().await.unwrap();
    let next = judges.leader(&[leader]).await.unwrap();
    proxies_are(&judges.judges[next], refuses).await;
    drop(proxy);
    proxies_are(&judges.judges[next], |proxies| {
        proxies[0]["connected"] == false
    })
    .await;
}

/// Proxies, gateways and browsers speak HTTP/2; judges speak HTTP/1.1 among themselves.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_by_http2_is_passed_on() {
    let judges = Judges::start(2).await.unwrap();
    let leader = judges.leader(&[]).await.unwrap();
    let follower = &judges.judges[1 - leader];
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = |path: &str| format!("{}{path}", follower.address());
    let created = http.post(url("/v1/rollouts")).json(&steady(ID)).send();
    let created = created.await.unwrap();
    assert_eq!(created.version(), reqwest::Version::HTTP_2);
    assert_eq!(created.status(), 201, "{:?}", created.text().await);
    let read = http
        .get(url(&format!("/v1/rollouts/{ID}")))
        .header("te", "trailers");
    let read = read.send().await.unwrap();
    assert_eq!(read.status(), 200, "{:?}", read.text().await);
    assert_eq!(judges.status(leader).await.unwrap()["id"], ID);
}
