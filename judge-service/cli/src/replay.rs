//! `serinus replay`: a stored decision is judged again.

use crate::failure::Failure;
use crate::files::read_or_stdin;
use crate::output::print;
use serinus_judge::replay::{self, Replayed};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Replay {
    /// A decision as GET /v1/rollouts/{id}/decisions/{sequence} gives it, or all of
    /// a rollout as GET /v1/rollouts/{id}/chain does; - reads standard input
    bundle: PathBuf,
}

impl Replay {
    pub fn run(&self) -> Result<(), Failure> {
        let path = &self.bundle;
        let bytes = read_or_stdin(path)?;
        let found =
            replay::replay(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
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
}
