//! The judge's clock is set forward and back while it runs, by days: nothing is counted
//! twice or lost, and what it decided stays a chain.

use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::wait;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ID: &str = "clock";
const LIMIT: Duration = Duration::from_secs(60);

/// A clock that a program reads through libfaketime, and the test sets.
struct Clock(PathBuf);

impl Clock {
    fn of(judge: &mut Judge, folder: &Path) -> Result<Self> {
        let clock = Self(folder.join("clock"));
        clock.set("+0")?;
        let library = artefacts::faketime()?.display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &clock.0.display().to_string()),
            // It is looked for at each reading.
            ("FAKETIME_NO_CACHE", "1"),
            // A clock that somebody sets is the wall's alone.
            ("DONT_FAKE_MONOTONIC", "1"),
        ] {
            judge.environment(name, value);
        }
        Ok(clock)
    }

    /// By so much from what it really is: `+8d`, `-3h`.
    fn set(&self, offset: &str) -> Result<()> {
        let next = self.0.with_extension("next");
        std::fs::write(&next, offset)?;
        Ok(std::fs::rename(next, &self.0)?)
    }
}

/// A worker's report of ten requests.
fn report(session: &str, sequence: u64, epoch: u64) -> String {
    json!({
        "version": 1, "session": session.repeat(16), "sequence": sequence, "revision": null,
        "rollouts": [{"rollout": ID, "epoch": epoch, "arms": [
            {"arm": "control", "slots": [[7, 10, 10, 0, 50, []]]}]}],
    })
    .to_string()
}

/// Whether it had been counted before.
async fn is_duplicate(judge: &Judge, report: &str) -> bool {
    let sent = judge.call(Method::POST, "/v1/reports", Some(report));
    let answer = sent.await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["duplicate"].as_bool().unwrap()
}

async fn counted(judge: &Judge) -> u64 {
    judge
        .status(ID)
        .await
        .unwrap()
        .traffic_of("control")
        .exposures
}

/// By hash: how one reached the workers is measured after it.
async fn decisions(judge: &Judge) -> Vec<Value> {
    let path = format!("/v1/rollouts/{ID}/decisions");
    let reply = judge.call(Method::GET, &path, None).await.unwrap();
    let decisions = reply.body.as_array().unwrap().iter();
    decisions.map(|decision| decision["hash"].clone()).collect()
}

#[tokio::test]
async fn a_clock_that_jumps_by_days_loses_nothing_and_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    let clock = Clock::of(&mut judge, folder.path()).unwrap();
    judge.start().await.unwrap();
    let spec = json!({
        "id": ID,
        "match": {"path_prefix": "/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control"}, {"name": "canary"}],
        "minimum": {"seconds": 86_000, "exposures": 500},
        "deadline": {"seconds": 86_400, "then": "pause"},
    });
    judge.create(&spec).await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let epoch = plan.body["rollouts"][0]["epoch"].as_u64().unwrap();

    assert!(!is_duplicate(&judge, &report("aa", 1, epoch)).await);
    let mut sent = vec!["aa"];
    for (jump, session) in [("-8d", "bb"), ("+8d", "cc"), ("-30y", "dd"), ("+0", "ee")] {
        clock.set(jump).unwrap();
        assert!(
            !is_duplicate(&judge, &report(session, 1, epoch)).await,
            "{jump}"
        );
        sent.push(session);
        let requests = 10 * sent.len() as u64;
        assert_eq!(counted(&judge).await, requests, "{jump}");
        if jump == "+8d" {
            // A day's deadline is over, by this clock.
            wait::until("the deadline", LIMIT, async || {
                let status = judge.status(ID).await?;
                Ok((status.phase == Phase::Paused).then_some(()))
            })
            .await
            .unwrap();
        } else {
            let deed = match judge.status(ID).await.unwrap().phase {
                Phase::Paused => "resume",
                _ => "pause",
            };
            judge.act(ID, deed, jump).await.unwrap();
        }
        // Whoever was not answered sends again, to a judge that begins from its disk.
        let before = decisions(&judge).await;
        judge.kill().await.unwrap();
        judge.start().await.unwrap();
        for session in &sent {
            let again = report(session, 1, epoch);
            assert!(is_duplicate(&judge, &again).await, "{session} after {jump}");
        }
        assert_eq!(counted(&judge).await, requests, "{jump}");
        assert!(decisions(&judge).await.starts_with(&before), "{jump}");
    }
}
