//! The stations of a rollout's way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not ready: everybody is on the baseline until the first step can begin.
    Waiting,
    Running,
    /// Keeps its weights; only a rollback is still automatic.
    Paused,
    /// The new version has everybody but the holdback, against which it is watched.
    Promoted,
    /// The new version has everybody.
    Finished,
    RolledBack,
    Aborted,
    /// Another rollout took its place, and its users.
    Superseded,
}

// === impl Phase ===

impl Phase {
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Running,
        Self::Paused,
        Self::Promoted,
        Self::Finished,
        Self::RolledBack,
        Self::Aborted,
        Self::Superseded,
    ];

    /// As the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::Finished => "finished",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    /// As sentences write it.
    #[must_use]
    pub fn words(self) -> String {
        self.name().replace('_', " ")
    }

    /// Whether requests are still split for a test.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether nothing of it changes any more but by a person.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::RolledBack | Self::Aborted | Self::Superseded
        )
    }

    /// Whether everybody is back on the spec's baseline for good.
    #[must_use]
    pub fn is_taken_back(self) -> bool {
        matches!(self, Self::RolledBack | Self::Aborted | Self::Superseded)
    }
}
