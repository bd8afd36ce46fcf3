//! The picture in the README: `make screenshot` takes it anew.

use crate::browser::Browser;
use crate::stories::{Nobody, stage};
use crate::turn;
use serinus_tests::stories;
use serinus_tests::{artefacts, wait};
use std::time::Duration;

/// What a README can carry.
const LARGEST: usize = 300 * 1024;

/// Both a rollout that was taken back and one that has come far.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "`make screenshot` runs it: it changes a file of the repository"]
async fn the_readme_shows_a_release() {
    let _turn = turn().await;
    let mut stage = stage().await;
    let browser = Browser::open(&stage.lab.judge.address()).await;
    browser.size((1120, 1500)).await;
    stories::wrong_but_200::tell(&mut stage, &mut Nobody)
        .await
        .unwrap();
    let file = artefacts::root().join("judge-service/src/page/screenshot.png");
    let taken = async {
        let ready = "return document.querySelectorAll('#steps .done').length >= 2 && document.querySelectorAll('#metrics .band').length >= 3 && document.getElementById('headline').innerText.includes('holds')";
        wait::until(
            "a release at its third step",
            Duration::from_secs(120),
            async || Ok(browser.js::<bool>(ready).await.then_some(())),
        )
        .await
        .unwrap();
        browser.driver.screenshot_as_png().await.unwrap()
    };
    let mut nobody = Nobody;
    let story = stories::shared_incident::tell(&mut stage, &mut nobody);
    let (picture, _) = tokio::join!(taken, story);
    assert!(picture.len() <= LARGEST, "{} bytes", picture.len());
    std::fs::write(&file, picture).unwrap();
    browser.close().await;
}
