//! What one of several judges says to another of who asked it, so that the other need not
//! be told anybody's token.
//!
//! The judges of a database share a secret that lies there: who reads it there could as
//! well write plans.

use super::Caller;
use crate::domain::Millis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What was said longer ago, or by a clock that is so far ahead, is not believed. Clocks of
/// machines are minutes apart now and then.
const FRESH_MS: Millis = 600_000;

pub struct Peers(Vec<u8>);

#[derive(Serialize, Deserialize)]
struct Claim {
    caller: Caller,
    at_ms: Millis,
}

impl Peers {
    #[must_use]
    pub fn new(secret: Vec<u8>) -> Self {
        Self(secret)
    }

    /// That `caller` asks for this: text for a header.
    #[must_use]
    pub fn vouch(&self, caller: &Caller, method: &str, path: &str, now: Millis) -> String {
        let claim = Claim {
            caller: caller.clone(),
            at_ms: now,
        };
        // A name, a role and a number: serialisation cannot fail.
        let claim = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claim).unwrap_or_default());
        let seal = self.seal(&claim, method, path).map(|seal| {
            let seal = seal.finalize().into_bytes();
            URL_SAFE_NO_PAD.encode(seal)
        });
        format!("{claim}.{}", seal.unwrap_or_default())
    }

    /// Who another judge says that asks; `None` when no judge of this database said so,
    /// or of another request, or long ago.
    #[must_use]
    pub fn believe(&self, said: &str, method: &str, path: &str, now: Millis) -> Option<Caller> {
        let (claim, seal) = said.split_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        self.seal(claim, method, path)?.verify_slice(&seal).ok()?;
        let claim: Claim = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claim).ok()?).ok()?;
        (claim.at_ms.abs_diff(now) <= FRESH_MS).then_some(claim.caller)
    }

    fn seal(&self, claim: &str, method: &str, path: &str) -> Option<Hmac<Sha256>> {
        let mut seal = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        // None of them has a line break.
        for part in [claim, method, path] {
            seal.update(part.as_bytes());
            seal.update(b"\n");
        }
        Some(seal)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn only_a_judge_of_the_same_database_is_believed() {
        let peers = Peers::new(vec![7; 32]);
        let alice = Caller {
            name: "alice".to_owned(),
            role: Role::Operator,
        };
        let said = peers.vouch(&alice, "POST", "/v1/x?y", 1_000_000);
        let believed = |peers: &Peers, said: &str, method, path, now| {
            peers.believe(said, method, path, now).is_some()
        };
        assert_eq!(
            peers.believe(&said, "POST", "/v1/x?y", 1_500_000),
            Some(alice)
        );
        assert!(!believed(&peers, &said, "GET", "/v1/x?y", 1_000_000));
        assert!(!believed(&peers, &said, "POST", "/v1/z?y", 1_000_000));
        assert!(!believed(&peers, &said, "POST", "/v1/x?y", 1_600_001));
        assert!(!believed(&peers, &said, "POST", "/v1/x?y", 399_999));
        let others = Peers::new(vec![8; 32]);
        assert!(!believed(&others, &said, "POST", "/v1/x?y", 1_000_000));
        for nonsense in ["", ".", "1", "e30.", &said[..said.len() - 2]] {
            assert!(!believed(&peers, nonsense, "POST", "/v1/x?y", 1_000_000));
        }
    }
}
