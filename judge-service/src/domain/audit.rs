//! Who did what, and why: one chain of all that was done to all rollouts, which goes on
//! when a rollout is deleted with its own decisions. Each record names the hash of the one
//! before, so that one that was changed, left out or put in shows.

use super::Millis;
use super::decision::NO_HASH;
use crate::hex::hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who did what the judge decided by itself.
pub const JUDGE: &str = "judge";

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Record {
    /// From 1.
    pub sequence: u64,
    pub at_ms: Millis,
    /// The name of the token; `judge` for what the judge decided by itself, `anonymous`
    /// where nobody is asked for a token.
    pub who: String,
    /// `create`, `promote`, ..., `delete`.
    pub action: String,
    pub rollout: String,
    /// In whose words, if somebody gave any.
    pub reasons: Vec<String>,
    /// The number of the decision in the rollout's own chain, and its hash, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Reference>,
    pub previous_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Reference {
    pub sequence: u64,
    pub hash: String,
}

/// A record with the SHA-256 of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Audited {
    pub hash: String,
    pub record: Record,
}

/// The end of the chain: sequence number and hash of its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub sequence: u64,
    pub hash: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Broken {
    #[error("record {0} is not what was sealed: somebody changed it")]
    Changed(u64),
    #[error("record {found} follows record {last}: what was between them is missing")]
    Missing { last: u64, found: u64 },
    #[error("record {0} names another hash for the record before: that one was replaced")]
    Replaced(u64),
}

impl Audited {
    /// The record that comes after `head`.
    #[must_use]
    pub fn after(head: Option<&Head>, record: Record) -> Self {
        let record = Record {
            sequence: head.map_or(1, |head| head.sequence + 1),
            previous_hash: head.map_or(NO_HASH, |head| head.hash.as_str()).to_owned(),
            ..record
        };
        let hash = hash(&record);
        Self { hash, record }
    }

    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            sequence: self.record.sequence,
            hash: self.hash.clone(),
        }
    }
}

/// Where the chain ends that goes on from `head` with these records.
///
/// # Errors
/// What shows that it is not the chain that was written.
pub fn follow(mut head: Option<Head>, records: &[Audited]) -> Result<Option<Head>, Broken> {
    for audited in records {
        let record = &audited.record;
        if hash(record) != audited.hash {
            return Err(Broken::Changed(record.sequence));
        }
        let last = head.as_ref().map_or(0, |head| head.sequence);
        if record.sequence != last + 1 {
            let found = record.sequence;
            return Err(Broken::Missing { last, found });
        }
        let before = head.as_ref().map_or(NO_HASH, |head| head.hash.as_str());
        if record.previous_hash != before {
            return Err(Broken::Replaced(record.sequence));
        }
        head = Some(audited.head());
    }
    Ok(head)
}

fn hash(record: &Record) -> String {
    // Numbers and strings: serialisation cannot fail.
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    hex(&Sha256::digest(&bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn record(who: &str, action: &str) -> Record {
        Record {
            sequence: 0,
            at_ms: 7,
            who: who.to_owned(),
            action: action.to_owned(),
            rollout: "digits".to_owned(),
            reasons: vec!["because".to_owned()],
            decision: None,
            previous_hash: String::new(),
        }
    }

    fn chain() -> Vec<Audited> {
        let mut chain: Vec<Audited> = Vec::new();
        for (who, action) in [("alice", "create"), ("judge", "promote"), ("bob", "abort")] {
            let head = chain.last().map(Audited::head);
            chain.push(Audited::after(head.as_ref(), record(who, action)));
        }
        chain
    }

    #[test]
    fn whatever_is_done_to_a_chain_shows() {
        let whole = chain();
        let head = follow(None, &whole).unwrap().unwrap();
        assert_eq!(head, whole[2].head());
        assert_eq!(
            follow(Some(whole[0].head()), &whole[1..]).unwrap(),
            Some(head)
        );
        assert_eq!(follow(None, &[]).unwrap(), None);

        let mut changed = chain();
        changed[1].record.who = "mallory".to_owned();
        assert_eq!(follow(None, &changed), Err(Broken::Changed(2)));
        // Sealed anew, it is no longer what the next one names.
        changed[1] = Audited::after(Some(&whole[0].head()), record("mallory", "promote"));
        assert_eq!(follow(None, &changed), Err(Broken::Replaced(3)));
        let mut missing = chain();
        missing.remove(1);
        assert_eq!(
            follow(None, &missing),
            Err(Broken::Missing { last: 1, found: 3 })
        );
        assert_eq!(
            follow(None, &whole[1..]),
            Err(Broken::Missing { last: 0, found: 2 })
        );
    }
}
