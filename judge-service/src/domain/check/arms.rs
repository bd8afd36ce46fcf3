//! Whether arms make sense by themselves.

use super::Problems;
use super::urls::is_callable;
use crate::domain::spec::{Arm, RolloutSpec};
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::{MAX_ARMS, check_name};

const LONGEST_URI: usize = 2_048;

/// Whether there are some, each with a name of its own, of which the rest can speak.
pub fn check(spec: &RolloutSpec, problems: &mut Problems) -> bool {
    if spec.arms.len() > MAX_ARMS {
        let problem = format!("are {}; at most {MAX_ARMS} are right", spec.arms.len());
        problems.add(FieldError::new("arms", problem));
        return false;
    }
    let mut sound = spec.arms.len() >= 2;
    if !sound {
        problems.add(FieldError::new(
            "arms",
            "are fewer than 2; a control and a canary are needed",
        ));
    }
    for (index, arm) in spec.arms.iter().enumerate() {
        let name = format!("arms[{index}].name");
        problems.look(check_name(&name, &arm.name));
        let mut before = spec.arms.iter().take(index);
        if before.any(|other| other.name == arm.name) {
            let problem = format!("`{}` names two arms", arm.name);
            problems.add(FieldError::new(name, problem));
            sound = false;
        }
        let below = |error: FieldError| error.below(format_args!("arms[{index}]"));
        for checked in [is_registered(arm), has_digest(arm), has_readiness(arm)] {
            problems.look(checked.map_err(below));
        }
    }
    sound
}

fn is_registered(arm: &Arm) -> Result<(), FieldError> {
    match arm.registry_uri.as_ref().filter(|uri| !is_uri(uri)) {
        None => Ok(()),
        Some(uri) => Err(FieldError::new(
            "registry_uri",
            format!(
                "is `{}`; a URI with its scheme, such as `models:/fraud/8`, of {LONGEST_URI} bytes at most is right",
                uri.chars().take(80).collect::<String>()
            ),
        )),
    }
}

fn has_digest(arm: &Arm) -> Result<(), FieldError> {
    let is_digest =
        |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match arm.sha256.as_ref().filter(|digest| !is_digest(digest)) {
        None => Ok(()),
        Some(digest) => Err(FieldError::new(
            "sha256",
            format!(
                "is `{}`; 64 hex digits, as `sha256sum fraud-8.onnx` prints them, are right",
                digest.chars().take(80).collect::<String>()
            ),
        )),
    }
}

fn has_readiness(arm: &Arm) -> Result<(), FieldError> {
    match arm.ready.as_ref().filter(|url| !is_callable(url)) {
        None => Ok(()),
        Some(url) => Err(FieldError::new(
            "ready",
            format!("is `{url}`; a URL such as `http://fraud-v2:8080/v2/health/ready` is right"),
        )),
    }
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
