//! The judge's page in a real Chromium.
//!
//! Labs and browsers take turns ([`turn`]): two cores do not carry two of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod access;
mod acting;
mod browser;
mod contrast;
mod crowd;
mod gates;
mod login;
mod looks;
mod picture;
mod stories;

use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// One browser at a time.
async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Longer than anything takes on a machine that compiles at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// A judge without an Envoy: enough for what a page shows and does.
async fn judge() -> (Judge, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    (judge, folder)
}

/// A rollout of v2 in place of v1, of requests that no other has.
fn rollout(id: &str) -> Value {
    json!({
        "id": id,
        "match": {"path_prefix": format!("/{id}/")},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control", "version": "v1"}, {"name": "canary", "version": "v2"}],
    })
}
