//! From a request to an arm.

#[cfg(test)]
mod tests;

use crate::allocation::Allocation;
use crate::bucket;
use crate::identity::UnitHash;
use crate::issued::IssuedCookie;
use crate::plan::compiled::SegmentTo;
use crate::plan::{CompiledPlan, CompiledRollout};
use crate::request::{BodyUse, Reader, Request};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

/// Why a request is not randomised: it gets an arm, and never enters a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// No source of a unit is present, or all are empty.
    NoUnit,
    /// The unit's bucket is in no range.
    Outside,
    /// This worker's breaker took an arm out of the rollout.
    Breaker,
    /// The client had no unit, and got one with the answer.
    NewCookie,
    /// A tester's token picked the arm.
    Override,
    /// The request's segment goes to one arm as a whole.
    Rule,
    /// The unit was to come from a body that could not be read.
    Body,
    /// The unit belongs to no rollout, by the plan's holdout.
    Holdout,
    /// The unit belongs to other rollouts of this one's layer.
    Layer,
    /// The worker has not heard from the judge for too long.
    Stale,
}

impl Fallback {
    pub const ALL: [Self; 10] = [
        Self::NoUnit,
        Self::Outside,
        Self::Breaker,
        Self::NewCookie,
        Self::Override,
        Self::Rule,
        Self::Body,
        Self::Holdout,
        Self::Layer,
        Self::Stale,
    ];

    /// As reports and metrics write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoUnit => "no_unit",
            Self::Outside => "outside",
            Self::Breaker => "breaker",
            Self::NewCookie => "new_cookie",
            Self::Override => "override",
            Self::Rule => "rule",
            Self::Body => "body",
            Self::Holdout => "holdout",
            Self::Layer => "layer",
            Self::Stale => "stale",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Placed by weights: counts for the verdict.
    Randomised {
        unit: UnitHash,
        slot: u8,
    },
    Fallback(Fallback),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub rollout: Rc<CompiledRollout>,
    /// Index of the segment that the request is in; `None` for the rest.
    pub segment: Option<usize>,
    pub arm: usize,
    pub placement: Placement,
    /// Whether a copy goes to the rollout's shadow.
    pub shadow: bool,
    /// The value of a `Set-Cookie` for the answer.
    pub set_cookie: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No rollout matches.
    Untouched,
    /// Rollouts match, but only such as are decided at another enforcement point.
    Elsewhere,
    /// Decide again with the body, if it has at most so many bytes.
    NeedsBody {
        at_most: usize,
    },
    Decided(Decision),
}

/// What a decision depends on beside plan and request.
pub struct Around<'a> {
    /// The enforcement point that decides.
    pub point: Option<&'a str>,
    pub breakers: &'a dyn Breakers,
    /// How long this worker has not heard from the judge.
    pub silent_us: u64,
    /// 16 random bytes; `None` when there are none to be had.
    pub random: &'a dyn Fn() -> Option<[u8; 16]>,
}

/// Which breakers of this worker are open.
pub trait Breakers {
    /// The arm that is taken out of a rollout, if one is.
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize>;
}

/// The decision for a request. The first rollout that matches decides, in the order
/// of the plan, of those that are enforced here. Where it is in a layer, the others of that layer that match may have
/// the request: the one that knows the tester's token, or else the one that has the
/// unit.
#[must_use]
pub fn decide(plan: &CompiledPlan, request: &impl Request, around: &Around<'_>) -> Outcome {
    let request = Reader::new(request);
    let elsewhere = Cell::new(false);
    let mut matching = plan.rollouts.iter().filter(|rollout| {
        let matches = rollout.matcher.matches(&request);
        let is_here = rollout.is_enforced_at(around.point);
        elsewhere.set(elsewhere.get() | (matches & !is_here));
        matches & is_here
    });
    let Some(first) = matching.next() else {
        return if elsewhere.get() {
            Outcome::Elsewhere
        } else {
            Outcome::Untouched
        };
    };
    let mut deciding = Deciding {
        plan,
        request: &request,
        around,
        issued: None,
    };
    let decision = match &first.layer {
        None => deciding.within(first),
        Some(layer) => {
            let same = |other: &&Rc<CompiledRollout>| {
                let salt = other.layer.as_ref().map(|other| &other.salt);
                salt == Some(&layer.salt)
            };
            deciding.within_layer(first, matching.filter(same).collect())
        }
    };
    if request.body_use() == BodyUse::Wanted {
        return Outcome::NeedsBody {
            at_most: decision.rollout.body_bytes,
        };
    }
    Outcome::Decided(decision)
}

