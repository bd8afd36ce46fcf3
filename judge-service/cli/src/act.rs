//! What a person does to a rollout: `serinus promote`, `pause`, `resume`, `abort`,
//! `finish`, `drop` and `delete`.

use crate::failure::Failure;
use crate::judge::{JudgeOption, Method, segment};
use crate::output::{OutputOption, print};
use crate::view::{Status, words as plain};
use crate::{get, runtime, suggest};
use serde_json::{Value, json};

#[derive(clap::Args)]
pub struct Act {
    /// The rollout
    id: String,
    /// Why: it stands in the record of the decision
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(clap::Args)]
pub struct Drop {
    /// The rollout
    id: String,
    /// The arm whose users go to the baseline
    arm: String,
    /// Why: it stands in the record of the decision
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(clap::Args)]
pub struct Delete {
    /// The rollout, which must be over
    id: String,
    #[command(flatten)]
    judge: JudgeOption,
}

impl Act {
    pub fn run(&self, action: &str) -> Result<(), Failure> {
        let path = format!("/v1/rollouts/{}/{action}", segment(&self.id));
        post(
            &self.judge,
            &self.output,
            action,
            &self.id,
            &path,
            self.reason.as_deref(),
        )
    }
}

impl Drop {
    pub fn run(&self) -> Result<(), Failure> {
        let (id, arm) = (segment(&self.id), segment(&self.arm));
        let path = format!("/v1/rollouts/{id}/arms/{arm}/drop");
        post(
            &self.judge,
            &self.output,
            "drop the arm",
            &self.id,
            &path,
            self.reason.as_deref(),
        )
    }
}

impl Delete {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        let path = format!("/v1/rollouts/{}", segment(&self.id));
        runtime::run(async {
            match judge.call(Method::DELETE, &path, None).await {
                Ok(_) => print(&format!("{}: deleted\n", self.id)),
                Err(failure) => {
                    let failure = suggest::rollout(&judge, &self.id, failure).await;
                    Err(cannot("delete", &self.id, failure))
                }
            }
        })
    }
}

fn post(
    judge: &JudgeOption,
    output: &OutputOption,
    action: &str,
    id: &str,
    path: &str,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let judge = judge.open()?;
    let body = reason.map(|reason| json!({ "reason": reason }).to_string());
    runtime::run(async {
        let answer = match judge.call(Method::POST, path, body).await {
            Ok(answer) => answer.read::<Value>()?,
            Err(failure) => {
                let failure = suggest::rollout(&judge, id, failure).await;
                return Err(cannot(action, id, failure));
            }
        };
        let status: Status = get::read(&answer)?;
        output.print(&answer, || {
            format!(
                "{}: {}, step {}, {}\n",
                status.id,
                plain(&status.phase),
                status.step_words(),
                status.users()
            )
        })
    })
}

/// What the state does not allow is said with what was asked: "cannot promote digits".
fn cannot(action: &str, id: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Conflict(why) => Failure::Conflict(format!("cannot {action} {id}: {why}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_was_asked() {
        let refused = Failure::Conflict("the rollout is rolled back".to_owned());
        assert_eq!(
            cannot("promote", "fraud", refused).to_string(),
            "cannot promote fraud: the rollout is rolled back"
        );
        let gone = Failure::NotReached("GET x failed".to_owned());
        assert_eq!(cannot("promote", "fraud", gone.clone()), gone);
    }
}
