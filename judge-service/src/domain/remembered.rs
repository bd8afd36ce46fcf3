//! What is remembered for outcomes that come later: which version answered a user or a
//! request, and which outcomes were told.
//!
//! Of users, requests and outcomes only hashes under the rollout's own secret are kept.

use super::Millis;
use serde::{Deserialize, Serialize};
use serinus_core::identity::{IdentityKey, UnitHash};

/// How long the id of an outcome that was told is remembered.
pub const TOLD_MS: Millis = 30 * 24 * 3_600 * 1_000;

/// How many are remembered of a rollout and kind, about; the oldest go first.
pub const MOST: u32 = 1_000_000;

/// How many are forgotten at once: some hundredths of a second, for which commits wait.
pub const AT_ONCE: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A user's last sampled answer.
    User,
    /// The answer to a sampled request.
    Request,
    /// An id under which an answer was told to be right or wrong,
    AnswerById,
    /// and one under which a value was.
    ValueById,
    /// A request of which the answer was told to be right or wrong,
    AnswerOfRequest,
    /// and one of which the value was told.
    ValueOfRequest,
}

/// Under what something is remembered of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub kind: Kind,
    pub hash: u64,
}

/// What is remembered, under which name of which rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub rollout: String,
    pub name: Name,
    pub at_ms: Millis,
    /// An [`Answered`], of users and requests; empty for what was told.
    pub record: String,
}

/// What may go from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    pub rollout: String,
    pub kind: Kind,
    /// What is older.
    pub before_ms: Millis,
}

/// Which version answered, and what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Index of the arm.
    pub arm: usize,
    pub unit: UnitHash,
    /// Of the first row; `None` where the answer could not be read, or has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<i64>,
    /// The probability of that label, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

// === impl Kind ===

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::User,
        Self::Request,
        Self::AnswerById,
        Self::ValueById,
        Self::AnswerOfRequest,
        Self::ValueOfRequest,
    ];

    /// As the store writes it.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::User => 0,
            Self::Request => 1,
            Self::AnswerById => 2,
            Self::ValueById => 3,
            Self::AnswerOfRequest => 4,
            Self::ValueOfRequest => 5,
        }
    }

    /// Whether it is about an answer, and not about what was told of one.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self, Self::User | Self::Request)
    }

    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

// === impl Name ===

impl Name {
    /// A user, by the pseudonym that samples have.
    #[must_use]
    pub fn user(unit: UnitHash) -> Self {
        Self {
            kind: Kind::User,
            hash: unit,
        }
    }

    /// An id of a request or an outcome.
    #[must_use]
    pub fn of(kind: Kind, key: &IdentityKey, id: &str) -> Self {
        Self {
            kind,
            hash: key.hash(id.as_bytes()),
        }
    }
}

// === impl Answered ===

impl Answered {
    /// As it is stored.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Numbers and a name: only a number that is none could fail, and a confidence that
        // is none is written as null.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// # Errors
    /// What this version cannot read, in words.
    pub fn from_record(record: &str) -> Result<Self, String> {
        serde_json::from_str(record).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let whole = Answered {
            epoch: 7,
            segment: Some("gold".to_owned()),
            arm: 1,
            unit: u64::MAX,
            label: Some(-3),
            confidence: Some(0.1),
        };
        let bare = Answered {
            segment: None,
            label: None,
            confidence: None,
            ..whole.clone()
        };
        for answered in [whole, bare] {
            let read = Answered::from_record(&answered.to_record());
            assert_eq!(read, Ok(answered));
        }
        assert!(Answered::from_record("").is_err());
    }

    #[test]
    fn kinds_have_numbers_of_their_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(Kind::from_number(6), None);
    }
}
