//! What options of `serinus manifest istio` are made of.

use serinus_judge::hex::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Of a name's hash: among the names of one cluster sixteen million are enough.
const HASH_DIGITS: usize = 6;

/// A part of a name has 63 characters at most.
const LONGEST_FITTED: usize = 56;

/// `istio=ingressgateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: String,
}

/// `istio-ingress/public`, or `public` in the manifest's own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayName(pub String);

/// The name of a Kubernetes object, or of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(pub String);

/// A host as a VirtualService lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(pub String);

// === impl Label ===

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RIGHT: &str =
            "a label's key, = and its value are right, such as istio=ingressgateway";
        let (key, value) = text.split_once('=').ok_or(RIGHT)?;
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        let prefix = key.rsplit_once('/').map(|(prefix, _)| prefix);
        if !is_label(name)
            || prefix.is_some_and(|prefix| !is_dns(prefix))
            || !value.is_empty() && !is_label(value)
        {
            return Err(RIGHT);
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// As YAML has it.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"", self.key, self.value)
    }
}

/// What Kubernetes takes as the value of a label, and as the name of a key.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(inner)
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

/// A subdomain by RFC 1123, in lower case.
fn is_dns(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| is_label(part) && part.bytes().all(|byte| byte == b'-' || is_lower(byte)))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

// === impl GatewayName, ObjectName, Host ===

impl FromStr for GatewayName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = match text.split_once('/') {
            Some((namespace, name)) => is_dns(namespace) && is_dns(name),
            None => is_dns(text) && text != "mesh",
        };
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("a gateway's namespace, / and its name are right, such as istio-ingress/public")
        }
    }
}

impl FromStr for ObjectName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_dns(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name by Kubernetes' rules is right: lower case letters, digits, - and .")
        }
    }
}

/// Lower case letters, digits and -. Several names may come to one.
pub fn fitted(text: &str) -> String {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let text: String = text.chars().map(fit).collect();
    text.trim_matches('-').to_owned()
}

impl ObjectName {
    /// A name by Kubernetes' rules from one by ours. One that has to be changed gets some
    /// digits of its hash: else `fraud_v2` and `fraud-v2` would be one, and what belongs to
    /// the one would replace what belongs to the other.
    pub fn of(text: &str) -> Self {
        if is_dns(text) {
            return Self(text.to_owned());
        }
        let mut fitted = fitted(text);
        fitted.truncate(LONGEST_FITTED);
        let mut hash = hex(&Sha256::digest(text));
        hash.truncate(HASH_DIGITS);
        Self(format!("{}-{hash}", fitted.trim_matches('-')))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" || is_dns(text.strip_prefix("*.").unwrap_or(text)) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a host is right, such as models.example.com or *.example.com")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_takes_is_taken() {
        for right in ["istio=ingressgateway", "app.kubernetes.io/name=a_b.c", "a="] {
            right.parse::<Label>().unwrap();
        }
        for wrong in ["istio", "=a", "a b=c", "-a=b", "a=b\"", "A B/c=d", "a/=b"] {
            wrong.parse::<Label>().unwrap_err();
        }
        for (wrong, right) in [
            ("mesh", "istio-ingress/public"),
            ("a/b/c", "public"),
            ("A/b", "a/b"),
        ] {
            wrong.parse::<GatewayName>().unwrap_err();
            right.parse::<GatewayName>().unwrap();
        }
        for (wrong, right) in [("", "*"), ("a b", "*.example.com"), ("*a.b", "a.b")] {
            wrong.parse::<Host>().unwrap_err();
            right.parse::<Host>().unwrap();
        }
        for (ours, theirs) in [
            ("fraud", "fraud"),
            ("fraud-v2", "fraud-v2"),
            ("fraud.v2", "fraud.v2"),
            ("fraud_v2", "fraud-v2-a0a21d"),
            ("Fraud_V2.", "fraud-v2-1b8655"),
            ("a..b", "a--b-f62b42"),
        ] {
            assert_eq!(ObjectName::of(ours).0, theirs);
            theirs.parse::<ObjectName>().unwrap();
        }
        ObjectName::of(&"A".repeat(300))
            .0
            .parse::<ObjectName>()
            .unwrap();
    }
}
