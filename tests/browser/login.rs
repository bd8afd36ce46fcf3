//! Who looks: the form for a token, and what each role sees.

use crate::access::is_named;
use crate::browser::Browser;
use crate::{rollout, turn};
use serinus_tests::judge::Judge;
use serinus_tests::tokens::Tokens;

/// Types a token into the form and sends it.
async fn enter(browser: &Browser, token: &str) {
    browser.click("token").await;
    browser
        .js::<()>("document.getElementById('token').value = ''; return null")
        .await;
    browser.keys(token).await;
    browser.press("Let me in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in_and_its_role_decides() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(folder.path()).unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.option("--tokens", &tokens.path());
    judge.token(Some(&tokens.operator));
    judge.start().await.unwrap();
    judge.create(&rollout("guarded")).await.unwrap();

    let browser = Browser::open(&judge.address()).await;
    browser.shows("login", "Who looks?").await;
    is_named(&browser).await;
    let shown: String = browser.js("return document.body.innerText").await;
    assert!(!shown.contains("guarded"), "{shown}");

    enter(&browser, "serinus_wrong").await;
    browser.shows("login-error", "token").await;
    // A proxy's is good for reports, and shows nobody a page.
    enter(&browser, &tokens.proxy).await;
    browser
        .until("document.getElementById('login-error').innerText.includes('proxy')")
        .await;

    enter(&browser, &tokens.viewer).await;
    browser.shows("headline", "v2 serves 10% of users").await;
    browser.shows("who", "bob (viewer)").await;
    assert_eq!(browser.text("actions").await, "");
    browser.press("Leave").await;
    browser.shows("login", "Who looks?").await;

    enter(&browser, &tokens.operator).await;
    browser.shows("who", "alice (operator)").await;
    browser.press_once_there("Pause").await;
    browser.shows("dialog", "stays at 10%").await;
    browser.click("confirm").await;
    browser.shows("headline", "Paused at 10%").await;
    let decisions = judge.decisions("guarded").await.unwrap();
    assert_eq!(decisions.last().unwrap().action, "pause");

    // No script can read the token again.
    let cookies: String = browser.js("return document.cookie").await;
    assert_eq!(cookies, "");
    let refused = ["401", "403"];
    assert_eq!(browser.errors(&refused).await, [""; 0]);
    browser.close().await;
}
