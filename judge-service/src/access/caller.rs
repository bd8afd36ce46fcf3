//! Who asks.

use super::Role;
use crate::domain::audit;
use serde::{Deserialize, Serialize};

/// Who asks: the name that a token has in its file, or that a certificate has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub name: String,
    pub role: Role,
}

impl Caller {
    /// What everybody is called at a judge that asks for no token.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// What the judge is called where it did something itself.
    pub const JUDGE: &'static str = audit::JUDGE;

    /// Names that say who nobody with a token is.
    pub const RESERVED: [&'static str; 2] = [Self::JUDGE, Self::ANONYMOUS];

    /// Everybody, at a judge that asks for no token: may do all.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: Self::ANONYMOUS.to_owned(),
            role: Role::Operator,
        }
    }
}