struct Deciding<'r, 'a> {
    plan: &'r CompiledPlan,
    request: &'a Reader<'r>,
    around: &'a Around<'a>,
    /// A new unit, and the header that gives it to the client: one for all rollouts
    /// that issue the same cookie.
    issued: Option<(&'r IssuedCookie, Vec<u8>, String)>,
}

impl<'r, 'a> Deciding<'r, 'a> {
    fn within_layer(
        &mut self,
        first: &'r Rc<CompiledRollout>,
        others: Vec<&'r Rc<CompiledRollout>>,
    ) -> Decision {
        let mut all = core::iter::once(first).chain(others.iter().copied());
        if let Some(tested) = all.find(|rollout| self.overridden(rollout).is_some()) {
            return self.within(tested);
        }
        let has_unit =
            |decision: &Decision| decision.placement != Placement::Fallback(Fallback::Layer);
        let decision = self.within(first);
        if has_unit(&decision) {
            return decision;
        }
        let theirs = others.into_iter().map(|other| self.within(other));
        theirs.into_iter().find(has_unit).unwrap_or(decision)
    }

    fn overridden(&self, rollout: &'r CompiledRollout) -> Option<usize> {
        rollout.overrides.as_ref()?.arm(self.request)
    }

    fn within(&mut self, rollout: &'r Rc<CompiledRollout>) -> Decision {
        let segment = rollout
            .segments
            .iter()
            .position(|segment| segment.when.iter().all(|when| when.holds(self.request)));
        let (mut arm, mut placement) = self.assign(rollout, segment);
        let mut set_cookie = None;
        // Who has no unit gets one, and the arm that it will have from now on; but it
        // is not counted before it comes back, which a bot's never does.
        if placement == Placement::Fallback(Fallback::NoUnit)
            && let Some((unit, header)) = self.new_cookie(rollout)
        {
            (arm, placement) = match self.place(rollout, segment, &unit) {
                (arm, Placement::Randomised { .. }) => {
                    (arm, Placement::Fallback(Fallback::NewCookie))
                }
                other => other,
            };
            set_cookie = Some(header);
        }
        Decision {
            rollout: Rc::clone(rollout),
            segment,
            arm,
            placement,
            shadow: self.shadows(rollout, segment, arm, placement),
            set_cookie,
        }
    }

    /// Overrides before a silent judge, that before the holdout, that before segments,
    /// and segments before weights.
    fn assign(&self, rollout: &'r CompiledRollout, segment: Option<usize>) -> (usize, Placement) {
        let fallback = |cause| (rollout.baseline, Placement::Fallback(cause));
        if let Some(arm) = self.overridden(rollout) {
            return (arm, Placement::Fallback(Fallback::Override));
        }
        if let Some(limit) = rollout.stale_after_us
            && self.around.silent_us > limit
        {
            return fallback(Fallback::Stale);
        }
        if let Some(SegmentTo::Arm(arm)) = segment_to(rollout, segment) {
            let held_out = self.plan.holdout.as_ref().is_some_and(|holdout| {
                let unit = self.unit(rollout);
                unit.is_some_and(|unit| holdout.has(&unit))
            });
            return if held_out {
                fallback(Fallback::Holdout)
            } else if self.around.breakers.tripped(rollout) == Some(*arm) {
                fallback(Fallback::Breaker)
            } else {
                (*arm, Placement::Fallback(Fallback::Rule))
            };
        }
        match self.unit(rollout) {
            Some(unit) => self.place(rollout, segment, &unit),
            None if self.request.body_use() == BodyUse::Unusable => fallback(Fallback::Body),
            None => fallback(Fallback::NoUnit),
        }
    }

