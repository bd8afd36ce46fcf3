//! Testers that pick an arm by a token, of which the plan has only the hash.

use crate::request::Reader;
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrides {
    /// In lower case.
    pub header: String,
    /// SHA-256 of a token, and the arm that it opens.
    pub tokens: Vec<([u8; 32], usize)>,
}

impl Overrides {
    /// The arm of the token that a request carries.
    #[must_use]
    pub fn arm<'r>(&'r self, request: &Reader<'r>) -> Option<usize> {
        let token = request.header(&self.header)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        // All are compared, and each to its end: how long it takes tells nothing.
        self.tokens.iter().fold(None, |found, (known, arm)| {
            let differs = known
                .iter()
                .zip(&hash)
                .fold(0, |differs, (left, right)| differs | (left ^ right));
            if differs == 0 { Some(*arm) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Fake;

    #[test]
    fn only_the_token_opens_its_arm() {
        let hash = |token: &str| -> [u8; 32] { Sha256::digest(token).into() };
        let overrides = Overrides {
            header: "x-o".to_owned(),
            tokens: vec![(hash("a"), 1), (hash("b"), 0)],
        };
        let arm = |token: &[u8]| {
            let request = Fake::new([("x-o", token)]);
            overrides.arm(&Reader::new(&request))
        };
        assert_eq!(arm(b"a"), Some(1));
        assert_eq!(arm(b"b"), Some(0));
        assert_eq!(arm(b"c"), None);
        assert_eq!(arm(&hash("a")), None, "the hash is no token");
        let none = Fake::new([]);
        assert_eq!(overrides.arm(&Reader::new(&none)), None);
    }
}
