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

/// How many one [`Forgotten`] takes at most: more would keep whoever waits for the commit.
pub const AT_ONCE: u32 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The id of an outcome that was counted.
    Told,
    /// A user's last sampled answer.
    User,
    /// The answer to a sampled request.
    Request,
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
    /// An [`Answered`]; empty for what was told.
    pub record: String,
}

/// What may go from the store: the oldest of a kind, at most [`AT_ONCE`] of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    pub rollout: String,
    pub kind: Kind,
    /// What is older goes,
    pub before_ms: Millis,
    /// and what is older than this many others.
    pub most: u32,
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
    pub const ALL: [Self; 3] = [Self::Told, Self::User, Self::Request];

    /// As the store writes it.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Told => 0,
            Self::User => 1,
            Self::Request => 2,
        }
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

    #[must_use]
    pub fn request(key: &IdentityKey, id: &str) -> Self {
        Self {
            kind: Kind::Request,
            hash: key.hash(id.as_bytes()),
        }
    }

    /// The id of an outcome.
    #[must_use]
    pub fn told(key: &IdentityKey, id: &str) -> Self {
        Self {
            kind: Kind::Told,
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
        assert_eq!(Kind::from_number(3), None);
    }
}
