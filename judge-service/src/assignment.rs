//! Where a unit belongs, by the code that routes it.

use serinus_core::allocation::{Allocation, Range};
use serinus_core::bucket;
use serinus_core::decision::{Around, Breakers, Fallback, Outcome, Placement, decide};
use serinus_core::identity::UnitHash;
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::SegmentTo;
use serinus_core::plan::wire::{Match, UnitSource};
use serinus_core::plan::{CompiledPlan, CompiledRollout, Plan, compile};
use serinus_core::request::{Body, Request};
use std::rc::Rc;

/// The header from which the unit is read here. It stands for whichever source the
/// rollout has: of all of them the bytes of the value decide.
const UNIT: &str = "x-serinus-assigned-unit";

/// Headers with their names in lower case, and what has no header: `:path`, `:authority`.
pub type Headers = Vec<(String, Vec<u8>)>;

pub struct Assigner {
    plan: CompiledPlan,
    rollout: Rc<CompiledRollout>,
    /// The source that the rollout reads first, which conditions may look at too.
    source: Option<UnitSource>,
    pub revision: String,
}

/// Why a plan assigns nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    #[error("the plan has no such rollout")]
    Missing,
    #[error("the rollout has no units: it draws an arm for each request")]
    NoUnits,
    #[error("the plan: {0}")]
    Plan(#[from] FieldError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    pub arm: &'a str,
    pub segment: Option<&'a str>,
    /// The user's pseudonym in reports, where weights decided.
    pub unit: Option<UnitHash>,
    /// `None` where weights decided.
    pub fallback: Option<Fallback>,
    pub bucket: u16,
    pub slot: u8,
    /// The range that the bucket lies in.
    pub range: Option<Range>,
}

struct Asked<'a> {
    unit: &'a [u8],
    headers: &'a [(String, Vec<u8>)],
    source: Option<&'a UnitSource>,
}

/// Whatever a worker's breaker did is not known here.
struct AllClosed;

// === impl Assigner ===

impl Assigner {
    /// # Errors
    /// A plan that a filter would not take, or without the rollout; a rollout without
    /// units.
    pub fn new(mut plan: Plan, id: &str) -> Result<Self, AssignError> {
        let mut rollouts = plan.rollouts.iter();
        let Some(at) = rollouts.position(|rollout| rollout.id == id) else {
            return Err(AssignError::Missing);
        };
        let mut own = plan.rollouts.swap_remove(at);
        if own.unit == [UnitSource::EachRequest] {
            return Err(AssignError::NoUnits);
        }
        let source = own.unit.first().cloned();
        own.unit = vec![UnitSource::Header(UNIT.to_owned())];
        own.matches = Match::default();
        own.enforced_at = None;
        own.shadow = None;
        plan.rollouts = vec![own];
        let compiled = compile(&plan)?;
        let rollout = compiled.rollouts.first().map(Rc::clone);
        let rollout = rollout.ok_or(AssignError::Missing)?;
        Ok(Self {
            plan: compiled,
            rollout,
            source,
            revision: plan.revision.to_string(),
        })
    }

    pub fn salt(&self) -> &str {
        &self.rollout.salt
    }

    pub fn epoch(&self) -> u64 {
        self.rollout.epoch
    }

    pub fn arms(&self) -> &[String] {
        &self.rollout.arms
    }

    /// A request of this unit with these headers.
    pub fn assign(&self, unit: &[u8], headers: &[(String, Vec<u8>)]) -> Assignment<'_> {
        let asked = Asked {
            unit,
            headers,
            source: self.source.as_ref(),
        };
        let around = Around {
            point: None,
            breakers: &AllClosed,
            silent_us: 0,
            random: &|| None,
        };
        let (arm, segment, pseudonym, fallback) = match decide(&self.plan, &asked, &around) {
            Outcome::Decided(decision) => {
                let (unit, fallback) = match decision.placement {
                    Placement::Randomised { unit, .. } => (Some(unit), None),
                    Placement::Fallback(cause) => (None, Some(cause)),
                };
                (decision.arm, decision.segment, unit, fallback)
            }
            // Every request matches, and no body is there to wait for.
            Outcome::Untouched | Outcome::Elsewhere | Outcome::NeedsBody { .. } => {
                (self.rollout.baseline, None, None, Some(Fallback::Body))
            }
        };
        let place = bucket::place(unit, &self.rollout.salt);
        let ranges = self.allocation(segment).ranges().iter();
        Assignment {
            arm: self.rollout.arm_name(arm),
            segment: self.rollout.segment_name(segment),
            unit: pseudonym,
            fallback,
            bucket: place.bucket,
            slot: place.slot,
            range: ranges
                .copied()
                .find(|range| (range.from..range.to).contains(&place.bucket)),
        }
    }

    fn allocation(&self, segment: Option<usize>) -> &Allocation {
        let segment = segment.and_then(|index| self.rollout.segments.get(index));
        match segment.map(|segment| &segment.to) {
            Some(SegmentTo::Split(own)) => own,
            _ => &self.rollout.allocation,
        }
    }
}

impl Breakers for AllClosed {
    fn tripped(&self, _: &CompiledRollout) -> Option<usize> {
        None
    }
}

impl Request for Asked<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        if name == UNIT {
            return Some(self.unit.to_vec());
        }
        let mut given = self.headers.iter().filter(|(known, _)| known == name);
        let given = given.next().map(|(_, value)| value.clone());
        match self.source {
            Some(UnitSource::Header(own)) if own.eq_ignore_ascii_case(name) => {
                Some(self.unit.to_vec())
            }
            Some(UnitSource::Cookie(own)) if name == "cookie" => {
                let mut cookies = [own.as_bytes(), b"=", self.unit].concat();
                if let Some(others) = given {
                    cookies.extend_from_slice(b"; ");
                    cookies.extend_from_slice(&others);
                }
                Some(cookies)
            }
            _ => given,
        }
    }

    fn body(&self) -> Body<'_> {
        Body::Unreadable
    }
}

// === impl Assignment ===

impl Assignment<'_> {
    /// As reports and metrics name it.
    pub fn why(&self) -> &'static str {
        self.fallback.map_or("weights", Fallback::name)
    }

    /// For people.
    pub fn because(&self) -> String {
        let segment = self.segment.unwrap_or_default();
        match self.fallback {
            None => {
                let range = self.range.map(|range| (range.from, range.to - 1));
                let (from, last) = range.unwrap_or_default();
                format!("by weights: buckets {from} to {last} are {}'s", self.arm)
            }
            Some(Fallback::Rule) => format!("all of segment {segment} goes there"),
            Some(Fallback::Outside) => "its bucket is in no arm's range: the baseline".to_owned(),
            Some(Fallback::NoUnit) => "an empty key is no unit: the baseline".to_owned(),
            Some(Fallback::Holdout) => "is held out of every rollout: the baseline".to_owned(),
            Some(Fallback::Layer) => "is for other rollouts of this layer".to_owned(),
            Some(Fallback::Override) => "a tester's token picked the arm".to_owned(),
            Some(other) => other.name().replace('_', " "),
        }
    }
}
