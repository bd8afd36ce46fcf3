//! A database of before is put back: a new generation begins, every worker follows, and
//! what it does not know is not mixed into what it does.

use crate::world::{LIMIT, arm_of, ask, canary_after, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::Value;
use serinus_core::plan::Revision;
use serinus_tests::failure::Result;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;
use std::path::{Path, PathBuf};

const ID: &str = "restored";

/// SQLite's file and what is not in it yet.
fn files(lab: &Lab) -> [PathBuf; 2] {
    ["", "-wal"].map(|suffix| format!("{}{suffix}", lab.judge.stored_at()).into())
}

fn copied(file: &Path) -> PathBuf {
    file.with_extension("backup")
        .with_added_extension(file.extension().unwrap_or_default())
}

async fn plan(lab: &Lab) -> (Revision, u64) {
    let reply = lab.judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let revision = &reply.body["revision"];
    let revision = Revision {
        generation: number(&revision["generation"]),
        counter: number(&revision["counter"]),
    };
    (revision, number(&reply.body["rollouts"][0]["epoch"]))
}

/// All users send a request, and are where the steps until now have them.
async fn all_ask(lab: &Lab, users: &[String], canary_percents: &[u16]) {
    let allocation = canary_after(canary_percents);
    for key in users {
        let arm = ask(lab, &[(USER_HEADER, key)]).await.unwrap();
        assert_eq!(
            arm,
            arm_of(&allocation, key, ID),
            "{key} at {canary_percents:?}"
        );
    }
}

async fn counted(lab: &Lab, requests: usize) -> Result<()> {
    wait::until("the requests to be counted", LIMIT, async || {
        let status = lab.judge.status(ID).await?;
        let counted = status.traffic_of(CONTROL).exposures + status.traffic_of(CANARY).exposures;
        if counted > requests as u64 {
            return Err(format!("{counted} counted of {requests}").into());
        }
        Ok((counted == requests as u64).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_yesterday_begins_a_new_generation() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings::default()).await.unwrap();
    let users = keys(60);
    lab.judge.create(&steady(ID)).await.unwrap();
    settled(&lab).await.unwrap();
    all_ask(&lab, &users, &[10]).await;
    counted(&lab, 60).await.unwrap();
    lab.judge.kill().await.unwrap();
    for file in files(&lab) {
        std::fs::copy(&file, copied(&file)).unwrap();
    }

    // What is lost: two steps and their requests.
    lab.judge.start().await.unwrap();
    let mut requests = 60;
    for steps in [[10, 25].as_slice(), &[10, 25, 75]] {
        lab.judge.act(ID, "promote", "up").await.unwrap();
        settled(&lab).await.unwrap();
        all_ask(&lab, &users, steps).await;
        requests += 60;
        counted(&lab, requests).await.unwrap();
    }
    let (lost, lost_epoch) = plan(&lab).await;
    lab.judge.kill().await.unwrap();
    for file in files(&lab) {
        std::fs::copy(copied(&file), &file).unwrap();
    }

    lab.judge.start().await.unwrap();
    settled(&lab).await.unwrap();
    let (now, epoch) = wait::until("a new generation", LIMIT, async || {
        let found = plan(&lab).await;
        Ok((found.0 > lost).then_some(found))
    })
    .await
    .unwrap();
    assert_eq!((lost.generation, now.generation), (1, 2));
    assert!(
        epoch > lost_epoch,
        "{epoch} was given out before: {lost_epoch}"
    );
    settled(&lab).await.unwrap();
    all_ask(&lab, &users, &[10]).await;
    counted(&lab, 120).await.unwrap();
    let counters = lab
        .judge
        .call(Method::GET, "/v1/counters", None)
        .await
        .unwrap();
    assert!(
        counters.body["reports_missing"].as_u64() > Some(0),
        "{counters:?}"
    );

    // And a restart is no new generation.
    lab.judge.kill().await.unwrap();
    lab.judge.start().await.unwrap();
    settled(&lab).await.unwrap();
    let (again, _) = plan(&lab).await;
    assert_eq!(
        (again.generation, again > now),
        (2, true),
        "{again} after {now}"
    );
    lab.judge.act(ID, "promote", "up").await.unwrap();
    settled(&lab).await.unwrap();
    all_ask(&lab, &users, &[10, 25]).await;
    counted(&lab, 180).await.unwrap();
}
