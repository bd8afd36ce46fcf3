//! The plugin configuration: where the judge is, the operator's kill switch, and the
//! plan where it does not come by poll.
//!
//! One that stands in a file for good carries no plan, so that a proxy that starts
//! while the judge is away serves the baseline.

use crate::json::{self, FieldError};
use crate::plan::{self, CompiledPlan, Plan};
use crate::read_fields;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The cluster that calls to the judge go to; without one no plan ever comes.
    pub judge: Option<Judge>,
    /// With it the judge is not polled for plans: it, or whoever writes this
    /// configuration, puts each new plan here.
    plan: Option<Plan>,
    /// The request header that routes match; what a client sent in it is replaced.
    pub arm_header: String,
    /// The request header in which `request_mirror_policies` find the cluster of a
    /// shadow. Without it nothing is shadowed.
    pub shadow_header: Option<String>,
    /// A header that tells the client its rollout and arm.
    pub response_header: Option<String>,
    /// Whether requests may wait for their bodies, where a plan asks for a value in
    /// one. Envoy must know of it: with `allow_on_headers_stop_iteration: true` beside
    /// this configuration. Without that, such requests would hang.
    pub hold_bodies: bool,
    /// The name of this proxy's place on the way of a request, such as `gateway`:
    /// rollouts that name another one are not decided or counted here.
    pub enforcement_point: Option<String>,
    /// Whether the arm header of a request whose rollout is decided elsewhere is left as
    /// it came. For hops behind that point which no client reaches by itself: whoever
    /// does would pick its own arm. Otherwise it is removed.
    pub trusts_arm: bool,
    /// The kill switch: overrides every plan, and all requests get the baseline.
    pub disabled: bool,
}

read_fields!(Settings {
    judge,
    plan,
    arm_header,
    shadow_header,
    response_header,
    hold_bodies,
    enforcement_point,
    trusts_arm,
    disabled,
    ..Settings::default()
});

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    pub cluster: String,
    pub authority: String,
}

read_fields!(Judge {
    cluster,
    authority = "serinus-judge".to_owned(),
});

impl Default for Settings {
    fn default() -> Self {
        Self {
            judge: None,
            plan: None,
            arm_header: "x-serinus-arm".to_owned(),
            shadow_header: None,
            response_header: None,
            hold_bodies: false,
            enforcement_point: None,
            trusts_arm: false,
            disabled: false,
        }
    }
}

/// A plugin configuration that is as it should be.
#[derive(Debug)]
pub struct Configuration {
    pub settings: Settings,
    pub plan: Option<CompiledPlan>,
    /// Paths of what a newer judge's plan has that this version does not know.
    pub ignored: Vec<String>,
}

/// Strict in what people write, and tolerant of a newer judge's plan.
///
/// # Errors
/// A configuration that people wrote wrongly, or a plan that does not compile; the
/// proxy keeps the one before.
// Inlined into the filter's one call of it, which spares 1.7 KB there.
#[inline(always)]
pub fn read(bytes: Option<&[u8]>) -> Result<Configuration, FieldError> {
    let bytes = bytes.filter(|bytes| !bytes.is_empty()).unwrap_or(b"{}");
    let (mut settings, ignored): (Settings, _) = json::read_tolerant(bytes)?;
    if let Some(field) = ignored.iter().find(|field| !field.starts_with("plan.")) {
        return Err(FieldError::new(field.as_str(), "unknown field"));
    }
    header_name("arm_header", &mut settings.arm_header)?;
    for (field, name) in [
        ("shadow_header", &mut settings.shadow_header),
        ("response_header", &mut settings.response_header),
    ] {
        if let Some(name) = name {
            header_name(field, name)?;
        }
    }
    if settings.shadow_header.as_ref() == Some(&settings.arm_header) {
        return Err(FieldError::new(
            "shadow_header",
            "is the arm header; x-serinus-shadow is usual",
        ));
    }
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
    // What is counted under a plan must be taken by somebody.
    if settings.plan.is_some() && settings.judge.is_none() {
        return Err(FieldError::new(
            "judge",
            "is missing; beside a plan name the judge that it is of",
        ));
    }
    let plan = match settings.plan.take() {
        None => None,
        Some(plan) => Some(plan::compile(&plan).map_err(|error| error.below("plan"))?),
    };
    Ok(Configuration {
        settings,
        plan,
        ignored,
    })
}

/// In lower case, as Envoy keeps them.
fn header_name(field: &str, name: &mut String) -> Result<(), FieldError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(FieldError::new(
            field,
            format!("`{name}` is no header name; one such as x-serinus-arm is right"),
        ));
    }
    name.make_ascii_lowercase();
    Ok(())
}
