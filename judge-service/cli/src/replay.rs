//! `serinus replay`: a stored decision is judged again.

use crate::failure::Failure;
use crate::files::read_or_stdin;
use crate::judge::{Answer, Call, JudgeOption, rollout_path};
use crate::output::print;
use crate::{runtime, suggest};
use serinus_judge::replay::{self, Broken, Replayed};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Replay {
    /// A decision as GET /v1/rollouts/{id}/decisions/{sequence} gives it, or all of
    /// a rollout as GET /v1/rollouts/{id}/chain does; - reads standard input
    #[arg(value_name = "BUNDLE", required_unless_present = "rollout")]
    bundle: Option<PathBuf>,
    /// All decisions of this rollout, from the judge instead of a file
    #[arg(long, value_name = "ID", conflicts_with = "bundle")]
    rollout: Option<String>,
    /// Only that one of them, by its number as `serinus decisions` shows it
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "rollout",
        conflicts_with = "bundle"
    )]
    decision: Option<u64>,
    #[command(flatten)]
    judge: JudgeOption,
}

impl Replay {
    pub fn run(&self) -> Result<(), Failure> {
        let (name, bytes) = match (&self.bundle, &self.rollout) {
            (Some(path), _) => (path.display().to_string(), read_or_stdin(path)?),
            (None, Some(rollout)) => (rollout.clone(), runtime::run(self.fetch(rollout))?),
            (None, None) => {
                return Err(Failure::Usage("a bundle or --rollout is right".to_owned()));
            }
        };
        let failed = |broken: Broken| {
            let text = format!("{name}: {broken}");
            match broken.problem.is_untrue() {
                true => Failure::Untrue(text),
                false => Failure::Failed(text),
            }
        };
        let found = replay::replay(&bytes).map_err(failed)?;
        print(&match found {
            Replayed::One(sealed) => {
                let decision = &sealed.decision;
                let reasons = decision.reasons.iter();
                let reasons: String = reasons.map(|reason| format!("  {reason}\n")).collect();
                format!(
                    "same verdict: {:?} of rollout {} (decision {}, hash {})\n{reasons}",
                    decision.deed, decision.rollout, decision.sequence, sealed.hash
                )
            }
            Replayed::Chain {
                decisions,
                replayed,
                last_hash,
            } => format!(
                "{decisions} decisions follow from each other, and the {replayed} of the judge are what it would decide again; the last has hash {last_hash}\n"
            ),
        })
    }

    async fn fetch(&self, rollout: &str) -> Result<Vec<u8>, Failure> {
        let judge = self.judge.open()?;
        let path = match self.decision {
            None => rollout_path(rollout, "/chain"),
            Some(number) => rollout_path(rollout, &format!("/decisions/{number}")),
        };
        let answer = judge.call(Call::get(&path)).await;
        let answer = suggest::known(&judge, rollout, answer.and_then(Answer::accepted)).await?;
        Ok(answer.body.to_vec())
    }
}
