//! Whether arms make sense by themselves.

use super::host_of;
use crate::domain::spec::{Arm, RolloutSpec};
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::check_name;

const LONGEST_URI: usize = 2_048;

pub fn check(spec: &RolloutSpec) -> Result<(), FieldError> {
    if spec.arms.len() < 2 {
        return Err(FieldError::new(
            "arms",
            "are fewer than 2; a control and a canary are needed",
        ));
    }
    for (index, arm) in spec.arms.iter().enumerate() {
        let in_arm = |name: &str| format!("arms[{index}].{name}");
        check_name(&in_arm("name"), &arm.name)?;
        let mut before = spec.arms.iter().take(index);
        if before.any(|other| other.name == arm.name) {
            return Err(FieldError::new(
                in_arm("name"),
                format!("`{}` names two arms", arm.name),
            ));
        }
    }
    for (index, arm) in spec.arms.iter().enumerate() {
        of_version(arm).map_err(|error| error.below(format_args!("arms[{index}]")))?;
    }
    Ok(())
}

/// What is said of the version.
fn of_version(arm: &Arm) -> Result<(), FieldError> {
    if let Some(uri) = arm.registry_uri.as_ref().filter(|uri| !is_uri(uri)) {
        return Err(FieldError::new(
            "registry_uri",
            format!(
                "is `{}`; a URI with its scheme, such as `models:/fraud/8`, of {LONGEST_URI} bytes at most is right",
                uri.chars().take(80).collect::<String>()
            ),
        ));
    }
    let is_digest =
        |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digest) = arm.sha256.as_ref().filter(|digest| !is_digest(digest)) {
        return Err(FieldError::new(
            "sha256",
            format!(
                "is `{}`; 64 hex digits, as `sha256sum fraud-8.onnx` prints them, are right",
                digest.chars().take(80).collect::<String>()
            ),
        ));
    }
    if let Some(url) = arm.ready.as_ref().filter(|url| host_of(url).is_empty()) {
        return Err(FieldError::new(
            "ready",
            format!("is `{url}`; a URL such as `http://fraud-v2:8080/v2/health/ready` is right"),
        ));
    }
    Ok(())
}

/// A scheme, a colon and something without spaces, as RFC 3986 has it.
fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let first = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let others = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let visible = |c: char| !c.is_whitespace() && !c.is_control();
    first
        && scheme.chars().all(others)
        && !rest.is_empty()
        && rest.chars().all(visible)
        && uri.len() <= LONGEST_URI
}
