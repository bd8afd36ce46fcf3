//! The plugin configuration: where the judge is, and the operator's kill switch.
//! It carries no rollout, so that a proxy that starts while the judge is away
//! serves the baseline.

use serde::Deserialize;
use serinus_core::json::{self, FieldError};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// The cluster that calls to the judge go to; without one no plan ever comes.
    #[serde(default)]
    pub judge: Option<Judge>,
    /// The request header that routes match; what a client sent in it is replaced.
    #[serde(default = "default_arm_header")]
    pub arm_header: String,
    /// The kill switch: overrides every plan, and all requests get the baseline.
    #[serde(default)]
    pub disabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Judge {
    pub cluster: String,
    #[serde(default = "default_authority")]
    pub authority: String,
}

fn default_arm_header() -> String {
    "x-serinus-arm".to_owned()
}

fn default_authority() -> String {
    "serinus-judge".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            judge: None,
            arm_header: default_arm_header(),
            disabled: false,
        }
    }
}

/// # Errors
/// A configuration that people wrote wrongly; the proxy keeps the one before.
pub fn read(bytes: Option<&[u8]>) -> Result<Settings, FieldError> {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        return Ok(Settings::default());
    };
    let mut settings: Settings = json::read_strict(bytes)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if settings.arm_header.is_empty() || !settings.arm_header.bytes().all(token) {
        return Err(FieldError::new(
            "arm_header",
            format!(
                "`{}` is no header name; x-serinus-arm is usual",
                settings.arm_header
            ),
        ));
    }
    settings.arm_header.make_ascii_lowercase();
    if settings
        .judge
        .as_ref()
        .is_some_and(|judge| judge.cluster.is_empty())
    {
        return Err(FieldError::new(
            "judge.cluster",
            "is empty; name the judge's cluster",
        ));
    }
    Ok(settings)
}
