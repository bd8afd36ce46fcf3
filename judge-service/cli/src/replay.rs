//! `serinus replay`: a stored decision is judged again.

use crate::failure::Failure;
use crate::files::read_or_stdin;
use crate::judge::{Call, JudgeOption, rollout_path};
use crate::output::OutputOption;
use crate::runtime;
use serde::Serialize;
use serinus_judge::domain::decision::{Deed, Sealed};
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
    #[command(flatten)]
    output: OutputOption,
}

/// What was found, for programs.
#[derive(Serialize)]
struct Found<'a> {
    rollout: &'a str,
    /// That follow from each other.
    decisions: usize,
    /// Those of the judge, which is what it would decide again.
    replayed: usize,
    last: Last<'a>,
}

#[derive(Serialize)]
struct Last<'a> {
    sequence: u64,
    deed: Deed,
    hash: &'a str,
    reasons: &'a [String],
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
        let (last, decisions, replayed) = match &found {
            Replayed::One(sealed) => (sealed, 1, 1),
            Replayed::Chain {
                decisions,
                replayed,
                last,
            } => (last, *decisions, *replayed),
        };
        let decision = &last.decision;
        let value = Found {
            rollout: &decision.rollout,
            decisions,
            replayed,
            last: Last {
                sequence: decision.sequence,
                deed: decision.deed,
                hash: &last.hash,
                reasons: &decision.reasons,
            },
        };
        self.output.print(&value, || match &found {
            Replayed::One(_) => one(last),
            Replayed::Chain { .. } => chain(decisions, replayed, &last.hash),
        })
    }

    async fn fetch(&self, rollout: &str) -> Result<Vec<u8>, Failure> {
        let judge = self.judge.open()?;
        let path = match self.decision {
            None => rollout_path(rollout, "/chain"),
            Some(number) => rollout_path(rollout, &format!("/decisions/{number}")),
        };
        let answer = judge.call(Call::get(&path)).await?.accepted()?;
        Ok(answer.body.to_vec())
    }
}

fn one(sealed: &Sealed) -> String {
    let decision = &sealed.decision;
    let reasons = decision.reasons.iter();
    let reasons: String = reasons.map(|reason| format!("  {reason}\n")).collect();
    format!(
        "same verdict: {:?} of rollout {} (decision {}, hash {})\n{reasons}",
        decision.deed, decision.rollout, decision.sequence, sealed.hash
    )
}

fn chain(decisions: usize, replayed: usize, hash: &str) -> String {
    let follow = match decisions {
        1 => "1 decision is where the chain begins".to_owned(),
        many => format!("{many} decisions follow from each other"),
    };
    let again = match replayed {
        0 => "none is the judge's".to_owned(),
        1 => "the one of the judge is what it would decide again".to_owned(),
        many => format!("the {many} of the judge are what it would decide again"),
    };
    format!("{follow}, and {again}; the last has hash {hash}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_people_do() {
        assert_eq!(
            chain(1, 0, "ab"),
            "1 decision is where the chain begins, and none is the judge's; the last has hash ab\n"
        );
        assert_eq!(
            chain(3, 1, "ab"),
            "3 decisions follow from each other, and the one of the judge is what it would decide again; the last has hash ab\n"
        );
        assert_eq!(
            chain(9, 7, "ab"),
            "9 decisions follow from each other, and the 7 of the judge are what it would decide again; the last has hash ab\n"
        );
    }
}
