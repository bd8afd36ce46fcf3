//! Every command of the guides, run as it stands there.
//!
//! A fence says what its block is:
//!
//! - `sh`: run, one block after the other, in one shell;
//! - `sh background TEXT`: started, and waited for until it prints TEXT; it runs on;
//! - `output`: lines that the block before printed;
//! - anything else is only read.
//!
//! A guide is run in a folder that looks like the repository after `make build`. Its ports
//! are changed to free ones, in the guide as in the configurations that it names, so that
//! what runs on this machine already is left alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod blocks;
mod desk;

use desk::Desk;
use serinus_tests::artefacts;
use tokio::sync::Mutex;

/// Two cores do not carry two guides.
static TURN: Mutex<()> = Mutex::const_new(());

async fn run(name: &str) {
    let _turn = TURN.lock().await;
    let path = artefacts::root().join("judge-service/docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let blocks = blocks::of(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    assert!(
        blocks.iter().any(blocks::Block::runs),
        "{name} has no commands"
    );
    Desk::new().unwrap().run(name, &blocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_rollout() {
    run("first-rollout.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_split() {
    run("key-split.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow() {
    run("shadow.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_and_several_judges() {
    run("postgresql-and-several-judges.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bringing_your_model() {
    run("bringing-your-model.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn judging_answers() {
    run("judging-answers.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_and_alerts() {
    run("gates-and-alerts.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_verdicts_are_reached() {
    run("how-verdicts-are-reached.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollout_can_say() {
    run("rollout.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_plans_reach_envoy() {
    run("plans.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operating() {
    run("operating.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn security() {
    run("security.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_client() {
    run("python/README.md").await;
}

/// Run elsewhere: `tests/e2e/istio/guide.rs` has the `kubectl` that it takes.
const NOT_RUN: [&str; 1] = ["istio.md"];

/// A guide that nobody runs is one that goes stale.
#[test]
fn every_guide_is_run_and_linked() {
    let root = artefacts::root();
    let this = include_str!("main.rs");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut guides = 0;
    for folder in ["judge-service/docs", "judge-service/docs/python"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            guides += 1;
            let from_docs = path.strip_prefix(root.join("judge-service/docs")).unwrap();
            let run = format!("run(\"{}\")", from_docs.display());
            let has_commands = std::fs::read_to_string(&path).unwrap().contains("```sh");
            let is_run = !has_commands
                || this.contains(&run)
                || NOT_RUN.iter().any(|name| from_docs.ends_with(name));
            assert!(is_run, "no test runs {}", from_docs.display());
            let link = format!("](judge-service/docs/{})", from_docs.display());
            assert!(
                readme.contains(&link),
                "README.md has no link to {}",
                from_docs.display()
            );
        }
    }
    assert!(guides > 0);
}

/// What a link names is there.
#[test]
fn links_lead_somewhere() {
    let root = artefacts::root();
    let folders = [
        "",
        "judge-service/docs",
        "judge-service/docs/python",
        "judge-service/stats/docs",
    ];
    for folder in folders {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for link in blocks::links(&text) {
                let target = path.parent().unwrap().join(link);
                assert!(target.exists(), "{}: there is no {link}", path.display());
            }
        }
    }
}
