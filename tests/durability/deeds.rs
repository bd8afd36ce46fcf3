//! What people do meanwhile: each deed is a new plan, and most are a new epoch.

use crate::lab::{DOOMED, Lab, STEADY};
use crate::network::Answer;
use serde_json::{Value, json};
use serinus_tests::failure::Result;
use serinus_tests::wait;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Reports between two deeds at most.
const REPORTS: u64 = 60;

fn spec(id: &str) -> Value {
    // Each step is an epoch; there are more than anybody promotes.
    let steps = (1..=99).map(|percent| json!({"weights": {"canary": percent}}));
    json!({
        "id": id,
        "match": {"path_prefix": format!("/{id}/")},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control"}, {"name": "canary"}],
        "segments": [{"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}],
            "weights": {"canary": 50}}],
        "steps": steps.collect::<Vec<_>>(),
        "minimum": {"seconds": 86_000, "exposures": 500},
        "warm_up": {"seconds": 1, "requests": 500},
        "breaker": null,
        "same_cluster": true,
    })
}

/// Creates the rollouts, and then acts until it is calm.
///
/// # Errors
/// What no judge may do.
pub async fn run(lab: &Lab) -> Result<()> {
    wait::until("the rollout to be created", LIMIT, async || {
        let created = lab
            .call("POST", "/v1/rollouts", &spec(STEADY).to_string())
            .await;
        // Of one that came and was not answered, the second is refused.
        Ok(created
            .ok()
            .filter(|answer| matches!(answer.status, 201 | 409)))
    })
    .await?;
    for number in 1.. {
        let due = lab.tally.borrow().acknowledged + lab.below(REPORTS);
        wait::until("reports to be counted", LIMIT, async || {
            let counted = lab.tally.borrow().acknowledged;
            Ok((counted >= due || lab.calm.get()).then_some(()))
        })
        .await?;
        if lab.calm.get() {
            break;
        }
        match lab.below(10) {
            0 => act(lab, STEADY, "pause", number).await?,
            1 | 2 => act(lab, STEADY, "resume", number).await?,
            3..7 => act(lab, STEADY, "promote", number).await?,
            7 => drop(
                lab.call("POST", "/v1/rollouts", &spec(DOOMED).to_string())
                    .await,
            ),
            8 => act(lab, DOOMED, "promote", number).await?,
            _ => {
                act(lab, DOOMED, "abort", number).await?;
                let path = format!("/v1/rollouts/{DOOMED}");
                drop(lab.call("DELETE", &path, "").await);
            }
        }
        look(lab).await?;
    }
    Ok(())
}

async fn act(lab: &Lab, id: &str, deed: &str, number: u64) -> Result<()> {
    let reason = format!("{deed} number {number}");
    let path = format!("/v1/rollouts/{id}/{deed}");
    let body = json!({ "reason": reason }).to_string();
    // Killed in the middle of it, the judge has done it or has not.
    let Ok(answer) = lab.call("POST", &path, &body).await else {
        return Ok(());
    };
    match answer.status {
        200 if id == STEADY => lab.history.borrow_mut().done(&reason),
        200 | 404 | 409 | 503 => {}
        _ => return Err(format!("{path} was answered {answer:?}").into()),
    }
    Ok(())
}

/// Looks at all decisions; whether the judge could show them.
///
/// # Errors
/// Decisions that were seen and are gone.
pub async fn look(lab: &Lab) -> Result<bool> {
    let path = format!("/v1/rollouts/{STEADY}/decisions");
    let answer = lab.call("GET", &path, "").await;
    let shown = answer.ok().filter(|answer: &Answer| answer.status == 200);
    let Some(answer) = shown else {
        return Ok(false);
    };
    let Value::Array(decisions) = answer.json()? else {
        return Err(format!("{path} is no list: {answer:?}").into());
    };
    lab.history.borrow_mut().decisions(decisions)?;
    Ok(true)
}