    fn unit(&self, rollout: &'r CompiledRollout) -> Option<Cow<'a, [u8]>> {
        if rollout.each_request {
            return (self.around.random)().map(|drawn| Cow::Owned(drawn.to_vec()));
        }
        let sources = rollout.unit.iter();
        let sources = sources.map(|source| source.read(self.request));
        let issued = rollout.issue_cookie.iter();
        let issued = issued.map(|cookie| cookie.read(self.request));
        sources.chain(issued).flatten().next()
    }

    fn new_cookie(&mut self, rollout: &'r CompiledRollout) -> Option<(Vec<u8>, String)> {
        let cookie = rollout.issue_cookie.as_ref()?;
        if self.request.body_use() == BodyUse::Wanted {
            return None;
        }
        match &self.issued {
            Some((known, unit, header)) if *known == cookie => Some((unit.clone(), header.clone())),
            _ => {
                let (unit, header) = cookie.issue((self.around.random)()?);
                self.issued = Some((cookie, unit.clone(), header.clone()));
                Some((unit, header))
            }
        }
    }

    fn place(
        &self,
        rollout: &CompiledRollout,
        segment: Option<usize>,
        unit: &[u8],
    ) -> (usize, Placement) {
        let fallback = |cause| (rollout.baseline, Placement::Fallback(cause));
        if let Some(holdout) = &self.plan.holdout
            && holdout.has(unit)
        {
            return fallback(Fallback::Holdout);
        }
        if let Some(layer) = &rollout.layer
            && !layer.has(unit)
        {
            return fallback(Fallback::Layer);
        }
        let place = bucket::place(unit, &rollout.salt);
        let Some(arm) = allocation(rollout, segment).arm(place.bucket) else {
            return fallback(Fallback::Outside);
        };
        // Once one arm is out, its users are on the baseline: no arm of the rollout
        // is a fair sample any more, so all of them leave the test here.
        match self.around.breakers.tripped(rollout) {
            Some(tripped) if tripped == arm => fallback(Fallback::Breaker),
            Some(_) => (arm, Placement::Fallback(Fallback::Breaker)),
            None => (
                arm,
                Placement::Randomised {
                    unit: rollout.identity.hash(unit),
                    slot: place.slot,
                },
            ),
        }
    }

    /// By the unit where one was placed, so that a user's requests are copied all or
    /// none; by chance for others.
    fn shadows(
        &self,
        rollout: &CompiledRollout,
        segment: Option<usize>,
        arm: usize,
        placement: Placement,
    ) -> bool {
        rollout.shadow.as_ref().is_some_and(|shadow| {
            shadow.is_for(segment, arm)
                && match placement {
                    _ if shadow.share.is_all() => true,
                    Placement::Randomised { unit, .. } => shadow.share.shadows(unit),
                    Placement::Fallback(_) => (self.around.random)().is_some_and(|bytes| {
                        let chance = bytes
                            .iter()
                            .fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
                        shadow.share.lists(chance)
                    }),
                }
        })
    }
}

fn segment_to(rollout: &CompiledRollout, segment: Option<usize>) -> Option<&SegmentTo> {
    let segment = segment.and_then(|index| rollout.segments.get(index));
    segment.map(|segment| &segment.to)
}

fn allocation(rollout: &CompiledRollout, segment: Option<usize>) -> &Allocation {
    match segment_to(rollout, segment) {
        Some(SegmentTo::Split(own)) => own,
        _ => &rollout.allocation,
    }
}
