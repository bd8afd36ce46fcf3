//! A better model, and in the middle of its release an incident that has nothing
//! to do with it: both versions fail. It must be promoted all the same.

use super::play::{Play, Plot};
use super::watch::Harm;
use super::{End, Screen, Stage};
use crate::failure::Result;
use crate::judge::status::Phase;
use serde_json::json;

const LIMIT: f64 = 240.0;

/// The step at which it happens: the third, 75%.
const STEP: usize = 2;
const INCIDENT_ERRORS: f64 = 0.3;
const INCIDENT_SECONDS: f64 = 6.0;

/// # Errors
/// When a part of the lab does not answer; a story that goes otherwise than it
/// should is no error, but [`End::problems`].
pub async fn tell(stage: &mut Stage, screen: &mut dyn Screen) -> Result<End> {
    let plot = Plot {
        title: "A good release through a shared incident",
        rollout: "shared-incident",
        harm: Harm::Nothing,
        about: &[
            "v2 is the better model (97.6% of unseen digits right, v1 94.4%), and its server is well",
            "at 75%, what both versions depend on fails for some seconds: 30% errors in both arms",
        ],
    };
    let mut play = Play::begin(stage, screen, plot).await?;
    play.release().await?;
    let reached = play
        .until(LIMIT, |moment| {
            let status = moment.status.as_ref();
            status.is_some_and(|status| status.step >= STEP || status.phase != Phase::Running)
        })
        .await?;
    play.expect(reached, format!("75% was not reached in {LIMIT} s"));

    let incident = json!({"error_rate": INCIDENT_ERRORS});
    play.event("an incident: v1 and v2 both begin to fail");
    play.stage.lab.control.set_faults(&incident).await?;
    play.stage.lab.canary.set_faults(&incident).await?;
    let mut noticed = false;
    play.until(INCIDENT_SECONDS, |moment| {
        let status = moment.status.as_ref();
        noticed |= status.is_some_and(|status| {
            let said = |notice: &String| notice.contains("both arms: not your model");
            status.notices.iter().any(said)
        });
        false
    })
    .await?;
    play.expect(noticed, "the judge did not say that both arms fail");
    play.stage.recover().await?;
    play.event("the incident is over");

    play.until_over(LIMIT).await?;
    let decisions = play.decisions().await?;
    let promotions = decisions
        .iter()
        .filter(|decision| decision.action == "promote" && decision.by == "judge");
    let promotions = promotions.count();
    play.expect(
        promotions == 3,
        format!("{promotions} promotions by the judge, and not 3"),
    );
    play.end(Phase::Promoted).await
}
