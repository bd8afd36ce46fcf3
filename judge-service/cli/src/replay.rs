//! `serinus replay`: a stored decision is judged again.

use crate::files::read_or_stdin;
use serinus_judge::replay::{self, Replayed};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Replay {
    /// A decision as GET /v1/rollouts/{id}/decisions/{sequence} gives it, or all of
    /// a rollout as GET /v1/rollouts/{id}/chain does; - reads standard input
    bundle: PathBuf,
}

impl Replay {
    pub fn run(&self) -> Result<(), String> {
        let path = &self.bundle;
        let bytes = read_or_stdin(path)?;
        let found =
            replay::replay(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        match found {
            Replayed::One(sealed) => {
                let decision = &sealed.decision;
                println!(
                    "same verdict: {:?} of rollout {} (decision {}, hash {})",
                    decision.deed, decision.rollout, decision.sequence, sealed.hash
                );
                for reason in &decision.reasons {
                    println!("  {reason}");
                }
            }
            Replayed::Chain {
                decisions,
                replayed,
                last_hash,
            } => println!(
                "{decisions} decisions follow from each other, and the {replayed} of the judge are what it would decide again; the last has hash {last_hash}"
            ),
        }
        Ok(())
    }
}
