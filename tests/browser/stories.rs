//! The demo's three stories, as whoever watches the page sees them.

use crate::access::{can_be_pressed, is_named};
use crate::browser::Browser;
use crate::contrast::is_readable;
use crate::looks::fits;
use crate::turn;
use serinus_tests::drawing::Tile;
use serinus_tests::failure::Result;
use serinus_tests::lab::{Lab, Settings};
use serinus_tests::stories::{self, End, Moment, Screen, Stage};
use std::time::Duration;

pub const NATURAL_ERRORS: f64 = 0.005;

pub async fn stage() -> Stage {
    let settings = Settings {
        error_rate: NATURAL_ERRORS,
        ..Settings::default()
    };
    let lab = Lab::start(&settings).await.unwrap();
    Stage::new(lab, 30_000, 1_000, NATURAL_ERRORS).unwrap()
}

/// The page is the screen here.
pub struct Nobody;

impl Screen for Nobody {
    fn title(&mut self, _: &str, _: &[String]) {}
    fn moment(&mut self, _: &Moment) {}
    fn event(&mut self, _: f64, _: &str) {}
    fn pictures(&mut self, _: &str, _: &[Tile]) {}
    fn text(&mut self, _: &[String]) {}
}

/// What a reader saw: each sentence of the page's head once, in their order.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    async fn look(&mut self, browser: &Browser) {
        let lines: Vec<String> = browser
            .js("return ['headline', 'notice', 'reasons', 'link'].map(id => document.getElementById(id).innerText)")
            .await;
        for line in lines {
            if !self.0.contains(&line) {
                self.0.push(line);
            }
        }
    }

    /// That these came, one after the other.
    fn in_order(&self, parts: &[&str]) {
        let mut lines = self.0.iter();
        for part in parts {
            assert!(
                lines.any(|line| line.contains(part)),
                "{part:?} was not seen in its turn: {:#?}",
                self.0
            );
        }
    }
}

/// Watches the page while a story is told.
async fn watched(browser: &Browser, story: impl Future<Output = Result<End>>) -> (End, Seen) {
    let mut seen = Seen::default();
    let mut story = std::pin::pin!(story);
    let end = loop {
        tokio::select! {
            end = &mut story => break end.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(200)) => seen.look(browser).await,
        }
    };
    seen.look(browser).await;
    assert!(end.problems.is_empty(), "{:#?}", end.problems);
    (end, seen)
}

/// A page full of evidence is as easy to use as an empty one.
async fn is_well_made(browser: &Browser) {
    is_named(browser).await;
    can_be_pressed(browser).await;
    is_readable(browser).await;
    fits(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_but_200_is_seen_to_be_taken_back() {
    let _turn = turn().await;
    let mut stage = stage().await;
    let browser = Browser::open(&stage.lab.judge.address()).await;
    let mut nobody = Nobody;
    let story = stories::wrong_but_200::tell(&mut stage, &mut nobody);
    watched(&browser, story).await;
    // A fraction of a second is too short to be sure of what was seen before.
    browser
        .shows(
            "headline",
            "v2 was taken back at 10%: all users are on v1 again.",
        )
        .await;
    browser
        .shows(
            "examples",
            "sampled users got an answer that differs from its model file",
        )
        .await;
    browser
        .until("document.querySelector('#examples .digit')")
        .await;
    browser.shows("decisions", "Taken back").await;
    browser.shows("decisions", "at the last after").await;
    browser
        .until("document.querySelector('#metrics [aria-label^=\"Disagreement\"] .pill.bad')")
        .await;
    is_well_made(&browser).await;
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_is_seen_to_go_through_an_incident() {
    let _turn = turn().await;
    let mut stage = stage().await;
    let browser = Browser::open(&stage.lab.judge.address()).await;
    let mut nobody = Nobody;
    let story = stories::shared_incident::tell(&mut stage, &mut nobody);
    let (_, seen) = watched(&browser, story).await;
    seen.in_order(&[
        "v2 serves 10% of users",
        "v2 serves 25% of users",
        "v2 serves 75% of users",
    ]);
    // The story may be over before the page has heard of its end.
    browser
        .shows("headline", "v2 was promoted: v2 serves all users.")
        .await;
    seen.in_order(&["errors have risen in both arms: not your model"]);
    let done: usize = browser
        .js("return document.querySelectorAll('#steps .done').length")
        .await;
    assert_eq!(done, 4);
    browser
        .until("document.querySelector('#metrics .margin')")
        .await;
    browser
        .until("document.querySelector('#metrics .band')")
        .await;
    is_well_made(&browser).await;
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_judge_is_seen_and_what_its_workers_did() {
    let _turn = turn().await;
    let mut stage = stage().await;
    let browser = Browser::open(&stage.lab.judge.address()).await;
    let mut nobody = Nobody;
    let story = stories::judge_dead::tell(&mut stage, &mut nobody);
    let (_, seen) = watched(&browser, story).await;
    seen.in_order(&[
        "v2 serves 10% of users",
        "The judge does not answer; Envoy goes on routing by the last plan.",
    ]);
    // The story may be over before the page has heard of its end.
    browser.shows("headline", "v2 was taken back at 10%").await;
    is_well_made(&browser).await;
    browser.close().await;
}
