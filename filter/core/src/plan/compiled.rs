//! The plan as the request path uses it.

#[cfg(test)]
pub(crate) mod tests;

use super::wire::{self, LatencyUntil, Plan, Revision, RolloutPlan};
use super::{parts, routing};
use crate::allocation::{Allocation, AllocationError, Range};
use crate::attribute::Attribute;
use crate::breaker;
use crate::condition::Condition;
use crate::failure::ErrorRule;
use crate::identity::{IdentityKey, Share};
use crate::issued::IssuedCookie;
use crate::json::{FieldError, written};
use crate::matching::Matcher;
use crate::membership::{Holdout, Layer};
use crate::overrides::Overrides;
use crate::shadow::Shadow;
use std::rc::Rc;

/// Edges for which a worker counts: for each of five thresholds control's and the
/// other arms' (the tolerated slowdown above it), and for two quantiles the
/// promotion margin's.
pub const MAX_EDGES: usize = 12;
pub const MAX_ARMS: usize = 16;
pub const MAX_ROLLOUTS: usize = 256;
pub const MAX_SEGMENTS: usize = 32;
/// Sums that a worker may keep, one for each arm of each segment and of the rest, in
/// all rollouts: 36 KB each, so 74 MB at most.
pub const MAX_SUMS: usize = 2_048;
pub const MAX_NAME: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub struct CompiledPlan {
    pub revision: Revision,
    pub report_interval_ms: u32,
    pub holdout: Option<Holdout>,
    pub rollouts: Vec<Rc<CompiledRollout>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CompiledRollout {
    /// The ledger shares it, and so knows the rollout again without comparing bytes.
    pub id: Rc<str>,
    pub epoch: u64,
    pub matcher: Matcher,
    /// `None` is everywhere.
    pub enforced_at: Option<String>,
    pub unit: Vec<Attribute>,
    /// Whether each request is a unit of its own, which is drawn.
    pub each_request: bool,
    /// What a client gets that has none of them.
    pub issue_cookie: Option<IssuedCookie>,
    pub overrides: Option<Overrides>,
    pub salt: String,
    pub identity: IdentityKey,
    pub arms: Vec<String>,
    pub baseline: usize,
    pub allocation: Allocation,
    pub segments: Vec<Segment>,
    pub latency_edges_us: Vec<u64>,
    pub event_share: Share,
    pub new_unit_share: Share,
    pub sampling: Option<Sampling>,
    pub breaker: Option<breaker::Settings>,
    pub layer: Option<Layer>,
    pub shadow: Option<Shadow>,
    pub stale_after_us: Option<u64>,
    pub errors: ErrorRule,
    pub latency_until: LatencyUntil,
    /// A longer body is not held.
    pub body_bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub name: String,
    pub when: Vec<Condition>,
    pub to: SegmentTo,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SegmentTo {
    Arm(usize),
    Split(Allocation),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    pub share: Share,
    pub per_second: u32,
    pub max_body_bytes: usize,
    pub headers: Rc<[String]>,
}

impl CompiledRollout {
    /// Whether the filters of this enforcement point decide its requests.
    #[must_use]
    pub fn is_enforced_at(&self, point: Option<&str>) -> bool {
        self.enforced_at.is_none() || self.enforced_at.as_deref() == point
    }

    /// Whether some request may have to wait for its body.
    #[must_use]
    pub fn reads_bodies(&self) -> bool {
        let conditions = self.segments.iter().flat_map(|segment| &segment.when);
        let conditions = conditions.map(|condition| &condition.of);
        let mut read = self.unit.iter().chain(conditions);
        read.any(|attribute| matches!(attribute, Attribute::Body(_)))
    }

    /// The name of a segment; `None` for the rest.
    #[must_use]
    pub fn segment_name(&self, segment: Option<usize>) -> Option<&str> {
        let segment = segment.and_then(|index| self.segments.get(index));
        segment.map(|segment| segment.name.as_str())
    }

    /// The name of an arm; the baseline's for an index that no plan can yield.
    #[must_use]
    pub fn arm_name(&self, arm: usize) -> &str {
        self.arms
            .get(arm)
            .or_else(|| self.arms.get(self.baseline))
            .map_or("", String::as_str)
    }
}

/// # Errors
/// The first field that does not make sense, with its path and what would be right.
pub fn compile(plan: &Plan) -> Result<CompiledPlan, FieldError> {
    if plan.version != wire::VERSION {
        return Err(FieldError::new(
            "version",
            format!(
                "is {}, and this filter reads {}",
                plan.version,
                wire::VERSION
            ),
        ));
    }
    if !(100..=600_000).contains(&plan.report_interval_ms) {
        return Err(FieldError::new(
            "report_interval_ms",
            format!("is {}; 100 to 600000 is right", plan.report_interval_ms),
        ));
    }
    if plan.rollouts.len() > MAX_ROLLOUTS {
        return Err(FieldError::new(
            "rollouts",
            format!("are {}; at most {MAX_ROLLOUTS} fit", plan.rollouts.len()),
        ));
    }
    let mut rollouts: Vec<Rc<CompiledRollout>> = Vec::with_capacity(plan.rollouts.len());
    for (index, rollout) in plan.rollouts.iter().enumerate() {
        let compiled = compile_rollout(rollout)
            .map_err(|error| error.below(format_args!("rollouts[{index}]")))?;
        if rollouts.iter().any(|other| other.id == compiled.id) {
            return Err(FieldError::new(
                format!("rollouts[{index}].id"),
                format!("`{}` names two rollouts", compiled.id),
            ));
        }
        rollouts.push(Rc::new(compiled));
    }
    check_sums(&rollouts)?;
    Ok(CompiledPlan {
        revision: plan.revision,
        report_interval_ms: plan.report_interval_ms,
        holdout: plan.holdout.as_ref().map(parts::holdout).transpose()?,
        rollouts,
    })
}

/// The sums that a worker may keep for one rollout.
#[must_use]
pub fn sums_of(arms: usize, segments: usize) -> usize {
    arms * (segments + 1)
}

fn check_sums(rollouts: &[Rc<CompiledRollout>]) -> Result<(), FieldError> {
    let sums: usize = rollouts
        .iter()
        .map(|rollout| sums_of(rollout.arms.len(), rollout.segments.len()))
        .sum();
    if sums > MAX_SUMS {
        return Err(FieldError::new(
            "rollouts",
            format!(
                "have {sums} arms in all their segments together; at most {MAX_SUMS} fit in a worker"
            ),
        ));
    }
    Ok(())
}

fn compile_rollout(rollout: &RolloutPlan) -> Result<CompiledRollout, FieldError> {
    check_name("id", &rollout.id)?;
    check_arms(&rollout.arms)?;
    let arm_index = |field: String, name: &str| {
        rollout
            .arms
            .iter()
            .position(|arm| arm == name)
            .ok_or_else(|| {
                FieldError::new(
                    field,
                    format!(
                        "unknown arm `{name}`; the arms are {}",
                        rollout.arms.join(", ")
                    ),
                )
            })
    };
    let baseline = arm_index("baseline".to_owned(), &rollout.baseline)?;
    let allocation = compile_allocation("allocation", &rollout.allocation, &arm_index)?;
    let segments = compile_segments(&rollout.segments, &arm_index)?;
    let shadow = rollout.shadow.as_ref();
    let shadow = shadow
        .map(|wire| {
            let segment_index = |name: &str| segments.iter().position(|known| known.name == name);
            parts::shadow(wire, &segment_index, &arm_index)
        })
        .transpose()?;
    let (unit, issue_cookie) = routing::unit(&rollout.unit)?;
    let overrides = rollout
        .overrides
        .as_ref()
        .map(|wire| routing::overrides(wire, &arm_index))
        .transpose()?;
    let identity = IdentityKey::from_hex(&rollout.identity_key)
        .ok_or_else(|| FieldError::new("identity_key", "is not 32 hex digits"))?;
    check_edges(&rollout.latency_edges_us)?;
    Ok(CompiledRollout {
        id: rollout.id.as_str().into(),
        epoch: rollout.epoch,
        matcher: routing::matcher(&rollout.matches)?,
        enforced_at: rollout.enforced_at.clone(),
        each_request: unit.is_empty() && issue_cookie.is_none(),
        unit,
        issue_cookie,
        overrides,
        salt: rollout.salt.clone(),
        identity,
        arms: rollout.arms.clone(),
        baseline,
        allocation,
        segments,
        latency_edges_us: rollout.latency_edges_us.clone(),
        event_share: share("event_share", rollout.event_share)?,
        new_unit_share: share("new_unit_share", rollout.new_unit_share)?,
        sampling: rollout.sampling.as_ref().map(parts::sampling).transpose()?,
        breaker: rollout.breaker.as_ref().map(parts::breaker).transpose()?,
        layer: rollout.layer.as_ref().map(parts::layer).transpose()?,
        shadow,
        stale_after_us: rollout.stale_after_ms.map(|ms| ms.saturating_mul(1_000)),
        errors: parts::errors(&rollout.errors)?,
        latency_until: rollout.latency_until,
        body_bytes: parts::held_body(rollout.max_held_body_bytes)?,
    })
}

/// The index of an arm; else an error of the field that names it.
pub type ArmIndex<'a> = &'a dyn Fn(String, &str) -> Result<usize, FieldError>;

fn compile_allocation(
    field: &str,
    ranges: &[wire::BucketRange],
    arm_index: ArmIndex<'_>,
) -> Result<Allocation, FieldError> {
    let ranges = ranges
        .iter()
        .enumerate()
        .map(|(index, range)| {
            let arm = arm_index(format!("{field}[{index}].arm"), &range.arm)?;
            Ok(Range {
                from: range.from,
                to: range.to,
                arm,
            })
        })
        .collect::<Result<Vec<_>, FieldError>>()?;
    Allocation::new(&ranges).map_err(|error| {
        let field = match error {
            AllocationError::Bounds(index) | AllocationError::Overlap(_, index) => {
                format!("{field}[{index}]")
            }
            AllocationError::TooMuch(_) => field.to_owned(),
        };
        FieldError::new(field, error.to_string())
    })
}

fn compile_segments(
    segments: &[wire::SegmentPlan],
    arm_index: ArmIndex<'_>,
) -> Result<Vec<Segment>, FieldError> {
    check_segment_count(segments.len())?;
    let mut compiled: Vec<Segment> = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        let field = |name: &str| format!("segments[{index}].{name}");
        let mut before = compiled.iter();
        let is_taken = before.any(|other| other.name == segment.name);
        check_segment(index, &segment.name, &segment.when, is_taken)?;
        let to = match &segment.arm {
            Some(arm) => SegmentTo::Arm(arm_index(field("arm"), arm)?),
            None => SegmentTo::Split(compile_allocation(
                &field("allocation"),
                &segment.allocation,
                arm_index,
            )?),
        };
        compiled.push(Segment {
            name: segment.name.clone(),
            when: routing::conditions(&field("when"), &segment.when)?,
            to,
        });
    }
    Ok(compiled)
}

/// # Errors
/// More than fit.
pub fn check_segment_count(count: usize) -> Result<(), FieldError> {
    if count > MAX_SEGMENTS {
        return Err(FieldError::new(
            "segments",
            format!("are {count}; at most {MAX_SEGMENTS} fit"),
        ));
    }
    Ok(())
}

/// # Errors
/// No name, or one that another segment has; no condition.
pub fn check_segment(
    index: usize,
    name: &str,
    when: &[wire::Condition],
    is_taken: bool,
) -> Result<(), FieldError> {
    let field = |name: &str| format!("segments[{index}].{name}");
    check_name(&field("name"), name)?;
    if is_taken {
        return Err(FieldError::new(
            field("name"),
            format!("`{name}` names two segments"),
        ));
    }
    if when.is_empty() {
        return Err(FieldError::new(
            field("when"),
            "is empty; a segment without a condition would have every request",
        ));
    }
    Ok(())
}

/// Names go into headers, metrics and URLs: letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// A name that is empty, too long, or has another character.
pub fn check_name(field: &str, name: &str) -> Result<(), FieldError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err(FieldError::new(
            field,
            format!("`{name}` is no name; 1 to {MAX_NAME} of a-z A-Z 0-9 - _ . are right"),
        ));
    }
    Ok(())
}

