//! As many rollouts as a judge takes.

use crate::browser::{Browser, PHONE};
use crate::looks::fits;
use crate::{judge, rollout, turn};
use serde_json::json;

/// As many as a plan has room for.
const ROLLOUTS: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_hundreds_is_found() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    for number in 0..ROLLOUTS {
        let mut spec = rollout(&format!("model-{number:03}"));
        spec["match"] = json!({"host": format!("{number}.example")});
        judge.create(&spec).await.unwrap();
    }
    judge.act("model-100", "pause", "look at me").await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    // Those that wait for a person come first.
    browser.shows("headline", "Paused at 10%").await;
    browser
        .shows("summary", "256 rollouts: 255 running, 1 paused. 8 shown.")
        .await;
    let cards = "return document.querySelectorAll('#rollouts a').length";
    assert_eq!(browser.js::<usize>(cards).await, 8);
    browser.size(PHONE).await;
    browser
        .until("document.querySelectorAll('#rollouts a').length === 3")
        .await;
    fits(&browser).await;
    browser.press("Show all").await;
    assert_eq!(browser.js::<usize>(cards).await, ROLLOUTS);
    browser.press("Show fewer").await;
    browser.click("find").await;
    browser.keys("model-20 RUNNING").await;
    assert_eq!(browser.js::<usize>(cards).await, 10);
    browser
        .js::<()>("document.querySelector('#rollouts a[href=\"#model-207\"]').click()")
        .await;
    browser.shows("about", "model-207").await;
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}
