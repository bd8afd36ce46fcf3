//! The same canary under the rules of other systems.

use crate::peers::Users;
use crate::peers::{Course, End, Observed, UNTIL_NOTICED_SECONDS, argo_rollouts, flagger};

/// One system's rule: how the release would have gone, and whom it would have hurt.
#[derive(Debug, Clone)]
pub struct Peer {
    pub rule: String,
    pub course: Course,
    pub users_hurt: f64,
}

#[derive(Debug, Clone)]
pub struct Comparison {
    pub flagger: Peer,
    pub argo_rollouts: Peer,
}

impl Comparison {
    /// `bad` is the chance that a request to the canary hurts its user.
    pub fn new(observed: &Observed, users: Users, bad: f64) -> Self {
        let peer = |rule: String, course: Course| {
            let horizon = match course.end {
                End::Promoted { second } => second + UNTIL_NOTICED_SECONDS,
                End::RolledBack { second } => second,
            };
            Peer {
                rule,
                users_hurt: course.users_hurt(users, bad, horizon),
                course,
            }
        };
        Self {
            flagger: peer(flagger::RULE.words(), flagger::RULE.run(observed)),
            argo_rollouts: peer(
                argo_rollouts::RULE.words(),
                argo_rollouts::RULE.run(observed),
            ),
        }
    }

    /// What would have happened, for a reader.
    pub fn in_words(&self) -> Vec<String> {
        [&self.flagger, &self.argo_rollouts]
            .into_iter()
            .flat_map(|peer| [peer.rule.clone(), format!("    {}", peer.in_words())])
            .collect()
    }
}

impl Peer {
    /// How it would have ended, in one sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let hurt = self.users_hurt.round();
        let failed = self.course.failed_checks;
        match self.course.end {
            End::RolledBack { second } => {
                format!(
                    "would have rolled back after {second} s ({failed} failed checks): {hurt} users hurt"
                )
            }
            End::Promoted { second } if hurt < 1.0 => {
                format!(
                    "would have promoted after {second} s ({failed} failed checks): no user hurt"
                )
            }
            End::Promoted { second } => format!(
                "would have promoted after {second} s ({failed} failed checks): {hurt} users hurt until somebody notices {} minutes later",
                UNTIL_NOTICED_SECONDS / 60,
            ),
        }
    }
}
