//! A version that breaks while nobody is there to judge it: the judge is killed,
//! and the filter's breaker takes its users back.

use super::play::{Play, Plot};
use super::watch::Harm;
use super::{End, Screen, Stage};
use crate::failure::Result;
use crate::judge::status::Phase;
use crate::lab::CANARY;
use serde_json::json;

const LIMIT: f64 = 60.0;

/// How long v2 is out before its judge dies.
const WELL_SECONDS: f64 = 4.0;
const ERRORS: f64 = 0.3;
const SLOWER: f64 = 4.0;

/// Seconds without a request before the users are said to be back: more than
/// chance can explain at ten requests a second or more.
const QUIET_SECONDS: u32 = 3;

/// # Errors
/// When a part of the lab does not answer; a story that goes otherwise than it
/// should is no error, but [`End::problems`].
pub async fn tell(stage: &mut Stage, screen: &mut dyn Screen) -> Result<End> {
    let plot = Plot {
        title: "Broken, and the judge dead",
        rollout: "judge-dead",
        harm: Harm::Error,
        about: &[
            "v2 leaks: after some seconds 30% of its requests fail and the rest are 4 times as slow",
            "just then the judge is killed with SIGKILL",
        ],
    };
    let mut play = Play::begin(stage, screen, plot).await?;
    play.release().await?;
    play.until(WELL_SECONDS, |_| false).await?;
    play.stage.lab.judge.kill().await?;
    play.event("the judge is killed (SIGKILL)");
    let slow = play.stage.lab.latency_ms() * SLOWER;
    let faults = json!({"error_rate": ERRORS, "latency_ms": slow});
    play.stage.lab.canary.set_faults(&faults).await?;
    play.watch.canary_breaks();
    play.event("v2 begins to fail");

    let mut quiet = 0;
    let taken_back = play
        .until(LIMIT, |moment| {
            quiet = if moment.canary_requests == 0 {
                quiet + 1
            } else {
                0
            };
            quiet >= QUIET_SECONDS
        })
        .await?;
    play.expect(taken_back, "the breaker did not take v2's users back");
    let seconds = play.watch.broken_until_last_request(play.stage).await?;
    play.event(&format!(
        "the workers' breakers have taken all users back to v1: the last request on v2 came {seconds:.1} s after it broke"
    ));

    play.note(format!(
        "with the judge dead, the last request on v2 came {seconds:.1} s after it broke"
    ));
    play.stage.lab.judge.start().await?;
    play.event("the judge is started again");
    play.until_over(LIMIT).await?;
    let decisions = play.decisions().await?;
    let reasons = decisions.last().map(|last| last.reasons.join(" "));
    // Breaker, errors or slow answers: which is proven first depends on which
    // worker's report comes first.
    play.expect(
        reasons.is_some_and(|reasons| reasons.contains(CANARY)),
        "the verdict does not say what was wrong with the canary",
    );
    play.end(Phase::RolledBack).await
}
