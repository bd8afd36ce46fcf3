//! A token: 256 random bits as text, of which only the SHA-256 is kept.

use crate::hex::hex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// So that those who look for secrets in the wrong places find ours.
const PREFIX: &str = "serinus_";

/// Longer ones are no tokens of ours, and not worth a hash.
const LONGEST: usize = 256;

/// Has no `Debug`, so that no log has it.
pub struct Token(String);

impl Token {
    /// # Errors
    /// A system without randomness.
    pub fn random() -> Result<Self, String> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands in the file. Nobody finds 256 random bits from it, so it needs neither
    /// salt nor a slow hash.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&digest(&self.0).unwrap_or_default())
    }
}

/// The SHA-256 of what somebody presents; `None` for what is no token.
pub fn digest(presented: &str) -> Option<[u8; 32]> {
    (presented.len() <= LONGEST).then(|| Sha256::digest(presented).into())
}

/// 64 hex digits.
pub fn read_hash(text: &str) -> Option<[u8; 32]> {
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if digits.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut hash = [0u8; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(digits) {
        let digit = |of: u8| char::from(of).to_digit(16);
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_new_each_time_and_its_hash_is_read_back() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with(PREFIX));
        assert_eq!(read_hash(&one.hash()), digest(one.reveal()));
        assert_eq!(read_hash(&one.hash().to_uppercase()), digest(one.reveal()));
        for wrong in ["", "12", &"g".repeat(64), &"0".repeat(66), &"0".repeat(63)] {
            assert_eq!(read_hash(wrong), None, "{wrong}");
        }
    }
}
