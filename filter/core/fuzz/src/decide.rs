//! A request, under a plan.
//!
//! The bytes are a plan in JSON, a line of `===`, headers as `name: value` line by
//! line, an empty line, and a body. A plan that does not compile is replaced by one
//! that uses everything, so that the request is never lost.

use serinus_core::decision::{self, Around, Breakers, Decision, Fallback, Outcome, Placement};
use serinus_core::json::read_tolerant;
use serinus_core::plan::{CompiledPlan, CompiledRollout, Plan, compile};
use serinus_core::request::{self, Body};
use std::cell::Cell;
use std::rc::Rc;

thread_local! {
    /// All that a plan can ask for.
    static EVERYTHING: Rc<CompiledPlan> =
        Rc::new(compiled(include_bytes!("everything.json")).unwrap());
}

const SEPARATOR: &[u8] = b"\n===\n";

pub fn decide(data: &[u8]) {
    let (document, rest) = split(data, SEPARATOR);
    let (head, body) = split(rest, b"\n\n");
    let plan = compiled(document).map(Rc::new);
    let plan = plan.unwrap_or_else(|| EVERYTHING.with(Rc::clone));
    let headers: Vec<(String, &[u8])> = head
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().skip(1).position(|&byte| byte == b':')? + 1;
            let (name, value) = line.split_at(colon);
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            Some((name, value.get(1..)?.trim_ascii()))
        })
        .collect();
    for around in [
        Surroundings::default(),
        Surroundings {
            tripped: true,
            chance: Some(!0),
            ..Surroundings::default()
        },
        Surroundings {
            silent_us: u64::MAX,
            chance: Some(7),
            ..Surroundings::default()
        },
    ] {
        check(&plan, &headers, body, &around);
    }
}

fn split<'a>(data: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut windows = data.windows(separator.len());
    match windows.position(|window| window == separator) {
        Some(at) => (&data[..at], &data[at + separator.len()..]),
        None => (data, b""),
    }
}

fn compiled(document: &[u8]) -> Option<CompiledPlan> {
    let (plan, _) = read_tolerant::<Plan>(document).ok()?;
    compile(&plan).ok()
}

#[derive(Debug, Default)]
struct Surroundings {
    /// The last arm that is not the baseline is out.
    tripped: bool,
    silent_us: u64,
    /// What the host's randomness says, if it has any.
    chance: Option<u64>,
}

impl Breakers for Surroundings {
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize> {
        let mut arms = 0..rollout.arms.len();
        arms.rfind(|&arm| self.tripped && arm != rollout.baseline)
    }
}

struct Sent<'a> {
    headers: &'a [(String, &'a [u8])],
    body: Body<'a>,
    asked: Cell<bool>,
}

impl request::Request for Sent<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_vec())
    }

    fn body(&self) -> Body<'_> {
        self.asked.set(true);
        self.body
    }
}

fn check(plan: &CompiledPlan, headers: &[(String, &[u8])], body: &[u8], around: &Surroundings) {
    let random = || {
        let chance = around.chance?.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&chance);
        Some(bytes)
    };
    let context = Around {
        point: None,
        breakers: around,
        silent_us: around.silent_us,
        random: &random,
    };
    let ask = |body| {
        let sent = Sent {
            headers,
            body,
            asked: Cell::new(false),
        };
        let outcome = decision::decide(plan, &sent, &context);
        (outcome, sent.asked.get())
    };
    let (pending, asked) = ask(Body::Pending);
    for body in [Body::Whole(body), Body::Unreadable] {
        let (outcome, _) = ask(body);
        assert_eq!(ask(body).0, outcome, "the same request, the same decision");
        match (&pending, &outcome) {
            (_, Outcome::NeedsBody { .. }) => panic!("it asks for a body that is there"),
            (Outcome::NeedsBody { at_most }, Outcome::Decided(_)) => {
                assert!(asked && *at_most <= 512 * 1024);
            }
            // Whether a rollout has a request is known before its body is.
            (_, Outcome::Untouched | Outcome::Elsewhere) => assert_eq!(pending, outcome),
            (Outcome::Untouched | Outcome::Elsewhere, _) => panic!("the body made a rollout match"),
            (Outcome::Decided(_), Outcome::Decided(_)) => {
                if !asked {
                    assert_eq!(pending, outcome, "the body changed what did not ask for it");
                }
            }
        }
        if let Outcome::Decided(decision) = outcome {
            decided(plan, &decision, around);
        }
    }
}

fn decided(plan: &CompiledPlan, decision: &Decision, around: &Surroundings) {
    let rollout = &decision.rollout;
    let ours = plan.rollouts.iter().any(|known| known.id == rollout.id);
    assert!(ours && decision.arm < rollout.arms.len());
    let segments = rollout.segments.len();
    assert!(decision.segment.is_none_or(|segment| segment < segments));
    let by_token = decision.placement == Placement::Fallback(Fallback::Override);
    if let Some(tripped) = around.tripped(rollout) {
        assert!(by_token || decision.arm != tripped, "it was taken out");
        let randomised = matches!(decision.placement, Placement::Randomised { .. });
        assert!(!randomised, "all arms leave the test");
    }
    if let Some(limit) = rollout.stale_after_us
        && around.silent_us > limit
    {
        let stale = decision.placement == Placement::Fallback(Fallback::Stale);
        assert!(by_token || (stale && decision.arm == rollout.baseline));
    }
    match decision.placement {
        Placement::Fallback(
            Fallback::NoUnit
            | Fallback::Outside
            | Fallback::Body
            | Fallback::Holdout
            | Fallback::Layer
            | Fallback::Stale,
        ) => assert_eq!(decision.arm, rollout.baseline),
        Placement::Fallback(Fallback::NewCookie) => assert!(decision.set_cookie.is_some()),
        Placement::Randomised { .. } => assert_eq!(decision.set_cookie, None),
        Placement::Fallback(_) => {}
    }
    if decision.shadow {
        let shadow = rollout.shadow.as_ref().unwrap();
        assert!(shadow.is_for(decision.segment, decision.arm));
    }
    if let Some(cookie) = &decision.set_cookie {
        assert!(around.chance.is_some(), "without randomness there is none");
        let plain = |byte: u8| (b' '..=b'~').contains(&byte);
        assert!(cookie.bytes().all(plain), "no other header hides in it");
    }
}
