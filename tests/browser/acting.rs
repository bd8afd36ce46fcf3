//! Deciding by hand on the page.

use crate::browser::Browser;
use crate::{judge, rollout, turn};
use serde_json::json;
use serinus_tests::judge::status::Phase;

#[tokio::test(flavor = "multi_thread")]
async fn a_click_aborts_a_rollout() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("clicked")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("headline", "v2 serves 10% of users").await;
    browser.press("Abort").await;
    browser
        .shows("dialog", "all its users go back to v1 within seconds")
        .await;
    browser.press("Cancel").await;
    browser
        .until("!document.getElementById('dialog').open")
        .await;
    assert_eq!(judge.status("clicked").await.unwrap().phase, Phase::Running);
    browser.press("Abort").await;
    browser.keys("users complain").await;
    browser.click("confirm").await;
    browser.shows("headline", "Aborted by hand at 10%").await;
    browser.shows("decisions", "users complain").await;
    assert_eq!(browser.text("actions").await, "");
    assert_eq!(judge.status("clicked").await.unwrap().phase, Phase::Aborted);
    let decisions = judge.decisions("clicked").await.unwrap();
    let last = decisions.last().unwrap();
    assert_eq!(
        (last.by.as_str(), last.reasons.as_slice()),
        ("person", ["users complain".to_owned()].as_slice())
    );
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_go_through_a_rollouts_life() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let mut spec = rollout("life");
    spec["steps"] = json!([{"weights": {"canary": 10}}, {"weights": {"canary": 100}}]);
    judge.create(&spec).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    let does = async |name: &str, becomes: &str| {
        browser.press(name).await;
        browser
            .until("document.getElementById('dialog').open")
            .await;
        browser.click("confirm").await;
        browser.shows("headline", becomes).await;
        // The buttons of the new state are there with its headline.
        browser
            .until("!document.getElementById('dialog').open")
            .await;
    };
    browser.shows("headline", "v2 serves 10% of users").await;
    does("Pause", "Paused at 10%").await;
    does("Resume at 10%", "v2 serves 10% of users").await;
    does("Promote to 100%", "v2 was promoted").await;
    does("Finish", "serves everybody").await;
    assert_eq!(judge.status("life").await.unwrap().phase, Phase::Finished);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_looked_approves_the_next_step() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let mut spec = rollout("looked-at");
    spec["steps"] = json!([
        {"weights": {"canary": 10}, "look_first": true}, {"weights": {"canary": 100}},
    ]);
    spec["warm_up"] = json!({"seconds": 0});
    spec["minimum"] = json!({"seconds": 0, "exposures": 1});
    spec["deadline"] = json!({"seconds": 1, "then": "proceed"});
    judge.create(&spec).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser
        .shows("headline", "a person is to look before it goes on")
        .await;
    browser.press("Approve 100%").await;
    browser.keys("the confusion table is fine").await;
    browser.click("confirm").await;
    browser.shows("headline", "v2 was promoted").await;
    browser
        .shows("decisions", "the confusion table is fine")
        .await;
    let decisions = judge.decisions("looked-at").await.unwrap();
    let actions: Vec<&str> = decisions.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["create", "pause", "approve"]);
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_new_versions_is_dropped() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let mut spec = rollout("three");
    spec["arms"] = json!([{"name": "control", "version": "v1"}, {"name": "b", "version": "v2"}, {"name": "c", "version": "v3"}]);
    spec["steps"] = json!([{"weights": {"b": 20, "c": 20}}, {"weights": {"b": 100}}]);
    judge.create(&spec).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser
        .shows("headline", "v2 at 20% of users and v3 at 20% of users")
        .await;
    browser.press("Drop v3").await;
    browser
        .shows(
            "dialog",
            "The users of v3 (c) go back to v1 within seconds; v2 goes on.",
        )
        .await;
    browser.click("confirm").await;
    browser.shows("headline", "v3 was dropped").await;
    browser
        .until("!document.getElementById('actions').innerText.includes('Drop')")
        .await;
    let status = judge.status("three").await.unwrap();
    assert_eq!((status.phase, status.weight("c")), (Phase::Running, 0.0));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_and_changes_nothing() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("late")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("headline", "v2 serves 10% of users").await;
    browser.press("Pause").await;
    // Somebody else is faster.
    judge.act("late", "pause", "first").await.unwrap();
    browser.click("confirm").await;
    browser
        .shows(
            "dialog-error",
            "The judge refused: the rollout is paused; only a rollout that is running allows this",
        )
        .await;
    browser
        .until("document.getElementById('dialog').open && document.activeElement.id === 'cancel'")
        .await;
    browser.press("Close").await;
    browser
        .until("!document.getElementById('dialog').open")
        .await;
    browser.shows("headline", "Paused at 10%").await;
    browser.shows("decisions", "first").await;
    assert_eq!(judge.decisions("late").await.unwrap().len(), 2);
    // Chromium itself logs each answer that is no success.
    assert_eq!(browser.errors(&["status of 409"]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_of_the_step_that_was_seen() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("moved")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.press_once_there("Promote to 25%").await;
    judge.act("moved", "promote", "first").await.unwrap();
    browser.click("confirm").await;
    browser
        .shows(
            "dialog-error",
            "the rollout has changed since you opened this",
        )
        .await;
    assert_eq!(judge.status("moved").await.unwrap().step, 1);
    browser.press("Close").await;
    browser.press_once_there("Promote to 75%").await;
    browser
        .shows("dialog", "moved moves on from 25% to 75% now")
        .await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_to_look_first_says_what_each_button_means() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let browser = Browser::open(&judge.address()).await;
    // The judge comes to such a pause by evidence alone, so its words are given here.
    let said: Vec<String> = browser
        .js("return (async () => { const { buttons } = await import('/page/act.js'); const { headline } = await import('/page/words.js');
             const rollout = { id: 'r', phase: 'paused', awaits_approval: true, step: 0, steps: [{ weights: { canary: 10 } }, { weights: { canary: 25 } }],
               arms: [{ name: 'control', version: 'v1' }, { name: 'canary', version: 'v2', weight: 10 }] };
             return [headline(rollout), ...buttons(rollout, false).map(b => b.textContent)] })()")
        .await;
    assert_eq!(
        said,
        [
            "v2 waits at 10%: a person is to look before it goes on.",
            "Approve 25%",
            "Stay at 10%, judge on",
            "Abort"
        ]
    );
    drop(judge);
    browser.close().await;
}
