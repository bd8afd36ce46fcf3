//! How the page looks: narrow and wide, dark and light, with and without its judge.

use crate::browser::{Browser, DESKTOP, PHONE};
use crate::contrast::is_readable;
use crate::{judge, rollout, turn};
use serde_json::json;

/// Nothing sticks out, so that nobody scrolls sideways.
pub async fn fits(browser: &Browser) {
    for size in [PHONE, DESKTOP] {
        browser.size(size).await;
        let (wide, there): (u32, u32) = browser
            .js("return [document.documentElement.scrollWidth, innerWidth]")
            .await;
        assert_eq!(there, size.0);
        let out: Vec<String> = browser
            .js("return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('.scroll, .unseen, pre, svg svg') && e.getBoundingClientRect().right > innerWidth + 1).map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`)")
            .await;
        assert!(
            wide <= there && out.is_empty(),
            "{wide} px at {there}: {out:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_users_is_shown() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("told")).await.unwrap();
    let told: Vec<_> = (0..200)
        .map(|user| json!({"rollout": "told", "unit": format!("user-{user}"), "right": user % 4 > 0, "score": 0.9}))
        .collect();
    let told = json!(told).to_string();
    let received = judge.call(reqwest::Method::POST, "/v1/feedback", Some(&told));
    assert_eq!(received.await.unwrap().body["counted"], 200);
    let browser = Browser::open(&judge.address()).await;
    for words in [
        "users with an outcome had a wrong answer",
        "log loss",
        "percentage points apart",
    ] {
        browser
            .until(&format!("document.body.textContent.includes('{words}')"))
            .await;
    }
    fits(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_readable_on_a_phone_dark_and_light() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let browser = Browser::open(&judge.address()).await;
    browser.shows("empty", "No rollouts yet").await;
    fits(&browser).await;
    is_readable(&browser).await;
    judge.create(&rollout("seen")).await.unwrap();
    browser.shows("headline", "v2 serves 10% of users").await;
    fits(&browser).await;
    is_readable(&browser).await;
    browser.press("Abort").await;
    browser
        .until("document.getElementById('dialog').open")
        .await;
    fits(&browser).await;
    is_readable(&browser).await;
    browser.scheme("dark").await;
    let ground: String = browser
        .js("return getComputedStyle(document.body).backgroundColor")
        .await;
    assert_eq!(ground, "rgb(19, 20, 23)");
    browser.scheme("light").await;
    let ground: String = browser
        .js("return getComputedStyle(document.body).backgroundColor")
        .await;
    assert_eq!(ground, "rgb(247, 246, 242)");
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

/// Names as long as the judge takes them, and text that would be harmful as HTML.
#[tokio::test(flavor = "multi_thread")]
async fn long_names_fit_and_markup_is_text() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let id = "long-".repeat(12) + "name";
    let mut spec = rollout(&id);
    let version = "v2-".repeat(20);
    spec["arms"][1]["version"] = json!(version);
    spec["segments"] = json!([{"name": "gold-".repeat(12), "when": [{"header": "x-card", "in": ["gold"]}], "arm": "control"}]);
    judge.create(&spec).await.unwrap();
    let markup =
        "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>";
    judge.act(&id, "pause", markup).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("headline", "Paused at 10%").await;
    browser.shows("reasons", markup).await;
    browser.shows("decisions", markup).await;
    fits(&browser).await;
    let made: u32 = browser
        .js("return document.querySelectorAll('main img, main script').length")
        .await;
    assert_eq!(made, 0);
    assert!(!browser.driver.title().await.unwrap().contains("hacked"));
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_is_gone_is_said_and_comes_back() {
    let _turn = turn().await;
    let (mut judge, _folder) = judge().await;
    judge.create(&rollout("alone")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("link", "live").await;
    browser.shows("headline", "v2 serves 10% of users").await;
    judge.kill().await.unwrap();
    browser
        .shows(
            "notice",
            "The judge does not answer; Envoy goes on routing by the last plan.",
        )
        .await;
    browser
        .until("[...document.querySelectorAll('#actions button')].every(b => b.disabled)")
        .await;
    is_readable(&browser).await;
    // What was seen last stands there still.
    browser.shows("headline", "v2 serves 10% of users").await;
    judge.start().await.unwrap();
    browser.shows("link", "live").await;
    browser
        .until("document.getElementById('notice').hidden")
        .await;
    // And what happens then is heard of.
    judge
        .act("alone", "pause", "after the restart")
        .await
        .unwrap();
    browser.shows("headline", "Paused at 10%").await;
    browser.close().await;
}

/// The judge forbids everything that is not its own, and the page needs nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_from_elsewhere() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("own")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("headline", "v2 serves 10% of users").await;
    let from: Vec<String> = browser
        .js("return [...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))]")
        .await;
    assert_eq!(from, [judge.address()]);
    let policy: String = browser
        .js("return fetch('/').then(answer => answer.headers.get('content-security-policy'))")
        .await;
    assert!(
        policy.contains("default-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}
