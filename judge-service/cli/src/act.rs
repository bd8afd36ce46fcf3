//! What a person does to a rollout: `serinus promote`, `approve`, `pause`, `resume`, `abort`,
//! `finish`, `drop` and `delete`.

use crate::failure::Failure;
use crate::judge::{Answer, Call, Judge, JudgeOption, rollout_path, segment};
use crate::output::OutputOption;
use crate::view::Status;
use crate::{get, runtime};
use clap::ValueEnum;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub struct Act {
    /// The rollout
    id: String,
    /// Why: it stands in the record of the decision
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only if nothing was decided meanwhile: the rollout's `version`, as get -o json
    /// shows it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(clap::Args)]
pub struct Drop {
    #[command(flatten)]
    act: Act,
    /// The arm whose users go to the baseline
    arm: String,
}

#[derive(clap::Args)]
pub struct Sampling {
    /// Stopping also deletes what is kept of them
    #[arg(value_enum)]
    what: Switch,
    #[command(flatten)]
    act: Act,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    Stop,
    Start,
}

#[derive(clap::Args)]
pub struct Delete {
    /// The rollout, which must be over
    id: String,
    /// Why: it stands in the record of who did what (`serinus audit`)
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

impl Act {
    pub fn run(&self, action: &str) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        runtime::run(self.post(&judge, action, action, ""))
    }

    /// `action` is the last part of the path, `words` what it is called, and `done` what it
    /// did beside what the rollout's state shows.
    async fn post(
        &self,
        judge: &Judge,
        action: &str,
        words: &str,
        done: &str,
    ) -> Result<(), Failure> {
        let id = &self.id;
        let path = rollout_path(id, &format!("/{action}"));
        let mut call = Call::post(&path, reason(self.reason.as_ref()));
        call.only_if = self.if_version.as_deref();
        let answer = judge.call(call).await.and_then(Answer::accepted);
        let answer: Value = answer
            .map_err(|failure| cannot(words, id, failure))?
            .read()?;
        let status: Status = get::read(&answer)?;
        self.output.print(&answer, || {
            format!("{}: {}{done}\n", status.id, status.stands())
        })
    }
}

impl Drop {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.act.judge.open()?;
        let action = format!("arms/{}/drop", segment(&self.arm));
        runtime::run(self.act.post(&judge, &action, "drop an arm of", ""))
    }
}

impl Sampling {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.act.judge.open()?;
        let (action, words, done) = match self.what {
            Switch::Stop => (
                "sampling/stop",
                "stop the sampling of",
                "; nothing is sampled any more, and what was kept is used no more and deleted",
            ),
            Switch::Start => (
                "sampling/start",
                "start the sampling of",
                "; requests are sampled",
            ),
        };
        runtime::run(self.act.post(&judge, action, words, done))
    }
}

impl Delete {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        let path = rollout_path(&self.id, "");
        runtime::run(async {
            let call = Call::delete(&path, reason(self.reason.as_ref()));
            let deleted = judge.call(call).await.and_then(Answer::accepted);
            deleted.map_err(|failure| cannot("delete", &self.id, failure))?;
            let value = json!({ "id": self.id, "deleted": true });
            let words = || format!("{}: deleted\n", self.id);
            self.output.print(&value, words)
        })
    }
}

/// As the API takes it.
fn reason(text: Option<&String>) -> Option<String> {
    text.map(|text| json!({ "reason": text }).to_string())
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