fn check_arms(arms: &[String]) -> Result<(), FieldError> {
    if !(1..=MAX_ARMS).contains(&arms.len()) {
        return Err(FieldError::new(
            "arms",
            format!("are {}; 1 to {MAX_ARMS} are right", arms.len()),
        ));
    }
    for (index, arm) in arms.iter().enumerate() {
        check_name(&format!("arms[{index}]"), arm)?;
        if arms.iter().take(index).any(|other| other == arm) {
            return Err(FieldError::new(
                format!("arms[{index}]"),
                format!("`{arm}` names two arms"),
            ));
        }
    }
    Ok(())
}

fn check_edges(edges: &[u64]) -> Result<(), FieldError> {
    if edges.len() > MAX_EDGES {
        return Err(FieldError::new(
            "latency_edges_us",
            format!("are {}; at most {MAX_EDGES} fit", edges.len()),
        ));
    }
    if edges
        .iter()
        .zip(edges.iter().skip(1))
        .any(|(left, right)| left >= right)
    {
        return Err(FieldError::new("latency_edges_us", "do not ascend"));
    }
    Ok(())
}

pub(super) fn share(field: &str, fraction: f64) -> Result<Share, FieldError> {
    if (0.0..=1.0).contains(&fraction) {
        Ok(Share::from_fraction(fraction))
    } else {
        Err(FieldError::new(
            field,
            format!("is {}; 0 to 1 is right", written(fraction)),
        ))
    }
}
