//! What a caller may do, and what a route asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, and decides.
    Operator,
    /// A proxy: gets plans, sends reports and samples, and sees nothing else.
    Proxy,
}

/// What a route asks of who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: whoever reaches the port.
    Nothing,
    /// Any token or certificate that is known.
    Anybody,
    Viewer,
    Operator,
    Proxy,
    /// A plan has the keys of users' pseudonyms, which a viewer has no use for.
    ProxyOrOperator,
}

// === impl Role ===

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Proxy];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Proxy => "proxy",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.name() == text)
            .ok_or_else(|| format!("`{text}` is no role; viewer, operator and proxy are"))
    }
}

// === impl Needs ===

impl Needs {
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Nothing | Self::Anybody => true,
            Self::Viewer => matches!(role, Role::Viewer | Role::Operator),
            Self::Operator => role == Role::Operator,
            Self::Proxy => role == Role::Proxy,
            Self::ProxyOrOperator => matches!(role, Role::Proxy | Role::Operator),
        }
    }

    /// The least of the roles that are enough; several are alternatives.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Nothing => &[],
            Self::Anybody => &Role::ALL,
            Self::Viewer => &[Role::Viewer],
            Self::Operator => &[Role::Operator],
            Self::Proxy => &[Role::Proxy],
            Self::ProxyOrOperator => &[Role::Proxy, Role::Operator],
        }
    }

    /// As it is said to who is refused.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "no role",
            Self::Anybody => "any role",
            Self::Viewer => "the role viewer (or operator)",
            Self::Operator => "the role operator",
            Self::Proxy => "the role proxy",
            Self::ProxyOrOperator => "the role proxy (or operator)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_sees_nothing_and_a_viewer_changes_nothing() {
        let who = |needs: Needs| Role::ALL.map(|role| needs.allows(role));
        assert_eq!(who(Needs::Anybody), [true, true, true]);
        assert_eq!(who(Needs::Viewer), [true, true, false]);
        assert_eq!(who(Needs::Operator), [false, true, false]);
        assert_eq!(who(Needs::Proxy), [false, false, true]);
        assert_eq!(who(Needs::ProxyOrOperator), [false, true, true]);
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        let error = "admin".parse::<Role>().unwrap_err();
        assert!(error.contains("viewer, operator and proxy"), "{error}");
    }
}
