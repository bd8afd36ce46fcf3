//! A version whose preprocessing takes columns for rows: it answers quickly, with
//! 200, and wrongly. No status and no latency shows it; the model file does.

use super::play::{PICTURES, Play, Plot};
use super::watch::Harm;
use super::{End, Screen, Stage};
use crate::drawing::Tile;
use crate::failure::Result;
use crate::judge::Example;
use crate::judge::status::Phase;
use crate::lab::CANARY;
use serde_json::json;
use std::collections::HashSet;

const LIMIT: f64 = 120.0;

/// The verdict takes five sampled users or more.
const ENOUGH: usize = 5;

/// # Errors
/// When a part of the lab does not answer; a story that goes otherwise than it
/// should is no error, but [`End::problems`].
pub async fn tell(stage: &mut Stage, screen: &mut dyn Screen) -> Result<End> {
    let plot = Plot {
        title: "Wrong but 200",
        rollout: "wrong-but-200",
        harm: Harm::WrongAnswer,
        about: &[
            "v2 is a better model behind a server that transposes the image: quick, 200, and wrong",
        ],
    };
    let mut play = Play::begin(stage, screen, plot).await?;
    let fault = json!({"fault": "wrong-preprocessing"});
    play.stage.lab.canary.set_faults(&fault).await?;
    play.release().await?;
    play.until_over(LIMIT).await?;

    let examples = play.examples().await?;
    let tiles = tiles(&examples);
    let wrong = examples.iter().filter(|example| example.arm == CANARY);
    let wrong = wrong.count();
    // Of few answers some may have the right label with a wrong probability.
    play.expect(
        wrong >= ENOUGH && !tiles.is_empty(),
        format!("the judge shows {wrong} wrong answers only"),
    );
    play.pictures(
        "What users of v2 sent, what they were served, and what v2's own model file says:",
        &tiles,
    );
    let (control, canary) = (play.watch.control_statuses(), play.watch.canary_statuses());
    play.text(&[
        "every status is green:".to_owned(),
        format!("    {}", control.in_words("v1")),
        format!("    {}", canary.in_words("v2")),
    ]);
    play.expect(
        canary.are_natural(play.stage.natural_errors),
        format!("v2 failed too often to be called green: {canary:?}"),
    );
    let decisions = play.decisions().await?;
    let reasons = decisions.last().map(|last| last.reasons.join(" "));
    play.expect(
        reasons.is_some_and(|reasons| reasons.contains("model file")),
        "the verdict does not name the model file",
    );
    play.end(Phase::RolledBack).await
}

/// Canary's wrong labels: first each kind of mistake once, then more of them.
fn tiles(examples: &[Example]) -> Vec<Tile> {
    let wrong = examples.iter().filter(|example| example.arm == CANARY);
    let wrong = wrong.filter_map(|example| {
        let (served, expected) = (example.served_label?, example.expected_label?);
        (served != expected).then_some((example, served, expected))
    });
    let mut seen = HashSet::new();
    let (first, more): (Vec<_>, Vec<_>) =
        wrong.partition(|(_, served, expected)| seen.insert((*served, *expected)));
    first
        .into_iter()
        .chain(more)
        .take(PICTURES)
        .map(|(example, served, expected)| Tile {
            pixels: example.input.clone(),
            caption: vec![
                format!("served {served}"),
                format!("model file says {expected}"),
            ],
        })
        .collect()
}
