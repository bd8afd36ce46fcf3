//! What must be so besides the evidence, as the page shows it.

use crate::access::is_named;
use crate::browser::Browser;
use crate::contrast::is_readable;
use crate::looks::fits;
use crate::{judge, rollout, turn};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_is_named_with_its_reason() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let browser = Browser::open(&judge.address()).await;
    judge.create(&rollout("free")).await.unwrap();
    browser.shows("headline", "v2 serves 10% of users").await;
    let hidden: bool = browser
        .js("return document.getElementById('gates-panel').hidden")
        .await;
    assert!(hidden, "there are none");

    let mut gated = rollout("gated");
    gated["gates"] = json!({
        "ask": [{"name": "board", "url": "http://127.0.0.1:1/may-go-on"}],
        "windows": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}],
        "queries": [{"name": "gpu", "query": "up", "at_most": 1}],
    });
    judge.create(&gated).await.unwrap();
    let address = format!("{}/#gated", judge.address());
    browser.driver.goto(&address).await.unwrap();
    browser.shows("gates", "127.0.0.1:1/may-go-on").await;
    browser.shows("gates", "--prometheus").await;
    let rows: Vec<String> = browser
        .js("return [...document.querySelectorAll('#gates tbody tr')].map(row => row.children[0].innerText + ' ' + row.children[2].firstChild.textContent)")
        .await;
    assert_eq!(rows, ["windows open", "board closed", "gpu closed"]);
    is_named(&browser).await;
    fits(&browser).await;
    is_readable(&browser).await;
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}
